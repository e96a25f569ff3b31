"""DANCE's ablation: its two views switched on and off, as far as such rows are stored.

Inner class, the setting `alignment`: which networks' embeddings are matched (mid encoders of experts, random networks
as in DM, or experts), or no matching. Inter class, the setting `calibration`: whether experts classify the set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from results.aggregation.grouping import groups, rows_of
from results.aggregation.options import DEFAULT, Options
from results.tables.accuracy import matrix_key, matrix_of
from results.tables.model import Table
from results.types import Cell

METHOD = "dance"
INNER, INTER = "settings.alignment", "settings.calibration"
_MATCHING = {  # in the order of the rows
    "off": "",
    "random": "matching on random networks",
    "expert": "matching on experts",
    "mid": "matching on mid encoders",
}


def ablation_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Accuracy tables with the combinations of both views down, where at least two of them were scored.

    Combinations with other settings that differ (a factor, say) are rows of their own.
    """
    rows = [_as_combination(row) for row in rows_of(cells) if row["method"] == METHOD and _has_views(row)]
    return [_matrix(group, options) for group in groups(rows, matrix_key) if len(_scored_views(group)) > 1]


def _has_views(row: Cell) -> bool:
    return INNER in row["cell_spec"] and INTER in row["cell_spec"]


def _views(row: Cell) -> tuple[str, bool]:
    return str(row["cell_spec"][INNER]), bool(row["cell_spec"][INTER])


def _scored_views(rows: Sequence[Cell]) -> set[tuple[str, bool]]:
    return {_views(row) for row in rows if row["sets"]}


def _as_combination(row: Cell) -> Cell:
    """The row named and ordered by its combination of views; a factor in its name stays: "@f1"."""
    inner, inter = _views(row)
    combination = [_MATCHING.get(inner, f"matching on {inner}"), "calibration" if inter else ""]
    name = " + ".join(filter(None, combination)) or "neither"
    order = list(_MATCHING)
    year = 2 * (order.index(inner) if inner in order else len(order)) + inter  # tables sort by year
    factor = str(row["display_name"]).partition(" (")[0].partition("@")[2]
    return {**row, "display_name": f"{name} (@{factor})" if factor else name, "method": "", "title": "", "year": year}


def _matrix(rows: Sequence[Cell], options: Options) -> Table:
    matrix = matrix_of(rows, options)
    title = f"DANCE's two views, {matrix.title[0].lower()}{matrix.title[1:]}"
    return replace(matrix, kind="ablation", title=title, label=f"ablation-{matrix.label}")
