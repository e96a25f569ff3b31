"""The memory that is left under control groups of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.utils import memory

MIB = 2**20


def group(folder: Path, limit: str, used: int, cached: int, *, version: int) -> None:
    """The files of a group, as the kernel writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    for name, text in zip(names, (limit, str(used)), strict=True):
        (folder / name).write_text(f"{text}\n")
    own = f"cache 7\nactive_file {cached}\ninactive_file 0\n"
    total = f"total_cache 7\ntotal_active_file {cached}\ntotal_inactive_file {cached}\n"
    (folder / "memory.stat").write_text(
        own + total if version == 1 else f"anon 7\nactive_file {cached}\ninactive_file {cached}\n"
    )


@pytest.mark.parametrize(
    ("version", "line", "top"), [(1, "4:cpu,memory:/a/b", "memory"), (2, "0::/a/b", ".")], ids=["v1", "v2"]
)
def test_the_smallest_limit_of_a_group_and_those_above_it_counts(
    tmp_path: Path, version: int, line: str, top: str
) -> None:
    unlimited = str(2**63 - 4096) if version == 1 else "max"
    group(tmp_path / top / "a/b", unlimited, 0, 0, version=version)
    group(tmp_path / top / "a", str(100 * MIB), 80 * MIB, 15 * MIB, version=version)
    group(tmp_path / top, unlimited, 0, 0, version=version)
    left = memory._left_to_groups(f"8:pids:/\n{line}\n", tmp_path)
    assert min(left) == (100 - 80 + 2 * 15) * MIB


def test_in_a_container_the_top_group_counts(tmp_path: Path) -> None:
    group(tmp_path, str(64 * MIB), MIB, 0, version=2)
    assert list(memory._left_to_groups("0::/../not/shown\n", tmp_path)) == [63 * MIB]


def test_this_process_has_some_left() -> None:
    assert MIB < memory.available_memory() < 2**60
