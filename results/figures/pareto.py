"""Accuracy against total seconds: what an accuracy costs, and the Pareto front, one figure a dataset, ipc, protocol."""

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
    condense_architecture,
    groups,
    is_demonstration,
    is_native,
    is_whole,
    protocol_of,
    rows_of,
)
from results.aggregation.naming import names
from results.figures.style import (
    COLUMN,
    FAINT,
    INK,
    Look,
    Looks,
    legend_above,
    legend_height,
    log_seconds,
    new_figure,
    span,
    styled,
)
from results.formatting import short
from results.tables.captions import main_device
from results.types import Cell

FRONT = "Pareto front"
SECONDS = "Total seconds: prepare + condense + evaluate (log)"


@dataclass(frozen=True)
class Point:
    """A row: the mean seconds of one set, experts in full or shared among the sets that use them, and its accuracy.

    sd: over sets, nan with one set. Accuracies are fractions.
    """

    name: str
    seconds: float
    shared_seconds: float
    accuracy: float
    sd: float


@dataclass(frozen=True)
class Trade:
    """The points of one dataset, ipc, protocol, pair of networks and share of the training images withheld.

    wholes: of the whole training set, mostly one.
    """

    dataset: str
    ipc: int
    condense_architecture: str
    architecture: str
    protocol: str
    val_fraction: float
    title: str
    facts: tuple[str, ...]
    points: tuple[Point, ...]
    wholes: tuple[Point, ...]


def trades(cells: pd.DataFrame) -> tuple[list[Trade], list[str]]:
    """The figures of these cells (`aggregate.cells`), and why others are not drawn.

    Rows that took their time on another device or in another precision than most are left out of a figure, which says
    so. Rows with different fractions withheld do not compare, and under `native` none do: there is no figure.
    """
    found: list[Trade] = []
    missing: list[str] = []
    for rows in groups(rows_of(cells), _place):
        scored = [(name, row) for name, row in zip(names(rows), rows, strict=True) if row["sets"]]
        if not scored:
            continue
        if is_native(rows[0]):
            missing.append(f"{_where(rows)}: each method stands on its own protocol, so they share no front")
            continue
        for ipc in sorted({int(row["ipc"]) for _, row in scored if not is_whole(row)}):
            trade = _trade(ipc, [(name, row) for name, row in scored if is_whole(row) or row["ipc"] == ipc])
            if trade.points:
                found.append(trade)
            else:
                missing.append(f"{_where(rows)}, ipc {ipc}: the seconds of no row are known ({trade.facts[-1]})")
    return found, missing


def _place(row: Cell) -> tuple[Any, ...]:
    return row["dataset"], row["architecture"], *protocol_of(row), row["val_fraction"]


def _where(rows: Sequence[Cell]) -> str:
    return f"accuracy against seconds, {', '.join([rows[0]['dataset_title'], *circumstances(rows)])}"


def _trade(ipc: int, named: Sequence[tuple[str, Cell]]) -> Trade:
    rows = [row for _, row in named]
    ours = [row for row in rows if not is_whole(row)]
    device = main_device(ours) or (ours[0]["devices"], ours[0]["precisions"])
    points: list[Point] = []
    wholes: list[Point] = []
    left_out: dict[str, list[str]] = {}
    for name, row in named:
        reason = _reason(row, device)
        if reason:
            left_out.setdefault(reason, []).append(name)
        else:
            (wholes if is_whole(row) else points).append(_point(name, row))
    first, network = ours[0], condense_architecture(rows)
    reasons = [f"Not shown, {reason}: {', '.join(names)}" for reason, names in left_out.items()]
    return Trade(
        first["dataset"],
        ipc,
        network,
        first["architecture"],
        first["protocol"],
        float(first["val_fraction"]),
        f"Accuracy against total seconds: {first['dataset_title']}, ipc {ipc}",
        (*_facts(ours, network, device), *reasons),
        tuple(points),
        tuple(wholes),
    )


def _reason(row: Cell, device: tuple[str, str]) -> str:
    """Why a row has no place in the figure, "" when it has one."""
    if (row["devices"], row["precisions"]) != device:
        return f"on {', '.join(filter(None, (row['devices'], row['precisions']))) or 'an unknown device'}"
    total = _total(row, "prepare_seconds")
    if math.isnan(total):
        return "seconds unknown"
    return "" if total > 0 else "no seconds recorded"


def _total(row: Cell, prepare: str) -> float:
    return float(row[prepare] + row["condense_seconds"] + row["evaluate_seconds"])


def _point(name: str, row: Cell) -> Point:
    totals = _total(row, "prepare_seconds"), _total(row, "prepare_shared")
    return Point(name, *totals, float(row["accuracy"]), float(row["sd"]))


def _facts(rows: Sequence[Cell], network: str, device: tuple[str, str]) -> list[str]:
    first = rows[0]
    sizes = " × ".join(span([row[name] for row in rows]) for name in ("sets", "networks"))
    lines = ["Demonstration on 8×8 digits: ranks no method"] if is_demonstration(first) else []
    lines.append(f"Protocol {first['protocol']} v{first['version']}")
    lines.append(f"condensed with {network}, evaluated with {first['architecture']}")
    lines.append(f"seeds × networks {sizes}; seconds of one set and all its networks")
    lines.append(", ".join(filter(None, device)) or "unknown device")
    lines += [f"withheld for validation: {short(100 * first['val_fraction'])} %"] if first["val_fraction"] else []
    return lines + _budget(rows)


def _budget(rows: Sequence[Cell]) -> list[str]:
    iterating = [row["iterations_fraction"] for row in rows if row["role"] == "method" and row["family"] != "coreset"]
    if not iterating or set(iterating) == {1.0}:
        return []
    return [f"{span([100 * fraction for fraction in iterating])} % of the papers' iterations"]


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats: none is as fast and better, or as good and faster. By seconds, rising."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.seconds, -point.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
        elif (point.seconds, point.accuracy) == (front[-1].seconds, front[-1].accuracy):
            front.append(point)  # neither beats its equal
    return front


def trade_figure(trade: Trade, looks: Looks) -> Figure:
    """One column wide. Bars: ± sd over sets; a thin line to the left ends where experts are shared."""
    points = [*trade.points, *trade.wholes]
    names = [*(point.name for point in points), FRONT]
    height = 2.2 + legend_height(names, COLUMN)
    with styled():
        figure = new_figure(COLUMN, height, trade.title, [*trade.facts, *_reading(trade)])
        axes = figure.add_subplot()
        log_seconds(axes, [value for point in points for value in (point.seconds, _shared(point))], SECONDS)
        _draw_front(axes, pareto(trade.points))
        for point in points:
            _draw(axes, point, looks[point.name])
        for whole in trade.wholes:
            axes.axhline(100 * whole.accuracy, color=INK, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1.2)
        axes.set_ylabel("Test accuracy (%)")
        axes.margins(y=0.08)
        legend_above(axes, COLUMN, names)
    return figure


def _draw_front(axes: Axes, front: Sequence[Point]) -> None:
    """A stair, as what a front reaches it keeps, and to the right edge."""
    x = [*(point.seconds for point in front), axes.get_xlim()[1]]
    y = [100 * point.accuracy for point in (*front, front[-1])]
    axes.plot(x, y, drawstyle="steps-post", color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label=FRONT, zorder=1.5)


def _draw(axes: Axes, point: Point, look: Look) -> None:
    y = 100 * point.accuracy
    if _shared(point) < point.seconds:
        axes.plot([_shared(point), point.seconds], [y, y], color=look.colour, linewidth=0.7, marker="|", markevery=[0])
    bar = None if math.isnan(point.sd) else 100 * point.sd
    style = {**look.plot(5), "linestyle": "none", "elinewidth": 0.8, "capsize": 1.5}
    axes.errorbar([point.seconds], [y], yerr=bar, label=point.name, zorder=3, **style)


def _shared(point: Point) -> float:
    return point.seconds if math.isnan(point.shared_seconds) else point.shared_seconds


def _reading(trade: Trade) -> list[str]:
    points = trade.points
    return [
        *(["bars: ± sd over sets"] if any(not math.isnan(point.sd) for point in points) else []),
        *(["line to the left: experts shared"] if any(_shared(p) < p.seconds for p in points) else []),
        *(f"{whole.name} is no part of the front" for whole in trade.wholes),
    ]
