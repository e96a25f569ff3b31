"""What a stopwatch charges: on a CPU neither waiting nor the seconds of several threads added up."""

from __future__ import annotations

import time

import torch

from benchmark.utils.timing import Stopwatch


def test_waiting_is_not_charged() -> None:
    watch = Stopwatch(torch.device("cpu"), 10.0)
    with watch.running():
        time.sleep(0.3)
    assert 10 <= watch.seconds < 10.1


def test_threads_are_charged_by_the_clock() -> None:
    watch, start = Stopwatch(torch.device("cpu")), time.perf_counter()
    matrix = torch.rand(800, 800)
    with watch.running():
        while time.perf_counter() - start < 0.3:
            matrix @ matrix
    assert 0 < watch.seconds <= time.perf_counter() - start
