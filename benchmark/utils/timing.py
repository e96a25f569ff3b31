"""Charged seconds: a stopwatch that waits for the device before it reads the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def now(device: torch.device) -> float:
    """Seconds of a monotonic clock, read once the device has finished all work that was queued on it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Stopwatch:
    """Adds up the wall-clock seconds spent in `with watch.running()` blocks, to those of an earlier run if given."""

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self.device, self.seconds = device, seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        start = now(self.device)
        try:
            yield
        finally:
            self.seconds += now(self.device) - start
