"""The allocator: recognizing out-of-memory errors, and returning memory that earlier tasks freed."""

from __future__ import annotations

import subprocess
import sys
import weakref

import pytest
import torch

from benchmark.compute.allocator import out_of_memory, release_freed_memory


def test_only_errors_about_memory_are_out_of_memory() -> None:
    assert out_of_memory(MemoryError()) and out_of_memory(torch.OutOfMemoryError("…"))
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied")) and not out_of_memory(ValueError("memory"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks of a process's memory are Linux's")
def test_a_small_task_after_a_large_one_needs_little_memory() -> None:
    """In a process that keeps freed memory, as those of all tasks do."""
    script = """
import torch
from benchmark.compute.allocator import keep_freed_memory
from benchmark.compute.environment import PeakMemory
keep_freed_memory()
needed = []
for mib in (600, 20):
    peak = PeakMemory(torch.device("cpu"))
    before = peak.bytes()
    pieces = [torch.ones(2**20 // 4) for _ in range(mib)]
    needed.append(peak.bytes() - before)
    del pieces
print(*needed)
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    large, small = (int(needed) / 2**20 for needed in process.stdout.split())
    assert 590 < large < 700 and 10 < small < 100


def test_garbage_of_every_task_is_freed() -> None:
    class Node:
        itself: Node

    for _ in range(3):
        node = Node()
        node.itself = node
        gone = weakref.ref(node)
        del node
        release_freed_memory()
        assert gone() is None
