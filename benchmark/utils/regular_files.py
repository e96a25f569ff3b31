"""Files that somebody else made are opened only if they are regular, and no larger than their reader takes."""

from __future__ import annotations

import stat
from pathlib import Path

from benchmark.utils.errors import BenchmarkError
from results import formatting


def check_file(path: Path, limit: int) -> None:
    """Raise BenchmarkError for a pipe, a device or a folder, which may never end, and for more than `limit` bytes.

    Raises OSError for a file that cannot be looked at.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise BenchmarkError(
            f"{path.name} is no regular file but {_kind(state.st_mode)}",
            where=str(path),
            next="put the file itself there, or remove it",
        )
    if state.st_size > limit:
        raise BenchmarkError(
            f"{path.name} has {formatting.size(state.st_size)}; at most {formatting.size(limit)} are read",
            where=str(path),
            next="check that it is the right file",
        )


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a device")
