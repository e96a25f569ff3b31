"""Time and memory of a few steps, and their extrapolation to more classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory
from benchmark.execution.work import Work
from benchmark.utils.timing import Stopwatch

PATIENCE = 0.25  # seconds: a step that takes longer is not probed with more classes
LONG_STEP = {
    "cpu": 1.0,
    "cuda": 2.0,
}  # seconds: a first step that takes longer is the only one, its warm-up being small
LEAST_STEPS, MOST_STEPS = 2, 5  # timed after the first: steps differ by the augmentations they draw


class MemoryGrowth:
    """The growth of peak memory since this object was made."""

    def __init__(self, compute: Compute) -> None:
        self.peak = PeakMemory(compute.device)
        self.before = self.peak.bytes()

    def bytes(self) -> float:
        """At least 0; nan where memory cannot be measured."""
        now = self.peak.bytes()
        return math.nan if now is None or self.before is None else float(max(0, now - self.before))


def seconds_of_a_step(work: Work, compute: Compute) -> float:
    """The mean of a few steps after a first one, which warms up; the first one itself if steps are long."""
    first = Stopwatch(compute.device)
    with first.running():
        work.step()
    is_long = first.seconds >= LONG_STEP[compute.device.type] and not compute.compiled  # compiling is not part of it
    if is_long or work.total_steps < 2:
        return first.seconds
    watch, steps = Stopwatch(compute.device), 0
    for steps in range(1, min(MOST_STEPS, work.total_steps - 1) + 1):
        with watch.running():
            work.step()
        if steps >= LEAST_STEPS and watch.seconds >= PATIENCE:
            break
    return watch.seconds / steps


def next_size(classes: int, seconds: float, num_classes: int) -> int:
    """The number of classes to probe next, after a step with `classes` took `seconds`; 0 if no more are needed."""
    if classes == num_classes or (classes > 1 and seconds >= PATIENCE):
        return 0
    return min(num_classes, max(2 * classes, int(classes * PATIENCE / max(seconds, 1e-3))))


def seconds_at(measured: Sequence[tuple[int, float]], classes: int) -> float:
    """Seconds of a step with `classes`, from pairs (classes, seconds) of growing size.

    Extrapolates the line through the last two pairs, with a slope of at least 0 and at most seconds / classes.
    """
    last, seconds = measured[-1]
    if len(measured) == 1:
        return seconds * classes / last
    previous, previous_seconds = measured[-2]
    slope = min(max(0.0, (seconds - previous_seconds) / (last - previous)), seconds / last)
    return seconds + (classes - last) * slope


def memory_at(measured: Sequence[tuple[int, float]], classes: int, at_once: int, class_bytes: float) -> float:
    """Peak bytes with `classes`, from pairs (classes, bytes) of growing size.

    Each of the `at_once` classes that are forwarded together adds activations; each further class adds `class_bytes`.
    """
    last, peak = measured[-1]
    previous, previous_peak = measured[-2] if len(measured) > 1 else (0, 0.0)
    with_activations = max(0.0, peak - previous_peak) / (last - previous)
    forwarded = max(0, min(classes, at_once) - last)
    return peak + forwarded * with_activations + (classes - last - forwarded) * class_bytes
