"""The code as it is now, copied for jobs that may start days later: editing the checkout changes nothing queued."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

FACTS = "snapshot.json"  # beside the packages: of which commit they are
_LEFT = ("__pycache__", "*.pyc", ".*")


def take(packages: Mapping[str, Path], target: Path, facts: Mapping[str, Any]) -> Path:
    """Copy packages into a folder of `target` named by their content, unless that is there; returns the folder.

    Raises OSError when it cannot be written.
    """
    mark = _mark(packages, facts)
    folder = target / mark[:16]
    if folder.is_dir():
        return folder
    aside = target / f".{mark[:16]}.{uuid4().hex}"
    aside.mkdir(parents=True)
    try:
        for name, path in packages.items():
            shutil.copytree(path, aside / name, ignore=shutil.ignore_patterns(*_LEFT))
        (aside / FACTS).write_text(json.dumps(dict(facts), sort_keys=True))
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not folder.is_dir():  # unless another process was first
            raise
    return folder


def _mark(packages: Mapping[str, Path], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
    for name, root in sorted(packages.items()):
        for path in sorted(root.rglob("*")):
            inner = path.relative_to(root)
            if path.is_file() and "__pycache__" not in inner.parts and not path.name.startswith("."):
                digest.update(f"{name}/{inner}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
