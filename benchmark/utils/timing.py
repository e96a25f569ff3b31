"""Charged seconds: a stopwatch that waits for the device, and leaves out the time in which a CPU did other work."""

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
    """Adds up the charged seconds of `with watch.running()` blocks, to those of an earlier run if given.

    On a GPU these are seconds of the clock. On a CPU they are the seconds of the CPU that the process used, all its
    threads together, where these are fewer than those of the clock: the process then waited, for other work on the
    machine or for the compiler.
    """

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self.device, self.seconds = device, seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        start, cpu_start = now(self.device), time.process_time()
        try:
            yield
        finally:
            seconds = now(self.device) - start
            used = time.process_time() - cpu_start
            self.seconds += min(seconds, used) if self.device.type == "cpu" else seconds
