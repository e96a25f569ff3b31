"""Evaluation networks and experts beside the same trainings in the manner of the public code (tests/plain_training.py).

    pytest tests/benchmarks/test_trainings.py --benchmark-only

CIFAR-10's shapes, ConvNet-3, all cores. Steps and pieces of scoring are timed and weighed as a whole training has them:
1,000 epochs of `dsa` and 10,000 test images for a network, 60 epochs and 50,000 training images for an expert.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import torch

from benchmark.compute.engine import Compute
from plain_loops import time_and_memory
from plain_training import SCORED, ours, plain_seconds

ROUNDS = 7
THREADS = len(os.sched_getaffinity(0))
# images of a mini-batch, optimiser steps, images scored
CASES = {"ipc 1": (10, 1_000, 10_000), "ipc 10": (100, 1_000, 10_000), "expert": (64, 46_920, 50_000)}
plain = lru_cache(plain_seconds)


@pytest.fixture(autouse=True)
def all_cores(in_full: bool) -> Iterator[None]:
    if not in_full:
        pytest.skip("a measurement of minutes: pytest tests/benchmarks/test_trainings.py --benchmark-only")
    yield
    torch.set_num_threads(1)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", list(CASES))
def test_training(case: str, precision: str, benchmark: Any) -> None:
    batch, steps, scored = CASES[case]
    a_step, an_image = plain(batch, THREADS, ROUNDS)
    compute = Compute(torch.device("cpu"), precision, THREADS, compile=True)
    compute.activate()
    step, score = ours(batch, compute)
    benchmark.pedantic(step, rounds=ROUNDS, warmup_rounds=2)
    mine = benchmark.stats.stats.median * steps + time_and_memory(score, ROUNDS)[0] / SCORED * scored
    theirs = a_step * steps + an_image * scored
    benchmark.extra_info |= {"plain": theirs, "ours": mine, "ratio": theirs / mine}
    print(f"\n{case} {precision}: {theirs:.0f} s / {mine:.0f} s = {theirs / mine:.2f}")
