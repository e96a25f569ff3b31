"""Accuracy against total seconds with the Pareto front: one figure for each dataset, ipc, protocol and networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.aggregation.grouping import (
    circumstances,
    comparison_key,
    condense_architecture,
    groups,
    is_demonstration,
    is_native,
    is_whole,
    rows_of,
)
from results.aggregation.naming import names
from results.aggregation.row_styles import RowStyle, RowStyles
from results.figures.style import (
    COLUMN,
    FAINT,
    INK,
    legend_above,
    legend_height,
    log_seconds,
    new_figure,
    styled,
)
from results.formatting import short, value_range
from results.tables.captions import iterates, main_device
from results.types import Cell

FRONT = "Pareto front"
SECONDS = "Total seconds: prepare + condense + evaluate (log)"


@dataclass(frozen=True)
class CostPoint:
    """The accuracy of a row and the mean seconds of one of its sets, with experts in full or shared among their sets.

    Accuracies are fractions. sd: over sets, nan for a single set.
    """

    name: str
    seconds: float
    shared_seconds: float
    accuracy: float
    sd: float


@dataclass(frozen=True)
class TradeOff:
    """The points of one dataset, ipc, protocol, pair of networks and withheld fraction of the training images.

    wholes: of the whole training set, usually one.
    """

    dataset: str
    ipc: int
    condense_architecture: str
    architecture: str
    protocol: str
    val_fraction: float
    title: str
    facts: tuple[str, ...]
    points: tuple[CostPoint, ...]
    wholes: tuple[CostPoint, ...]


def trade_offs(cells: pd.DataFrame) -> tuple[list[TradeOff], list[str]]:
    """The figures of these `aggregation.cells`, and a line on each that is not drawn.

    Rows of another device or precision than most are left out of a figure, and its facts name them. Rows with different
    withheld fractions have different figures. Rows under `native` are not comparable and have none.
    """
    figures: list[TradeOff] = []
    missing: list[str] = []
    for rows in groups(rows_of(cells), _figure_key):
        scored = [(name, row) for name, row in zip(names(rows), rows, strict=True) if row["sets"]]
        if not scored:
            continue
        what = f"accuracy against seconds, {', '.join([rows[0]['dataset_title'], *circumstances(rows)])}"
        if is_native(rows[0]):
            missing.append(f"{what}: each method uses its own protocol, so they have no common front")
            continue
        for ipc in sorted({int(row["ipc"]) for _, row in scored if not is_whole(row)}):
            trade_off = _trade_off(ipc, [(name, row) for name, row in scored if is_whole(row) or row["ipc"] == ipc])
            if trade_off.points:
                figures.append(trade_off)
            else:
                missing.append(f"{what}, ipc {ipc}: the seconds of all rows are unknown ({trade_off.facts[-1]})")
    return figures, missing


def _figure_key(row: Cell) -> tuple[Any, ...]:
    return *comparison_key(row), row["val_fraction"]


def _trade_off(ipc: int, named_rows: Sequence[tuple[str, Cell]]) -> TradeOff:
    sets = [row for _, row in named_rows if not is_whole(row)]
    device = main_device(sets) or (sets[0]["devices"], sets[0]["precisions"])
    points: list[CostPoint] = []
    wholes: list[CostPoint] = []
    left_out: dict[str, list[str]] = {}
    for name, row in named_rows:
        if reason := _exclusion(row, device):
            left_out.setdefault(reason, []).append(name)
        else:
            (wholes if is_whole(row) else points).append(_point(name, row))
    first, network = sets[0], condense_architecture(sets)
    exclusions = [f"Not shown, {reason}: {', '.join(excluded)}" for reason, excluded in left_out.items()]
    return TradeOff(
        first["dataset"],
        ipc,
        network,
        first["architecture"],
        first["protocol"],
        float(first["val_fraction"]),
        f"Accuracy against total seconds: {first['dataset_title']}, ipc {ipc}",
        (*_facts(sets, network, device), *exclusions),
        tuple(points),
        tuple(wholes),
    )


def _exclusion(row: Cell, device: tuple[str, str]) -> str:
    """Why a row is not in the figure, or "" if it is."""
    if (row["devices"], row["precisions"]) != device:
        return f"on {', '.join(filter(None, (row['devices'], row['precisions']))) or 'an unknown device'}"
    total = _total(row, "prepare_seconds")
    if math.isnan(total):
        return "seconds unknown"
    return "" if total > 0 else "no seconds recorded"


def _total(row: Cell, prepare: str) -> float:
    return float(row[prepare] + row["condense_seconds"] + row["evaluate_seconds"] + row["tuning_seconds"])


def _point(name: str, row: Cell) -> CostPoint:
    totals = _total(row, "prepare_seconds"), _total(row, "prepare_shared")
    return CostPoint(name, *totals, float(row["accuracy"]), float(row["sd"]))


def _facts(rows: Sequence[Cell], network: str, device: tuple[str, str]) -> list[str]:
    first = rows[0]
    sizes = " × ".join(value_range([row[name] for row in rows]) for name in ("sets", "networks"))
    facts = ["Demonstration on 8×8 digits: does not rank methods"] if is_demonstration(first) else []
    facts.append(f"Protocol {first['protocol']} v{first['version']}")
    facts.append(f"condensed with {network}, evaluated with {first['architecture']}")
    tuned = ", and of all trials of tuning" if any(row["tuning"] for row in rows) else ""
    facts.append(f"seeds × networks {sizes}; seconds of one set and all its networks{tuned}")
    facts.append(", ".join(filter(None, device)) or "unknown device")
    facts += [f"withheld for validation: {short(100 * first['val_fraction'])} %"] if first["val_fraction"] else []
    return facts + _budget(rows)


def _budget(rows: Sequence[Cell]) -> list[str]:
    fractions = [row["iterations_fraction"] for row in rows if iterates(row)]
    if not fractions or set(fractions) == {1.0}:
        return []
    return [f"{value_range([100 * fraction for fraction in fractions])} % of the methods' iterations"]


def pareto(points: Sequence[CostPoint]) -> list[CostPoint]:
    """The points that no other one beats, by rising seconds: none is as fast and better, or as good and faster."""
    front: list[CostPoint] = []
    for point in sorted(points, key=lambda point: (point.seconds, -point.accuracy)):
        equal = front and (point.seconds, point.accuracy) == (front[-1].seconds, front[-1].accuracy)
        if not front or equal or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def trade_off_figure(trade_off: TradeOff, styles: RowStyles) -> Figure:
    """Error bars: ± sd over sets. A thin line to the left ends at the seconds with shared experts."""
    points = [*trade_off.points, *trade_off.wholes]
    names = [*(point.name for point in points), FRONT]
    height = 2.2 + legend_height(names, COLUMN)
    with styled():
        figure = new_figure(COLUMN, height, trade_off.title, [*trade_off.facts, *_legend_facts(trade_off)])
        axes = figure.add_subplot()
        log_seconds(axes, [value for point in points for value in (point.seconds, _shared_seconds(point))], SECONDS)
        _draw_front(axes, pareto(trade_off.points))
        for point in points:
            _draw_point(axes, point, styles[point.name])
        for whole in trade_off.wholes:
            axes.axhline(100 * whole.accuracy, color=INK, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1.2)
        axes.set_ylabel("Test accuracy (%)")
        axes.margins(y=0.08)
        legend_above(axes, COLUMN, names)
    return figure


def _draw_front(axes: Axes, front: Sequence[CostPoint]) -> None:
    """Steps to the right edge: an accuracy that was reached stays reached."""
    x = [*(point.seconds for point in front), axes.get_xlim()[1]]
    y = [100 * point.accuracy for point in (*front, front[-1])]
    axes.plot(x, y, drawstyle="steps-post", color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label=FRONT, zorder=1.5)


def _draw_point(axes: Axes, point: CostPoint, style: RowStyle) -> None:
    y, shared = 100 * point.accuracy, _shared_seconds(point)
    if shared < point.seconds:
        axes.plot([shared, point.seconds], [y, y], color=style.color, linewidth=0.7, marker="|", markevery=[0])
    sd = 100 * point.sd
    error = None if math.isnan(sd) else [[min(sd, y)], [min(sd, 100 - y)]]
    options = {**style.plot(5), "linestyle": "none", "elinewidth": 0.8, "capsize": 1.5}
    axes.errorbar([point.seconds], [y], yerr=error, label=point.name, zorder=3, **options)


def _shared_seconds(point: CostPoint) -> float:
    return point.seconds if math.isnan(point.shared_seconds) else point.shared_seconds


def _legend_facts(trade_off: TradeOff) -> list[str]:
    points = trade_off.points
    return [
        *(["bars: ± sd over sets"] if any(not math.isnan(point.sd) for point in points) else []),
        *(["line to the left: experts shared"] if any(_shared_seconds(p) < p.seconds for p in points) else []),
        *(f"{whole.name} is not part of the front" for whole in trade_off.wholes),
    ]
