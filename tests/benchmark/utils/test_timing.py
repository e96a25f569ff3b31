"""What a stopwatch charges: on a CPU neither waiting nor the seconds of several threads added up."""

from __future__ import annotations

import time

import pytest
import torch

from benchmark.utils.timing import Stopwatch

CPU = torch.device("cpu")


def test_waiting_is_not_charged() -> None:
    watch = Stopwatch(CPU, 10.0)
    with watch.running():
        time.sleep(0.3)
    assert 10 <= watch.seconds < 10.1


@pytest.mark.parametrize(("clock", "used", "charged"), [(3.0, 5.5, 3.0), (3.0, 2.0, 2.0)])
def test_threads_are_charged_by_the_clock(
    clock: float, used: float, charged: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, end in (("perf_counter", clock), ("process_time", used)):
        monkeypatch.setattr(time, name, iter([0.0, end]).__next__)
    watch = Stopwatch(CPU)
    with watch.running():
        pass
    assert watch.seconds == charged
