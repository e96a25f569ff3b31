"""The expected best of n trials against the mean over all draws of n."""

from __future__ import annotations

from itertools import product
from statistics import fmean

import pytest

from results.statistics.expected_best import expected_best


@pytest.mark.parametrize("accuracies", [[0.5], [0.3, 0.1], [0.4, 0.2, 0.2, 0.9], [0.0, 0.7, 0.1, 0.7, 0.3]])
def test_the_closed_form_is_the_mean_over_all_draws(accuracies: list[float]) -> None:
    counted = [fmean(map(max, product(accuracies, repeat=n))) for n in range(1, len(accuracies) + 1)]
    assert expected_best(accuracies) == pytest.approx(counted)
