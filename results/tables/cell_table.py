"""A table with a row for each cell, from the columns that are declared for its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.tables.captions import main_device
from results.tables.columns import COLUMNS, columns_of
from results.tables.model import Column, Entry, RowBlock, Table
from results.types import Cell

_NO_MARKS = ("", "")


def table_rows(
    cells: Sequence[Cell],
    options: Options = DEFAULT,
    ranks_and_remarks: Mapping[int, tuple[str, str]] | None = None,
) -> list[dict[str, Any]]:
    """The cells of one table with what its columns need besides: name, rank, remark, other_device, explain_missing.

    ranks_and_remarks: of `ranking.ranks_and_remarks_by_row`. other_device: whether the cell's seconds were measured,
    and on another device than those of most cells.
    """
    device, marks = main_device(cells), ranks_and_remarks or {}
    return [
        {
            **cell,
            "name": name,
            "rank": marks.get(id(cell), _NO_MARKS)[0],
            "remark": marks.get(id(cell), _NO_MARKS)[1],
            "other_device": bool(cell["devices"]) and device not in (None, (cell["devices"], cell["precisions"])),
            "explain_missing": options.explain_missing,
        }
        for cell, name in zip(cells, names(cells), strict=True)
    ]


def cell_table(
    kind: str,
    title: str,
    rows: Sequence[Cell],
    captions: Sequence[str],
    options: Options = DEFAULT,
    columns: Sequence[Column] = COLUMNS,
) -> Table:
    """The table of a kind with these rows, which are from `table_rows`; those of equal first entries form a block.

    Raises ResultsError if `options.columns` has a name that no column has.
    """
    shown = columns_of(kind, rows, options, columns)
    blocks: list[tuple[Any, list[list[Entry]]]] = []
    for row in rows:
        entries = [column.entry(row) for column in shown]
        if not blocks or blocks[-1][0] != entries[0].value:
            blocks.append((entries[0].value, []))
        blocks[-1][1].append(entries)
    return Table(kind, title, shown, [RowBlock("", block) for _, block in blocks], captions)
