"""Tables of networks and protocols from hand-made records: columns, rows, marks and captions."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from table_parts import heads, mean

from results.aggregation.cells import cells
from results.aggregation.grouping import norm_of
from results.aggregation.options import Options
from results.rendering.text import to_markdown
from results.tables.across import network_tables, protocol_tables

HIGH = [0.60, 0.61, 0.62, 0.61, 0.60]
LOW = [0.50, 0.52, 0.51, 0.50, 0.51]
RANDOM = [0.30, 0.31, 0.29, 0.30, 0.32]
NETWORKS = ("convnet3", "densenet121-g12-bn", "resnet10-bn")


@pytest.fixture
def make_crossed(make_cells, make_evaluated):
    """Cells of {network: {row: set means}} at one ipc."""

    def make(networks, ipc=10, **more):
        frames = [
            make_cells(means, condensed={"ipc": ipc, **more.get("condensed", {})},
                       evaluated={"resolved": {"architecture": network}, **more.get("evaluated", {})})
            for network, means in networks.items()
        ]  # fmt: skip
        return pd.concat(frames)

    return make


def shown(across):
    """(ipc, name) → "mean rank remark" of each column, without the whole set."""
    return {
        (f"{ipc.value:.0f}", name.value): [f"{mean(e)} {e.rank}{e.words}".strip() for e in entries]
        for ipc, _, name, *entries in across.rows
        if ipc.value < math.inf
    }


def test_networks_are_across_and_each_is_ranked_by_itself(make_crossed):
    means = {"random": RANDOM, "dm": HIGH, "dc": LOW}
    swapped = {"random": RANDOM, "dm": LOW, "dc": HIGH}
    frame = make_crossed({"resnet10-bn": swapped, "convnet3": means, "densenet121-g12-bn": {"random": HIGH, "dm": LOW}})
    (table,) = network_tables(frame)
    assert heads(table)[3:] == ["convnet3", "resnet10-bn", "densenet121-g12-bn"]
    assert shown(table) == {
        ("10", "RANDOM"): ["30.4", "30.4", "60.8 best"],
        ("10", "DC"): ["50.8 second", "60.8 best", "–"],
        ("10", "DM"): ["60.8 best", "50.8 second", "50.8 n.s."],
    }


def test_ipcs_are_groups_of_rows_with_the_whole_set_below(make_crossed, make_evaluated):
    wholes = [make_evaluated(None, [0.8, 0.9], resolved={"architecture": network}) for network in NETWORKS[:2]]
    both = {network: {"dm": HIGH} for network in NETWORKS[:2]}
    frame = pd.concat([make_crossed(both, 50), make_crossed(both, 1), cells(wholes)])
    (table,) = network_tables(frame)
    assert [len(block.rows) for block in table.blocks] == [1, 1, 1]
    text = to_markdown(table)
    assert "| IPC | Ratio % | Method | convnet3 | densenet121-g12-bn |" in text
    assert "| all | 100 | WHOLE | 85.0 ± 7.1† | 85.0 ± 7.1† |" in text
    assert "| 1 | 0.02 | DM | 60.8 ± 0.8 | 60.8 ± 0.8 |" in text
    assert text.index("| 1 | 0.02 |") < text.index("| 50 | 1 |") < text.index("| all |")


def test_the_caption_names_the_norms_of_both_networks(make_crossed):
    (table,) = network_tables(make_crossed({network: {"dm": HIGH} for network in NETWORKS}))
    norms = "evaluated with instance norm (convnet3), batch norm (densenet121-g12-bn, resnet10-bn)."
    assert f"Condensed with instance norm, {norms}" in table.captions[1]


@pytest.mark.parametrize(
    ("name", "norm"),
    [("convnet3", "instance"), ("convnet3-bn-w64", "batch"), ("convnet3-w64-none", "no"), ("convnet2-ln", "layer"),
     ("convnet2-gn-w4", "group"), ("vgg11", "instance"), ("vgg11-bn", "batch"), ("resnet18", "instance"),
     ("resnet10-bn", "batch"), ("mlp", "no"), ("lenet", "no"), ("alexnet", "no"), ("alexnet-in", "instance"),
     ("densenet121-g12", "batch"), ("densenet121-g12-bn", "batch")],
)  # fmt: skip
def test_norms_are_read_off_names(name, norm):
    assert norm_of(name) == f"{norm} norm"


def test_one_network_is_no_crossing_even_if_another_failed(make_crossed, make_condensed, make_evaluated):
    assert network_tables(make_crossed({"convnet3": {"dm": HIGH}})) == []
    condensed = make_condensed("dc")
    bad = {"status": "diverged", "message": "nan", "resolved": {"architecture": "resnet10-bn"}}
    frame = cells([condensed, make_evaluated(condensed, [0.5]), make_evaluated(condensed, [0.5], **bad)])
    assert network_tables(frame) == []
    frame = pd.concat([frame, make_crossed({network: {"dm": HIGH} for network in NETWORKS[::2]})])
    (table,) = network_tables(frame, Options(explain_missing=True))
    assert shown(table)["10", "DC"] == ["50.0", "–"] and table.notes == ["diverged: nan"]
    (table,) = network_tables(frame)
    assert shown(table)["10", "DC"] == ["50.0", "–"] and table.notes == []


def test_a_table_for_each_dataset_condensing_network_and_protocol(make_crossed):
    pair = {network: {"dm": HIGH} for network in NETWORKS[:2]}
    other = {"resolved": {"architecture": "convnet3-bn"}}
    frames = [make_crossed(pair), make_crossed(pair, evaluated={"protocol": "dc"})]
    frames += [make_crossed(pair, condensed=other)]
    frames[-1]["condense_architecture"] = "convnet3-bn"
    crosses = network_tables(pd.concat(frames))
    assert [table.title.partition("across, ")[2] for table in crosses] == [
        "condensed with convnet3, protocol dsa",
        "condensed with convnet3, protocol dc",
        "condensed with convnet3-bn, protocol dsa",
    ]


def protocols(make_cells, means, *names, **more):
    return pd.concat([
        make_cells(means, evaluated={"protocol": name, "recipe": "native:dsa" if name == "native" else name}, **more)
        for name in names
    ])  # fmt: skip


def test_protocols_are_side_by_side_and_native_ranks_nothing(make_cells):
    (table,) = protocol_tables(
        protocols(make_cells, {"random": RANDOM, "dm": HIGH, "dc": RANDOM[::-1]}, "native", "dc", "dsa")
    )
    assert heads(table)[3:] == ["dc", "dsa", "native"]
    assert shown(table) == {
        ("10", "RANDOM"): ["30.4", "30.4", "30.4"],
        ("10", "DC"): ["30.4 n.s.", "30.4 n.s.", "30.4"],
        ("10", "DM"): ["60.8 best", "60.8 best", "60.8"],
    }
    text = " ".join(table.captions)
    assert "Protocol dc v1, dsa v1. Protocol native: rows do not compare, as each method uses its own" in text


def test_native_alone_across_networks_is_shown_without_an_order(make_crossed):
    pair = {network: {"random": RANDOM, "dm": HIGH} for network in NETWORKS[:2]}
    (table,) = network_tables(make_crossed(pair, evaluated={"protocol": "native", "recipe": "native:dsa"}))
    assert shown(table) == {("10", "RANDOM"): ["30.4", "30.4"], ("10", "DM"): ["60.8", "60.8"]}
    assert not any(word in " ".join(table.captions) for word in ("marked", "n.s."))


def test_one_protocol_gives_no_table_and_two_versions_of_one_have_their_own_columns(make_cells):
    assert protocol_tables(make_cells({"dm": HIGH})) == []
    second = make_cells({"dm": LOW}, evaluated={"resolved": {"protocol": {"name": "dsa", "version": 2}}})
    (table,) = protocol_tables(pd.concat([make_cells({"dm": HIGH}), second]))
    assert table.captions[0].startswith("Protocol dsa v1, dsa v2.")
    assert heads(table)[3:] == ["dsa v1", "dsa v2"] and shown(table) == {("10", "DM"): ["60.8", "50.8"]}


def test_columns_without_an_order_or_with_unequal_budgets_are_named(make_cells):
    both = {"random": RANDOM, "dm": HIGH}
    short = protocols(make_cells, both, "dsa", condensed={"display": {"iterations_fraction": 0.01}})
    full = protocols(make_cells, both, "dc", "idc")
    half = protocols(make_cells, {"dc": LOW}, "dc", condensed={"display": {"iterations_fraction": 0.5}})
    (table,) = protocol_tables(pd.concat([short, full, half]))
    text = " ".join(table.captions)
    assert "Not ranked for dsa at ipc 10: " in text
    assert "Budgets differ for dc at ipc 10. " in text


def test_nothing_gives_no_table():
    assert network_tables(cells([])) == protocol_tables(cells([])) == []
