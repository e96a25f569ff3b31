"""Anytime curves: accuracy on the validation split against the seconds spent so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.aggregation.row_styles import RowStyles
from results.figures.mean_lines import MeanLine, StepValues, bands, draw_level, draw_line, mean_line
from results.figures.sets import (
    Scenario,
    StoredSet,
    analyses,
    analysis_key,
    machine,
    protocol_text,
    try_to_build,
)
from results.figures.style import (
    COLUMN,
    PAGE,
    legend_above,
    legend_beside,
    legend_height,
    log_from_zero,
    new_figure,
    styled,
)
from results.formatting import value_range
from results.store.schema import WHOLE_SET
from results.types import Json


@dataclass(frozen=True)
class AnytimeCurves:
    """Accuracies (fractions) against seconds of condensing, in one scenario, with one network and protocol.

    prepare: row name → mean seconds of all experts of a set, nan if unknown. whole: training on the whole set, against
    the seconds of training.
    """

    scenario: Scenario
    architecture: str
    protocol: str
    title: str
    split: str
    facts: tuple[str, ...]
    lines: tuple[MeanLine, ...]
    prepare: Mapping[str, float]
    whole: MeanLine | None


@dataclass(frozen=True)
class CurveRecord:
    """A record of an analysis "curve" with its values. identity: of its set, or WHOLE_SET."""

    identity: str
    record: Json
    values: StepValues


def anytime_curves(records: Sequence[Json], sets: Mapping[str, StoredSet]) -> tuple[list[AnytimeCurves], list[str]]:
    """The figures for the analyses "curve" among these records, and a line on each curve that is not drawn."""
    curve_records, missing = analyses(records, "curve")
    wholes: dict[tuple[Any, ...], CurveRecord] = {}
    groups: dict[tuple[Scenario, tuple[Any, ...]], dict[str, CurveRecord]] = {}
    for record in curve_records:
        what = f"curve, analysis {record['identity'][:12]}"
        for curve in try_to_build(what, partial(_curve, record), missing):
            if curve.identity == WHOLE_SET:
                wholes.setdefault(analysis_key(record), curve)
            elif curve.identity in sets:
                key = sets[curve.identity].scenario, analysis_key(record)
                groups.setdefault(key, {}).setdefault(curve.identity, curve)
            else:
                missing.append(f"{what}: no record of its set {curve.identity[:12]}")
    figures: list[AnytimeCurves] = []
    for (scenario, key), curves in sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        network = scenario.condense_architecture
        what = f"curve, {scenario.dataset_title}, ipc {scenario.ipc}, condensed with {network}"
        figures += try_to_build(what, partial(_anytime, scenario, curves, sets, wholes.get(key)), missing)
    return figures, missing


def _curve(record: Json) -> CurveRecord:
    (identity,) = record["resolved"]["sets"]
    points = record["result"]["points"]
    steps, accuracies, seconds = ([point[name] for point in points] for name in ("step", "accuracies", "seconds"))
    return CurveRecord(str(identity), record, StepValues.of(steps, accuracies, seconds))


def _anytime(
    scenario: Scenario,
    curves: Mapping[str, CurveRecord],
    sets: Mapping[str, StoredSet],
    whole: CurveRecord | None,
) -> AnytimeCurves:
    """One figure. Sets that were not condensed on the most common machine are left out, and its facts name them."""
    drawn = [stored for stored in sets.values() if stored.identity in curves]  # in the order of the tables
    common = Counter(stored.machine for stored in drawn).most_common(1)[0][0]
    rows: dict[str, list[StoredSet]] = {}
    for stored in drawn:
        if stored.machine == common:
            rows.setdefault(stored.name, []).append(stored)
    others = sorted({stored.name for stored in drawn if stored.machine != common})
    first = next(iter(curves.values())).record
    architecture, protocol = str(first["resolved"]["architecture"]), protocol_text(first)
    facts = [
        *([protocol] if protocol else []),
        f"condensed with {scenario.condense_architecture}, evaluated with {architecture}",
        f"seeds × networks {_sizes(curves, rows)}",
        ", ".join(filter(None, common)),
        *([f"not shown, on other hardware or in another precision: {', '.join(others)}"] if others else []),
    ]
    same_machine = whole is not None and machine(whole.record) == common
    return AnytimeCurves(
        scenario,
        architecture,
        str((first["resolved"].get("protocol") or {}).get("name", "")),
        f"Accuracy along condensing: {scenario.dataset_title}, ipc {scenario.ipc}",
        str(first["result"]["split"]),
        tuple(facts),
        tuple(mean_line(name, [curves[stored.identity].values for stored in row]) for name, row in rows.items()),
        {name: fmean(stored.prepare_seconds for stored in row) for name, row in rows.items()},
        mean_line(_whole_title(whole.record), [whole.values]) if whole is not None and same_machine else None,
    )


def _whole_title(record: Json) -> str:
    return str((record["display"].get("card") or {}).get("title") or "Whole set")


def _sizes(curves: Mapping[str, CurveRecord], rows: Mapping[str, Sequence[StoredSet]]) -> str:
    networks = [len(of_step) for curve in curves.values() for of_step in curve.values.values]
    return f"{value_range([len(row) for row in rows.values()])} × {value_range(networks)}"


def anytime_figure(anytime: AnytimeCurves, styles: RowStyles) -> Figure:
    """Against the seconds of condensing; if there are experts, a second panel adds the seconds of preparing."""
    lines = [*anytime.lines, *([anytime.whole] if anytime.whole else [])]
    names = [line.name for line in lines]
    prepared = any(seconds > 0 for seconds in anytime.prepare.values())
    unknown = [name for name, seconds in anytime.prepare.items() if math.isnan(seconds)]
    facts = [*anytime.facts, *bands(lines)]
    facts += [f"{anytime.whole.name}: along its training, against the seconds of training"] if anytime.whole else []
    facts += [f"seconds of preparing unknown, or of other hardware: {', '.join(unknown)}"] if unknown else []
    with styled():
        if not prepared:
            height = 2.2 + legend_height(names, COLUMN)
            figure = new_figure(COLUMN, height, anytime.title, facts)
            axes = figure.add_subplot()
            _panel(axes, lines, _first_seconds(lines), styles, "Seconds of condensing (log)")
            legend_above(axes, COLUMN, names)
        else:
            figure = new_figure(PAGE, 2.3, anytime.title, facts)
            left, right = figure.subplots(1, 2, sharey=True)
            _panel(left, lines, _first_seconds(lines), styles, "Seconds of condensing (log)")
            shifted = [line.shifted(anytime.prepare.get(line.name, 0.0)) for line in lines if line.name not in unknown]
            label = "Seconds of preparing (in full) + condensing (log)"
            _panel(right, shifted, _first_seconds(lines), styles, label)
            legend_beside(figure, names)
        figure.axes[0].set_ylabel(f"{anytime.split.capitalize()} accuracy (%)")
    return figure


def _first_seconds(lines: Sequence[MeanLine]) -> float:
    """The smallest positive seconds of a second point: a first point, and selecting images, take almost no time."""
    seconds = [x for line in lines for x in line.x if x > 0]
    return min([x for line in lines for x in line.x[1:] if x > 0] or seconds, default=1.0)


def _panel(axes: Axes, lines: Sequence[MeanLine], least: float, styles: RowStyles, label: str) -> None:
    log_from_zero(axes, [x for line in lines for x in line.x], least, label)
    for line in lines:
        draw = draw_level if len(line.x) == 1 else draw_line  # selected images have one point
        draw(axes, line, styles[line.name], 100)
