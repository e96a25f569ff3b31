"""Comparison tables: one for each dataset, condensing network, evaluation network and protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from results.aggregation.grouping import circumstances, comparison_key, groups, ipc, ratio, rows_of
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import count, difference, percent, seconds, spread
from results.published.compare import BEST_ON_TEST, accuracy_by_rule, compare, other_printed_numbers, published_number
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.across import across_as_text, network_tables, protocol_tables
from results.tables.captions import RankedColumns, captions, describe_ipcs, main_device
from results.tables.costs import OTHER_DEVICE, condensing_tables
from results.tables.entries import MISSING, cells_by_column
from results.tables.model import Table
from results.tables.published import OPTIMISTIC, published_text
from results.types import Cell

COLUMNS = ("IPC", "Ratio %", "Method", "Accuracy %", "Published", "Decoded", "Steps", "Evaluate s")
BEST_ON_TEST_COLUMN = "Best on test % (optimistic)"
_ACCURACY = COLUMNS.index("Accuracy %")


def all_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """What a run prints for each dataset: comparisons, networks and protocols across, and the costs of condensing."""
    tables: list[Table] = []
    for dataset in dict.fromkeys(cells["dataset"]):
        of_dataset = cells[cells["dataset"] == dataset]
        tables += comparison_tables(of_dataset, options)
        tables += map(across_as_text, [*network_tables(of_dataset, options), *protocol_tables(of_dataset, options)])
        tables += condensing_tables(of_dataset)
    return tables


def comparison_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """The tables of these `aggregation.cells`, in the cells' order."""
    return [_table(sorted_rows(group, options), options) for group in groups(rows_of(cells), comparison_key)]


def _table(rows: Sequence[Cell], options: Options) -> Table:
    table = Table(", ".join([rows[0]["dataset"], *circumstances(rows)]), COLUMNS)
    columns = cells_by_column(rows, ipc)
    ranks_and_remarks = ranks_and_remarks_by_row(columns.values(), options)
    device = main_device(rows)
    withheld = any(row["val_fraction"] for row in rows)
    optimistic = any(not math.isnan(row["optimistic_best_on_test"]) for row in rows)
    more = [*(["Withheld %"] if withheld else []), *([BEST_ON_TEST_COLUMN] if optimistic else [])]
    table.columns = [*COLUMNS[: _ACCURACY + 1], *more, *COLUMNS[_ACCURACY + 1 :]]
    for row, name in zip(rows, names(rows), strict=True):
        rank, remark = ranks_and_remarks.get(id(row), ("", ""))
        texts = [ipc(row), ratio(row), name, _accuracy(row, remark, table, options)]
        texts += [percent(row["validation_accuracy"])] if withheld else []
        texts += [_best_on_test(row)] if optimistic else []
        sizes = [count(row["decoded_images"]), count(row["optimizer_steps"])]
        same_device = device in (None, (row["devices"], row["precisions"]))
        duration = seconds(row["evaluate_seconds"]) if same_device else OTHER_DEVICE
        if rank:
            table.ranks[len(table.rows), _ACCURACY] = rank
        table.rows.append([*texts, _published(row, table), *sizes, duration])
    if all(row[table.columns.index("Published")] == MISSING for row in table.rows):
        table.drop_columns("Published")
    table.captions = captions(rows, RankedColumns(columns, describe_ipcs, options.highlight))
    return table


def _accuracy(row: Cell, remark: str, table: Table, options: Options) -> str:
    if not row["sets"]:
        if not options.explain_missing:
            return MISSING
        return f"{row['status']} ({table.notes.number(row['message'])})" if row["message"] else str(row["status"])
    parts = [spread(row["accuracy"], row["sd"], row["sd_networks"])]
    if row["missing"]:
        parts.append(f"[{row['sets']}/{row['expected']}]")
    if row["message"]:
        parts.append(f"({table.notes.number(row['message'])})")
    return " ".join(filter(None, [*parts, remark]))


def _best_on_test(row: Cell) -> str:
    accuracy, deviations = accuracy_by_rule(row, BEST_ON_TEST)
    return MISSING if math.isnan(accuracy) else spread(accuracy, *deviations)


def _published(row: Cell, table: Table) -> str:
    """The published number with its difference: "48.9 ± 0.6 (−0.4 within)", or ≠ and a note on what differs.

    If the number is printed twice, a note names both sources.
    """
    entry = published_number(row)
    if entry is None:
        return MISSING
    text = published_text(entry)
    if others := other_printed_numbers(entry):
        reprints = "; ".join(f"{published_text(other)} in {other.cited}" for other in others)
        text += f" ({table.notes.number(f'from {entry.cited}; {reprints}')})"
    if not row["sets"]:
        return text
    comparison = compare(row, entry)
    verdict = comparison.mark or f"≠{table.notes.number('; '.join(comparison.mismatches))}"
    verdict += f", {OPTIMISTIC}" if comparison.rule == BEST_ON_TEST else ""
    return f"{text} ({difference(comparison.difference)} {verdict})"
