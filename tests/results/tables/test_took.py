"""What condensing took, from hand-made records: once a set, whatever it was evaluated with."""

from __future__ import annotations

import pandas as pd
import pytest

from results.aggregation.cells import cells
from results.formatting import size
from results.tables.comparison import all_tables
from results.tables.took import took_tables


def test_costs_stand_once_for_all_protocols_and_networks(make_expert, make_condensed, make_evaluated):
    experts = [make_expert(index, seconds=60.0, peak_memory_bytes=3 * 2**30) for index in range(2)]
    resolved = {"experts": [expert["identity"] for expert in experts]}
    sets = [
        make_condensed("dm", seed, resolved=resolved, seconds=100.0 + seed, peak_memory_bytes=2**30) for seed in (0, 2)
    ]
    sets.append(make_condensed("dc", seconds=5.0, peak_memory_bytes=2**20))
    changes = [{"protocol": "dc"}, {}, {"resolved": {"architecture": "resnet10-bn"}}]
    scores = [make_evaluated(made, [0.5], peak_memory_bytes=2**40, **change) for made in sets for change in changes]
    whole = make_evaluated(None, [0.8])
    frame = cells([*experts, *sets, *scores, whole])
    (table,) = took_tables(frame)
    assert table.title == "What it took: cifar10, condensed with convnet3"
    assert table.rows == [
        ["10", "DC", "100", "0.977 KiB", "0", "0", "–", "5.0", "1 MiB"],
        ["10", "DM", "100", "0.977 KiB", "2", "120 / 60", "3 GiB", "101", "1 GiB"],
    ]
    titles = [found.title for found in all_tables(frame)]
    assert sum(title.startswith("What it took") for title in titles) == 1 and titles[-1] == table.title


def test_the_evaluation_with_the_most_sets_speaks_for_a_row(make_condensed, make_evaluated):
    sets = [make_condensed("dm", seed, seconds=seconds) for seed, seconds in enumerate((10.0, 30.0))]
    scores = [make_evaluated(sets[0], [0.5], protocol="dc"), *(make_evaluated(made, [0.5]) for made in sets)]
    (table,) = took_tables(cells([*sets, *scores]))
    assert [row[list(table.columns).index("Condense s")] for row in table.rows] == ["20"]


def test_columns_of_experts_only_where_there_are_some(make_cells):
    (table,) = took_tables(make_cells({"dm": [0.5]}))
    assert list(table.columns) == ["IPC", "Method", "Stored", "Size", "Condense s", "Condense peak"]
    assert table.rows[0][-1] == "–"  # no memory was recorded
    assert not any(line.startswith(("Experts", "Peak")) for line in table.captions)


def test_rows_of_one_name_say_which_settings_differ_and_other_networks_have_a_table(make_condensed, make_evaluated):
    sets = [make_condensed(), make_condensed(resolved={"settings": {"lr": 0.5}})]
    sets.append(make_condensed(resolved={"architecture": "convnet3-bn"}))
    labels = [{}, {}, {"condense_architecture": "convnet3-bn"}]
    scores = [make_evaluated(made, [0.5], display=display) for made, display in zip(sets, labels, strict=True)]
    tables = took_tables(cells([*sets, *scores]))
    assert {table.title.rpartition(" ")[2]: sorted(row[1] for row in table.rows) for table in tables} == {
        "convnet3": ["DM [lr=0.5]", "DM [lr=1.0]"],
        "convnet3-bn": ["DM"],
    }


def test_costs_of_two_devices_do_not_share_a_table(make_condensed, make_evaluated):
    slow = {"environment": {"device": "cpu EPYC", "threads": 2}}
    sets = [make_condensed("dm"), make_condensed("dc"), make_condensed("idm", **slow)]
    scores = [make_evaluated(made, [0.5], **more) for made, more in zip(sets, ({}, {}, slow), strict=True)]
    (table,) = took_tables(cells([*sets, *scores]))
    assert {row[1]: row[-2] for row in table.rows} == {"DC": "1.0", "DM": "1.0", "IDM": "‡"}
    assert any("Seconds and memory shown for NVIDIA H100, fp32 only" in line for line in table.captions)


def test_sets_condensed_elsewhere_have_no_costs(make_condensed, make_evaluated):
    assert took_tables(cells([make_evaluated(make_condensed(), [0.5])])) == []


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
    (table,) = took_tables(cells([here, given, make_evaluated(here, [0.5]), make_evaluated(foreign, [0.5])]))
    assert {row[1]: row[2:] for row in table.rows} == {
        "DM": ["100", "0.977 KiB", "1.0", "–"],
        "DC": ["100", "0.977 KiB", "–", "–"],
    }
