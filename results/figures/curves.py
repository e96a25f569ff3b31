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

from results.aggregate import device
from results.figures.join import (
    WHOLE,
    MadeSet,
    Place,
    analyses,
    attempt,
    circumstances,
    protocol_of,
)
from results.figures.lines import Line, Sample, bands, draw_line, mean_line
from results.figures.style import (
    COLUMN,
    PAGE,
    Looks,
    legend_above,
    legend_beside,
    legend_height,
    new_figure,
    span,
    styled,
    symlog_seconds,
)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Anytime:
    """Accuracies (fractions) against seconds of condensing, of one dataset, ipc, network and protocol.

    prepare: by name, mean seconds of a set's experts in full, nan when unknown. whole: training on the whole set,
    against the seconds of training.
    """

    place: Place
    architecture: str
    title: str
    split: str
    facts: tuple[str, ...]
    lines: tuple[Line, ...]
    prepare: Mapping[str, float]
    whole: Line | None


def anytimes(records: Sequence[Json], sets: Mapping[str, MadeSet]) -> tuple[list[Anytime], list[str]]:
    """The figures for the analyses "curve" among these records, and why others are not drawn."""
    found, missing = analyses(records, "curve")
    wholes: dict[tuple[Any, ...], Json] = {}
    groups: dict[tuple[Place, tuple[Any, ...]], dict[str, Json]] = {}
    for record in found:
        for identity in record["asked"].get("sets") or [""]:
            if identity == WHOLE:
                wholes.setdefault(circumstances(record), record)
            elif identity in sets:
                groups.setdefault((sets[identity].place, circumstances(record)), {})[identity] = record
            else:
                missing.append(f"curve, analysis {record['identity'][:12]}: no record of its set {identity[:12]}")
    drawn: list[Anytime] = []
    for (place, key), curves in sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        what = f"curve, {place.dataset_title}, ipc {place.ipc}, condensed with {place.condensed_with}"
        drawn += attempt(what, partial(_anytime, place, curves, sets, wholes.get(key)), missing)
    return drawn, missing


def _anytime(place: Place, curves: Mapping[str, Json], sets: Mapping[str, MadeSet], whole: Json | None) -> Anytime:
    """One figure; sets whose seconds were taken on other hardware than most are left out, which is said."""
    ours = [sets[identity] for identity in sets if identity in curves]  # in the order of the tables
    machine = Counter(made.machine for made in ours).most_common(1)[0][0]
    rows: dict[str, list[MadeSet]] = {}
    for made in ours:
        if made.machine == machine:
            rows.setdefault(made.name, []).append(made)
    first = next(iter(curves.values()))
    lines = [mean_line(name, [_sample(curves[made.identity]) for made in same]) for name, same in rows.items()]
    on_whole = mean_line(_title(whole), [_sample(whole)]) if whole and _machine(whole) == machine else None
    others = sorted({made.name for made in ours if made.machine != machine})
    return Anytime(
        place,
        str(first["asked"]["architecture"]),
        f"Accuracy along condensing: {place.dataset_title}, ipc {place.ipc}",
        str(first["result"]["split"]),
        (
            *([protocol_of(first)] if protocol_of(first) else []),
            f"condensed with {place.condensed_with}, evaluated with {first['asked']['architecture']}",
            f"seeds × networks {_sizes(curves, rows)}",
            ", ".join(filter(None, machine)),
            *([f"not shown, on other hardware: {', '.join(others)}"] if others else []),
        ),
        tuple(lines),
        {name: fmean(made.prepare_seconds for made in same) for name, same in rows.items()},
        on_whole,
    )


def _sample(record: Json) -> Sample:
    points = record["result"]["points"]
    taken = ([point[name] for point in points] for name in ("step", "accuracies", "seconds"))
    return Sample.of(*taken)


def _title(whole: Json) -> str:
    return str((whole["label"].get("card") or {}).get("title") or "Whole set")


def _machine(record: Json) -> tuple[str, str]:
    return device(record["environment"]), str(record["asked"].get("precision", ""))


def _sizes(curves: Mapping[str, Json], rows: Mapping[str, Sequence[MadeSet]]) -> str:
    networks = [len(point["accuracies"]) for record in curves.values() for point in record["result"]["points"]]
    return f"{span([len(same) for same in rows.values()])} × {span(networks)}"


def anytime_figure(anytime: Anytime, looks: Looks) -> Figure:
    """Against the seconds of condensing; two columns wide, with those of preparing added, where there are experts."""
    lines = [*anytime.lines, *([anytime.whole] if anytime.whole else [])]
    names = [line.name for line in lines]
    prepared = any(seconds > 0 for seconds in anytime.prepare.values())
    unknown = [name for name, seconds in anytime.prepare.items() if math.isnan(seconds)]
    facts = [*anytime.facts, *bands(lines)]
    facts += [f"seconds of preparing unknown: {', '.join(unknown)}"] if unknown else []
    with styled():
        if not prepared:
            height = 2.2 + legend_height(names, COLUMN)
            figure = new_figure(COLUMN, height, anytime.title, facts)
            axes = figure.add_subplot()
            _panel(axes, lines, looks, "Seconds of condensing")
            legend_above(axes, COLUMN, names)
        else:
            figure = new_figure(PAGE, 2.3, anytime.title, facts)
            left, right = figure.subplots(1, 2, sharey=True)
            _panel(left, lines, looks, "Seconds of condensing")
            moved = [line.shifted(anytime.prepare.get(line.name, 0.0)) for line in lines if line.name not in unknown]
            _panel(right, moved, looks, "Seconds of preparing (in full) + condensing")
            legend_beside(figure, names)
        figure.axes[0].set_ylabel(f"{anytime.split.capitalize()} accuracy (%)")
    return figure


def _panel(axes: Axes, lines: Sequence[Line], looks: Looks, label: str) -> None:
    along = [line for line in lines if len(line.x) > 1] or lines  # a selection takes no time, and would rule the scale
    seconds = [x for line in lines for x in line.x]
    symlog_seconds(axes, seconds, min((x for line in along for x in line.x if x > 0), default=1.0), label)
    for line in lines:
        draw_line(axes, line, looks[line.name], 100)
