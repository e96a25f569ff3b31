"""Time and memory of a few steps, and their extrapolation to more classes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

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
# Where the seconds of a step decide what is run, they are probed until their median is known to within SETTLED of it.
SETTLED, SETTLE_LEAST, SETTLE_STEPS, SETTLE_SECONDS = 0.1, 6, 50, 10.0


class MemoryGrowth:
    """The growth of peak memory since this object was made."""

    def __init__(self, compute: Compute) -> None:
        self.peak = PeakMemory(compute.device)
        self.before = self.peak.bytes()

    def bytes(self) -> float:
        """At least 0; nan where memory cannot be measured."""
        now = self.peak.bytes()
        return math.nan if now is None or self.before is None else float(max(0, now - self.before))


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of a step: the median of the timed ones, and an interval that holds the median of all with about 95 %.

    settled: whether the interval is within SETTLED of the median, or all steps were timed.
    """

    median: float
    low: float
    high: float
    settled: bool

    def times(self, factor: float) -> StepSeconds:
        """Of a step that takes `factor` times as long."""
        return StepSeconds(self.median * factor, self.low * factor, self.high * factor, self.settled)

    @property
    def uncertainty(self) -> float:
        """How far the interval reaches from the median, as a part of it."""
        return max(self.high - self.median, self.median - self.low) / self.median if self.median else 0.0


def time_steps(work: Work, compute: Compute, *, settle: bool = False, period: int = 1) -> StepSeconds:
    """Seconds of a step, from a few of them after a first one, which warms up; from that one itself if steps are long.

    settle: time more of them, until their median has settled, or for SETTLE_STEPS steps or SETTLE_SECONDS. period:
    where the cost of a step repeats after that many, their mean counts as one step.
    """
    start = time.monotonic()
    period = min(period, work.total_steps)
    first = _charged(work, compute, period)
    is_long = first >= LONG_STEP[compute.device.type] and not compute.compiled  # compiling is not part of it
    remaining = work.total_steps // period - 1
    if remaining < 1 or (is_long and not settle):
        return StepSeconds(first, first, first, settled=remaining < 1)
    timed: list[float] = []
    for _ in range(min(SETTLE_STEPS if settle else MOST_STEPS, remaining)):
        timed.append(_charged(work, compute, period))
        if not settle and len(timed) >= LEAST_STEPS and sum(timed) >= PATIENCE:
            break
        if settle and (_median_interval(timed).settled or time.monotonic() - start >= SETTLE_SECONDS):
            break
    seconds = _median_interval(timed)
    return replace(seconds, settled=seconds.settled or len(timed) == remaining)


def _charged(work: Work, compute: Compute, steps: int) -> float:
    """Mean seconds that one of the next `steps` is charged, as in a run."""
    watch = Stopwatch(compute.device)
    for _ in range(steps):
        with watch.running():
            work.step()
    return watch.seconds / steps


def _median_interval(timed: Sequence[float]) -> StepSeconds:
    """The median and its interval between two order statistics, those of n/2 ± √n; of few steps, between the ends."""
    ordered, count = sorted(timed), len(timed)
    middle = median(ordered)
    outside = max(0, math.floor(count / 2 - math.sqrt(count)))
    seconds = StepSeconds(middle, ordered[outside], ordered[count - 1 - outside], settled=False)
    return replace(seconds, settled=count >= SETTLE_LEAST and seconds.uncertainty <= SETTLED)


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
