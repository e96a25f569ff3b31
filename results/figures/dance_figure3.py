"""The three analyses of Figure 3 of the DANCE paper (arXiv:2406.01063): discrepancy, interpolation, expert."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.aggregation.row_styles import LINES, MARKERS, PALETTE, RowStyle, RowStyles
from results.figures.mean_lines import MeanLine, StepValues, bands, draw_line, mean_line
from results.figures.sets import Scenario, StoredSet, analyses, analysis_key, machine_text, try_to_build
from results.figures.style import (
    COLUMN,
    FAINT,
    PAGE,
    legend_above,
    legend_beside,
    legend_height,
    log_from_zero,
    log_values,
    new_figure,
    styled,
    whole_numbers,
)
from results.formatting import value_range
from results.types import Json

DISTANCES = {  # key in the result → label of the axis
    "mean_distance": "Squared distance of class means",
    "relative_distance": "Squared distance of class means\n/ variance within classes",
}


@dataclass(frozen=True)
class Discrepancy:
    """The distance of synthetic features from real ones along the training of a network; lines by kind of distance."""

    scenario: Scenario
    title: str
    facts: tuple[str, ...]
    lines: Mapping[str, tuple[MeanLine, ...]]


@dataclass(frozen=True)
class Interpolation:
    """Accuracies (fractions) of networks between initial and trained weights."""

    dataset: str
    architecture: str
    title: str
    facts: tuple[str, ...]
    split: str
    line: MeanLine


@dataclass(frozen=True)
class ExpertAccuracy:
    """Accuracies (fractions) of experts on synthetic images along condensing; `real`: on real images, by split."""

    scenario: Scenario
    title: str
    facts: tuple[str, ...]
    lines: tuple[MeanLine, ...]
    real: Mapping[str, float]


# --- discrepancy ------------------------------------------------------------------------------------------------------


def discrepancies(records: Sequence[Json], sets: Mapping[str, StoredSet]) -> tuple[list[Discrepancy], list[str]]:
    """A figure for each scenario and `analysis_key`, over all records of them, and a line on each that is not drawn."""
    groups, missing = _grouped_results(records, sets, "discrepancy", _distances)
    figures: list[Discrepancy] = []
    for (scenario, _), results in groups.items():
        what = f"discrepancy, {scenario.dataset_title}, ipc {scenario.ipc}"
        figures += try_to_build(what, partial(_discrepancy, scenario, results, sets), missing)
    return figures, missing


def _distances(record: Json) -> dict[str, dict[str, StepValues]]:
    """By set and kind. The relative distance is missing if all real images of a class are equal."""
    steps, sets = record["result"]["steps"], record["result"]["sets"]
    return {
        identity: {
            kind: StepValues.of(steps, ([value] for value in distances[kind]))
            for kind in DISTANCES
            if kind == "mean_distance" or None not in distances.get(kind, [None])
        }
        for identity, distances in sets.items()
    }


def _discrepancy(scenario: Scenario, results: Sequence[SetResults], sets: Mapping[str, StoredSet]) -> Discrepancy:
    lines: dict[str, tuple[MeanLine, ...]] = {}
    for kind in DISTANCES:
        rows: dict[str, list[StepValues]] = {}
        for stored, distances in _set_results(results, sets, scenario):
            if kind in distances:
                rows.setdefault(stored.name, []).append(distances[kind])
        if rows:
            lines[kind] = tuple(mean_line(name, values) for name, values in rows.items())
    record = results[0].record
    network = f"a fresh {record['resolved']['architecture']} trained on the real training images; mean over classes"
    title = f"Distance of synthetic features from real ones: {scenario.dataset_title}, ipc {scenario.ipc}"
    return Discrepancy(scenario, title, (network, *_condensed(scenario), machine_text(record)), lines)


def _condensed(scenario: Scenario) -> list[str]:
    return [f"condensed with {scenario.condense_architecture}"] if scenario.condense_architecture else []


def discrepancy_figure(discrepancy: Discrepancy, styles: RowStyles) -> Figure:
    """One panel for each kind of distance, with logarithmic values."""
    all_lines = [line for lines in discrepancy.lines.values() for line in lines]
    names, single = list(dict.fromkeys(line.name for line in all_lines)), len(discrepancy.lines) == 1
    height = 2.2 + legend_height(names, COLUMN) if single else 2.3
    facts = [*discrepancy.facts, *bands(all_lines)]
    with styled():
        figure = new_figure(COLUMN if single else PAGE, height, discrepancy.title, facts)
        panels = list(figure.subplots(1, len(discrepancy.lines), squeeze=False)[0])
        for axes, (kind, lines) in zip(panels, discrepancy.lines.items(), strict=True):
            for line in lines:
                draw_line(axes, line, styles[line.name])
            if all(y > 0 for line in lines for y in line.y):
                log_values(axes)
            _step_axis(axes, [x for line in lines for x in line.x], "Training step of the network")
            axes.set_ylabel(DISTANCES[kind])
        if single:
            legend_above(panels[0], COLUMN, names)
        else:
            legend_beside(figure, names)
    return figure


def _step_axis(axes: Axes, steps: Sequence[float], label: str) -> None:
    """The axis is logarithmic if the steps have growing distances."""
    ordered = sorted({step for step in steps if step > 0})
    if len(ordered) > 2 and ordered[-1] > 30 * ordered[0]:
        log_from_zero(axes, steps, ordered[0], f"{label} (log)")
    else:
        whole_numbers(axes, label)


# --- interpolation ----------------------------------------------------------------------------------------------------


def interpolations(records: Sequence[Json]) -> tuple[list[Interpolation], list[str]]:
    """A figure for each record, and a line on each that is not drawn."""
    usable, missing = analyses(records, "interpolation")
    figures: list[Interpolation] = []
    for record in usable:
        what = f"interpolation, {record['display']['dataset']}"
        figures += try_to_build(what, partial(_interpolation, record), missing)
    return figures, missing


def _interpolation(record: Json) -> Interpolation:
    resolved, display, result = record["resolved"], record["display"], record["result"]
    line = mean_line("experts", [StepValues.of(result["lambdas"], result["accuracies"])], "experts")
    line = replace(line, over="experts")
    facts = (
        f"{resolved['architecture']}, {line.count} experts",
        "θ = λ initial + (1 − λ) trained",
        machine_text(record),
    )
    title = f"Between initial and trained weights: {display.get('dataset_title') or display['dataset']}"
    return Interpolation(display["dataset"], resolved["architecture"], title, facts, str(result["split"]), line)


def interpolation_figure(interpolation: Interpolation) -> Figure:
    """λ = 0 is the expert and λ = 1 its initialization, as in the paper's figure."""
    facts = [*interpolation.facts, *bands([interpolation.line])]
    with styled():
        figure = new_figure(COLUMN, 2.2, interpolation.title, facts)
        axes = figure.add_subplot()
        draw_line(axes, interpolation.line, RowStyle(PALETTE[0], MARKERS[0], LINES[0]), 100)
        axes.set_xlabel("λ (0: the expert, 1: its initial weights)")
        axes.set_ylabel(f"{interpolation.split.capitalize()} accuracy (%)")
        axes.set_ylim(bottom=0)
    return figure


# --- expert -----------------------------------------------------------------------------------------------------------


def expert_accuracies(records: Sequence[Json], sets: Mapping[str, StoredSet]) -> tuple[list[ExpertAccuracy], list[str]]:
    """A figure for each scenario and `analysis_key`, over all records of them, and a line on each that is not drawn."""
    groups, missing = _grouped_results(records, sets, "expert", _accuracies)
    figures: list[ExpertAccuracy] = []
    for (scenario, _), results in groups.items():
        what = f"expert, {scenario.dataset_title}, ipc {scenario.ipc}"
        figures += try_to_build(what, partial(_expert_accuracy, scenario, results, sets), missing)
    return figures, missing


def _accuracies(record: Json) -> dict[str, StepValues]:
    sets = record["result"]["sets"]
    return {identity: StepValues.of(result["steps"], result["accuracies"]) for identity, result in sets.items()}


def _expert_accuracy(
    scenario: Scenario, results: Sequence[SetResults], sets: Mapping[str, StoredSet]
) -> ExpertAccuracy:
    rows: dict[str, list[StepValues]] = {}
    for stored, accuracies in _set_results(results, sets, scenario):
        rows.setdefault(stored.name, []).append(accuracies)
    record = results[0].record
    count = value_range([len(of_step) for row in rows.values() for values in row for of_step in values.values])
    scored = f"mean accuracy of {count} experts ({record['resolved']['architecture']}) on the decoded synthetic images"
    return ExpertAccuracy(
        scenario,
        f"Experts on condensed images: {scenario.dataset_title}, ipc {scenario.ipc}",
        (scored, *_condensed(scenario), machine_text(record)),
        tuple(mean_line(name, values, "experts") for name, values in rows.items()),
        {split: float(value) for split, value in record["result"]["real"].items() if value is not None},
    )


def expert_figure(expert: ExpertAccuracy, styles: RowStyles) -> Figure:
    """A set of which only the last step is known is a single marker."""
    names = [*(line.name for line in expert.lines), *map(_real_label, expert.real)]
    height = 2.1 + legend_height(names, COLUMN)
    with styled():
        figure = new_figure(COLUMN, height, expert.title, [*expert.facts, *bands(expert.lines)])
        axes = figure.add_subplot()
        for line in expert.lines:
            draw_line(axes, line, styles[line.name], 100)
        for (split, value), dashes in zip(expert.real.items(), ((0, (4, 2)), (0, (1, 1.5))), strict=False):
            label = _real_label(split)
            axes.axhline(100 * value, color=FAINT, linewidth=0.9, linestyle=dashes, label=label, zorder=1.5)
        whole_numbers(axes, "Step of condensing")
        axes.set_ylabel("Accuracy of experts (%)")
        legend_above(axes, COLUMN, names)
    return figure


def _real_label(split: str) -> str:
    return f"Real ({split})"


# --- results by set ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetResults:
    """A record and what it says about each set, by identity."""

    record: Json
    by_set: Mapping[str, Any]


def _grouped_results(
    records: Sequence[Json],
    sets: Mapping[str, StoredSet],
    analysis: str,
    read: Callable[[Json], Mapping[str, Any]],
) -> tuple[dict[tuple[Scenario, tuple[Any, ...]], list[SetResults]], list[str]]:
    """The analyses by the scenario of their sets and by `analysis_key`, those with most sets first; and missing ones.

    read: gives the `SetResults.by_set` of a record.
    """
    usable, missing = analyses(records, analysis)
    usable.sort(key=lambda record: -len(record["resolved"].get("sets", ())))
    groups: dict[tuple[Scenario, tuple[Any, ...]], list[SetResults]] = {}
    for record in usable:
        what = f"{analysis}, analysis {record['identity'][:12]}"
        for by_set in try_to_build(what, partial(read, record), missing):
            unknown = sorted(by_set.keys() - sets.keys())
            missing += [f"{what}: no record of its set {identity[:12]}" for identity in unknown]
            for scenario in dict.fromkeys(sets[identity].scenario for identity in by_set if identity in sets):
                groups.setdefault((scenario, analysis_key(record)), []).append(SetResults(record, by_set))
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1])))), missing


def _set_results(
    results: Sequence[SetResults], sets: Mapping[str, StoredSet], scenario: Scenario
) -> Iterator[tuple[StoredSet, Any]]:
    """The sets of a scenario in the order of tables, each with its first result, as records may share sets."""
    for stored in sets.values():
        first = next((result.by_set[stored.identity] for result in results if stored.identity in result.by_set), None)
        if stored.scenario == scenario and first is not None:
            yield stored, first
