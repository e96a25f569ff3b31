"""Tuning: the best accuracy on withheld images that each method is expected to reach with a number of trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from results.aggregation.grouping import ipc_number, rows_of
from results.aggregation.naming import title
from results.aggregation.row_styles import RowStyles
from results.figures.style import PAGE, legend_beside, new_figure, styled, whole_numbers
from results.statistics.expected_best import expected_best


@dataclass(frozen=True)
class TuningCurves:
    """Expected best accuracies (fractions) for 1, 2, … trials: ipc → name of the row → one a number of trials."""

    dataset: str
    dataset_title: str
    condense_architecture: str
    panels: Mapping[int, Mapping[str, list[float]]]
    any_diverged: bool


def tuning_curves(cells: pd.DataFrame) -> list[TuningCurves]:
    """One for each dataset and condensing network with tuned rows. cells: of `aggregation.cells`.

    A trial without an accuracy, whose set diverged, counts as 0.
    """
    groups: dict[tuple[str, str, str], dict[int, dict[str, tuple[float, ...]]]] = {}
    for row in rows_of(cells):
        if row["tuning"]:
            where = row["dataset"], row["dataset_title"], row["condense_architecture"]
            of_ipc = groups.setdefault(where, {}).setdefault(int(ipc_number(row)), {})
            of_ipc.setdefault(title(row), row["tuning_accuracies"])
    curves = []
    for where, panels in groups.items():
        drawn = {
            ipc: {name: expected_best([0.0 if math.isnan(a) else a for a in of]) for name, of in panels[ipc].items()}
            for ipc in sorted(panels)
        }
        diverged = any(math.isnan(a) for of_ipc in panels.values() for of in of_ipc.values() for a in of)
        curves.append(TuningCurves(*where, drawn, diverged))
    return curves


def tuning_figure(curves: TuningCurves, styles: RowStyles) -> Figure:
    """A panel for each ipc, with a line for each tuned row."""
    facts = [f"condensed with {curves.condense_architecture}", "trials are drawn with replacement from those made"]
    facts += ["a set that diverged counts as 0 %"] if curves.any_diverged else []
    heading = f"Expected best accuracy of tuning: {curves.dataset_title}"
    with styled():
        figure = new_figure(PAGE, 2.3, heading, facts)
        panels = figure.subplots(1, len(curves.panels), squeeze=False)[0]
        for axes, (ipc, lines) in zip(panels, curves.panels.items(), strict=True):
            axes.set_title(f"ipc {ipc}")
            whole_numbers(axes, "Trials")
            for name, values in lines.items():
                percents = [100 * value for value in values]
                every = max(1, -(-len(values) // 8))
                axes.plot(range(1, len(values) + 1), percents, label=name, markevery=every, **styles[name].plot())
        panels[0].set_ylabel("Validation accuracy (%)")
        legend_beside(figure, list(dict.fromkeys(name for lines in curves.panels.values() for name in lines)))
    return figure
