"""Charged seconds: a stopwatch that waits for the device before it reads the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def now(device: torch.device) -> float:
    """Seconds of a clock that is read once the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Stopwatch:
    """Adds up the wall-clock seconds of the blocks it is wrapped around. `seconds` may start from an earlier run's."""

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self.device, self.seconds = device, seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        start = now(self.device)
        try:
            yield
        finally:
            self.seconds += now(self.device) - start
