"""Variance components against published examples, worked numbers and simulated data."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from results.aggregation.cells import cells
from results.tables.variance import estimate_components, mean_interval, variance_tables

# Davies, Statistical Methods in Research and Production (1947): 5 samples of each of 6 batches, and a second set whose
# batches differ less than chance would have them. REML estimates of the first: 1764.05 and 2451.25 (lme4's Dyestuff).
DYESTUFF = (
    (1545, 1440, 1440, 1520, 1580), (1540, 1555, 1490, 1560, 1495), (1595, 1550, 1605, 1510, 1560),
    (1445, 1440, 1595, 1465, 1545), (1595, 1630, 1515, 1635, 1625), (1520, 1455, 1450, 1480, 1445),
)  # fmt: skip
DYESTUFF2 = (
    (7.298, 3.846, 2.434, 9.566, 7.990), (5.220, 6.556, 0.608, 11.788, -0.892), (0.110, 10.386, 13.434, 5.510, 8.166),
    (2.212, 4.852, 7.092, 9.288, 4.980), (0.282, 9.014, 4.458, 9.446, 7.198), (1.722, 4.782, 8.106, 0.758, 3.758),
)  # fmt: skip


def test_balanced_estimates_are_those_of_reml():
    components = estimate_components(DYESTUFF)
    assert (components.between, components.within) == pytest.approx((1764.05, 2451.25)) and not components.negative
    assert components.share == pytest.approx(1764.05 / (1764.05 + 2451.25))


def test_a_negative_estimate_is_0_and_marked():
    components = estimate_components(DYESTUFF2)
    assert (components.between, components.share, components.negative) == (0.0, 0.0, True)
    assert components.between_interval[0] == 0 < components.between_interval[1]


def test_unequal_numbers_of_networks_take_their_harmonic_mean():
    sets = [[0.50, 0.54], [0.60, 0.62, 0.64, 0.66], [0.40]]
    within = (2 * 0.02**2 + 2 * 0.03**2 + 2 * 0.01**2) / 4
    means = np.var([0.52, 0.63, 0.40], ddof=1)
    components = estimate_components(sets)
    assert components.within == pytest.approx(within)
    assert components.between == pytest.approx(means - within * fmean([1 / 2, 1 / 4, 1]))


def test_what_cannot_be_split():
    assert math.isnan(estimate_components([[0.5], [0.6], [0.4]]).within) and math.isnan(estimate_components([]).between)
    one = estimate_components([[0.5, 0.6, 0.7]])
    assert one.within == pytest.approx(0.01) and math.isnan(one.between) and math.isnan(one.share)


def test_without_any_spread_within_or_at_all():
    alike = estimate_components([[0.5, 0.5], [0.6, 0.6]])
    assert alike.within == 0 and alike.share == 1 and alike.between == pytest.approx(0.005)
    none = estimate_components([[0.1 + 0.2, 0.3], [0.3, 0.3]])  # rounding is no spread
    assert (none.between, none.within) == (0, 0) and math.isnan(none.share)


@pytest.mark.parametrize("sizes", [(5,) * 5, (2,) * 3, (2, 5, 9, 3, 4)])
@pytest.mark.parametrize("between", [0.003, 0.02])
def test_intervals_contain_the_truth_at_their_level(sizes, between):
    """1,500 simulated cells: a share of 0.95 has a standard error of 0.0056."""
    random, within, mean, repeats = np.random.default_rng(7), 0.01, 0.6, 1500
    share = between**2 / (between**2 + within**2)
    hits = np.zeros(4)
    for _ in range(repeats):
        effects = random.normal(mean, between, len(sizes))
        sets = [random.normal(effect, within, size).tolist() for effect, size in zip(effects, sizes, strict=True)]
        components = estimate_components(sets)
        intervals = (
            components.between_interval,
            components.within_interval,
            components.share_interval,
            mean_interval([*map(fmean, sets)]),
        )
        truths = between**2, within**2, share, mean
        hits += [low <= truth <= high for (low, high), truth in zip(intervals, truths, strict=True)]
    assert hits / repeats == pytest.approx([0.95] * 4, abs=0.02)


def test_estimates_are_unbiased_for_unequal_sets():
    random, sizes = np.random.default_rng(3), (2, 5, 9, 3, 4)
    raw = []
    for _ in range(3000):
        sets = [random.normal(random.normal(0.5, 0.02), 0.01, size).tolist() for size in sizes]
        raw.append((estimate_components(sets).between, estimate_components(sets).within))
    between, within = np.mean(raw, axis=0)
    assert between == pytest.approx(0.02**2, rel=0.05) and within == pytest.approx(0.01**2, rel=0.03)


def test_the_interval_of_a_mean_is_students():
    means = [0.5, 0.52, 0.57]
    low, high = stats.t.interval(0.95, 2, loc=fmean(means), scale=stats.sem(means))
    assert mean_interval(means) == pytest.approx((low, high))
    assert all(map(math.isnan, mean_interval([0.5])))


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def frame(make_condensed, make_evaluated):
    """DM: two sets of two networks; DC: three alike; IDM: one set; KC: one network a set; and the whole set."""
    rows = {
        "dm": [[0.50, 0.54], [0.60, 0.62]],
        "dc": [[0.40, 0.50], [0.50, 0.40], [0.45, 0.45]],
        "idm": [[0.70, 0.80]],
        "kc": [[0.30], [0.32]],
    }
    records = [make_evaluated(None, [0.80, 0.82, 0.84])]
    for row, sets in rows.items():
        for seed, values in enumerate(sets):
            condensed = make_condensed(row, seed)
            records += [condensed, make_evaluated(condensed, values)]
    return cells(records)


def test_notes_name_what_cannot_be_split(frame):
    (table,) = variance_tables(frame)
    lines = {row[1]: row for row in table.texts()}
    notes = {row[1].value: row[4].notes for row in table.rows}
    assert table.title.startswith("Variance: cifar10, condensed with convnet3")
    share = estimate_components([[0.50, 0.54], [0.60, 0.62]]).share_interval
    expected = f"{100 * share[0]:.0f}, {100 * share[1]:.0f}"
    assert lines["DM"][2:4] == ["56.5 [0.0, 100.0]", "2 × 2"] and lines["DM"][6].endswith(f" [{expected}]")
    for name, said in (("DC", "below 0"), ("IDM", "a single set"), ("KC", "one network for each set")):
        assert said in notes[name][0] and notes[name][0] in table.notes, name
    assert lines["IDM"][4].startswith("–") and lines["IDM"][5] != "–" and lines["KC"][5:] == ["–", "–"]
    assert lines["WHOLE"][2].startswith("82.0 [77.0, 87.0]") and lines["WHOLE"][4] == "–"


def test_no_table_where_nothing_can_be_split(make_cells):
    assert variance_tables(make_cells({"dm": [0.5, 0.6], "random": [0.4, 0.5]})) == []
    assert variance_tables(cells([])) == []
