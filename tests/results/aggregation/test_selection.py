"""Which rows and columns a report has, and their order: from hand-made cells, through the tables that show them."""

from __future__ import annotations

import pandas as pd
import pytest
from table_parts import entries, heads
from table_parts import ranks as ranks_of

from results.aggregation.cells import cells
from results.aggregation.options import Options
from results.aggregation.selection import select
from results.errors import ResultsError
from results.tables.accuracy import matrices
from results.tables.across import network_tables, protocol_tables
from results.tables.comparison import comparison_tables

LOW, MIDDLE, HIGH = [0.30, 0.31, 0.29], [0.50, 0.52, 0.51], [0.60, 0.61, 0.62]


@pytest.fixture
def grid(make_cells, make_evaluated):
    """Two datasets, two ipcs, four methods, controls, two protocols and two evaluation networks."""
    means = {"random": LOW, "random@f2": LOW, "dc": MIDDLE, "dm": HIGH, "dm@f2": MIDDLE, "dance (alignment=off)": HIGH}
    frames = [
        make_cells(means, dataset=dataset, condensed={"ipc": ipc},
                   evaluated={"protocol": protocol, "resolved": {"architecture": network}})
        for dataset in ("cifar10", "svhn") for ipc in (1, 10)
        for protocol in ("dc", "dsa") for network in ("convnet3", "resnet10-bn")
    ]  # fmt: skip
    wholes = [make_evaluated(None, [0.8], dataset=dataset, protocol="dsa") for dataset in ("cifar10", "svhn")]
    return pd.concat([*frames, cells(wholes)])


def rows(frame):
    return set(frame["display_name"])


@pytest.mark.parametrize(
    ("methods", "baselines", "expected"),
    [
        ((), ("random", "whole"), {"random", "random@f2", "dc", "dm", "dm@f2", "dance (alignment=off)", "whole"}),
        (("dm",), ("random", "whole"), {"random", "random@f2", "dm", "dm@f2", "whole"}),
        (("dm*",), (), {"dm", "dm@f2"}),
        (("dance*", "dc"), ("whole",), {"dance (alignment=off)", "dc", "whole"}),
        (("random@f2", "whole"), (), {"random@f2", "whole"}),
        ((), (), {"dc", "dm", "dm@f2", "dance (alignment=off)"}),
    ],
)
def test_rows_are_chosen_by_patterns_of_their_names(grid, methods, baselines, expected):
    assert rows(select(grid, Options(methods=methods, baselines=baselines))) == expected


def test_columns_are_in_the_order_of_the_options(grid):
    kept = select(grid, Options(datasets=("svhn", "cifar10"), ipcs=(10, 1), protocols=("dsa",)))
    assert list(dict.fromkeys(kept["dataset"])) == ["svhn", "cifar10"] and set(kept["protocol"]) == {"dsa"}
    found = [[column.heads[:2] for column in matrix.columns[1:]] for matrix in matrices(kept, Options(ipcs=(10, 1)))]
    assert found[0] == [("svhn", "10"), ("svhn", "1"), ("cifar10", "10"), ("cifar10", "1")]
    usual = [("cifar10", "1"), ("cifar10", "10"), ("svhn", "1"), ("svhn", "10")]
    assert [column.heads[:2] for column in matrices(select(grid, Options()))[0].columns[1:]] == usual


def test_networks_and_protocols_are_across_in_the_order_of_the_options(grid):
    options = Options(eval_architectures=("resnet10-bn", "convnet3"), protocols=("dsa", "dc"))
    kept = select(grid, options)
    assert heads(network_tables(kept, options)[0])[3:] == ["resnet10-bn", "convnet3"]
    assert heads(protocol_tables(kept, options)[0])[3:] == ["dsa", "dc"]
    usual = select(grid, Options())
    assert heads(network_tables(usual)[0])[3:] == ["convnet3", "resnet10-bn"]
    assert heads(protocol_tables(usual)[0])[3:] == ["dc", "dsa"]


def test_the_whole_set_belongs_to_every_condensing_network(grid):
    assert "whole" in rows(select(grid, Options(architectures=("convnet3",))))


@pytest.mark.parametrize(
    ("options", "what", "known"),
    [
        (Options(methods=("dnc",)), "'dnc' among its methods. Did you mean 'dc'?", "dm@f2"),
        (Options(methods=("dm", "idm*")), "'idm*' among its methods", "dance (alignment=off)"),
        (Options(datasets=("cifar",)), "Did you mean 'cifar10'?", "cifar10, svhn"),
        (Options(ipcs=(1, 5)), "5 among its ipcs", "known: 1, 10"),
        (Options(protocols=("das",)), "Did you mean 'dsa'?", "dc, dsa"),
        (Options(architectures=("vgg11",)), "'vgg11' among its architectures", "convnet3"),
        (Options(eval_architectures=("vgg11",)), "'vgg11' among its eval_architectures", "resnet10-bn"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(grid, options, what, known):
    with pytest.raises(ResultsError) as caught:
        select(grid, options)
    assert what in caught.value.what and known in caught.value.next


def test_options_that_leave_nothing_are_an_error(make_cells):
    both = pd.concat([make_cells({"dm": HIGH}), make_cells({"dc": LOW}, condensed={"ipc": 1})])
    with pytest.raises(ResultsError, match="no stored cell matches all of these options") as caught:
        select(both, Options(methods=("dm",), ipcs=(1,)))
    assert "methods=['dm']" in caught.value.where and "ipcs=[1]" in caught.value.where


# --- the order of rows ------------------------------------------------------------------------------------------------

ORDERS = {
    "family": ["RANDOM", "RANDOM@f2", "DC", "DANCE (alignment=off)", "DM", "DM@f2"],
    "name": ["DANCE (alignment=off)", "DC", "DM", "DM@f2", "RANDOM", "RANDOM@f2"],
    "accuracy": ["DANCE (alignment=off)", "DM", "DC", "DM@f2", "RANDOM", "RANDOM@f2"],
    "listed": ["RANDOM", "RANDOM@f2", "DM", "DM@f2", "DC", "DANCE (alignment=off)"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders_of_rows_in_matrices_and_flat_tables(grid, order):
    options = Options(order=order, methods=("dm*", "dc", "dance*") if order == "listed" else ())
    kept = select(grid, options)
    (matrix,) = [m for m in matrices(kept, options) if m.label == "dsa-v1-convnet3-convnet3"]
    assert list(entries(matrix)) == [*ORDERS[order], "WHOLE"]
    assert (len(matrix.blocks) == 2) == (order != "family")
    tables = [t for t in comparison_tables(kept, options) if t.title.endswith("evaluated with convnet3, protocol dsa")]
    names = [(row[0], row[2]) for row in tables[0].texts()]
    assert names == [(ipc, name) for ipc in ("1", "10") for name in ORDERS[order]] + [("all", "WHOLE")]


def test_order_by_accuracy_uses_the_columns_that_all_rows_have(make_cells):
    """DC is better where both are, DM has a second, easy column; what has no number at all is last."""
    frames = [make_cells({"dm": MIDDLE, "dc": HIGH}), make_cells({"dm": [0.9, 0.91, 0.92]}, dataset="svhn")]
    (matrix,) = matrices(pd.concat(frames), Options(order="accuracy"))
    assert list(entries(matrix)) == ["DC", "DM"]


# --- highlighting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("highlight", "ranks", "caption"),
    [
        (
            "significance",
            {"DM": "best", "IDM": "best", "DC": "second", "RANDOM": ""},
            "second best: tested.",
        ),
        ("mean", {"DM": "best", "IDM": "second", "DC": "", "RANDOM": ""}, "second best: highest means, not tested."),
        ("none", {"DM": "", "IDM": "", "DC": "", "RANDOM": ""}, ""),
    ],
)
def test_what_is_highlighted(make_cells, highlight, ranks, caption):
    close = [0.59, 0.62, 0.61]
    frame = make_cells({"random": LOW, "dm": HIGH, "idm": close, "dc": MIDDLE})
    (matrix,) = matrices(frame, Options(highlight=highlight))
    assert {name: row[0].rank for name, row in entries(matrix).items()} == ranks
    text = " ".join(matrix.captions)
    assert caption in text and ("second best" in text) == bool(caption)
    (table,) = comparison_tables(frame, Options(highlight=highlight))
    assert sorted(ranks_of(table).values()) == sorted(filter(None, ranks.values()))


def test_the_highest_mean_is_marked_wherever_it_is_asked_for_with_its_caveat(make_cells):
    options = Options(highlight="mean")
    for changes in ({"dataset": "digits"}, {"evaluated": {"protocol": "native"}}):
        (matrix,) = matrices(make_cells({"random": LOW, "dm": HIGH}, **changes), options)
        ranks = {name: row[0].rank for name, row in entries(matrix).items()}
        assert ranks == {"DM": "best", "RANDOM": "second"}
        assert "highest means, not tested" in " ".join(matrix.captions)
    (table,) = comparison_tables(make_cells({"random": [0.2], "dm": [0.9]}), options)
    assert sorted(ranks_of(table).values()) == ["best", "second"]
    short = make_cells({"random": LOW, "dm": HIGH}, condensed={"display": {"iterations_fraction": 0.01}})
    (table,) = comparison_tables(short, options)
    assert ranks_of(table) and "Ranks nothing: too few iterations." in " ".join(table.captions)
