"""How much memory this process can still take."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path


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
