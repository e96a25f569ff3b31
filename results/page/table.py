"""The rows of the page's table, and the groups of rows that can be compared with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from results.aggregation.grouping import circumstances, comparison_key, groups, ipc, is_whole
from results.aggregation.options import Options
from results.formatting import percent
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.captions import RankedColumns, captions, describe_ipcs
from results.tables.cell_table import table_rows
from results.tables.columns import COLUMNS
from results.tables.entries import cells_by_column
from results.tables.model import MISSING, Entry, number_text
from results.types import Cell

BY_NAME = {column.name: column for column in COLUMNS if "page" in column.tables}
_OPTIONS = Options(explain_missing=True)
_COSTS = {"prepare": "prepare_full", "condense": "condense", "evaluate": "evaluate"}


@dataclass(frozen=True)
class PageRow:
    """A cell as the table shows it.

    index: of the cell among all cells. filters: dataset, method, ipc, protocol and network. entries: by the names of
    the columns. total_seconds: None if they are unknown or of another device. accuracy, deviation: in percent.
    """

    index: int
    name: str
    filters: dict[str, str]
    entries: dict[str, Entry]
    total_seconds: float | None
    accuracy: float | None
    deviation: float | None

    def text(self, column: str) -> str:
        """An entry as the page prints it; notes are in its tooltip."""
        entry = self.entries[column]
        return " ".join(filter(None, [number_text(BY_NAME[column], entry), entry.words]))

    def tooltip(self, column: str) -> str:
        """An entry's explanation, else its notes."""
        entry = self.entries[column]
        return entry.tip or "; ".join(entry.notes)


@dataclass(frozen=True)
class RowGroup:
    """The indices of rows with the same dataset, protocol and pair of networks, which can be compared."""

    title: str
    rows: list[int]
    captions: list[str]


def page_rows(cells: Sequence[Cell]) -> tuple[list[PageRow], list[RowGroup]]:
    """All cells as rows, in their order, and the groups that they belong to; the whole set may belong to several."""
    indices = {id(cell): index for index, cell in enumerate(cells)}
    rows: dict[int, PageRow] = {}
    row_groups = []
    for group in groups(cells, comparison_key):
        group = sorted(group, key=lambda row: math.inf if is_whole(row) else row["ipc"])  # stable
        columns = cells_by_column(group, ipc)
        for cell, row in zip(
            group, table_rows(group, _OPTIONS, ranks_and_remarks_by_row(columns.values())), strict=True
        ):
            index = indices[id(cell)]
            rows.setdefault(index, _row(row, index))
        title = ", ".join([group[0]["dataset_title"], *circumstances(group)])
        group_captions = captions(group, RankedColumns(columns, describe_ipcs), costs=True)
        row_groups.append(RowGroup(title, [indices[id(cell)] for cell in group], group_captions))
    return [rows[index] for index in sorted(rows)], row_groups


def best_by_ipc(rows: Sequence[PageRow]) -> dict[str, PageRow]:
    """The row with the highest mean at each ipc but the whole set's."""
    best: dict[str, PageRow] = {}
    for row in rows:
        of_ipc = row.filters["ipc"]
        if of_ipc.isdigit() and row.accuracy is not None:
            best[of_ipc] = max(best.get(of_ipc, row), row, key=lambda one: one.accuracy or 0.0)
    return best


def _row(row: Cell, index: int) -> PageRow:
    entries = {name: column.entry(row) for name, column in BY_NAME.items()}
    accuracy, total = entries["accuracy"], entries["total_full"]
    of_row = {"dataset": "dataset", "method": "method", "ipc": "ipc", "protocol": "protocol", "network": "network"}
    return PageRow(
        index,
        row["name"],
        {key: BY_NAME[name].print(entries[name]) for key, name in of_row.items()},
        entries,
        total.number if row["sets"] else None,
        _percent(accuracy.number),
        _percent(accuracy.spread) if accuracy.number is not None else None,
    )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None or math.isnan(fraction) else 100 * fraction


def facts(cell: Cell, row: PageRow) -> list[tuple[str, str]]:
    """Names and texts on a cell, for a reader."""
    costs = [f"{key} {row.text(name)}" for key, name in _COSTS.items()]
    validation = cell["validation_accuracy"]
    unit = " %" if cell["sets"] else ""
    best_on_test = row.text("best_on_test")
    pairs = [
        ("Accuracy", row.text("accuracy") + unit),
        ("Rank", "; ".join(filter(None, [row.text("rank"), row.entries["accuracy"].tip]))),
        ("Best on test (optimistic)", "" if best_on_test == MISSING else f"{best_on_test} %"),
        ("Missing", cell["message"]),
        ("Withheld images", "" if math.isnan(validation) else f"{percent(validation)} %"),
        ("Published", f"{row.text('published')}: {row.tooltip('published')}" if row.tooltip("published") else ""),
        ("Dataset", f"{cell['dataset_title']}, ipc {ipc(cell)}, {row.text('ratio')} % of the training images"),
        ("Network", row.filters["network"]),
        ("Protocol", f"{cell['protocol']} ({cell['recipe']}, version {cell['version']})" if cell["protocol"] else ""),
        ("Sets × networks", row.text("sample")),
        ("Seconds", f"{', '.join(costs)}: {row.text('total_full')} in total"),
        ("Family", f"{cell['family']}, {cell['year']}" if cell["year"] else str(cell["family"])),
        ("Source of settings", f"{cell['provenance']} (the weakest among all settings)" if cell["provenance"] else ""),
        ("Ran on", ", ".join(filter(None, [cell["devices"], cell["precisions"]]))),
        ("Code", f"commit {cell['commits']}" if cell["commits"] else ""),
    ]
    return [(name, text) for name, text in pairs if text]
