"""Training curves: accuracy on withheld images against the optimizer steps of networks trained on a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from results.aggregation.row_styles import RowStyles
from results.figures.mean_lines import MeanLine, StepValues, bands, draw_line, mean_line
from results.figures.sets import StoredSet, analyses, analysis_key, protocol_text, try_to_build
from results.figures.style import PAGE, legend_beside, log_from_zero, new_figure, styled
from results.types import Json


@dataclass(frozen=True)
class TrainingCurves:
    """Accuracies (fractions) against optimizer steps, of one dataset, pair of networks and protocol.

    panels: ipc → a line for each row. dataset, architectures, protocol: for the name of the file.
    """

    dataset: str
    condense_architecture: str
    architecture: str
    protocol: str
    title: str
    facts: tuple[str, ...]
    panels: Mapping[int, tuple[MeanLine, ...]]


def training_curves(records: Sequence[Json], sets: Mapping[str, StoredSet]) -> tuple[list[TrainingCurves], list[str]]:
    """The figures for the analyses "training_curve" among these records, and a line on each that is not drawn."""
    curve_records, missing = analyses(records, "training_curve")
    groups: dict[tuple[Any, ...], dict[str, Json]] = {}
    for record in curve_records:
        (identity,) = record["resolved"]["sets"]
        if identity in sets:
            scenario = sets[identity].scenario
            key = scenario.dataset, scenario.condense_architecture, analysis_key(record)
            groups.setdefault(key, {})[identity] = record
        else:
            missing.append(f"training_curve, analysis {record['identity'][:12]}: no record of its set {identity[:12]}")
    figures: list[TrainingCurves] = []
    for (dataset, _, _), of_group in groups.items():
        figures += try_to_build(f"training_curve, {dataset}", partial(_curves, of_group, sets), missing)
    return figures, missing


def _curves(records: Mapping[str, Json], sets: Mapping[str, StoredSet]) -> TrainingCurves:
    rows: dict[int, dict[str, list[StepValues]]] = {}
    for stored in sets.values():  # in the order of the tables
        if stored.identity in records:
            points = records[stored.identity]["result"]["points"]
            values = StepValues.of(*([point[name] for point in points] for name in ("step", "accuracies")))
            rows.setdefault(stored.scenario.ipc, {}).setdefault(stored.name, []).append(values)
    first = next(iter(records.values()))
    (identity,) = first["resolved"]["sets"]
    scenario, architecture = sets[identity].scenario, str(first["resolved"]["architecture"])
    return TrainingCurves(
        scenario.dataset,
        scenario.condense_architecture,
        architecture,
        str(first["resolved"]["protocol"]["name"]),
        f"Accuracy along the training of evaluation networks: {scenario.dataset_title}",
        (
            protocol_text(first),
            f"condensed with {scenario.condense_architecture}, evaluated with {architecture}",
            "dot: the highest mean; the last point is the accuracy that tables show, on withheld images",
        ),
        {ipc: tuple(mean_line(name, values) for name, values in rows[ipc].items()) for ipc in sorted(rows)},
    )


def training_figure(curves: TrainingCurves, styles: RowStyles) -> Figure:
    """A panel for each ipc, with a dot at the highest mean of each line."""
    lines = [line for of_ipc in curves.panels.values() for line in of_ipc]
    names = list(dict.fromkeys(line.name for line in lines))
    with styled():
        figure = new_figure(PAGE, 2.3, curves.title, [*curves.facts, *bands(lines)])
        panels = figure.subplots(1, len(curves.panels), squeeze=False)[0]
        for axes, (ipc, of_ipc) in zip(panels, curves.panels.items(), strict=True):
            axes.set_title(f"ipc {ipc}")
            steps = [x for line in of_ipc for x in line.x]
            log_from_zero(axes, steps, min((x for x in steps if x > 0), default=1.0), "Optimizer steps (log)")
            for line in of_ipc:
                draw_line(axes, line, styles[line.name], 100)
                best = max(range(len(line.y)), key=line.y.__getitem__)
                axes.plot(line.x[best], 100 * line.y[best], "o", color=styles[line.name].color, markersize=5)
        panels[0].set_ylabel("Validation accuracy (%)")
        legend_beside(figure, names)
    return figure
