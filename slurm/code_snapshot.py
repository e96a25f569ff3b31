"""A copy of the code as it is now, so that edits of the checkout do not reach jobs that start days later."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

COMMIT_FILE = "snapshot.json"  # in a snapshot's folder: the commit that the packages are of


def copy_code(packages: Mapping[str, Path], target: Path, commit: Mapping[str, Any]) -> Path:
    """Copy packages into a folder of `target` that is named by their content, unless it exists; returns the folder.

    packages: folders by the package's name. commit: JSON values for COMMIT_FILE. Raises OSError.
    """
    digest = _digest(packages, commit)[:16]
    folder = target / digest
    if folder.is_dir():
        return folder
    partial = target / f".{digest}.{uuid4().hex}"
    partial.mkdir(parents=True)
    try:
        for name, path in packages.items():
            shutil.copytree(path, partial / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
        (partial / COMMIT_FILE).write_text(json.dumps(dict(commit), sort_keys=True))
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():  # unless another process was first
            raise
    return folder


def _digest(packages: Mapping[str, Path], commit: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(dict(commit), sort_keys=True).encode())
    for name, root in sorted(packages.items()):
        for path in sorted(root.rglob("*")):
            inner = path.relative_to(root)
            if path.is_file() and "__pycache__" not in inner.parts and not path.name.startswith("."):
                digest.update(f"{name}/{inner}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
