"""A package of another author, with methods that join by entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from methods import registry


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Install a distribution: metadata with entry points, a module, and settings if any; returns its folder."""

    def install(points: str, source: str, settings: str = "") -> Path:
        folder = tmp_path / "other"
        meta = folder / "other-1.0.dist-info"
        meta.mkdir(parents=True)
        (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
        (meta / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}\n")
        (folder / "other_method.py").write_text(source)
        if settings:
            (folder / "settings").mkdir()
            (folder / "settings" / "mine.yaml").write_text(settings)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "other_method", raising=False)
        return folder

    return install
