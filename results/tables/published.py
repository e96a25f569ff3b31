"""Measured and published accuracies: one table for each protocol and pair of networks, with what makes them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from results.aggregation.grouping import circumstances, groups, ipc, rows_of
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import difference, spread
from results.published.compare import (
    BEST_ON_TEST,
    Published,
    accuracy_by_rule,
    compare,
    other_printed_numbers,
    published_number,
)
from results.tables.accuracy import matrix_key
from results.tables.captions import published_captions
from results.tables.model import Table
from results.types import Cell

COLUMNS = ("Dataset", "IPC", "Method", "Measured %", "Published %", "Difference", "Mark", "Printed in")
NOT_COMPARABLE = "not comparable"
OPTIMISTIC = "best on test, optimistic"


def published_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """The tables of all scored cells for which a paper printed a number; none if no cell has one.

    Mark: within, above or below (`published.compare`), or NOT_COMPARABLE with a note on all that differs.
    """
    pairs = [(row, entry) for row in rows_of(cells) if row["sets"] and (entry := published_number(row)) is not None]
    entries = {id(row): entry for row, entry in pairs}
    return [_table(rows, entries, options) for rows in groups([row for row, _ in pairs], matrix_key)]


def _table(rows: Sequence[Cell], entries: Mapping[int, Published], options: Options) -> Table:
    table = Table(", ".join(["Measured and published", *circumstances(rows)]), COLUMNS)
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        of_dataset = sorted_rows([row for row in rows if row["dataset"] == dataset], options)
        for row, name in zip(of_dataset, names(of_dataset), strict=True):
            table.rows.append([dataset, ipc(row), name, *_compared(row, entries[id(row)], table)])
    table.captions = published_captions(rows)
    return table


def _compared(row: Cell, entry: Published, table: Table) -> list[str]:
    comparison = compare(row, entry)
    mark = comparison.mark or f"{NOT_COMPARABLE} ({table.notes.number('; '.join(comparison.mismatches))})"
    reprints = "; ".join(f"{published_text(other)} in {other.cited}" for other in other_printed_numbers(entry))
    source = entry.cited + (f" ({table.notes.number(reprints)})" if reprints else "")
    accuracy, deviations = accuracy_by_rule(row, comparison.rule)
    measured = spread(accuracy, *deviations) + (f" ({OPTIMISTIC})" if comparison.rule == BEST_ON_TEST else "")
    return [measured, published_text(entry), difference(comparison.difference), mark, source]


def published_text(entry: Published) -> str:
    """ "48.9 ± 0.6" """
    return spread(entry.accuracy, math.nan if entry.std is None else entry.std)
