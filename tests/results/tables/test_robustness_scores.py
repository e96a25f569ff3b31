"""Robustness scores of cells: what a set is compared with, spreads over seeds, and reasons for missing scores."""

from __future__ import annotations

from math import e, exp
from statistics import fmean, stdev

import pytest
from table_parts import column, heads, ranks

from results.aggregation.cells import cells
from results.rendering.text import lines_below
from results.tables.robustness_scores import robustness_score_tables, robustness_scores

AUGMENTED = {"name": "dsa", "version": 1, "augment": "dsa:flip", "cutmix": 0.0}
PLAIN = {"name": "dsa@plain", "version": 1, "augment": "none", "cutmix": 0.0}


def as_score(position):
    return (exp(position) - exp(-1)) / (e - exp(-1))


@pytest.fixture
def make_scored(make_condensed, make_evaluated):
    """Records of rows {row: [(accuracies with augmentation, accuracies without) of each seed]}."""

    def make(rows, *, factor=1, **more):
        records = []
        for row, sets in rows.items():
            for seed, (augmented, plain) in enumerate(sets):
                condensed = make_condensed(row, seed, display={"factor": factor}, **more)
                records.append(condensed)
                for protocol, values in ((AUGMENTED, augmented), (PLAIN, plain)):
                    if values:
                        evaluated = make_evaluated(
                            condensed, values, protocol=protocol["name"], resolved={"protocol": protocol},
                            display={"factor": factor},
                        )  # fmt: skip
                        records.append(evaluated)
        return records

    return make


@pytest.fixture
def whole(make_evaluated):
    return make_evaluated(None, [0.8, 0.9], resolved={"protocol": AUGMENTED})


RANDOM = {"random": [([0.2], [0.15]), ([0.3], [0.25]), ([0.25], [0.2])]}  # means 0.25 and 0.2


def score_of(frame, row, **columns):
    rows = frame[frame["display_name"] == row]
    for name, value in columns.items():
        rows = rows[rows[name] == value]
    (line,) = rows.to_dict("records")
    return line


def test_each_set_is_placed_between_the_means_of_random_and_whole(make_scored, whole):
    sets = [([0.50, 0.54], [0.40, 0.40]), ([0.58, 0.62], [0.42, 0.50])]
    frame = robustness_scores(cells([whole, *make_scored(RANDOM | {"dm": sets})]))
    dm = score_of(frame, "dm")
    assert (dm["whole"], dm["random"], dm["random_plain"]) == pytest.approx((0.85, 0.25, 0.2))
    assert dm["hlr"] == pytest.approx(0.85 - 0.56) and dm["ior"] == pytest.approx(0.56 - 0.25)
    display = [as_score(0.5 * (mean - 0.25) - 0.5 * (0.85 - mean)) for mean in (0.52, 0.60)]
    assert (dm["lrs"], dm["lrs_sd"], dm["lrs_sets"]) == pytest.approx((fmean(display), stdev(display), 2))
    augmentation = [as_score(0.5 * (a - 0.25) + 0.5 * (p - 0.2)) for a, p in ((0.52, 0.40), (0.60, 0.46))]
    assert (dm["ars"], dm["ars_sd"], dm["ars_sets"]) == pytest.approx((fmean(augmentation), stdev(augmentation), 2))
    assert (dm["lrs_missing"], dm["ars_missing"]) == ("", "") and "whole" not in set(frame["display_name"])
    assert score_of(frame, "random")["ior"] == pytest.approx(0)


def test_a_set_that_equals_whole_and_random_alike(make_scored, make_evaluated):
    same = make_evaluated(None, [0.5], resolved={"protocol": AUGMENTED})
    frame = robustness_scores(cells([same, *make_scored({"random": [([0.5], [0.4])] * 2, "dm": [([0.5], [0.4])] * 2})]))
    dm = score_of(frame, "dm")
    assert (dm["lrs"], dm["ars"]) == pytest.approx((0.26894, 0.26894), abs=5e-6)


def test_mosaics_are_a_row_and_random_stays_plain_whatever_the_factor(make_scored, whole):
    records = [*make_scored({"random@f2": [([0.4], [0.3])] * 4, "dance": [([0.5], [0.4])] * 2}, factor=2)]
    table_cells = cells([whole, *make_scored(RANDOM), *records])
    frame = robustness_scores(table_cells)
    assert score_of(frame, "random@f2")["ior"] == pytest.approx(0.15)  # over plain images, 0.25
    assert score_of(frame, "dance")["random"] == pytest.approx(0.25)


def test_one_set_has_its_spread_over_networks(make_scored, whole):
    frame = robustness_scores(cells([whole, *make_scored(RANDOM | {"dm": [([0.5, 0.6], [0.4, 0.3])]})]))
    dm = score_of(frame, "dm")
    assert dm["lrs_sd"] != dm["lrs_sd"] and dm["lrs_sets"] == 1
    assert dm["lrs_sd_networks"] == pytest.approx(stdev([as_score(a - 0.55) for a in (0.5, 0.6)]))
    gains = [0.5 * (a - 0.25 + p - 0.2) for a, p in ((0.5, 0.4), (0.6, 0.3))]
    assert dm["ars_sd_networks"] == pytest.approx(stdev(map(as_score, gains)))


def test_ars_uses_the_sets_that_were_evaluated_both_ways(make_scored, whole):
    sets = [([0.5], [0.4]), ([0.6], []), ([0.55], [0.45])]
    table_cells = cells([whole, *make_scored(RANDOM | {"dm": sets})])
    dm = score_of(robustness_scores(table_cells), "dm")
    assert (dm["lrs_sets"], dm["ars_sets"]) == (3, 2)
    assert dm["ars"] == pytest.approx(
        fmean(as_score(0.5 * (a - 0.25 + p - 0.2)) for a, p in ((0.5, 0.4), (0.55, 0.45)))
    )
    (table,) = robustness_score_tables(table_cells)
    assert "[2/3]" in column(table, "ARS %")["DM"] and "[" not in column(table, "LRS %")["DM"]


@pytest.mark.parametrize(
    ("left_out", "display", "augmentation"),
    [
        ("whole", "no whole set under dsa", ""),
        ("random", "no Random at ipc 10 under dsa", "no Random at ipc 10 under dsa is shown:"),
        ("plain", "", "no accuracy under dsa@plain"),
        ("random plain", "", "no Random at ipc 10 under dsa@plain"),
    ],
)
def test_a_missing_score_has_a_reason(make_scored, whole, left_out, display, augmentation):
    random = {"random": [(a, [] if left_out == "random plain" else p) for a, p in RANDOM["random"]]}
    rows = ({} if left_out == "random" else random) | {"dm": [([0.5], [] if left_out == "plain" else [0.4])] * 2}
    table_cells = cells([*make_scored(rows), *([] if left_out == "whole" else [whole])])
    dm = score_of(robustness_scores(table_cells), "dm")
    for missing, reason in ((dm["lrs_missing"], display), (dm["ars_missing"], augmentation)):
        assert missing.startswith(reason) and bool(missing) == bool(reason)
    tables = robustness_score_tables(table_cells)
    if display and augmentation:
        assert tables == []  # nothing to show
        return
    (line,) = (dict(zip(heads(tables[0]), row, strict=True)) for row in tables[0].texts() if row[1] == "DM")
    assert [line[name].startswith("–") for name in ("LRS %", "ARS %")] == [
        bool(display),
        bool(augmentation),
    ]
    assert any((display or augmentation) in text for text in lines_below(tables[0]))
    known = {"HLR": left_out != "whole", "IOR": left_out != "random"}
    assert {name: line[name] != "–" for name in known} == known and "nan" not in " ".join(line.values())


def test_a_protocol_that_augments_nothing_has_no_augmentation_to_be_robust_to(make_condensed, make_evaluated):
    protocol = {"name": "dc", "version": 1, "augment": "none", "cutmix": 0.0}
    resolved = {"protocol": protocol}
    sets = [make_condensed(row, seed) for row in ("random", "dm") for seed in range(2)]
    records = [*sets, make_evaluated(None, [0.8], protocol="dc", resolved=resolved)]
    records += [make_evaluated(condensed, [0.4], protocol="dc", resolved=resolved) for condensed in sets]
    dm = score_of(robustness_scores(cells(records)), "dm")
    assert dm["lrs"] == pytest.approx(as_score(0.4 - 0.6)) and dm["ars_missing"].startswith(
        "dc neither augments nor mix"
    )


def test_native_takes_no_part_and_a_plain_protocol_alone_has_a_table(make_scored, make_condensed, make_evaluated):
    own = make_condensed("dm", 7)
    native = make_evaluated(own, [0.9], protocol="native", recipe="native:dsa")
    plain = make_evaluated(None, [0.7], protocol="dsa@plain", resolved={"protocol": PLAIN})
    sets = make_scored({"random": [([], [0.2])] * 2, "dm": [([], [0.4])] * 2})
    frame = robustness_scores(cells([own, native, plain, *sets]))
    assert set(frame["protocol"]) == {"dsa@plain"}
    assert score_of(frame, "dm")["lrs"] == pytest.approx(as_score(0.4 - 0.45))


def test_only_what_was_evaluated_on_the_same_terms_is_compared(make_scored, make_condensed, make_evaluated, whole):
    withheld = {"val_fraction": 0.2}
    alone = make_condensed("dm", resolved=withheld)
    records = [alone, make_evaluated(alone, [0.5], resolved={**withheld, "protocol": AUGMENTED})]
    frame = robustness_scores(cells([whole, *make_scored(RANDOM | {"dm": [([0.5], [0.4])] * 2}), *records]))
    assert score_of(frame, "dm", val_fraction=0.0)["lrs_missing"] == ""
    assert score_of(frame, "dm", val_fraction=0.2)["lrs_missing"].startswith("no whole set")


def test_of_several_random_rows_the_one_with_as_many_networks_counts(make_scored, whole):
    pairs = {"random": [([0.4] * 2, [0.3] * 2)] * 2, "dm": [([0.5] * 2, [0.4] * 2)] * 2}
    frame = robustness_scores(
        cells([whole, *make_scored(RANDOM), *make_scored(pairs, resolved={"settings": {"lr": 2.0}})])
    )
    assert score_of(frame, "dm")["random"] == pytest.approx(0.4)


def test_tables_show_ranks_doubts_and_captions(make_scored, whole):
    better = [([0.50 + d], [0.40 + d]) for d in (0.0, 0.01, 0.02)]
    worse = [([0.26 + d], [0.21 - d]) for d in (0.0, 0.1, -0.1)]
    (table,) = robustness_score_tables(cells([whole, *make_scored(RANDOM | {"dm": better, "dc": worse})]))
    lines = {row[1]: row for row in table.texts()}
    assert table.title == "Robustness scores: cifar10, condensed with convnet3, evaluated with convnet3, protocol dsa"
    assert lines["DM"][:5] == ["10", "DM", "51.0 ± 1.0", "+34.0", "+26.0"]
    assert lines["WHOLE"] == ["all", "WHOLE", "85.0 ± 7.1†", "–", "–", "–", "–", "–"]
    place = table.texts().index(lines["DM"])
    lrs, ars = heads(table).index("LRS %"), heads(table).index("ARS %")
    assert ranks(table)[place, lrs] == ranks(table)[place, ars] == "best"
    assert lines["DC"][lrs].endswith("n.s.") and lines["DC"][ars].endswith("n.s.")
    text = " ".join(table.captions)
    for said in ("n.s.:", "Seeds × networks", "NVIDIA H100, fp32.", "commit 0123456789"):
        assert said in text, said


def test_no_scores_of_no_cells():
    assert robustness_scores(cells([])).empty and robustness_score_tables(cells([])) == []
