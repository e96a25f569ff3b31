"""The three analyses of Figure 3 of the DANCE paper (arXiv:2406.01063): discrepancy, interpolation, expert."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.figures.mean_lines import Line, Sample, bands, draw_line, mean_line
from results.figures.sets import MadeSet, Place, analyses, analyzed_on, attempt, circumstances
from results.figures.style import (
    COLUMN,
    FAINT,
    LINES,
    MARKERS,
    PAGE,
    PALETTE,
    Look,
    Looks,
    legend_above,
    legend_beside,
    legend_height,
    log_from_zero,
    log_values,
    new_figure,
    span,
    styled,
    whole_numbers,
)
from results.types import Json

DISTANCES = {  # of the result's keys, in words
    "mean_distance": "Squared distance of class means",
    "relative_distance": "Squared distance of class means\n/ variance within classes",
}


@dataclass(frozen=True)
class Discrepancy:
    """How far synthetic features are from real ones along the training of a network; lines by kind of distance."""

    place: Place
    title: str
    facts: tuple[str, ...]
    lines: Mapping[str, tuple[Line, ...]]


@dataclass(frozen=True)
class Interpolation:
    """Accuracies (fractions) of networks between initial and trained weights."""

    dataset: str
    architecture: str
    title: str
    facts: tuple[str, ...]
    split: str
    line: Line


@dataclass(frozen=True)
class Expert:
    """Accuracies (fractions) of experts on synthetic images along condensing; `real`: on real images, by split."""

    place: Place
    title: str
    facts: tuple[str, ...]
    lines: tuple[Line, ...]
    real: Mapping[str, float]


# --- discrepancy ------------------------------------------------------------------------------------------------------


def discrepancies(records: Sequence[Json], sets: Mapping[str, MadeSet]) -> tuple[list[Discrepancy], list[str]]:
    """A figure for each place and circumstances, over all records of them; and why others are not drawn."""
    groups, missing = _groups(records, sets, "discrepancy", _distances)
    found: list[Discrepancy] = []
    for (place, _), ours in groups.items():
        what = f"discrepancy, {place.dataset_title}, ipc {place.ipc}"
        found += attempt(what, partial(_discrepancy, place, ours, sets), missing)
    return found, missing


def _distances(record: Json) -> dict[str, dict[str, Sample]]:
    """By identity and kind; the relative distance is None where real images of a class are all alike."""
    steps, sets = record["result"]["steps"], record["result"]["sets"]
    return {
        name: {
            kind: Sample.of(steps, ([value] for value in found[kind]))
            for kind in DISTANCES
            if kind == "mean_distance" or None not in found.get(kind, [None])
        }
        for name, found in sets.items()
    }


def _discrepancy(place: Place, found: Sequence[Found], sets: Mapping[str, MadeSet]) -> Discrepancy:
    lines: dict[str, tuple[Line, ...]] = {}
    for kind in DISTANCES:
        rows: dict[str, list[Sample]] = {}
        for made, one in _each_set(found, sets, place):
            if kind in one:
                rows.setdefault(made.name, []).append(one[kind])
        if rows:
            lines[kind] = tuple(mean_line(name, samples) for name, samples in rows.items())
    record = found[0].record
    network = f"a fresh {record['resolved']['architecture']} trained on the real training images; mean over classes"
    title = f"Distance of synthetic features from real ones: {place.dataset_title}, ipc {place.ipc}"
    return Discrepancy(place, title, (network, *_condensed(place), analyzed_on(record)), lines)


def _condensed(place: Place) -> list[str]:
    return [f"condensed with {place.condense_architecture}"] if place.condense_architecture else []


def discrepancy_figure(found: Discrepancy, looks: Looks) -> Figure:
    """One panel for each kind of distance, logarithmic."""
    every = [line for lines in found.lines.values() for line in lines]
    names, alone = list(dict.fromkeys(line.name for line in every)), len(found.lines) == 1
    height = 2.2 + legend_height(names, COLUMN) if alone else 2.3
    with styled():
        figure = new_figure(COLUMN if alone else PAGE, height, found.title, [*found.facts, *bands(every)])
        panels = list(figure.subplots(1, len(found.lines), squeeze=False)[0])
        for axes, (kind, lines) in zip(panels, found.lines.items(), strict=True):
            for line in lines:
                draw_line(axes, line, looks[line.name])
            if all(y > 0 for line in lines for y in line.y):
                log_values(axes)
            _steps(axes, [x for line in lines for x in line.x], "Training step of the network")
            axes.set_ylabel(DISTANCES[kind])
        if alone:
            legend_above(panels[0], COLUMN, names)
        else:
            legend_beside(figure, names)
    return figure


def _steps(axes: Axes, steps: Sequence[float], label: str) -> None:
    """Steps that were chosen with growing distances are drawn on a logarithmic axis."""
    ordered = sorted({step for step in steps if step > 0})
    if len(ordered) > 2 and ordered[-1] > 30 * ordered[0]:
        log_from_zero(axes, steps, ordered[0], f"{label} (log)")
    else:
        whole_numbers(axes, label)


# --- interpolation ----------------------------------------------------------------------------------------------------


def interpolations(records: Sequence[Json]) -> tuple[list[Interpolation], list[str]]:
    """A figure for each record, and why others are not drawn."""
    ours, missing = analyses(records, "interpolation")
    found: list[Interpolation] = []
    for record in ours:
        what = f"interpolation, {record['display']['dataset']}"
        found += attempt(what, partial(_interpolation, record), missing)
    return found, missing


def _interpolation(record: Json) -> Interpolation:
    resolved, label, result = record["resolved"], record["display"], record["result"]
    title = label.get("dataset_title") or label["dataset"]
    line = mean_line("experts", [Sample.of(result["lambdas"], result["accuracies"])], "experts")
    line = replace(line, over="experts")
    facts = [
        f"{resolved['architecture']}, {line.count} experts",
        "θ = λ initial + (1 − λ) trained",
        analyzed_on(record),
    ]
    heading = f"Between initial and trained weights: {title}"
    return Interpolation(label["dataset"], resolved["architecture"], heading, tuple(facts), str(result["split"]), line)


def interpolation_figure(found: Interpolation) -> Figure:
    """One column wide. λ = 0 is the expert and λ = 1 its initialisation, as in the paper's figure."""
    with styled():
        figure = new_figure(COLUMN, 2.2, found.title, [*found.facts, *bands([found.line])])
        axes = figure.add_subplot()
        draw_line(axes, found.line, Look(PALETTE[0], MARKERS[0], LINES[0]), 100)
        axes.set_xlabel("λ (0: the expert, 1: its initial weights)")
        axes.set_ylabel(f"{found.split.capitalize()} accuracy (%)")
        axes.set_ylim(bottom=0)
    return figure


# --- expert -----------------------------------------------------------------------------------------------------------


def experts(records: Sequence[Json], sets: Mapping[str, MadeSet]) -> tuple[list[Expert], list[str]]:
    """A figure for each place and circumstances, over all records of them; and why others are not drawn."""
    groups, missing = _groups(records, sets, "expert", _scores)
    found: list[Expert] = []
    for (place, _), ours in groups.items():
        what = f"expert, {place.dataset_title}, ipc {place.ipc}"
        found += attempt(what, partial(_expert, place, ours, sets), missing)
    return found, missing


def _scores(record: Json) -> dict[str, Sample]:
    sets = record["result"]["sets"]
    return {name: Sample.of(found["steps"], found["accuracies"]) for name, found in sets.items()}


def _expert(place: Place, found: Sequence[Found], sets: Mapping[str, MadeSet]) -> Expert:
    rows: dict[str, list[Sample]] = {}
    for made, sample in _each_set(found, sets, place):
        rows.setdefault(made.name, []).append(sample)
    record = found[0].record
    count = span([len(values) for samples in rows.values() for sample in samples for values in sample.values])
    scored = f"mean accuracy of {count} experts ({record['resolved']['architecture']}) on the decoded synthetic images"
    return Expert(
        place,
        f"Experts on condensed images: {place.dataset_title}, ipc {place.ipc}",
        (scored, *_condensed(place), analyzed_on(record)),
        tuple(mean_line(name, samples, "experts") for name, samples in rows.items()),
        {split: float(value) for split, value in record["result"]["real"].items() if value is not None},
    )


def expert_figure(found: Expert, looks: Looks) -> Figure:
    """One column wide; a set of which only the end is known is a single marker."""
    names = [*(line.name for line in found.lines), *map(_real, found.real)]
    height = 2.1 + legend_height(names, COLUMN)
    with styled():
        figure = new_figure(COLUMN, height, found.title, [*found.facts, *bands(found.lines)])
        axes = figure.add_subplot()
        for line in found.lines:
            draw_line(axes, line, looks[line.name], 100)
        for (split, value), dashes in zip(found.real.items(), ((0, (4, 2)), (0, (1, 1.5))), strict=False):
            axes.axhline(100 * value, color=FAINT, linewidth=0.9, linestyle=dashes, label=_real(split), zorder=1.5)
        whole_numbers(axes, "Step of condensing")
        axes.set_ylabel("Accuracy of experts (%)")
        legend_above(axes, COLUMN, names)
    return figure


def _real(split: str) -> str:
    return f"Real ({split})"


# --- parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A record, and what it holds of each set, by identity."""

    record: Json
    of: Mapping[str, Any]


Groups = dict[tuple[Place, tuple[Any, ...]], list[Found]]


def _groups(
    records: Sequence[Json],
    sets: Mapping[str, MadeSet],
    analysis: str,
    understood: Callable[[Json], Mapping[str, Any]],
) -> tuple[Groups, list[str]]:
    """Analyses by the place of the sets they look at, and by their circumstances; those of most sets first."""
    ours, missing = analyses(records, analysis)
    ours.sort(key=lambda record: -len(record["resolved"].get("sets", ())))
    groups: Groups = {}
    for record in ours:
        what = f"{analysis}, analysis {record['identity'][:12]}"
        for of in attempt(what, partial(understood, record), missing):
            missing += [f"{what}: no record of its set {name[:12]}" for name in sorted(of.keys() - sets.keys())]
            for place in dict.fromkeys(sets[name].place for name in of if name in sets):
                groups.setdefault((place, circumstances(record)), []).append(Found(record, of))
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1])))), missing


def _each_set(found: Sequence[Found], sets: Mapping[str, MadeSet], place: Place) -> Iterator[tuple[MadeSet, Any]]:
    """The sets of one place in the order of the tables, each with what was found of it, however often it was."""
    for made in sets.values():
        of = next((one.of[made.identity] for one in found if made.identity in one.of), None)
        if made.place == place and of is not None:
            yield made, of
