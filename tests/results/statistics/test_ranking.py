"""Best and second best against scipy's paired t-test and Holm's correction worked out here."""

from __future__ import annotations

from itertools import permutations
from statistics import fmean, stdev

import pandas as pd
import pytest
from scipy import stats

from results.statistics.ranking import mean_ranks, no_rank_reason, significance_ranks, significance_remarks

LEADER = [0.60, 0.61, 0.62, 0.61, 0.60]
SHAPES = ([-2, -1, 0, 1, 2], [1, 2, -2, 0, -1], [0, -2, 1, 2, -1])  # of five gaps: mean 0, deviation √2.5


def row(name, means, *, seeds=None, **columns):
    """A row of `cells.cells` as far as the ranking reads it."""
    sample = dict(zip(map(str, seeds or range(len(means))), means, strict=True))
    deviation = stdev(means) if len(means) > 1 else float("nan")
    usual = {
        "display_name": name,
        "dataset": "cifar10",
        "ipc": 10,
        "protocol": "dsa",
        "val_fraction": 0.0,
        "labels": "hard",
        "trials": None,
        "iterations_fraction": 1.0,
        "raised_to_floor": False,
    }
    usual |= {"role": "baseline" if name.startswith("random") else "method", "cell_spec": {"settings.name": name}}
    return {**usual, "sample": sample, "sets": len(sample), "accuracy": fmean(means), "sd": deviation, **columns}


def below(means, p, shape=SHAPES[0]):
    """Five means so far below `means` that the one-sided paired t-test of `means` against them gives exactly p."""
    shift = stats.t.isf(p, df=4) * (2.5 / 5) ** 0.5  # t = mean / (√2.5 / √5)
    found = [high - 0.001 * (gap + shift) for high, gap in zip(means, shape, strict=True)]
    assert stats.ttest_rel(means, found, alternative="greater").pvalue == pytest.approx(p)
    return found


def marks(*rows):
    return dict(zip((row["display_name"] for row in rows), significance_ranks(rows), strict=True))


LAST = row("last", [value - 0.3 for value in LEADER])  # is beaten by every row, so that not all share the first place


def test_who_is_significantly_below_the_leader_does_not_share_its_place():
    assert marks(row("a", LEADER), row("b", below(LEADER, 0.049))) == {"a": "best", "b": "second"}
    assert marks(row("a", LEADER), row("b", below(LEADER, 0.051)), LAST) == {"a": "best", "b": "best", "last": "second"}
    # 0.049 would be 0.098 in a two-sided test


def test_nothing_is_marked_where_all_rows_share_the_first_place():
    whole = row("whole", [0.8, 0.81], ipc=pd.NA, role="baseline")
    rows = [row("a", LEADER), row("b", below(LEADER, 0.051)), row("single", [0.2]), whole]
    assert set(marks(*rows).values()) == {""}


@pytest.mark.parametrize(
    ("p_values", "beaten"),
    [
        ((0.010, 0.030, 0.040), [True, False, False]),  # Holm: 0.03, 0.06, 0.06; uncorrected, all would be beaten
        ((0.016, 0.024, 0.200), [True, True, False]),  # Holm: 0.048, 0.048, 0.2; Bonferroni's second is 0.072
        ((0.017, 0.001, 0.040), [True, True, True]),  # Holm: 0.034, 0.003, 0.04
        ((0.017, 0.018, 0.019), [False, False, False]),  # Holm: 0.051 thrice, it never falls
    ],
)
def test_comparisons_with_the_leader_are_corrected_after_holm(p_values, beaten):
    names = "bcd"
    others = [row(*pair) for pair in zip(names, map(below, [LEADER] * 3, p_values, SHAPES), strict=True)]
    found = marks(others[0], row("a", LEADER), *others[1:])
    if not any(beaten):
        assert set(found.values()) == {""}  # all share the first place
        return
    assert found["a"] == "best" and [found[name] != "best" for name in names] == beaten


def holm(p_values):
    """Independent of results.statistics.significance: reject in order while p ≤ α / (tests left)."""
    rejected = set()
    for rank, (p, name) in enumerate(sorted((p, name) for name, p in p_values.items())):
        if p >= 0.05 / (len(p_values) - rank):
            break
        rejected.add(name)
    return rejected


def test_second_is_the_same_rule_among_those_that_were_beaten():
    samples = {
        "a": LEADER,
        "b": [0.56, 0.565, 0.555, 0.56, 0.57],
        "c": [0.555, 0.57, 0.56, 0.552, 0.561],  # not told apart from b
        "d": [0.54, 0.55, 0.53, 0.54, 0.552],  # below b
    }

    def beaten(leader, others):
        tests = (stats.ttest_rel(samples[leader], samples[name], alternative="greater") for name in others)
        return holm({name: test.pvalue for name, test in zip(others, tests, strict=True)})

    assert beaten("a", "bcd") == {"b", "c", "d"} and beaten("b", "cd") == {"d"}
    found = marks(*(row(name, means) for name, means in samples.items()))
    assert found == {"a": "best", "b": "second", "c": "second", "d": ""}


def test_a_steady_row_can_lose_the_place_that_a_worse_but_unsteady_one_shares():
    steady, unsteady = [value - 0.01 for value in LEADER], [0.66, 0.50, 0.65, 0.52, 0.60]
    assert fmean(unsteady) < fmean(steady)
    found = marks(row("a", LEADER), row("steady", steady), row("unsteady", unsteady))
    assert found == {"a": "best", "steady": "second", "unsteady": "best"}


def test_a_single_set_is_no_candidate_however_good():
    lucky = row("lucky", [0.9])
    worse = row("b", below(LEADER, 0.001))
    assert marks(lucky, row("a", LEADER), worse) == {"lucky": "", "a": "best", "b": "second"}
    assert marks(lucky, row("a", LEADER)) == {"lucky": "", "a": ""}  # one candidate is no order
    assert marks(lucky) == {"lucky": ""} and significance_ranks([]) == []


def test_two_sets_make_a_candidate():
    assert marks(row("a", [0.6, 0.6]), row("b", [0.5, 0.5])) == {"a": "best", "b": "second"}


def test_the_whole_set_and_rows_without_a_number_are_no_candidates():
    whole = row("whole", [0.8, 0.81], ipc=pd.NA, role="baseline")
    failed = row("dc", [0.5]) | {"sets": 0, "sample": {}, "accuracy": float("nan")}
    worse = row("b", below(LEADER, 0.001))
    assert list(marks(whole, failed, row("a", LEADER), worse).values()) == ["", "", "best", "second"]


def test_random_can_be_best_but_a_row_that_is_not_better_has_no_rank():
    assert marks(row("dm", below(LEADER, 0.01)), row("random", LEADER)) == {"dm": "", "random": "best"}


def test_a_row_that_is_not_significant_is_never_marked_nor_is_random_beside_it():
    random, mosaics = row("random", below(LEADER, 0.001)), row("random@f2", below(LEADER, 0.2))
    assert doubtful(random, mosaics, row("dm", LEADER))["dm"] == "n.s."
    assert set(marks(random, mosaics, row("dm", LEADER)).values()) == {""}  # dm and the mosaics share the first place
    better = row("dance", [value + 0.1 for value in LEADER])
    assert marks(random, mosaics, row("dm", LEADER), better) == {
        "random": "", "random@f2": "", "dm": "", "dance": "best",
    }  # fmt: skip
    assert marks(random, mosaics, better, row("idm", [value + 0.05 for value in LEADER]), row("dm", LEADER)) == {
        "random": "", "random@f2": "", "dance": "best", "idm": "second", "dm": "",
    }  # fmt: skip


def test_the_rule_of_means_marks_whatever_it_is_asked_for():
    random, single = row("random", LEADER), row("dm", [0.9])
    assert mean_ranks([random, single]) == ["second", "best"]
    for changes in ({"protocol": "native"}, {"dataset": "digits"}, {"iterations_fraction": 0.01}):
        rows = [row("random", LEADER, **changes), row("dm", below(LEADER, 0.2), **changes)]
        assert significance_remarks(rows)[1] in ("n.s.", "") and mean_ranks(rows) == ["best", "second"]
    assert mean_ranks([row("a", LEADER), row("b", LEADER[::-1])]) == ["", ""]  # equal means share the first place
    assert mean_ranks([single]) == [""]


@pytest.mark.parametrize("shared", [[], [0]])
@pytest.mark.parametrize(("gap", "mark"), [(0.005, "best"), (0.012, "second")])
def test_fewer_than_two_shared_seeds_are_compared_by_welch(shared, gap, mark):
    lower = [value - gap for value in LEADER]  # by a constant: paired, any gap would be significant
    p = stats.ttest_ind(LEADER, lower, equal_var=False, alternative="greater").pvalue
    assert (p >= 0.05) == (mark == "best")
    seeds = [*shared, *range(10, 15 - len(shared))]
    assert marks(row("a", LEADER), row("b", lower, seeds=seeds), LAST)["b"] == mark


def test_only_shared_seeds_are_paired():
    more = [*below(LEADER, 0.01), 0.7, 0.5]  # two sets that nobody else has
    assert fmean(more) < fmean(LEADER)
    assert marks(row("a", LEADER), row("b", more)) == {"a": "best", "b": "second"}


def test_without_variation_the_means_decide():
    constant = [value - 0.001 for value in LEADER]
    assert marks(row("a", LEADER), row("b", constant)) == {"a": "best", "b": "second"}
    assert marks(row("a", [0.6] * 5), row("b", [0.59] * 5)) == {"a": "best", "b": "second"}
    assert marks(row("a", LEADER), row("b", LEADER), LAST) == {"a": "best", "b": "best", "last": "second"}


def test_equal_means_are_never_beaten_and_the_order_of_rows_does_not_matter():
    rolled = [*LEADER[2:], *LEADER[:2]]  # the same numbers on other seeds
    wide = [0.58, 0.63, 0.62, 0.61, 0.60]
    third = [0.595, 0.604, 0.612, 0.603, 0.597]
    rows = [row("a", LEADER), row("b", rolled), row("wide", wide), row("third", third)]
    assert len({round(one["accuracy"], 12) for one in rows[:3]}) == 1
    found = {tuple(sorted(marks(*order).items())) for order in permutations(rows)}
    assert len(found) == 1
    assert dict(*found) == {"a": "best", "b": "best", "wide": "best", "third": "second"}
    # On the two seeds that they share, one wins clearly; their means over all sets are equal.
    level = row("c", [0.5, 0.5, 0.7, 0.61], seeds=[0, 1, 20, 21])
    leader = row("d", [0.6, 0.6, 0.5, 0.61], seeds=[0, 1, 10, 11])
    assert round(level["accuracy"], 9) == round(leader["accuracy"], 9)
    assert marks(level, leader, LAST) == {"c": "best", "d": "best", "last": "second"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"protocol": "native"}, "native"),
        ({"protocol": "native@steps"}, "native"),
        ({"dataset": "digits"}, "demonstration"),
        ({"iterations_fraction": 0.0499}, "budget"),
        ({"raised_to_floor": True}, "budget"),
        ({"iterations_fraction": 0.05}, ""),
    ],
)
def test_columns_without_an_order(changes, why):
    rows = [row("dm", LEADER, **changes), row("dc", below(LEADER, 0.01)), row("random", below(LEADER, 0.001))]
    assert no_rank_reason(rows) == why
    assert (set(significance_ranks(rows)) == {""}) == bool(why)


def test_only_methods_that_compete_bar_a_column_by_their_budget():
    short = {"iterations_fraction": 0.01}
    others = [row("dc", LEADER), row("random", below(LEADER, 0.01), **short)]
    assert no_rank_reason([*others, row("dm", [0.5], **short)]) == ""  # a single set competes with nobody
    assert no_rank_reason([*others, row("dm", [0.5, 0.5], **short)]) == "budget"


def test_rows_with_different_fractions_withheld_are_never_compared():
    rows = [row("a", LEADER), row("b", below(LEADER, 0.01))]
    apart = [row(f"{name}10", [value - 0.1 for value in means], val_fraction=0.1) for name, means in
             (("a", LEADER), ("b", below(LEADER, 0.01)))]  # fmt: skip
    assert marks(*rows, *apart) == {"a": "best", "b": "second", "a10": "best", "b10": "second"}
    assert marks(rows[0], apart[0]) == {"a": "", "a10": ""}


def test_hard_and_soft_labels_are_ranked_and_tested_apart():
    hard = [
        row("random", [v - 0.2 for v in LEADER]),
        row("a", [v - 0.1 for v in LEADER]),
        row("b", [v - 0.15 for v in LEADER]),
    ]
    soft = [row("random@soft", [v - 0.02 for v in LEADER], labels="soft"), row("a@soft", LEADER, labels="soft")]
    assert marks(*hard, *soft) == {"random": "", "a": "best", "b": "second", "random@soft": "second", "a@soft": "best"}
    worse = row("b@soft", [v - 0.05 for v in LEADER], labels="soft")  # better than random, but not than random@soft
    assert doubtful(*hard, *soft, worse)["b@soft"] == "n.s." and doubtful(*hard, *soft, worse)["b"] == ""


# --- better than random -----------------------------------------------------------------------------------------------


def doubtful(*rows):
    return dict(zip((row["display_name"] for row in rows), significance_remarks(rows), strict=True))


def test_a_method_must_beat_every_control_that_is_there():
    random, mosaics = row("random", below(LEADER, 0.001)), row("random@f2", below(LEADER, 0.2))
    assert doubtful(random, row("dm", LEADER)) == {"random": "", "dm": ""}
    assert doubtful(random, mosaics, row("dm", LEADER)) == {"random": "", "random@f2": "", "dm": "n.s."}
    assert doubtful(row("dm", LEADER)) == {"dm": ""}  # no control, no remark
    assert doubtful(row("random", LEADER, role="method"), row("dm", LEADER))["random"] == ""  # asked for


def test_doubts_are_corrected_over_the_methods_of_the_column():
    random = row("random", below(LEADER, 0.03))
    assert doubtful(random, row("dm", LEADER))["dm"] == ""
    assert doubtful(random, row("dm", LEADER), row("dc", below(LEADER, 0.03)))["dm"] == "n.s."  # Holm: 0.06
    assert doubtful(random, row("dm", LEADER), row("dc", [0.5]) | {"sets": 0})["dm"] == ""  # no number, no test


def test_what_cannot_be_tested_says_so_and_native_is_not_tested():
    assert doubtful(row("random", [0.2]), row("dm", [0.9]))["dm"] == "n.t."
    assert doubtful(row("random", LEADER, val_fraction=0.1), row("dm", LEADER))["dm"] == "n.t."
    native = {"protocol": "native"}
    assert doubtful(row("random", LEADER, **native), row("dm", LEADER, **native))["dm"] == ""


def test_tuned_rows_are_ranked_among_those_of_as_many_trials() -> None:
    best, second = LEADER, below(LEADER, 0.001)
    own = [row("a", best), row("b", second)]
    tuned = [row("a (tuned)", second, trials=20), row("b (tuned)", best, trials=20), row("c (more)", best, trials=40)]
    expected = {"a": "best", "b": "second", "a (tuned)": "second", "b (tuned)": "best", "c (more)": ""}
    assert marks(*own, *tuned) == expected
    by_means = zip((r["display_name"] for r in (*own, *tuned)), mean_ranks([*own, *tuned]), strict=True)
    assert dict(by_means) == expected


def test_tuned_rows_are_tested_against_random_subsets_too() -> None:
    random = row("random", LEADER)
    column = [random, row("a (tuned)", [m + 0.1 for m in LEADER], trials=20), row("b (tuned)", LEADER, trials=20)]
    assert significance_remarks(column) == ["", "", "n.s."]
