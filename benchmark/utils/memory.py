"""How much memory this process can still take."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_GROUPS = Path("/sys/fs/cgroup")
# By the version of control groups: the folder under _GROUPS, a group's limit, its use, the prefix of its sums.
_FILES = {1: ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
          2: ("", "memory.max", "memory.current", "")}  # fmt: skip
_CACHED = ("active", "inactive")  # content of files, in memory.stat


def available_memory() -> int:
    """Bytes that this process can still take by the machine's, its control groups' and its own limit."""
    figures = [sys.maxsize]
    with suppress(OSError, ValueError, IndexError):  # another system
        figures.append(1024 * _number("/proc/meminfo", "MemAvailable:"))
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            figures.append(limit - 1024 * _number("/proc/self/status", "VmSize:"))
        figures += _left_to_groups(Path("/proc/self/cgroup").read_text(encoding="utf-8"), _GROUPS)
    return max(0, min(figures))


def _left_to_groups(membership: str, root: Path) -> Iterator[int]:
    """Bytes left to each control group that `membership` names, and to those above it, as far as they have a limit.

    membership: the content of /proc/PID/cgroup. In a container, a group that it names may lie outside of what `root`
    shows; the group that bounds the container is then the top one there.
    """
    for line in membership.splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        name, limit, used, prefix = _FILES[1 if controllers else 2]
        path = PurePosixPath(group.strip("/"))
        for folder in (root / name / part for part in (path, *path.parents)):
            with suppress(OSError, ValueError, IndexError):  # the group is not shown here, or its limit is "max"
                left = _number(folder / limit) - _number(folder / used)
                # What is kept of files only to save reading them again is given up first.
                yield left + sum(_number(folder / "memory.stat", f"\n{prefix}{kind}_file ") for kind in _CACHED)


def _number(path: str | Path, key: str = "") -> int:
    """The first number after `key` in a file of the system."""
    text = Path(path).read_text(encoding="utf-8")
    return int((text.partition(key)[2] if key else text).split()[0])
