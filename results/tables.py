"""Comparison tables from cells: one for each dataset, condensing network, evaluation network and protocol."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from results import latex
from results.aggregate import is_random
from results.captions import captions, main_device
from results.files import replace
from results.matrix import matrices
from results.numbers import count, difference, grouped, percent, seconds, spread
from results.published import Published, also, compare, of_cell
from results.rows import circumstances, groups, ipc, is_whole, names, protocol_of, ratio, rows_of
from results.significance import ALPHA, better_than, holm

COLUMNS = (
    *("IPC", "Ratio %", "Method", "Accuracy %", "Published", "Prepare s (full / shared)", "Condense s"),
    *("Evaluate s", "Stored", "Decoded", "Steps"),
)
_WORDS = {"Method", "Published"}  # columns of words, set to the left

Cell = Mapping[str, Any]


@dataclass
class Table:
    """What is printed: `rows` of text in the order of `columns`; `notes` are numbered from 1 and cited in the rows."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> int:
        """The number under which `text` stands below the table."""
        if text not in self.notes:
            self.notes.append(text)
        return self.notes.index(text) + 1


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
    p_values = {} if first["protocol"] == "native" else _p_values(rows)
    device, called = main_device(rows), names(rows)
    withheld = any(row["validation"] for row in rows)
    if withheld:
        table.columns = [*COLUMNS[:4], "Withheld %", *COLUMNS[4:]]
    for place, row in enumerate(rows):
        cells = [ipc(row), ratio(row), called[place], _accuracy(row, p_values.get(place), table)]
        costs = _seconds(row) if device in (None, _device(row)) else ["‡"] * 3
        sizes = [count(row[name]) for name in ("stored_images", "decoded_images", "optimiser_steps")]
        cells += [percent(row["validation_accuracy"])] if withheld else []
        table.rows.append([*cells, _published(row, table), *costs, *sizes])
    _drop_if_empty(table, "Published")
    table.captions = captions(rows, tested=bool(p_values))
    return table


def _drop_if_empty(table: Table, column: str) -> None:
    place = list(table.columns).index(column)
    if all(row[place] == "–" for row in table.rows):
        table.columns = [*table.columns[:place], *table.columns[place + 1 :]]
        table.rows = [[*row[:place], *row[place + 1 :]] for row in table.rows]


# --- significance -----------------------------------------------------------------------------------------------------


def _p_values(rows: Sequence[Cell]) -> dict[int, float]:
    """Place of a method's row → p-value against the random controls, Holm-corrected over the methods at its ipc."""
    adjusted: dict[int, float] = {}
    for images in dict.fromkeys(map(ipc, rows)):
        block = [place for place, row in enumerate(rows) if ipc(row) == images and row["sets"]]
        methods = [place for place in block if rows[place]["kind_of_row"] == "method"]
        controls = [rows[place] for place in block if is_random(rows[place]["row"])]
        if controls:
            found = [_against(rows[place], controls) for place in methods]
            adjusted |= dict(zip(methods, holm(found), strict=True))
    return adjusted


def _against(row: Cell, controls: Sequence[Cell]) -> float:
    """The largest p-value against any control of the same training images: better than random means than each."""
    same = [control for control in controls if control["validation"] == row["validation"]]
    found = [better_than(row["sample"], control["sample"]) for control in same]
    return max((p for p in found if not math.isnan(p)), default=math.nan)


# --- columns ----------------------------------------------------------------------------------------------------------


def _accuracy(row: Cell, p_value: float | None, table: Table) -> str:
    if not row["sets"]:
        return f"{row['status']} ({table.note(row['message'])})" if row["message"] else str(row["status"])
    parts = [spread(row["accuracy"], row["sd"], row["sd_networks"])]
    if row["missing"]:
        parts.append(f"[{row['sets']}/{row['expected']}]")
    if row["message"]:
        parts.append(f"({table.note(row['message'])})")
    if p_value is not None and not p_value < ALPHA:
        parts.append("n.t." if math.isnan(p_value) else "n.s.")
    return " ".join(parts)


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
        printed += f" ({table.note(f'from {entry.cited}; {twice}')})"
    if not row["sets"]:
        return printed
    found = compare(row, entry)
    verdict = found.mark or f"≠{table.note('; '.join(found.mismatches))}"
    return f"{printed} ({difference(found.difference)} {verdict})"


def _printed(entry: Published) -> str:
    return spread(entry.accuracy, math.nan if entry.std is None else entry.std)


def _device(row: Cell) -> tuple[str, str]:
    return row["devices"], row["precisions"]


def _seconds(row: Cell) -> list[str]:
    full, shared = row["prepare_seconds"], row["prepare_amortised"]
    prepare = f"{seconds(full)} / {seconds(shared)}" if full > 0 else seconds(full)
    return [prepare, seconds(row["condense_seconds"]), seconds(row["evaluate_seconds"])]


# --- forms ------------------------------------------------------------------------------------------------------------


def render_rich(table: Table) -> RichTable:
    """For a terminal; a line between the ipcs. `below` gives the captions and notes that belong under it."""
    rich = RichTable(title=table.title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for name in table.columns:
        head = name.replace(" (", "\n(").replace(" %", "\n%").replace(" s", "\ns", 1)
        rich.add_column(head, justify="left" if name in _WORDS else "right", no_wrap=True)
    for row, after in zip(table.rows, [*table.rows[1:], None], strict=True):
        rich.add_row(
            *map(Text, row), end_section=after is not None and after[0] != row[0]
        )  # Text: "[4/5]" is no markup
    return rich


def to_markdown(table: Table) -> str:
    """A heading, the table, then captions and notes as a list."""
    bars = [":--" if name in _WORDS else "--:" for name in table.columns]
    lines = [_line(row) for row in [table.columns, bars, *table.rows]]
    under = [f"- {line}" for line in below(table)]
    return "\n".join([f"### {table.title}", "", *lines, "", *under, ""])


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in row) + " |"


def below(table: Table) -> list[str]:
    """Captions, then numbered notes."""
    return [*table.captions, *(f"({number}) {text}" for number, text in enumerate(table.notes, 1))]


def to_csv(cells: pd.DataFrame) -> str:
    """All cells with raw numbers (fractions, seconds, bytes); `sample` and `spec` as JSON."""
    plain = cells.assign(**{name: cells[name].map(_json) for name in ("sample", "spec")})
    text = io.StringIO()
    plain.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def write_tables(cells: pd.DataFrame, folder: Path) -> list[Path]:
    """Write tables.md, tables.csv and tables.tex into an existing folder, each whole or not at all.

    Raises ResultsError.
    """
    tables = comparison_tables(cells)
    head = f"{grouped(len(tables))} table{'s' if len(tables) != 1 else ''} from {grouped(len(cells))} cells.\n\n"
    texts = {
        "tables.md": head + "\n".join(map(to_markdown, tables)),
        "tables.csv": to_csv(cells),
        "tables.tex": latex.document(matrices(cells)),
    }
    for name, text in texts.items():
        replace(folder / name, text)
    return [folder / name for name in texts]
