"""Steps of a work that is probed: how long one takes, what memory it adds, and what both come to at other sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory
from benchmark.execution.work import Work
from benchmark.utils.timing import Stopwatch

PATIENCE = 0.25  # seconds of a step, from which no more classes are tried
LONG = {
    "cpu": 1.0,
    "cuda": 2.0,
}  # seconds of a first step, from which no second one is timed: its warm-up is small then
LEAST_STEPS, MOST_STEPS = 2, 5  # timed after the first: an augmentation's draws make steps differ


class Growth:
    """The most bytes that were added since this was made."""

    def __init__(self, compute: Compute) -> None:
        self.peak = PeakMemory(compute.device)
        self.before = self.peak.bytes()

    def bytes(self) -> float:
        now = self.peak.bytes()
        return math.nan if now is None or self.before is None else float(max(0, now - self.before))


def seconds_of_a_step(work: Work, compute: Compute) -> float:
    """The mean of a few steps after a first one, which warms up; the first one itself where steps are long."""
    first = Stopwatch(compute.device)
    with first.running():
        work.step()
    warm = first.seconds >= LONG[compute.device.type] and not compute.compiled  # compiling is no part of a step
    if warm or work.total_steps < 2:
        return first.seconds
    watch, steps = Stopwatch(compute.device), 0
    for steps in range(1, min(MOST_STEPS, work.total_steps - 1) + 1):
        with watch.running():
            work.step()
        if steps >= LEAST_STEPS and watch.seconds >= PATIENCE:
            break
    return watch.seconds / steps


def next_size(classes: int, seconds: float, most: int) -> int:
    """With how many classes to probe next, after a step with so many took `seconds`; 0 when that is enough."""
    if classes == most or (classes > 1 and seconds >= PATIENCE):
        return 0
    return min(most, max(2 * classes, int(classes * PATIENCE / max(seconds, 1e-3))))


def seconds_at(measured: Sequence[tuple[int, float]], classes: int) -> float:
    """Seconds at `classes`, from rows (classes, seconds) of growing size: a line, no steeper than in proportion."""
    last, seconds = measured[-1]
    if len(measured) == 1:
        return seconds * classes / last
    before, less = measured[-2]
    each = min(max(0.0, (seconds - less) / (last - before)), seconds / last)
    return seconds + (classes - last) * each


def memory_at(measured: Sequence[tuple[int, float]], classes: int, at_once: int, images: float) -> float:
    """Peak bytes at `classes`, from rows (classes, bytes) of growing size.

    As many classes as are forwarded `at_once` each add activations; those beyond only their `images`, in bytes.
    """
    last, peak = measured[-1]
    before, less = measured[-2] if len(measured) > 1 else (0, 0.0)
    with_graph = max(0.0, peak - less) / (last - before)
    graphs = max(0, min(classes, at_once) - last)
    return peak + graphs * with_graph + (classes - last - graphs) * images
