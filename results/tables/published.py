"""Measured and published accuracies: one table for each protocol and pair of networks, with what makes them differ."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results.aggregation.grouping import circumstances, groups, rows_of
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.published.compare import published_number
from results.tables.accuracy import matrix_key
from results.tables.captions import captions
from results.tables.cell_table import cell_table, table_rows
from results.tables.model import Table
from results.types import Cell


def published_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """The tables of all scored cells for which a paper printed a number; none if no cell has one."""
    printed = [row for row in rows_of(cells) if row["sets"] and published_number(row) is not None]
    return [_table(rows, options) for rows in groups(printed, matrix_key)]


def _table(cells: Sequence[Cell], options: Options) -> Table:
    rows = []
    for dataset in dict.fromkeys(cell["dataset"] for cell in cells):
        rows += table_rows(sorted_rows([cell for cell in cells if cell["dataset"] == dataset], options), options)
    title = ", ".join(["Measured and published", *circumstances(cells)])
    return cell_table("published", title, rows, captions(cells), options)
