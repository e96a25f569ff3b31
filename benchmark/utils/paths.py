"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

from benchmark.utils.errors import BenchmarkError


def expand_user(path: str | Path, *, where: str = "data_root") -> Path:
    """A path with its ~ replaced. Raises BenchmarkError if there is no user of that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BenchmarkError(f"'{path}' is not a path: {error}", where=where) from error
