"""Files that somebody else made are opened only if they are regular, and no larger than their reader takes."""

from __future__ import annotations

import resource
import stat
import sys
from contextlib import suppress
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


def available_memory() -> int:
    """Bytes that this process can still take by the machine's, its control group's and its own limit."""
    figures = [sys.maxsize]
    with suppress(OSError, ValueError, IndexError):  # another system
        figures.append(1024 * _number("/proc/meminfo", "MemAvailable:"))
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            figures.append(limit - 1024 * _number("/proc/self/status", "VmSize:"))
        figures.append(_number("/sys/fs/cgroup/memory.max") - _number("/sys/fs/cgroup/memory.current"))
    return max(0, min(figures))


def _number(path: str, key: str = "") -> int:
    """The first number after `key` in a file of the system."""
    text = Path(path).read_text(encoding="utf-8")
    return int((text.partition(key)[2] if key else text).split()[0])


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a device")
