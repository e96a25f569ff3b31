"""Significance tests of one row against another (paired t, Welch, Holm), on one accuracy for each synthetic set."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy import special

ALPHA = 0.05  # level of every test that tables show, after Holm's correction

Sample = Mapping[Hashable, float]  # seed → mean accuracy of that seed's set


def one_sided_p_value(sample: Sample, control: Sample) -> float:
    """One-sided p-value in [0, 1] for "the sample's sets score higher than the control's"; nan if there are too few.

    With two or more shared seeds it is a paired t-test on these; else with two or more sets each, Welch's t-test. Else
    one set x is compared with n >= 2 of the control, of mean m and deviation s, as a further set of the control:
    t = (x − m) / (s·√(1 + 1/n)) with n − 1 degrees of freedom. Without any variation the means decide (0 or 1).
    """
    shared = [seed for seed in sample if seed in control]
    if len(shared) >= 2:
        differences = np.array([sample[seed] - control[seed] for seed in shared])
        error = differences.std(ddof=1) / math.sqrt(len(differences))
        return _upper_tail(differences.mean(), error, len(differences) - 1)
    x, y = np.array(list(sample.values())), np.array(list(control.values()))
    if len(x) >= 2 and len(y) >= 2:
        return _welch(x, y)
    if len(x) == 1 and len(y) >= 2:
        return _upper_tail(x[0] - y.mean(), y.std(ddof=1) * math.sqrt(1 + 1 / len(y)), len(y) - 1)
    return math.nan


def _welch(x: np.ndarray, y: np.ndarray) -> float:
    variances = [values.var(ddof=1) / len(values) for values in (x, y)]
    total = sum(variances)
    terms = [variance**2 / (len(values) - 1) for variance, values in zip(variances, (x, y), strict=True)]
    return _upper_tail(x.mean() - y.mean(), math.sqrt(total), total**2 / sum(terms) if total else 1)


def _upper_tail(difference: float, error: float, freedom: float) -> float:
    if error <= 1e-12:  # rounding of equal numbers; different accuracies differ by at least 1 / test images
        return 0.0 if difference > 1e-12 else 1.0
    return float(special.stdtr(freedom, -difference / error))  # scipy.stats.t.sf is the same with many checks


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted by Holm's step-down method, in their order. nan stays nan and is not counted as a test."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = largest
    return adjusted
