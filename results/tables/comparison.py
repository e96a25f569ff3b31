"""Comparison tables from cells: one for each dataset, condensing network, evaluation network and protocol."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence, Set
from typing import Any

import pandas as pd

from results.aggregation.grouping import circumstances, groups, ipc, protocol_of, ratio, rows_of
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import count, difference, percent, seconds, spread
from results.published.compare import Published, also, compare, of_cell
from results.statistics.ranking import marked
from results.tables.across import cross_table, network_tables, protocol_tables
from results.tables.captions import Columns, captions, main_device
from results.tables.entries import MISSING, by_column
from results.tables.model import Table
from results.tables.took import took_tables
from results.types import Cell

_ACCURACY = 3  # its place among the columns
COLUMNS = ("IPC", "Ratio %", "Method", "Accuracy %", "Published", "Decoded", "Steps", "Evaluate s")


def all_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """What a run prints, dataset by dataset: comparisons, networks and protocols across, what condensing took."""
    found: list[Table] = []
    for dataset in dict.fromkeys(cells["dataset"]):
        mine = cells[cells["dataset"] == dataset]
        found += comparison_tables(mine, options)
        crosses = [*network_tables(mine, options), *protocol_tables(mine, options)]
        found += [cross_table(cross) for cross in crosses]
        found += took_tables(mine)
    return found


def comparison_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """The tables of these cells (`aggregate.cells`), in the cells' order."""
    return [_table(sorted_rows(group, options), options) for group in groups(rows_of(cells), _place)]


def _place(row: Cell) -> tuple[Any, ...]:
    """What a table is made for, beside the condensing network."""
    return row["dataset"], row["architecture"], *protocol_of(row)


def _table(rows: Sequence[Cell], options: Options) -> Table:
    first = rows[0]
    table = Table(", ".join([first["dataset"], *circumstances(rows)]), COLUMNS)
    columns = by_column(rows, ipc)
    ranked = marked(columns.values(), options)
    device, called = main_device(rows), names(rows)
    withheld = any(row["val_fraction"] for row in rows)
    if withheld:
        table.columns = [*COLUMNS[:4], "Withheld %", *COLUMNS[4:]]
    for place, row in enumerate(rows):
        rank, doubt = ranked.get(id(row), ("", ""))
        cells = [ipc(row), ratio(row), called[place], _accuracy(row, doubt, table, options)]
        cells += [percent(row["validation_accuracy"])] if withheld else []
        sizes = [count(row[name]) for name in ("decoded_images", "optimizer_steps")]
        duration = seconds(row["evaluate_seconds"]) if device in (None, _device(row)) else "‡"
        if rank:
            table.ranks[len(table.rows), _ACCURACY] = rank
        table.rows.append([*cells, _published(row, table), *sizes, duration])
    if all(row[table.columns.index("Published")] == "–" for row in table.rows):
        table.without("Published")
    table.captions = captions(rows, Columns(columns, _in_words, options.highlight))
    return table


def _in_words(ipcs: Set[Hashable]) -> list[str]:
    return [f"ipc {', '.join(sorted(map(str, ipcs), key=int))}"]


# --- columns ----------------------------------------------------------------------------------------------------------


def _accuracy(row: Cell, doubt: str, table: Table, options: Options) -> str:
    if not row["sets"]:
        if not options.explain_missing:
            return MISSING
        return f"{row['status']} ({table.notes.number(row['message'])})" if row["message"] else str(row["status"])
    parts = [spread(row["accuracy"], row["sd"], row["sd_networks"])]
    if row["missing"]:
        parts.append(f"[{row['sets']}/{row['expected']}]")
    if row["message"]:
        parts.append(f"({table.notes.number(row['message'])})")
    return " ".join(filter(None, [*parts, doubt]))


def _published(row: Cell, table: Table) -> str:
    """The printed number beside the measured one: "48.9 ± 0.6 (−0.4 within)", or ≠ and the note of what differs.

    A cell that is printed twice says in a note whose number stands here and what the other one is.
    """
    entry = of_cell(row)
    if entry is None:
        return "–"
    printed = _printed(entry)
    if others := also(entry):
        twice = "; ".join(f"{_printed(other)} in {other.cited}" for other in others)
        printed += f" ({table.notes.number(f'from {entry.cited}; {twice}')})"
    if not row["sets"]:
        return printed
    found = compare(row, entry)
    verdict = found.mark or f"≠{table.notes.number('; '.join(found.mismatches))}"
    return f"{printed} ({difference(found.difference)} {verdict})"


def _printed(entry: Published) -> str:
    return spread(entry.accuracy, math.nan if entry.std is None else entry.std)


def _device(row: Cell) -> tuple[str, str]:
    return row["devices"], row["precisions"]
