"""How rows look in all figures and on the page: a color, a marker and a line for each name, whatever is beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pandas as pd

from results.aggregation.grouping import comparison_key, groups, is_whole, rows_of
from results.aggregation.naming import names

# Seven colors at steps of 9.5 in CIE lightness (8 to 65), so that they differ in gray prints. They come from a search
# for the largest minimal distance (CIE 1976: 30) over normal vision, full protanopia, deuteranopia and tritanopia.
PALETTE = ("#162859", "#f57c2f", "#840fc6", "#538ab9", "#7c1c03", "#6d6d6d", "#370112")
# The three lengths share no factor, so that rows of equal color differ in marker and line. Names are matplotlib's.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)))

# The methods of this project, by the titles of their cards, and the rows that the preset `paper` adds.
_FIXED = (
    "Random", "Herding", "K-Center", "DC", "DSA", "DM", "DANCE", "IDM", "Random@f2", "DM@f2", "DANCE@f1",
    "DataDAM", "M3D", "MTT", "IDC", "IDC-I", "DREAM", "CAFE", "CAFE+DSA", "TGDD", "DSDM",
)  # fmt: skip
_SALT = 53  # of the hash: the first number with which two dozen usual variants have styles of their own
_STYLES = 2 * len(PALETTE) * len(MARKERS)  # that differ in color, in marker or in being an outline


@dataclass(frozen=True)
class RowStyle:
    """How one row is drawn."""

    color: str
    marker: str
    line: Any  # matplotlib's linestyle
    hollow: bool = False  # whether the marker is an outline

    def plot(self, size: float = 4) -> dict[str, Any]:
        """Options of `Axes.plot` and `errorbar`."""
        star = self.marker == "*"  # which is drawn smaller than the others
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.0 if star else 0.4}
        if self.hollow:
            edge = {"markerfacecolor": "white", "markeredgecolor": self.color, "markeredgewidth": 0.9}
        style = {"color": self.color, "marker": self.marker, "linestyle": self.line}
        return {**style, "markersize": size * (1.6 if star else 1), **edge}


RowStyles = Mapping[str, RowStyle]  # by the name of a row

_WHOLE_SET = RowStyle("#000000", "*", LINES[3])


def row_styles(names: Iterable[str], wholes: Iterable[str] = ()) -> dict[str, RowStyle]:
    """A style for each name; no two names have the same one (of the first 140 that are not _FIXED).

    It depends on the name alone: names of _FIXED have styles of their own, in which the first seven differ in color and
    marker; the hash of any other name chooses one of the rest. Of two names with one choice, the later takes the next
    style that is free. wholes: names of the whole training set, which always has the same style.
    """
    styles = dict.fromkeys(wholes, _WHOLE_SET)
    taken: set[int] = set()
    for name in dict.fromkeys(names):
        if name not in styles:
            index = _FIXED.index(name) if name in _FIXED else _free_index(name, taken)
            taken.add(index)
            styles[name] = _style(index)
    return styles


def _free_index(name: str, taken: set[int]) -> int:
    rest = _STYLES - len(_FIXED)
    first = int.from_bytes(sha256(f"{_SALT} {name}".encode("utf-8", "surrogatepass")).digest()[:8], "big") % rest
    indices = [len(_FIXED) + (first + step) % rest for step in range(rest)]
    return next((index for index in indices if index not in taken), indices[0])


def _style(index: int) -> RowStyle:
    color, marker, line = (cycle[index % len(cycle)] for cycle in (PALETTE, MARKERS, LINES))
    return RowStyle(color, marker, line, hollow=index // len(MARKERS) % 2 == 1)


def styles_of_cells(cells: pd.DataFrame, more: Iterable[str] = (), wholes: Iterable[str] = ()) -> dict[str, RowStyle]:
    """`row_styles` of all rows of these `aggregation.cells`, then of `more` names and `wholes`.

    Figures and page both ask for it, so a row has one look in all of them.
    """
    titles: dict[str, bool] = {}  # name → whether it is of the whole set
    for group in groups(rows_of(cells), comparison_key):
        titles |= zip(names(group), map(is_whole, group), strict=True)
    in_cells = sorted(name for name, whole in titles.items() if not whole)
    return row_styles([*in_cells, *sorted(more)], [*(name for name, whole in titles.items() if whole), *wholes])
