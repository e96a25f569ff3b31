"""Accuracy against total seconds: which rows share a figure, what is drawn of them, and the Pareto front."""

from __future__ import annotations

import math
import random

import pytest

from figure_records import drawn_points
from results.aggregation.cells import cells
from results.aggregation.row_styles import row_styles
from results.figures.pareto import FRONT, CostPoint, pareto, trade_off_figure, trade_offs
from results.figures.style import title_and_facts


def figure_of(trade_off):
    return trade_off_figure(
        trade_off, row_styles([p.name for p in trade_off.points], [p.name for p in trade_off.wholes])
    )


@pytest.fixture
def make_store(make_expert, make_condensed, make_evaluated):
    """DM and DANCE, two sets each and DANCE with two experts, and the whole set."""

    def make(**more):
        experts = [make_expert(index, seconds=30.0) for index in range(2)]
        used = {"experts": [expert["identity"] for expert in experts]}
        sets = [make_condensed("dm", seed, seconds=100.0 + 20 * seed) for seed in range(2)]
        sets += [make_condensed("dance", seed, seconds=10.0, resolved=used) for seed in range(2)]
        scores = [make_evaluated(s, [0.4, 0.5 + 0.1 * s["resolved"]["seed"]], seconds=7.0, **more) for s in sets]
        return [*experts, *sets, *scores, make_evaluated(None, [0.9], seconds=500.0, **more)]

    return make


def test_a_point_is_all_seconds_of_a_set_and_its_accuracy_in_percent(make_store):
    (trade_off,), missing = trade_offs(cells(make_store()))
    assert not missing
    dm, dance = sorted(trade_off.points, key=lambda point: point.name, reverse=True)
    assert (dm.name, dm.seconds, dm.shared_seconds) == ("DM", 117.0, 117.0)
    assert (dance.name, dance.seconds, dance.shared_seconds) == ("DANCE", 77.0, 47.0)
    assert dm.accuracy == pytest.approx(0.475) and dm.sd == pytest.approx(0.05 / math.sqrt(2))
    figure = figure_of(trade_off)
    (axes,) = figure.axes
    points = drawn_points(axes)
    assert points["DM"] == [(117.0, pytest.approx(47.5))] and points["WHOLE"] == [(500.0, pytest.approx(90.0))]
    assert axes.get_xscale() == "log" and "seconds" in axes.get_xlabel() and "%" in axes.get_ylabel()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["DANCE", "DM", "WHOLE", FRONT]
    shared = [list(line.get_xdata()) for line in axes.get_lines()]
    assert [47.0, 77.0] in shared


def test_the_facts_name_protocol_sample_and_hardware(make_store):
    (trade_off,), _ = trade_offs(cells(make_store()))
    title, facts = title_and_facts(figure_of(trade_off))
    assert title == "Accuracy against total seconds: cifar10, ipc 10"
    text = " ".join(facts)
    for fact in ("Protocol dsa v1", "convnet3", "seeds × networks 2 × 2", "NVIDIA H100", "fp32", "experts shared"):
        assert fact in text
    assert "Demonstration" not in text and "iterations" not in text


def test_the_facts_name_a_reduced_budget_and_the_digits(make_condensed, make_evaluated):
    condensed = make_condensed("dm", dataset="digits", display={"iterations_fraction": 0.02})
    (trade_off,), _ = trade_offs(cells([condensed, make_evaluated(condensed, [0.5], dataset="digits")]))
    assert "Demonstration on 8×8 digits: does not rank methods" in trade_off.facts
    assert "2 % of the methods' iterations" in trade_off.facts


def test_each_dataset_ipc_protocol_and_share_withheld_has_its_own_figure(make_condensed, make_evaluated):
    records = []
    for dataset, ipc, share in (("cifar10", 1, 0.0), ("cifar10", 10, 0.0), ("svhn", 1, 0.0), ("cifar10", 1, 0.1)):
        same = {"dataset": dataset, "resolved": {"val_fraction": share}}
        condensed = make_condensed("dm", ipc=ipc, **same)
        scores = [make_evaluated(condensed, [0.5], protocol=protocol, **same) for protocol in ("dc", "dsa")]
        records += [condensed, *scores]
    figures, missing = trade_offs(cells(records))
    keys = {(t.dataset, t.ipc, t.protocol, t.val_fraction) for t in figures}
    assert len(figures) == len(keys) == 8 and not missing
    assert all(len(t.points) == 1 for t in figures)


def test_other_devices_and_unknown_seconds_are_left_out_and_named(make_condensed, make_evaluated):
    records = []
    for row, device in (("dm", "NVIDIA H100"), ("dc", "NVIDIA H100"), ("idm", "NVIDIA A100")):
        condensed = make_condensed(row, environment={"device": device})
        records += [condensed, make_evaluated(condensed, [0.5], environment={"device": device})]
    lost = make_condensed("dance", resolved={"experts": ["e" * 64]}, environment={"device": "NVIDIA H100"})
    records += [lost, make_evaluated(lost, [0.6], environment={"device": "NVIDIA H100"})]
    (trade_off,), _ = trade_offs(cells(records))
    assert sorted(point.name for point in trade_off.points) == ["DC", "DM"]
    assert (
        "Not shown, on NVIDIA A100, fp32: IDM" in trade_off.facts
        and "Not shown, seconds unknown: DANCE" in trade_off.facts
    )


def test_native_protocols_share_no_figure(make_condensed, make_evaluated):
    condensed = make_condensed("dm")
    figures, (line,) = trade_offs(cells([condensed, make_evaluated(condensed, [0.5], protocol="native", recipe="dsa")]))
    assert not figures and "native" in line


def test_a_line_names_figures_without_known_seconds(make_condensed, make_evaluated):
    condensed = make_condensed("dance", resolved={"experts": ["e" * 64]})
    figures, (line,) = trade_offs(cells([condensed, make_evaluated(condensed, [0.5])]))
    assert not figures and "seconds unknown: DANCE" in line


def beaten(point, points):
    return any(
        other.seconds <= point.seconds
        and other.accuracy >= point.accuracy
        and (other.seconds, other.accuracy) != (point.seconds, point.accuracy)
        for other in points
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_front_is_what_brute_force_finds(seed):
    draw = random.Random(seed)
    points = [CostPoint(str(k), float(draw.randint(1, 8)), 0.0, draw.randint(1, 8) / 10, math.nan) for k in range(12)]
    front = pareto(points)
    assert {p.name for p in front} == {p.name for p in points if not beaten(p, points)}
    assert [p.seconds for p in front] == sorted(p.seconds for p in front)


def test_the_front_is_drawn_as_a_stair_to_the_right_edge(make_cells):
    (trade_off,), _ = trade_offs(make_cells({"dm": [0.5], "dc": [0.4]}))
    (axes,) = figure_of(trade_off).axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == FRONT]
    assert line.get_drawstyle() == "steps-post"
    assert drawn_points(axes)[FRONT] == [(2.0, pytest.approx(50.0)), (axes.get_xlim()[1], pytest.approx(50.0))]
