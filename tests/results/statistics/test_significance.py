"""Significance against scipy and numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from results.statistics.significance import holm, one_sided_p_value

OURS = {0: 0.52, 1: 0.55, 2: 0.50, 3: 0.56}
THEIRS = {0: 0.50, 1: 0.51, 2: 0.49, 3: 0.51}


def test_shared_seeds_are_paired():
    expected = stats.ttest_rel(list(OURS.values()), list(THEIRS.values()), alternative="greater").pvalue
    assert one_sided_p_value(OURS, THEIRS) == pytest.approx(expected)
    more = {**dict(reversed(THEIRS.items())), 7: 0.9}  # order and seeds of the control alone do not matter
    assert one_sided_p_value(OURS, more) == pytest.approx(expected)
    assert one_sided_p_value(THEIRS, OURS) == pytest.approx(1 - expected)


def test_other_seeds_are_compared_by_welch():
    apart = {seed + 10: value for seed, value in THEIRS.items()} | {99: 0.47}
    test = stats.ttest_ind(list(OURS.values()), list(apart.values()), equal_var=False, alternative="greater")
    assert one_sided_p_value(OURS, apart) == pytest.approx(test.pvalue)
    one_shared = {0: 0.50, 11: 0.51, 12: 0.49}
    test = stats.ttest_ind(list(OURS.values()), list(one_shared.values()), equal_var=False, alternative="greater")
    assert one_sided_p_value(OURS, one_shared) == pytest.approx(test.pvalue)


def test_a_single_set_is_compared_with_one_more_set_of_the_control():
    # mean 0.5, s 0.01, n 3: t = 0.04 / (0.01·√(4/3)) = 3.4641, two degrees of freedom: p = 0.037090
    control = {0: 0.49, 1: 0.50, 2: 0.51}
    assert one_sided_p_value({0: 0.54}, control) == pytest.approx(0.0370899, abs=1e-6)
    assert one_sided_p_value({5: 0.54}, control) == one_sided_p_value({0: 0.54}, control)


@pytest.mark.parametrize(("ours", "theirs"), [({}, THEIRS), ({0: 0.5}, {0: 0.4}), (OURS, {0: 0.1}), (OURS, {})])
def test_too_little_is_nan(ours, theirs):
    assert math.isnan(one_sided_p_value(ours, theirs))


def test_without_spread_the_means_decide():
    level = {0: 0.5, 1: 0.5}
    assert one_sided_p_value({0: 0.6, 1: 0.6}, level) == 0.0
    assert one_sided_p_value(level, level) == 1.0
    assert one_sided_p_value({8: 0.6, 9: 0.6}, level) == 0.0
    assert one_sided_p_value({8: 0.4}, level) == 1.0


def test_holm_by_hand():
    # sorted 0.01·4, 0.02·3, 0.03·2 → 0.04, 0.06, 0.06 (never falling), 0.4·1
    assert holm([0.03, 0.01, math.nan, 0.4, 0.02])[:2] == pytest.approx([0.06, 0.04])
    assert holm([0.03, 0.01, math.nan, 0.4, 0.02])[3:] == pytest.approx([0.4, 0.06])
    assert math.isnan(holm([0.03, math.nan])[1]) and holm([0.03, math.nan])[0] == 0.03
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []
