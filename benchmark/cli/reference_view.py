"""What `python -m benchmark.data reference` prints: the shipped cells and sets."""

from __future__ import annotations

from rich import box
from rich.table import Table

from results.aggregation.cells import cells
from results.aggregation.grouping import ipc, ipc_number, rows_of
from results.aggregation.naming import title
from results.store.read_all import read_all
from results.store.reference import NAME, sets
from results.tables.columns import ACCURACY, spread_entry
from results.tables.model import number_text
from results.types import Cell


def reference_table() -> tuple[Table, list[str]]:
    """The shipped cells, and what to say below: the shipped sets, and what is wrong with records."""
    stored = read_all(NAME)
    table = Table(title="Reference results", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("Dataset", "IPC", "Method", "Network", "Protocol", "Accuracy %", "Sets × networks", "Precision"):
        table.add_column(column, justify="right" if column in ("IPC", "Accuracy %") else "left", no_wrap=True)
    for row in sorted(rows_of(cells(stored.records)), key=_order):
        accuracy = number_text(ACCURACY, spread_entry(row["accuracy"], row["sd"], row["sd_networks"]))
        cell = (row["dataset"], ipc(row), title(row), row["architecture"], row["protocol"])
        table.add_row(*cell, accuracy, f"{row['sets']} × {row['networks']}", row["precisions"])
    lines = [f"set={NAME}{name}  {shipped['pixels']}" for name, shipped in sets().items()]
    shown = ["python -m benchmark.report store=reference: shows tables and figures of them"]
    problems = [f"{problem.what} ({problem.where})" for problem in stored.problems]
    return table, ["Sets for python -m benchmark.evaluate:", *lines, *shown, *problems]


def _order(row: Cell) -> tuple[str, float, str, str]:
    return row["dataset"], ipc_number(row), row["protocol"], row["display_name"]
