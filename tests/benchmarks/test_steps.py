"""One condensation step beside the same step in the manner of the public code (tests/plain_loops.py): ratios.

On a CPU a good part of a plain step is waiting for memory that was just handed back to the system: it is timed as it
is, and once more with glibc told to keep freed memory, so that both effects are seen apart.

    pytest tests/benchmarks/test_steps.py --benchmark-only

CIFAR-10's shapes, ConvNet-3, the papers' batches, all cores; `-k "dsa and 10"` for some of them. Ratios of medians, and
the bytes that steps add to a process, are printed last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import torch

from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory
from plain_loops import STEPS, plain_step, problem_at, work_of

ROUNDS = 7
THREADS = len(os.sched_getaffinity(0))
RATIOS: list[str] = []
plain = lru_cache(plain_step)


@pytest.fixture(autouse=True)
def all_cores(in_full: bool) -> Iterator[None]:
    if not in_full:
        pytest.skip("a measurement of an hour: pytest tests/benchmarks/test_steps.py --benchmark-only")
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print("\n" + "\n".join(RATIOS))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("ipc", [1, 10, 50])
@pytest.mark.parametrize("method", list(STEPS))
def test_step(method: str, ipc: int, precision: str, benchmark: Any) -> None:
    theirs, their_bytes = plain(method, ipc, THREADS, ROUNDS)
    kept, _ = plain(method, ipc, THREADS, ROUNDS, keep_memory=True)
    compute = Compute(torch.device("cpu"), precision, THREADS, compile=True)
    compute.activate()
    work = work_of(method, problem_at(ipc, compute, method))

    def step() -> None:
        work.done = 0  # with DSA an outer step that training follows, where there is such a one
        work.step()

    step()  # compiles
    peak = PeakMemory(compute.device)
    before = peak.bytes() or 0
    benchmark.pedantic(step, rounds=ROUNDS, warmup_rounds=1)
    ours, added = benchmark.stats.stats.median, (peak.bytes() or 0) - before
    benchmark.extra_info |= {
        "plain": theirs, "plain_kept": kept, "ratio": theirs / ours, "ratio_kept": kept / ours,
        "bytes": added, "plain_bytes": their_bytes,
    }  # fmt: skip
    RATIOS.append(
        f"{method:7} ipc {ipc:2} {precision}: {theirs:.3f} s / {ours:.3f} s = {theirs / ours:.2f}; "
        f"where glibc keeps memory {kept:.3f} s, {kept / ours:.2f}; "
        f"{their_bytes / 2**20:.0f} and {added / 2**20:.0f} MiB"
    )
