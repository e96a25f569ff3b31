"""The files of a report's tables: Markdown, LaTeX, HTML, CSV of raw numbers, and a CSV file for each table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from results.aggregation.options import DEFAULT, TABLES, Options
from results.aggregation.selection import select
from results.formatting import grouped, printable
from results.rendering import html, latex
from results.rendering.text import to_markdown
from results.store.atomic_files import replace, writing
from results.tables.model import Column, Entry, Table
from results.tables.registry import NO_BUILDERS, TableBuilder, tables_by_kind
from results.types import Json

_FORMS = {  # file → the format that it belongs to
    "tables.md": "markdown", "tables.tex": "latex", "article.tex": "latex", "references.bib": "latex",
    "tables.html": "html", "tables.csv": "csv",
}  # fmt: skip


def write_tables(
    cells: pd.DataFrame,
    folder: Path,
    options: Options = DEFAULT,
    records: Sequence[Json] = (),
    added: Mapping[str, TableBuilder] = NO_BUILDERS,
) -> list[Path]:
    r"""Write what `options` ask for into an existing folder, each file whole or not at all; returns their paths.

    markdown: tables.md. latex: tables.tex to \input, and article.tex, a whole document with it. html: tables.html.
    csv: tables.csv, all chosen cells with raw numbers. sheets: sheets/KIND-NUMBER.csv, each table as it is shown.
    Files of an earlier report that are not asked for now are removed. added: builders of other packages' tables. Raises
    ResultsError.
    """
    chosen_cells = select(cells, options)
    by_kind = tables_by_kind(cells, options, records, added)
    tables = [table for kind in by_kind.values() for table in kind]
    head = f"{_counted(len(tables), 'table')} from {_counted(len(chosen_cells), 'cell')}"
    files: dict[str, str] = {}
    if "markdown" in options.formats:
        files["tables.md"] = f"{head}.\n\n" + "\n".join(map(to_markdown, tables))
    if "latex" in options.formats:
        files |= {"tables.tex": latex.document(tables), "article.tex": latex.ARTICLE}
    if "html" in options.formats:
        files["tables.html"] = html.page(tables, head)
    if "csv" in options.formats:
        files["tables.csv"] = to_csv(chosen_cells)
    if "sheets" in options.formats:
        files |= _sheets(by_kind)
        _remove_sheets(folder / "sheets")
    for name, text in files.items():
        replace(folder / name, text)
    with writing(folder):
        for name in set(_FORMS) - set(files):
            if _FORMS[name] not in options.formats:
                (folder / name).unlink(missing_ok=True)
        if "sheets" not in options.formats and (folder / "sheets").is_dir():
            _remove_sheets(folder / "sheets")
    return [folder / name for name in files]


def to_csv(cells: pd.DataFrame) -> str:
    """All cells with raw numbers (fractions, seconds, bytes); columns of several values are JSON."""
    nested = ("sample", "accuracies", "cell_spec", "evaluation_ids", "set_ids")
    plain = cells.assign(**{name: cells[name].map(_json) for name in nested})
    texts = plain.select_dtypes(["object", "string"]).columns
    plain = plain.assign(**{name: plain[name].map(_cell) for name in texts})
    text = io.StringIO()
    plain.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula begins with an apostrophe; nothing else changes."""
    text = printable(value) if isinstance(value, str) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@", "\t")) else text


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sheets(by_kind: Mapping[str, Sequence[Table]]) -> dict[str, str]:
    """File name → text: "sheets/time-1.csv", numbered in the order of the other formats.

    Titles, captions and notes begin with "#": pandas.read_csv(path, comment="#") reads the table alone.
    """
    files = {}
    for kind, tables in by_kind.items():
        for number, table in enumerate(tables, 1):
            text = io.StringIO()
            notes = (f"({note_number}) {note}" for note_number, note in enumerate(table.notes, 1))
            text.writelines(f"# {' '.join(line.split())}\n" for line in (table.title, *table.captions, *notes))
            csv.writer(text, lineterminator="\n").writerows(to_sheet(table))
            files[f"sheets/{kind}-{number}.csv"] = text.getvalue()
    return files


def to_sheet(table: Table) -> list[list[str]]:
    """Rows of plain text below one row of heads; deviations and remarks, where there are any, are separate columns.

    Numbers have no commas between their thousands and missing ones are empty, so that any program reads them. What one
    entry says of several columns is in each of them.
    """
    named = any(block.name for block in table.blocks)
    names = [block.name for block in table.blocks for _ in block.rows]
    rows = [_repeated(row) for row in table.rows]
    lines = [["Block", *map(str, map(_cell, names))]] if named else []
    for column, entries in zip(table.columns, zip(*rows, strict=True), strict=True):
        lines.append([column.title, *(_plain(column, entry) for entry in entries)])
        spreads = [column.print_spread(entry) for entry in entries]
        remarks = [_remark(table, entry) for entry in entries]
        lines += [[f"{column.title} ±", *spreads]] if any(spreads) else []
        lines += [[f"{column.title} remark", *remarks]] if any(remarks) else []
    return [list(line) for line in zip(*lines, strict=True)]


def _repeated(row: Sequence[Entry]) -> list[Entry]:
    """The row with what covers several columns in each of them."""
    return [entry for entry in row for _ in range(entry.span)]


def _plain(column: Column, entry: Entry) -> str:
    if entry.value is None or isinstance(entry.value, str):
        return str(_cell(entry.value or ""))
    return "" if entry.number is None else column.form(entry.number).replace(",", "").replace("−", "-")


def _remark(table: Table, entry: Entry) -> str:
    notes = (f"({number})" for number in table.note_numbers(entry))
    words = [entry.bound, entry.rank, "one set" if entry.single else "", *notes, entry.words]
    return str(_cell(" ".join(filter(None, words))))


def _remove_sheets(folder: Path) -> None:
    """Make the folder, or remove the tables of an earlier report, which may have had more of them."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
        for path in folder.glob("*-*.csv"):
            if path.stem.rpartition("-")[0] in TABLES:
                path.unlink()


def _counted(number: int, noun: str) -> str:
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"
