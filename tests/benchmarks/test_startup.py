"""Seconds that commands take to start: `--help` of each, and looking at an empty store.

pytest tests/benchmarks/test_startup.py --benchmark-only
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.__main__ import COMMANDS

HELP = [(command, "--help") for command in COMMANDS]


@pytest.mark.parametrize("words", [*HELP, ("status",), ("cancel",)], ids=" ".join)
def test_a_command_starts(words: tuple[str, ...], benchmark: Any, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    module, *options = words

    def start() -> int:
        return subprocess.run(
            [sys.executable, "-m", f"benchmark.{module}", *options], cwd=tmp_path, capture_output=True
        ).returncode

    status = benchmark.pedantic(start, rounds=5, warmup_rounds=1)
    assert status == (2 if words == ("cancel",) else 0)  # no job was ever queued for an empty store
