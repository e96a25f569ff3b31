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
from results.formatting import grouped
from results.rendering import html, latex
from results.rendering.grid import to_grid, to_sheet
from results.rendering.text import to_markdown
from results.store.atomic_files import replace, writing
from results.tables.accuracy import Matrix, matrix_tables
from results.tables.across import AcrossTable, across_as_text
from results.tables.model import Table
from results.tables.registry import AnyTable, tables_by_kind
from results.types import Json


def text_tables(table: AnyTable) -> list[Table]:
    """A table as text: several if it is too wide."""
    if isinstance(table, Matrix):
        return matrix_tables(table)
    return [across_as_text(table) if isinstance(table, AcrossTable) else table]


def write_tables(
    cells: pd.DataFrame, folder: Path, options: Options = DEFAULT, records: Sequence[Json] = ()
) -> list[Path]:
    r"""Write what `options` ask for into an existing folder, each file whole or not at all; returns their paths.

    markdown: tables.md. latex: tables.tex to \input, and article.tex, a whole document with it. html: tables.html.
    csv: tables.csv, all chosen cells with raw numbers. sheets: sheets/KIND-NUMBER.csv, each table as it is shown; those
    of an earlier report are removed. Raises ResultsError.
    """
    chosen_cells = select(cells, options)
    by_kind = tables_by_kind(chosen_cells, options, records)
    tables = [table for kind in by_kind.values() for table in kind]
    head = f"{_counted(len(tables), 'table')} from {_counted(len(chosen_cells), 'cell')}"
    files: dict[str, str] = {}
    if "markdown" in options.formats:
        texts = "\n".join(to_markdown(text) for table in tables for text in text_tables(table))
        files["tables.md"] = f"{head}.\n\n{texts}"
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
    return [folder / name for name in files]


def to_csv(cells: pd.DataFrame) -> str:
    """All cells with raw numbers (fractions, seconds, bytes); columns of several values are JSON."""
    nested = ("sample", "accuracies", "cell_spec", "evaluation_ids", "set_ids")
    plain = cells.assign(**{name: cells[name].map(_json) for name in nested})
    text = io.StringIO()
    plain.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sheets(by_kind: Mapping[str, Sequence[AnyTable]]) -> dict[str, str]:
    """File name → text: "sheets/time-1.csv", numbered in the order of the other formats.

    Titles, captions and notes begin with "#": pandas.read_csv(path, comment="#") reads the table alone.
    """
    files = {}
    for kind, tables in by_kind.items():
        for number, table in enumerate(tables, 1):
            text = io.StringIO()
            notes = (f"({note_number}) {note}" for note_number, note in enumerate(table.notes, 1))
            text.writelines(f"# {' '.join(line.split())}\n" for line in (table.title, *table.captions, *notes))
            csv.writer(text, lineterminator="\n").writerows(to_sheet(to_grid(table)))
            files[f"sheets/{kind}-{number}.csv"] = text.getvalue()
    return files


def _remove_sheets(folder: Path) -> None:
    """Make the folder, or remove the tables of an earlier report, which may have had more of them."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
        for path in folder.glob("*-*.csv"):
            if path.stem.rpartition("-")[0] in TABLES:
                path.unlink()


def _counted(number: int, noun: str) -> str:
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"
