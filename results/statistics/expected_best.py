"""The best accuracy that tuning is expected to find with fewer trials than it made [Dodge et al. 2019, 1909.03004]."""

from __future__ import annotations

from collections.abc import Sequence


def expected_best(accuracies: Sequence[float]) -> list[float]:
    """The expected highest of n draws, with replacement, from these accuracies, for n from 1 to their number.

    In closed form: of N sorted values, the i-th is the highest of n draws with probability (i/N)^n − ((i−1)/N)^n.
    """
    values, total = sorted(accuracies), len(accuracies)
    return [
        sum(value * ((i / total) ** n - ((i - 1) / total) ** n) for i, value in enumerate(values, 1))
        for n in range(1, total + 1)
    ]
