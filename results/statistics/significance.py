"""Is one row better than another: pure functions on accuracies as fractions, one number for each synthetic set."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy import special

ALPHA = 0.05  # the level of every test that tables show, after Holm's correction

Sample = Mapping[Hashable, float]  # seed → mean accuracy of that seed's set


def better_than(sample: Sample, control: Sample) -> float:
    """One-sided p-value for "the sample's sets score higher than the control's"; nan when there are too few.

    Two or more shared seeds: a paired t-test on those. Else two or more sets each: Welch's t-test. Else one set
    against n >= 2 of the control: is it beyond what one more set of the control would score,
    t = (x − m) / (s·√(1 + 1/n)) with n − 1 degrees of freedom. Without any spread the means decide (0 or 1).
    """
    shared = [seed for seed in sample if seed in control]
    if len(shared) >= 2:
        gaps = np.array([sample[seed] - control[seed] for seed in shared])
        return _upper_tail(gaps.mean(), gaps.std(ddof=1) / math.sqrt(len(gaps)), len(gaps) - 1)
    ours, theirs = np.array(list(sample.values())), np.array(list(control.values()))
    if len(ours) >= 2 and len(theirs) >= 2:
        return _welch(ours, theirs)
    if len(ours) == 1 and len(theirs) >= 2:
        spread = theirs.std(ddof=1) * math.sqrt(1 + 1 / len(theirs))
        return _upper_tail(ours[0] - theirs.mean(), spread, len(theirs) - 1)
    return math.nan


def _welch(ours: np.ndarray, theirs: np.ndarray) -> float:
    parts = [sample.var(ddof=1) / len(sample) for sample in (ours, theirs)]
    total = sum(parts)
    freedom = (
        total**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (ours, theirs), strict=True)) if total else 1
    )
    return _upper_tail(ours.mean() - theirs.mean(), math.sqrt(total), freedom)


def _upper_tail(difference: float, error: float, freedom: float) -> float:
    if error <= 1e-12:  # rounding of equal numbers; accuracies differ by 1 / test images, far above
        return 0.0 if difference > 1e-12 else 1.0
    return float(special.stdtr(freedom, -difference / error))  # as stats.t.sf, without its many checks


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given. nan stays nan and does not count as a test."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, floor = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(tested):
        floor = max(floor, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = floor
    return adjusted


def binomial_error(accuracy: float, n_test: int) -> float:
    """Standard error of one accuracy that a test set of n images leaves, √(p(1 − p)/n), as a fraction."""
    return math.sqrt(accuracy * (1 - accuracy) / n_test)
