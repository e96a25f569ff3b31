"""The three analyses of Figure 3 of the DANCE paper (arXiv:2406.01063): discrepancy, interpolation, expert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from results.figures.join import (
    MadeSet,
    Place,
    analysed_on,
    analyses,
    attempt,
    circumstances,
)
from results.figures.lines import Line, Sample, bands, draw_line, mean_line
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
    log_values,
    new_figure,
    styled,
)

Json = Mapping[str, Any]
Groups = dict[tuple[Place, tuple[Any, ...]], list[Json]]

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
    groups, missing = _groups(records, sets, "discrepancy")
    found: list[Discrepancy] = []
    for (place, _), ours in groups.items():
        what = f"discrepancy, {place.dataset_title}, ipc {place.ipc}"
        found += attempt(what, partial(_discrepancy, place, ours, sets), missing)
    return found, missing


def _discrepancy(place: Place, records: Sequence[Json], sets: Mapping[str, MadeSet]) -> Discrepancy:
    lines: dict[str, tuple[Line, ...]] = {}
    for kind in DISTANCES:
        rows: dict[str, list[Sample]] = {}
        for made, record in _each_set(records, sets, place):
            values = record["result"]["sets"][made.identity].get(kind) or [None]
            if None not in values:  # it is where the real images of every class are alike
                sample = Sample.of(record["result"]["steps"], ([value] for value in values))
                rows.setdefault(made.name, []).append(sample)
        if rows:
            lines[kind] = tuple(mean_line(name, samples) for name, samples in rows.items())
    if not lines:
        raise KeyError("mean_distance")
    network = f"a fresh {records[0]['asked']['architecture']} trained on the real training images; mean over classes"
    title = f"Distance of synthetic features from real ones: {place.dataset_title}, ipc {place.ipc}"
    return Discrepancy(place, title, (network, *_condensed(place), analysed_on(records[0])), lines)


def _each_set(records: Sequence[Json], sets: Mapping[str, MadeSet], place: Place) -> Iterator[tuple[MadeSet, Json]]:
    """The sets of one place in the order of the tables, each with the records that hold something of it."""
    for made in sets.values():
        if made.place == place:
            yield from ((made, record) for record in records if made.identity in record["result"]["sets"])


def _condensed(place: Place) -> list[str]:
    return [f"condensed with {place.condensed_with}"] if place.condensed_with else []


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
            axes.set_xlabel("Training step of the network")
            axes.set_ylabel(DISTANCES[kind])
        if alone:
            legend_above(panels[0], COLUMN, names)
        else:
            legend_beside(figure, names)
    return figure


# --- interpolation ----------------------------------------------------------------------------------------------------


def interpolations(records: Sequence[Json]) -> tuple[list[Interpolation], list[str]]:
    """A figure for each record, and why others are not drawn."""
    ours, missing = analyses(records, "interpolation")
    found: list[Interpolation] = []
    for record in ours:
        what = f"interpolation, {record['label']['dataset']}"
        found += attempt(what, partial(_interpolation, record), missing)
    return found, missing


def _interpolation(record: Json) -> Interpolation:
    asked, label, result = record["asked"], record["label"], record["result"]
    title = label.get("dataset_title") or label["dataset"]
    line = mean_line("experts", [Sample.of(result["lambdas"], result["accuracies"])], "experts")
    line = replace(line, over=f"{len(result['accuracies'][0])} experts")
    facts = [f"{asked['architecture']}, {line.over}", "θ = λ · initial + (1 − λ) · trained", analysed_on(record)]
    heading = f"Between initial and trained weights: {title}"
    return Interpolation(label["dataset"], heading, tuple(facts), str(result["split"]), line)


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
    groups, missing = _groups(records, sets, "expert")
    found: list[Expert] = []
    for (place, _), ours in groups.items():
        what = f"expert, {place.dataset_title}, ipc {place.ipc}"
        found += attempt(what, partial(_expert, place, ours, sets), missing)
    return found, missing


def _expert(place: Place, records: Sequence[Json], sets: Mapping[str, MadeSet]) -> Expert:
    rows: dict[str, list[Sample]] = {}
    count = 0
    for made, record in _each_set(records, sets, place):
        found = record["result"]["sets"][made.identity]
        rows.setdefault(made.name, []).append(Sample.of(found["steps"], found["accuracies"]))
        count = max(count, *map(len, found["accuracies"]))
    real = {split: value for split, value in records[0]["result"]["real"].items() if value is not None}
    scored = f"mean accuracy of {count} experts ({records[0]['asked']['architecture']}) on the decoded synthetic images"
    return Expert(
        place,
        f"Experts on condensed images: {place.dataset_title}, ipc {place.ipc}",
        (scored, *_condensed(place), analysed_on(records[0])),
        tuple(mean_line(name, samples, "experts") for name, samples in rows.items()),
        real,
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
        axes.set_xlabel("Step of condensing")
        axes.set_ylabel("Accuracy of experts (%)")
        legend_above(axes, COLUMN, names)
    return figure


def _real(split: str) -> str:
    return f"Real ({split})"


# --- parts ------------------------------------------------------------------------------------------------------------


def _groups(records: Sequence[Json], sets: Mapping[str, MadeSet], analysis: str) -> tuple[Groups, list[str]]:
    """Analyses by the place of the sets they look at, and by their circumstances."""
    ours, missing = analyses(records, analysis)
    found: Groups = {}
    for record in ours:
        looked_at = record["result"].get("sets") or {}
        known = [identity for identity in looked_at if identity in sets]
        for place in dict.fromkeys(sets[identity].place for identity in known):
            found.setdefault((place, circumstances(record)), []).append(record)
        for identity in looked_at.keys() - sets.keys():
            missing.append(f"{analysis}, analysis {record['identity'][:12]}: no record of its set {identity[:12]}")
    return dict(sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1])))), sorted(missing)
