"""Tables of costs, of published numbers and of DANCE's ablation, from hand-made records."""

from __future__ import annotations

import pandas as pd
import pytest
from table_parts import column, entries, heads, mean

from results.aggregation.cells import cells
from results.aggregation.options import Options
from results.formatting import size
from results.tables.ablation import ablation_tables
from results.tables.comparison import all_tables
from results.tables.costs import condensing_tables, memory_tables, time_tables
from results.tables.published import published_tables


@pytest.fixture
def priced(make_expert, make_condensed, make_evaluated):
    """DANCE with two experts of 60 s for two sets, DM without, the whole set; evaluated under two protocols."""
    experts = [make_expert(index, seconds=60.0, peak_memory_bytes=3 * 2**30) for index in range(2)]
    used = {"experts": [expert["identity"] for expert in experts]}
    sets = [make_condensed("dance", seed, resolved=used, seconds=100.0, peak_memory_bytes=2**30) for seed in (0, 1)]
    sets.append(make_condensed("dm", seconds=5.0, peak_memory_bytes=2**20))
    scores = [make_evaluated(condensed, [0.5, 0.6], protocol=name, seconds=seconds, peak_memory_bytes=2**29)
              for condensed in sets for name, seconds in (("dc", 7.0), ("dsa", 30.0))]  # fmt: skip
    return cells([*experts, *sets, *scores, make_evaluated(None, [0.8], seconds=900.0)])


def test_seconds_in_full_and_shared_with_their_totals(priced):
    short, long = time_tables(priced)
    assert long.title == "Wall-clock: cifar10, condensed with convnet3, evaluated with convnet3, protocol dsa"
    assert long.texts() == [
        ["10", "DANCE", "120", "60", "100", "30", "250", "190"],
        ["10", "DM", "0", "0", "5.0", "30", "35", "35"],
        ["all", "WHOLE", "0", "0", "0", "900", "900", "900"],
    ]
    assert column(short, "Evaluate s") == {"DM": "7.0", "DANCE": "7.0"}
    assert "NVIDIA H100, fp32." in long.captions[2]


def test_columns_of_experts_only_where_there_are_some(make_cells):
    (table,) = time_tables(make_cells({"dm": [0.5]}))
    assert heads(table) == ["IPC", "Method", "Condense s", "Evaluate s", "Total s (full)"]
    (table,) = memory_tables(make_cells({"dm": [0.5]}))
    assert "Experts" not in heads(table) and "Prepare peak" not in heads(table)


def test_memory_of_each_kind_of_task(priced):
    table = memory_tables(priced)[-1]
    assert table.texts() == [
        ["10", "DANCE", "100", "0.977 KiB", "2", "3 GiB", "1 GiB", "512 MiB"],
        ["10", "DM", "100", "0.977 KiB", "0", "–", "1 MiB", "512 MiB"],
        ["all", "WHOLE", "50,000", "–", "–", "–", "–", "–"],
    ]


def test_what_shared_its_device_is_in_no_row_of_seconds(make_cells, make_condensed, make_evaluated):
    busy = {"environment": {"device": "NVIDIA H100", "shared": True}}
    condensed = make_condensed("idm", **busy)
    frame = make_cells(
        {"dm": [0.5, 0.6], "dc": [0.4, 0.5]}, extra=[condensed, make_evaluated(condensed, [0.5], **busy)]
    )
    (table,) = time_tables(frame)
    assert column(table, "Total s (full)") == {"DC": "2.0", "DM": "2.0", "IDM": "‡"}
    assert any("‡ ran on NVIDIA H100 (shared)" in line for line in table.captions)


def test_an_unknown_part_leaves_the_total_unknown(make_condensed, make_evaluated):
    condensed = make_condensed("dance", resolved={"experts": ["gone"]}, seconds=3.0)
    (table,) = time_tables(cells([condensed, make_evaluated(condensed, [0.5])]))
    assert table.texts() == [["10", "DANCE", "–", "–", "3.0", "1.0", "–", "–"]]


def test_what_has_no_accuracy_is_in_no_table_of_costs(make_cells, make_condensed):
    frame = make_cells({"dm": [0.5]}, extra=[make_condensed("dc", status="diverged", message="nan")])
    assert [len(table.texts()) for table in [*time_tables(frame), *memory_tables(frame)]] == [1, 1]


# --- condensing alone -------------------------------------------------------------------------------------------------


def test_costs_of_condensing_are_listed_once_for_all_protocols_and_networks(
    make_expert, make_condensed, make_evaluated
):
    experts = [make_expert(index, seconds=60.0, peak_memory_bytes=3 * 2**30) for index in range(2)]
    resolved = {"experts": [expert["identity"] for expert in experts]}
    sets = [
        make_condensed("dm", seed, resolved=resolved, seconds=100.0 + seed, peak_memory_bytes=2**30) for seed in (0, 2)
    ]
    sets.append(make_condensed("dc", seconds=5.0, peak_memory_bytes=2**20))
    changes = [{"protocol": "dc"}, {}, {"resolved": {"architecture": "resnet10-bn"}}]
    scores = [
        make_evaluated(condensed, [0.5], peak_memory_bytes=2**40, **change) for condensed in sets for change in changes
    ]
    whole = make_evaluated(None, [0.8])
    frame = cells([*experts, *sets, *scores, whole])
    (table,) = condensing_tables(frame)
    assert table.title == "Condensing costs: cifar10, condensed with convnet3"
    assert table.texts() == [
        ["10", "DC", "100", "0.977 KiB", "0", "0", "0", "–", "5.0", "1 MiB"],
        ["10", "DM", "100", "0.977 KiB", "2", "120", "60", "3 GiB", "101", "1 GiB"],
    ]
    titles = [table.title for table in all_tables(frame)]
    assert sum(title.startswith("Condensing costs") for title in titles) == 1 and titles[-1] == table.title


def test_a_row_has_the_costs_of_the_evaluation_with_most_sets(make_condensed, make_evaluated):
    sets = [make_condensed("dm", seed, seconds=seconds) for seed, seconds in enumerate((10.0, 30.0))]
    scores = [make_evaluated(sets[0], [0.5], protocol="dc"), *(make_evaluated(condensed, [0.5]) for condensed in sets)]
    (table,) = condensing_tables(cells([*sets, *scores]))
    assert column(table, "Condense s") == {"DM": "20"}


def test_condensing_costs_have_columns_of_experts_only_where_there_are_some(make_cells):
    (table,) = condensing_tables(make_cells({"dm": [0.5]}))
    assert heads(table) == ["IPC", "Method", "Stored", "Size", "Condense s", "Condense peak"]
    assert column(table, "Condense peak") == {"DM": "–"}  # no memory was recorded


def test_rows_of_one_name_say_which_settings_differ_and_other_networks_have_a_table(make_condensed, make_evaluated):
    sets = [make_condensed(), make_condensed(resolved={"settings": {"lr": 0.5}})]
    sets.append(make_condensed(resolved={"architecture": "convnet3-bn"}))
    labels = [{}, {}, {"condense_architecture": "convnet3-bn"}]
    scores = [
        make_evaluated(condensed, [0.5], display=display) for condensed, display in zip(sets, labels, strict=True)
    ]
    tables = condensing_tables(cells([*sets, *scores]))
    assert {table.title.rpartition(" ")[2]: sorted(row[1] for row in table.texts()) for table in tables} == {
        "convnet3": ["DM [lr=0.5]", "DM [lr=1.0]"],
        "convnet3-bn": ["DM"],
    }


def test_costs_of_two_devices_do_not_share_a_table(make_condensed, make_evaluated):
    slow = {"environment": {"device": "cpu EPYC", "threads": 2}}
    sets = [make_condensed("dm"), make_condensed("dc"), make_condensed("idm", **slow)]
    scores = [make_evaluated(condensed, [0.5], **more) for condensed, more in zip(sets, ({}, {}, slow), strict=True)]
    (table,) = condensing_tables(cells([*sets, *scores]))
    assert {row[1]: row[-2] for row in table.texts()} == {"DC": "1.0", "DM": "1.0", "IDM": "‡"}
    assert any(
        "Seconds and memory of NVIDIA H100, fp32; ‡ ran on cpu EPYC × 2 threads" in line for line in table.captions
    )


def test_sets_condensed_elsewhere_have_no_costs(make_condensed, make_evaluated):
    assert condensing_tables(cells([make_evaluated(make_condensed(), [0.5])])) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (840, "840 B"), (1023, "0.999 KiB"), (12_800, "12.5 KiB"), (2**30, "1 GiB"), (5 * 2**40, "5 TiB"),
     (pd.NA, "–")],
)  # fmt: skip
def test_sizes(value, text):
    assert size(value) == text


def test_sets_made_elsewhere_have_a_size_and_no_costs(make_condensed, make_evaluated):
    here = make_condensed("dm")
    foreign = make_condensed("dc", resolved={"settings": {}})
    given = {**foreign, "kind": "import", "resolved": {"digest": "00", "ipc": 10, "factor": 1, "dataset": {}}}
    (table,) = condensing_tables(cells([here, given, make_evaluated(here, [0.5]), make_evaluated(foreign, [0.5])]))
    assert {row[1]: row[2:] for row in table.texts()} == {
        "DM": ["100", "0.977 KiB", "1.0", "–"],
        "DC": ["100", "0.977 KiB", "–", "–"],
    }


# --- published --------------------------------------------------------------------------------------------------------


def test_measured_and_published_with_a_mark_or_what_differs(make_cells):
    means = {"dm": [0.489, 0.483, 0.495], "dc": [0.52, 0.521, 0.522], "random": [0.26, 0.25, 0.27], "mine": [0.9, 0.8]}
    frame = pd.concat([make_cells(means), make_cells({"dm": [0.2, 0.21]}, condensed={"ipc": 1})])
    (table,) = published_tables(frame)
    assert table.texts() == [
        ["cifar10", "1", "DM", "20.5 ± 0.7", "26.0 ± 0.8", "−5.5", "below", "DANCE (IJCAI 2024), Table 1 (reprint)"],
        ["cifar10", "10", "RANDOM", "26.0 ± 1.0", "26.0 ± 1.2", "0.0", "not comparable ¹",
         "DANCE (IJCAI 2024), Table 1 (reprint) ²"],
        ["cifar10", "10", "DC", "52.1 ± 0.1", "44.9 ± 0.5", "+7.2", "not comparable ¹",
         "DANCE (IJCAI 2024), Table 1 (reprint)"],
        ["cifar10", "10", "DM", "48.9 ± 0.6", "48.9 ± 0.6", "0.0", "within", "DANCE (IJCAI 2024), Table 1 (reprint)"],
    ]  # fmt: skip
    assert table.notes == [
        "protocol dsa, published dc",
        "31.0 in DATM (ICLR 2024), README figure at 97ae510, protocol datm",
    ]


def test_without_a_printed_number_there_is_no_table(make_cells):
    assert published_tables(make_cells({"mine": [0.5]})) == []
    assert published_tables(make_cells({"dm": [0.5]}, condensed={"ipc": 7})) == []


# --- ablation ---------------------------------------------------------------------------------------------------------

VIEWS = {"dance": ("mid", True), "dance (calibration=off)": ("mid", False), "dance (alignment=off)": ("off", True),
         "dance (alignment=random)": ("random", True), "dance (both)": ("random", False)}  # fmt: skip


@pytest.fixture
def make_views(make_cells):
    def make(*rows, ipc=10, **more):
        def view(row):
            settings = {"alignment": VIEWS[row][0], "calibration": VIEWS[row][1], **more}
            return make_cells({row: [0.5, 0.6, 0.7]}, condensed={"ipc": ipc, "resolved": {"settings": settings}})

        return pd.concat(map(view, rows))

    return make


def test_both_views_are_switched_on_and_off_down_the_ablation(make_views, make_cells):
    others = make_cells({"dm": [0.8, 0.9], "random": [0.1, 0.2]})
    (matrix,) = ablation_tables(pd.concat([others, make_views(*VIEWS), make_views("dance", ipc=1)]))
    assert list(entries(matrix)) == [
        "calibration",
        "matching on random networks",
        "matching on random networks + calibration",
        "matching on mid encoders",
        "matching on mid encoders + calibration",
    ]
    assert [mean(entry) for entry in matrix.blocks[0].rows[-1][1:]] == ["60.0", "60.0"]
    assert matrix.title.startswith("DANCE's two views, test accuracy (%)") and matrix.label.startswith("ablation-")


def test_one_combination_or_one_that_failed_is_no_ablation(make_views, make_cells, make_condensed):
    assert ablation_tables(make_views("dance")) == ablation_tables(make_cells({"dm": [0.5]})) == []
    settings = {"settings": {"alignment": "off", "calibration": True}}
    gone = make_condensed("dance (alignment=off)", resolved=settings, status="diverged", message="nan")
    gone = cells([gone]).assign(architecture="convnet3", protocol="dsa", recipe="dsa", version=1)
    assert ablation_tables(pd.concat([make_views("dance"), gone])) == []
    assert ablation_tables(pd.concat([make_views("dance", lr=lr) for lr in (1.0, 2.0)])) == []


def test_other_settings_and_factors_are_lines_of_their_own(make_views):
    frame = pd.concat([make_views("dance", "dance (alignment=off)", lr=lr) for lr in (1.0, 2.0)])
    (matrix,) = ablation_tables(frame, Options())
    assert list(entries(matrix)) == [
        "calibration [lr=1.0]", "calibration [lr=2.0]",
        "matching on mid encoders + calibration [lr=1.0]", "matching on mid encoders + calibration [lr=2.0]",
    ]  # fmt: skip
