"""DANCE's ablation: its two views switched on and off, as far as such rows are stored. Pure.

Inner class, the setting `alignment`: which network's embeddings are matched (mid encoders of experts, random networks
as DM does, experts themselves), or no matching. Inter class, the setting `calibration`: whether experts classify the
set. The caption names both.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results.aggregation.grouping import groups, rows_of
from results.aggregation.options import DEFAULT, Options
from results.tables.accuracy import Matrix, matrix_of, place_of
from results.types import Cell

METHOD = "dance"
INNER, INTER = "settings.alignment", "settings.calibration"
_MATCHING = {  # in the order of the rows
    "off": "",
    "random": "matching on random networks",
    "expert": "matching on experts",
    "mid": "matching on mid encoders",
}
_CAPTION = (
    "Ablation of DANCE's two views. Inner class: mean embeddings are matched on random networks (as in DM), on "
    "experts, or on mid encoders, between an expert's initial and trained weights (the method's own). Inter class: "
    "experts' classification of the set calibrates it."
)


def ablation_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Matrix]:
    """Matrices with the combinations of both views down, where two or more of them were scored.

    Rows that differ in other settings as well (a factor, say) are lines of their own.
    """
    rows = [_as_line(row) for row in rows_of(cells) if row["method"] == METHOD and _has_views(row)]
    return [_matrix(group, options) for group in groups(rows, place_of) if len(_scored(group)) > 1]


def _has_views(row: Cell) -> bool:
    return INNER in row["cell_spec"] and INTER in row["cell_spec"]


def _views(row: Cell) -> tuple[str, bool]:
    return str(row["cell_spec"][INNER]), bool(row["cell_spec"][INTER])


def _scored(rows: Sequence[Cell]) -> set[tuple[str, bool]]:
    return {_views(row) for row in rows if row["sets"]}


def _as_line(row: Cell) -> Cell:
    """The row under the name of its combination, and in the order of them; what else its name says stays: "@f1"."""
    inner, inter = _views(row)
    said = " + ".join(filter(None, [_MATCHING.get(inner, f"matching on {inner}"), "calibration" if inter else ""]))
    known = list(_MATCHING)
    place = 2 * (known.index(inner) if inner in known else len(known)) + inter
    factor = str(row["display_name"]).partition(" (")[0].partition("@")[2]
    name = f"{said} (@{factor})" if factor else said
    return {**row, "display_name": name or "neither", "method": "", "title": "", "year": place}


def _matrix(rows: Sequence[Cell], options: Options) -> Matrix:
    matrix = matrix_of(rows, options)
    matrix.title = f"DANCE's two views, {matrix.title[0].lower()}{matrix.title[1:]}"
    matrix.label = f"ablation-{matrix.label}"
    matrix.captions.insert(0, _CAPTION)
    return matrix
