"""Measured beside published: one table for each protocol and pair of networks, with all that keeps two apart. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from results.aggregation.grouping import circumstances, groups, ipc, rows_of
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import difference, spread
from results.published.compare import Published, also, compare, of_cell
from results.tables.accuracy import place_of
from results.tables.captions import published_captions
from results.tables.model import Table
from results.types import Cell

COLUMNS = ("Dataset", "IPC", "Method", "Measured %", "Published %", "Difference", "Mark", "Printed in")
NOT_COMPARABLE = "not comparable"


def published_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """The tables of all scored cells that some paper printed a number for; none where no cell has one.

    Mark: within, above or below (`published.compare`), or NOT_COMPARABLE with a note of everything that differs.
    """
    pairs = ((row, of_cell(row)) for row in rows_of(cells) if row["sets"])
    printed = {id(row): (row, entry) for row, entry in pairs if entry is not None}
    found = groups([row for row, _ in printed.values()], place_of)
    return [_table(rows, {key: entry for key, (_, entry) in printed.items()}, options) for rows in found]


def _table(rows: Sequence[Cell], printed: Mapping[int, Published], options: Options) -> Table:
    table = Table(", ".join(["Measured beside published", *circumstances(rows)]), COLUMNS)
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        mine = sorted_rows([row for row in rows if row["dataset"] == dataset], options)
        for row, called in zip(mine, names(mine), strict=True):
            table.rows.append([dataset, ipc(row), called, *_compared(row, printed[id(row)], table)])
    table.captions = published_captions(rows)
    return table


def _compared(row: Cell, entry: Published, table: Table) -> list[str]:
    found = compare(row, entry)
    mark = found.mark or f"{NOT_COMPARABLE} ({table.notes.number('; '.join(found.mismatches))})"
    others = [f"{_number(other)} in {other.cited}" for other in also(entry)]
    where = entry.cited + (f" ({table.notes.number('; '.join(others))})" if others else "")
    measured = spread(row["accuracy"], row["sd"], row["sd_networks"])
    return [measured, _number(entry), difference(found.difference), mark, where]


def _number(entry: Published) -> str:
    return spread(entry.accuracy, math.nan if entry.std is None else entry.std)
