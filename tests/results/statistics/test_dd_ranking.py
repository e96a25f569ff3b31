"""DD-Ranking's formulas against numbers worked out by hand."""

from __future__ import annotations

import pytest

from results.errors import ResultsError
from results.statistics.dd_ranking import (
    augmentation_position,
    hard_label_recovery,
    improvement_over_random,
    label_position,
    scaled,
)


@pytest.mark.parametrize(
    ("whole", "random", "synthetic", "position", "score"),
    [
        (0.5, 0.5, 0.5, 0.0, 0.26894),  # equals whole and random alike
        (0.8, 0.2, 0.4, -0.1, 0.22845),  # HLR 0.4, IOR 0.2
        (0.6, 0.2, 0.5, 0.1, 0.31369),  # HLR 0.1, IOR 0.3
        (0.8, 0.2, 0.8, 0.3, 0.41779),  # HLR 0, IOR 0.6
        (1.0, 1.0, 0.0, -1.0, 0.0),
        (0.0, 0.0, 1.0, 1.0, 1.0),
    ],
)
def test_label_robust_score(whole, random, synthetic, position, score):
    assert label_position(whole, random, synthetic) == pytest.approx(position)
    assert scaled(label_position(whole, random, synthetic)) == pytest.approx(score, abs=5e-6)


@pytest.mark.parametrize(
    ("random", "random_plain", "synthetic", "synthetic_plain", "position", "score"),
    [
        (0.3, 0.2, 0.3, 0.2, 0.0, 0.26894),
        (0.3, 0.2, 0.5, 0.2, 0.1, 0.31369),  # gains 0.2 with augmentation, nothing without
        (0.3, 0.2, 0.3, 0.4, 0.1, 0.31369),  # the other way round
        (0.3, 0.4, 0.4, 0.1, -0.1, 0.22845),  # gains 0.1, loses 0.3
    ],
)
def test_augmentation_robust_score(random, random_plain, synthetic, synthetic_plain, position, score):
    found = augmentation_position(random, random_plain, synthetic, synthetic_plain)
    assert found == pytest.approx(position) and scaled(found) == pytest.approx(score, abs=5e-6)


def test_recovery_is_what_is_missing_and_improvement_what_is_gained():
    assert hard_label_recovery(0.8, 0.5) == pytest.approx(0.3)
    assert improvement_over_random(0.5, 0.2) == pytest.approx(0.3)


@pytest.mark.parametrize("wrong", [48.9, 1.001, -0.1, float("nan")])
def test_percents_are_refused(wrong):
    for call in (lambda: hard_label_recovery(wrong, 0.5), lambda: improvement_over_random(0.5, wrong),
                 lambda: label_position(0.8, 0.2, wrong),
                 lambda: augmentation_position(0.2, wrong, 0.5, 0.5)):  # fmt: skip
        with pytest.raises(ResultsError, match="must be a fraction"):
            call()
