"""Rows of a table that has accuracies across: one for each method, in blocks by family.

The caller decides what is across: its `KeyOfCell` gives the column of each cell (a dataset and ipc, a network, …).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from results.aggregation.grouping import family_rank, is_whole
from results.aggregation.naming import differing, distinguish, title
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import row_order
from results.tables.columns import spread_entry
from results.tables.model import Entry
from results.types import Cell

NOT_RUN = "not run: the store has no such task"

KeyOfCell = Callable[[Cell], Hashable]
NamedCells = tuple[str, dict[Hashable, Cell]]  # the name of a row, and its cells by column


def cells_by_column(cells: Sequence[Cell], column_key: KeyOfCell) -> dict[Hashable, list[Cell]]:
    """The cells of each column without the whole set, which is not compared with methods."""
    columns: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        if not is_whole(cell):
            columns.setdefault(column_key(cell), []).append(cell)
    return columns


def family_blocks(
    cells: Sequence[Cell], column_key: KeyOfCell, options: Options = DEFAULT
) -> list[tuple[str, list[NamedCells]]]:
    """Rows in blocks by family, each with its name. Any other `options.order` gives a single block without a name."""
    rows = list(named_rows([cell for cell in cells if not is_whole(cell)], column_key))
    if options.order == "accuracy":
        return [("", _best_first(rows))] if rows else []
    order = row_order(options)
    rows.sort(key=lambda row: (*order(_first_cell(row)), row[0]))
    if options.order != "family":
        return [("", rows)] if rows else []
    families = sorted({_first_cell(row)["family"] for row in rows}, key=family_rank)
    return [(family, [row for row in rows if _first_cell(row)["family"] == family]) for family in families]


def _best_first(rows: Sequence[NamedCells]) -> list[NamedCells]:
    """Sorted by the mean over the columns that all scored rows have, or over a row's own columns if there are none."""
    scored = [{column for column, cell in cells.items() if cell["sets"]} for _, cells in rows]
    shared = set.intersection(*filter(None, scored)) if any(scored) else set()

    def order(index: int) -> tuple[object, ...]:
        name, cells = rows[index]
        means = [float(cells[column]["accuracy"]) for column in shared or scored[index] if column in scored[index]]
        return not means, -fmean(means) if means else 0.0, name

    return [rows[index] for index in sorted(range(len(rows)), key=order)]


def _first_cell(row: NamedCells) -> Cell:
    return next(iter(row[1].values()))


# --- which cells make one row -----------------------------------------------------------------------------------------


def named_rows(cells: Sequence[Cell], column_key: KeyOfCell) -> Iterator[NamedCells]:
    """Cells of one name make one row, or one row for each specification if a column has several of these cells."""
    by_name: dict[str, list[Cell]] = {}
    for cell in cells:
        by_name.setdefault(cell["display_name"], []).append(cell)
    for same_name in by_name.values():
        ambiguous = [column for column in _columns_of(same_name, column_key) if len(column) > 1]
        if ambiguous:
            yield from _rows_by_settings(same_name, ambiguous, column_key)
        else:
            yield title(same_name[0]), {column_key(cell): cell for cell in same_name}


def _columns_of(cells: Sequence[Cell], column_key: KeyOfCell) -> list[list[Cell]]:
    columns: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        columns.setdefault(column_key(cell), []).append(cell)
    return list(columns.values())


def _rows_by_settings(
    cells: Sequence[Cell], ambiguous: Sequence[Sequence[Cell]], column_key: KeyOfCell
) -> Iterator[NamedCells]:
    """Rows by the settings that differ within the ambiguous columns.

    Settings that all cells have are tried first: a cell that was never evaluated lacks the settings of evaluations.
    """
    for only_common in (True, False):
        settings = {origin: _settings(ambiguous, origin, only_common) for origin in ("here", "elsewhere")}
        rows: dict[tuple[str, ...], list[Cell]] = {}
        for cell in cells:
            origin = cell["cell_spec"]["condensed"]
            values = (json.dumps(cell["cell_spec"].get(name), sort_keys=True) for name in settings[origin])
            rows.setdefault((origin, *values), []).append(cell)
        if all(len(column) == 1 for row in rows.values() for column in _columns_of(row, column_key)):
            break
    differences = distinguish([row[0]["cell_spec"] for row in rows.values()], settings)
    for difference, row in zip(differences, rows.values(), strict=True):
        yield f"{title(row[0])} [{difference}]", {column_key(cell): cell for cell in row}


def _settings(ambiguous: Sequence[Sequence[Cell]], origin: str, only_common: bool) -> list[str]:
    """The settings in which the cells of a column differ, over all columns; shortest names first."""
    names: dict[str, None] = {}
    for column in ambiguous:
        specs = [cell["cell_spec"] for cell in column if cell["cell_spec"]["condensed"] == origin]
        common = set.intersection(*map(set, specs)) if specs else set()
        names |= dict.fromkeys(name for name in differing(specs) if name in common or not only_common)
    return sorted(names, key=lambda name: (len(name), name))


# --- entries ----------------------------------------------------------------------------------------------------------


def entries_by_column(
    cells: Mapping[Hashable, Cell],
    columns: Iterable[Hashable],
    ranks_and_remarks: Mapping[int, tuple[str, str]],
    options: Options = DEFAULT,
) -> dict[Any, Entry]:
    """A row's entry for each of `columns`. ranks_and_remarks: by the id of a cell."""
    return {column: _entry(cells.get(column), ranks_and_remarks, options) for column in columns}


def _entry(cell: Cell | None, ranks_and_remarks: Mapping[int, tuple[str, str]], options: Options) -> Entry:
    if cell is None or not cell["sets"]:
        reason = _reason(cell) if cell else NOT_RUN
        return Entry(notes=(reason,) if options.explain_missing and reason else ())
    rank, remark = ranks_and_remarks.get(id(cell), ("", ""))
    notes = tuple(filter(None, [_reason(cell)]))
    return spread_entry(cell["accuracy"], cell["sd"], cell["sd_networks"], rank=rank, words=remark, notes=notes)


def _reason(cell: Cell) -> str:
    """Why sets are missing, or "" if none is."""
    if not cell["sets"]:
        return f"{cell['status']}: {cell['message']}".rstrip(": ")
    if not cell["missing"]:
        return str(cell["message"])
    return f"{cell['sets']} of {cell['expected']} sets: {cell['message']}".rstrip(": ")
