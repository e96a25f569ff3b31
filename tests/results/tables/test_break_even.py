"""Break-even: what a set costs against the time that the whole set takes, from curves or from complete trainings."""

from __future__ import annotations

import math

import pytest
from table_parts import column

from results.aggregation.cells import cells
from results.store.identity import identity
from results.tables.break_even import break_even_rows, break_even_tables, seconds_to_reach, trainings_until_paid

WITHHELD = {"val_fraction": 0.2}
SLOW = {"environment": {"device": "cpu EPYC", "device_type": "cpu", "threads": 2}}
POINTS = ((0.0, [0.10, 0.10]), (10.0, [0.30, 0.30]), (20.0, [0.48, 0.52]), (40.0, [0.70, 0.70]), (100.0, [0.80, 0.80]))


@pytest.fixture
def make_curve(make_evaluated):
    """An analyze record of training on the whole set: what an evaluation of it asks, and points along the way."""

    def make(points=POINTS, *, analysis="curve", sets=("whole",), **more):
        record = make_evaluated(None, [0.8, 0.8], resolved={**WITHHELD, **more.pop("resolved", {})}, **more)
        resolved = record["resolved"] | {
            "kind": "analyze",
            "analysis": analysis,
            "sets": list(sets),
            "experts": [],
            "version": 1,
        }
        del resolved["set"]
        curve_points = [{"step": step, "seconds": s, "accuracies": a} for step, (s, a) in enumerate(points)]
        result = {"split": "validation", "points": curve_points}
        return record | {
            "kind": "analyze",
            "cell_spec": resolved,
            "resolved": resolved,
            "identity": identity(resolved),
            "result": result,
        }

    return make


@pytest.fixture
def make_sets(make_expert, make_condensed, make_evaluated):
    """Two DM sets of one expert: 60 s of preparing, 30 s of condensing, two networks in `seconds` on each."""

    def make(validation=(0.4, 0.4), seconds=10.0, accuracies=(0.42, 0.42), experts=True, **more):
        expert = make_expert(0, seconds=60.0, **more)
        records = [expert] if experts else []
        for seed in range(2):
            resolved = {**WITHHELD, "experts": [expert["identity"]]}
            condensed = make_condensed("dm", seed, resolved=resolved, seconds=20.0 + 20 * seed, **more)
            scored = make_evaluated(condensed, list(accuracies), resolved=WITHHELD, seconds=seconds, **more)
            scored["result"]["validation_accuracies"] = list(validation)
            records += [condensed, scored]
        return records

    return make


@pytest.fixture
def make_whole(make_evaluated):
    def make(seconds=200.0, accuracies=(0.8, 0.8), **more):
        return make_evaluated(None, list(accuracies), resolved=WITHHELD, seconds=seconds, **more)

    return make


def only(records, row="dm"):
    tables = break_even_rows(cells(records), records)
    (line,) = [line for lines in tables for line in lines if line["display_name"] == row]
    return line


# --- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [(0.10, 0.0), (0.05, 0.0), (0.20, 5.0), (0.30, 10.0), (0.50, 20.0), (0.75, 70.0), (0.80, 100.0), (0.81, math.nan)],
)
def test_a_curve_reaches_an_accuracy_on_a_straight_line_between_points(accuracy, expected):
    points = [(0.0, 0.1), (10.0, 0.3), (20.0, 0.5), (40.0, 0.7), (100.0, 0.8)]
    assert seconds_to_reach(accuracy, points) == pytest.approx(expected, nan_ok=True)


def test_the_first_time_counts_when_a_curve_falls_again():
    assert seconds_to_reach(0.5, [(0, 0.0), (10, 1.0), (20, 0.2), (30, 0.9)]) == pytest.approx(5)
    assert math.isnan(seconds_to_reach(0.5, []))


def test_making_a_set_has_paid_when_both_ways_have_taken_as_long():
    count = trainings_until_paid(90.0, 5.0, 15.0)
    assert count == 9 and 90 + count * 5 == count * 15
    assert trainings_until_paid(90.0, 15.0, 15.0) == trainings_until_paid(90.0, 20.0, 15.0) == math.inf
    assert trainings_until_paid(0.0, 15.0, 15.0) == math.inf  # it costs nothing, and saves nothing
    assert math.isnan(trainings_until_paid(math.nan, 5.0, 15.0)) and math.isnan(
        trainings_until_paid(9.0, 5.0, math.nan)
    )


# --- cells ------------------------------------------------------------------------------------------------------------


def test_the_time_comes_from_the_curve_at_the_sets_accuracy_on_withheld_images(make_sets, make_whole, make_curve):
    row = only([*make_sets(), make_whole(), make_curve()])
    assert (row["set_seconds"], row["network_seconds"], row["total_seconds"]) == pytest.approx((90, 5, 95))
    assert (row["to_reach"], row["whole_seconds"], row["whole_from"]) == (
        pytest.approx(0.4),
        pytest.approx(15),
        "curve",
    )
    assert (row["ratio"], row["trainings"], row["missing"]) == (pytest.approx(95 / 15), pytest.approx(9), "")


def test_without_a_curve_the_complete_training_is_an_upper_bound(make_sets, make_whole):
    records = [*make_sets(), make_whole(seconds=64.0)]
    row = only(records)
    assert (row["to_reach"], row["whole_seconds"], row["whole_from"]) == (pytest.approx(0.42), 32.0, "complete")
    assert row["trainings"] == pytest.approx(90 / 27)
    (table,) = break_even_tables(cells(records), records=records)
    assert table.texts() == [["10", "DM", "42.0", "90", "5.0", "95", "≤ 32", "≥ 2.97", "≥ 4"]]
    assert "≤, ≥: bounds" in table.captions[1]


def test_a_table_from_a_curve(make_sets, make_curve):
    records = [*make_sets(), make_curve()]
    (table,) = break_even_tables(cells(records), records=records)
    assert table.title == "Break-even: cifar10, condensed with convnet3, evaluated with convnet3, protocol dsa"
    assert table.texts() == [["10", "DM", "40.0", "90", "5.0", "95", "15", "6.33", "9"]]
    assert "≤" not in " ".join(table.captions)


def test_never_when_a_network_takes_as_long_on_the_set(make_sets, make_curve):
    records = [*make_sets(seconds=32.0), make_curve()]
    (table,) = break_even_tables(cells(records), records=records)
    assert only(records)["trainings"] == math.inf and column(table, "Pays after") == {"DM": "never"}


def test_a_set_that_costs_nothing_pays_with_its_first_network(make_condensed, make_evaluated, make_curve):
    condensed = make_condensed("random", resolved=WITHHELD, seconds=0.0)
    scored = make_evaluated(condensed, [0.4], resolved=WITHHELD, seconds=5.0)
    scored["result"]["validation_accuracies"] = [0.4]
    records = [condensed, scored, make_curve()]
    (table,) = break_even_tables(cells(records), records=records)
    assert column(table, "Pays after") == {"RANDOM": "1"}


@pytest.mark.parametrize(
    "other",
    [{"resolved": {"architecture": "convnet3-bn"}}, {"recipe": "dance"}, {"resolved": {"val_fraction": 0.1}},
     {"resolved": {"precision": "tf32"}}, {"dataset": "cifar100"}, {"analysis": "discrepancy"}, {"sets": ("00",)},
     {"status": "diverged"}, SLOW],
)  # fmt: skip
def test_only_a_curve_on_the_same_terms_and_device_counts(make_sets, make_whole, make_curve, other):
    row = only([*make_sets(), make_whole(), make_curve(**other)])
    assert (row["whole_from"], row["whole_seconds"]) == ("complete", 100.0)


def test_seconds_of_two_devices_are_not_compared(make_sets, make_whole, make_curve):
    row = only([*make_sets(), make_whole(**SLOW), make_curve(**SLOW)])
    assert math.isnan(row["whole_seconds"]) and math.isnan(row["trainings"])
    assert row["missing"] == "its seconds were measured on NVIDIA H100, the whole set's on cpu EPYC × 2 threads"
    assert row["set_seconds"] == pytest.approx(90)


def test_a_cell_that_mixes_devices_has_no_sum(make_sets, make_whole, make_expert):
    mixed = [make_expert(0, seconds=60.0, **SLOW), *make_sets()[1:]]
    row = only([*mixed, make_whole()])
    assert all(math.isnan(row[name]) for name in ("set_seconds", "total_seconds", "ratio", "trainings"))
    assert row["missing"].startswith("its tasks ran on several devices")


@pytest.mark.parametrize(
    ("reason", "sets", "whole", "curve"),
    [
        ("the whole set is not evaluated under dsa", {}, False, False),
        ("the whole set ends below this accuracy, at 30.0 %", {}, {"accuracies": (0.3, 0.3)}, False),
        ("the whole set's curve stays below this accuracy: at most 80.0 %", {"validation": (0.9, 0.9)}, {}, True),
        ("its experts are not stored", {"experts": False}, {}, False),
    ],
)
def test_a_note_gives_the_reason_for_missing_numbers(
    make_sets, make_whole, make_curve, make_condensed, make_evaluated, reason, sets, whole, curve
):
    other = make_condensed("dc", resolved=WITHHELD)  # one row that has everything, so that there is a table
    scored = make_evaluated(other, [0.2], resolved=WITHHELD, seconds=1.0)
    scored["result"]["validation_accuracies"] = [0.2]
    records = [*make_sets(**sets), other, scored]
    records += [] if whole is False else [make_whole(**whole)]
    records += [make_curve()] if curve else []
    row = only(records)
    assert row["missing"].startswith(reason) and math.isnan(row["trainings"])
    tables = break_even_tables(cells(records), records=records)
    if whole is False:
        assert tables == []
        return
    texts = next(texts for texts in tables[0].texts() if texts[1] == "DM")
    assert texts[-1].startswith("– ") and any(note.startswith(reason) for note in tables[0].notes)


def test_a_set_made_elsewhere_has_an_unknown_price(make_sets, make_whole):
    evaluations = [record for record in make_sets() if record["kind"] == "evaluate"]
    row = only([*evaluations, make_whole()])
    assert row["missing"].startswith("it was made elsewhere") and math.isnan(row["total_seconds"])


def test_native_protocols_have_no_common_time(make_condensed, make_evaluated):
    condensed = make_condensed("dm")
    records = [condensed, make_evaluated(condensed, [0.4], protocol="native", recipe="native:dsa")]
    records.append(make_evaluated(None, [0.8], protocol="native", recipe="native:dsa"))
    assert break_even_rows(cells(records), records) == [] and break_even_tables(cells(records), records=records) == []
