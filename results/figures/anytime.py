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

from results.figures.mean_lines import Line, Sample, bands, draw_line, mean_line
from results.figures.sets import WHOLE, MadeSet, Place, analyses, attempt, circumstances, machine, protocol_of
from results.figures.style import (
    COLUMN,
    PAGE,
    Looks,
    legend_above,
    legend_beside,
    legend_height,
    log_from_zero,
    new_figure,
    span,
    styled,
)
from results.types import Json


@dataclass(frozen=True)
class Anytime:
    """Accuracies (fractions) against seconds of condensing, of one dataset, ipc, network and protocol.

    prepare: by name, mean seconds of a set's experts in full, nan when unknown. whole: training on the whole set,
    against the seconds of training.
    """

    place: Place
    architecture: str
    protocol: str
    title: str
    split: str
    facts: tuple[str, ...]
    lines: tuple[Line, ...]
    prepare: Mapping[str, float]
    whole: Line | None


def anytimes(records: Sequence[Json], sets: Mapping[str, MadeSet]) -> tuple[list[Anytime], list[str]]:
    """The figures for the analyses "curve" among these records, and why others are not drawn."""
    found, missing = analyses(records, "curve")
    wholes: dict[tuple[Any, ...], Curve] = {}
    groups: dict[tuple[Place, tuple[Any, ...]], dict[str, Curve]] = {}
    for record in found:
        what = f"curve, analysis {record['identity'][:12]}"
        for curve in attempt(what, partial(_curve, record), missing):
            if curve.identity == WHOLE:
                wholes.setdefault(circumstances(record), curve)
            elif curve.identity in sets:
                key = sets[curve.identity].place, circumstances(record)
                groups.setdefault(key, {}).setdefault(curve.identity, curve)
            else:
                missing.append(f"{what}: no record of its set {curve.identity[:12]}")
    drawn: list[Anytime] = []
    for (place, key), curves in sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        what = f"curve, {place.dataset_title}, ipc {place.ipc}, condensed with {place.condense_architecture}"
        drawn += attempt(what, partial(_anytime, place, curves, sets, wholes.get(key)), missing)
    return drawn, missing


@dataclass(frozen=True)
class Curve:
    """One record, understood. identity: of its set, or WHOLE."""

    identity: str
    record: Json
    sample: Sample


def _curve(record: Json) -> Curve:
    (identity,) = record["resolved"]["sets"]
    points = record["result"]["points"]
    steps, accuracies, seconds = ([point[name] for point in points] for name in ("step", "accuracies", "seconds"))
    return Curve(str(identity), record, Sample.of(steps, accuracies, seconds))


def _anytime(place: Place, curves: Mapping[str, Curve], sets: Mapping[str, MadeSet], whole: Curve | None) -> Anytime:
    """One figure; sets whose seconds were taken on other hardware than most are left out, which is said."""
    ours = [made for made in sets.values() if made.identity in curves]  # in the order of the tables
    common = Counter(made.machine for made in ours).most_common(1)[0][0]
    rows: dict[str, list[MadeSet]] = {}
    for made in ours:
        if made.machine == common:
            rows.setdefault(made.name, []).append(made)
    first = next(iter(curves.values())).record
    alike = whole is not None and machine(whole.record) == common
    others = sorted({made.name for made in ours if made.machine != common})
    return Anytime(
        place,
        str(first["resolved"]["architecture"]),
        str((first["resolved"].get("protocol") or {}).get("name", "")),
        f"Accuracy along condensing: {place.dataset_title}, ipc {place.ipc}",
        str(first["result"]["split"]),
        (
            *([protocol_of(first)] if protocol_of(first) else []),
            f"condensed with {place.condense_architecture}, evaluated with {first['resolved']['architecture']}",
            f"seeds × networks {_sizes(curves, rows)}",
            ", ".join(filter(None, common)),
            *([f"not shown, on other hardware or in another precision: {', '.join(others)}"] if others else []),
        ),
        tuple(mean_line(name, [curves[made.identity].sample for made in same]) for name, same in rows.items()),
        {name: fmean(made.prepare_seconds for made in same) for name, same in rows.items()},
        mean_line(_title(whole.record), [whole.sample]) if whole is not None and alike else None,
    )


def _title(whole: Json) -> str:
    return str((whole["display"].get("card") or {}).get("title") or "Whole set")


def _sizes(curves: Mapping[str, Curve], rows: Mapping[str, Sequence[MadeSet]]) -> str:
    networks = [len(values) for curve in curves.values() for values in curve.sample.values]
    return f"{span([len(same) for same in rows.values()])} × {span(networks)}"


def anytime_figure(anytime: Anytime, looks: Looks) -> Figure:
    """Against the seconds of condensing; two columns wide, with those of preparing added, where there are experts."""
    lines = [*anytime.lines, *([anytime.whole] if anytime.whole else [])]
    names = [line.name for line in lines]
    prepared = any(seconds > 0 for seconds in anytime.prepare.values())
    unknown = [name for name, seconds in anytime.prepare.items() if math.isnan(seconds)]
    facts = [*anytime.facts, *bands(lines)]
    facts += [f"{anytime.whole.name}: along its training, against the seconds of that"] if anytime.whole else []
    facts += [f"seconds of preparing unknown, or of other hardware: {', '.join(unknown)}"] if unknown else []
    with styled():
        if not prepared:
            height = 2.2 + legend_height(names, COLUMN)
            figure = new_figure(COLUMN, height, anytime.title, facts)
            axes = figure.add_subplot()
            _panel(axes, lines, _least(lines), looks, "Seconds of condensing (log)")
            legend_above(axes, COLUMN, names)
        else:
            figure = new_figure(PAGE, 2.3, anytime.title, facts)
            left, right = figure.subplots(1, 2, sharey=True)
            _panel(left, lines, _least(lines), looks, "Seconds of condensing (log)")
            moved = [line.shifted(anytime.prepare.get(line.name, 0.0)) for line in lines if line.name not in unknown]
            _panel(right, moved, _least(lines), looks, "Seconds of preparing (in full) + condensing (log)")
            legend_beside(figure, names)
        figure.axes[0].set_ylabel(f"{anytime.split.capitalize()} accuracy (%)")
    return figure


def _least(lines: Sequence[Line]) -> float:
    """The least seconds of a second point: where curves begin, and selections end, takes next to no time."""
    seconds = [x for line in lines for x in line.x if x > 0]
    return min([x for line in lines for x in line.x[1:] if x > 0] or seconds, default=1.0)


def _panel(axes: Axes, lines: Sequence[Line], least: float, looks: Looks, label: str) -> None:
    log_from_zero(axes, [x for line in lines for x in line.x], least, label)
    for line in lines:
        draw_line(axes, line, looks[line.name], 100)
