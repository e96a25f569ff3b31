"""Comparison tables from cells: one for each dataset, condensing network, evaluation network and protocol."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Hashable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd

from results import latex
from results.captions import Columns, captions, main_device
from results.cross import network_tables, protocol_tables
from results.files import replace
from results.forms import Table, below, cross_table, render_rich, to_markdown
from results.lines import by_column
from results.matrix import matrices
from results.numbers import count, difference, grouped, percent, seconds, spread
from results.published import Published, also, compare, of_cell
from results.ranking import marks
from results.rows import circumstances, groups, ipc, is_whole, names, protocol_of, ratio, rows_of
from results.took import took_tables

__all__ = ["Table", "all_tables", "below", "comparison_tables", "render_rich", "to_csv", "to_markdown", "write_tables"]

_ACCURACY = 3  # its place among the columns
COLUMNS = ("IPC", "Ratio %", "Method", "Accuracy %", "Published", "Decoded", "Steps", "Evaluate s")

Cell = Mapping[str, Any]


def all_tables(cells: pd.DataFrame) -> list[Table]:
    """Everything for a terminal or Markdown, dataset by dataset: comparisons, networks and protocols across, costs."""
    found: list[Table] = []
    for dataset in dict.fromkeys(cells["dataset"]):
        mine = cells[cells["dataset"] == dataset]
        found += comparison_tables(mine)
        found += [cross_table(cross) for cross in [*network_tables(mine), *protocol_tables(mine)]]
        found += took_tables(mine)
    return found


def comparison_tables(cells: pd.DataFrame) -> list[Table]:
    """The tables of these cells (`aggregate.cells`), in the cells' order."""
    return [_table(_by_ipc(group)) for group in groups(rows_of(cells), _place)]


def _by_ipc(rows: Sequence[Cell]) -> list[Cell]:
    return sorted(rows, key=lambda row: math.inf if is_whole(row) else row["ipc"])  # stable


def _place(row: Cell) -> tuple[Any, ...]:
    """What a table is made for, beside the condensing network."""
    return row["dataset"], row["architecture"], *protocol_of(row)


def _table(rows: Sequence[Cell]) -> Table:
    first = rows[0]
    table = Table(", ".join([first["dataset"], *circumstances(rows)]), COLUMNS)
    columns = by_column(rows, ipc)
    marked = {id(row): mark for cells in columns.values() for row, mark in zip(cells, marks(cells), strict=True)}
    device, called = main_device(rows), names(rows)
    withheld = any(row["validation"] for row in rows)
    if withheld:
        table.columns = [*COLUMNS[:4], "Withheld %", *COLUMNS[4:]]
    for place, row in enumerate(rows):
        rank, doubt = marked.get(id(row), ("", ""))
        cells = [ipc(row), ratio(row), called[place], _accuracy(row, doubt, table)]
        cells += [percent(row["validation_accuracy"])] if withheld else []
        sizes = [count(row[name]) for name in ("decoded_images", "optimiser_steps")]
        duration = seconds(row["evaluate_seconds"]) if device in (None, _device(row)) else "‡"
        if rank:
            table.ranks[len(table.rows), _ACCURACY] = rank
        table.rows.append([*cells, _published(row, table), *sizes, duration])
    if all(row[table.columns.index("Published")] == "–" for row in table.rows):
        table.without("Published")
    table.captions = captions(rows, Columns(columns, _in_words))
    return table


def _in_words(ipcs: Set[Hashable]) -> list[str]:
    return [f"ipc {', '.join(sorted(map(str, ipcs), key=int))}"]


# --- columns ----------------------------------------------------------------------------------------------------------


def _accuracy(row: Cell, doubt: str, table: Table) -> str:
    if not row["sets"]:
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


# --- files ------------------------------------------------------------------------------------------------------------


def to_csv(cells: pd.DataFrame) -> str:
    """All cells with raw numbers (fractions, seconds, bytes); `sample`, `accuracies` and `spec` as JSON."""
    plain = cells.assign(**{name: cells[name].map(_json) for name in ("sample", "accuracies", "spec")})
    text = io.StringIO()
    plain.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def write_tables(cells: pd.DataFrame, folder: Path) -> list[Path]:
    """Write tables.md, tables.csv and tables.tex into an existing folder, each whole or not at all.

    Raises ResultsError.
    """
    tables = all_tables(cells)
    head = f"{grouped(len(tables))} table{'s' if len(tables) != 1 else ''} from {grouped(len(cells))} cells.\n\n"
    texts = {
        "tables.md": head + "\n".join(map(to_markdown, tables)),
        "tables.csv": to_csv(cells),
        "tables.tex": latex.document(matrices(cells), [*network_tables(cells), *protocol_tables(cells)]),
    }
    for name, text in texts.items():
        replace(folder / name, text)
    return [folder / name for name in texts]
