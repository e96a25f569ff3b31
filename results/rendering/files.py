"""What `python -m benchmark.report` shows: tables of every kind, and the files of every form."""

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
from results.rendering.grid import grid, sheet
from results.rendering.text import to_markdown
from results.store.atomic_files import replace, writing
from results.tables.accuracy import Matrix, matrix_tables
from results.tables.across import Cross, cross_table
from results.tables.model import Table
from results.tables.registry import Shown, _by_kind
from results.types import Json


def texts(shown: Shown) -> list[Table]:
    """A table as text: several where it is too wide."""
    if isinstance(shown, Matrix):
        return matrix_tables(shown)
    return [cross_table(shown) if isinstance(shown, Cross) else shown]


# --- files ------------------------------------------------------------------------------------------------------------


def write_tables(
    cells: pd.DataFrame, folder: Path, options: Options = DEFAULT, records: Sequence[Json] = ()
) -> list[Path]:
    r"""Write what `options` ask for into an existing folder, each file whole or not at all; returns their paths.

    markdown: tables.md. latex: tables.tex to \input, and article.tex, which is a whole document of it. html:
    tables.html. csv: tables.csv, all chosen cells with raw numbers. sheets: sheets/KIND-NUMBER.csv, each table as it is
    shown, in place of those of an earlier report. Raises ResultsError.
    """
    kept = select(cells, options)
    kinds = _by_kind(kept, options, records)
    made = [table for found in kinds.values() for table in found]
    head = f"{_counted(len(made), 'table')} from {_counted(len(kept), 'cell')}"
    files: dict[str, str] = {}
    if "markdown" in options.formats:
        files["tables.md"] = f"{head}.\n\n" + "\n".join(to_markdown(text) for table in made for text in texts(table))
    if "latex" in options.formats:
        files |= {"tables.tex": latex.document(made), "article.tex": latex.ARTICLE}
    if "html" in options.formats:
        files["tables.html"] = html.page(made, head)
    if "csv" in options.formats:
        files["tables.csv"] = to_csv(kept)
    if "sheets" in options.formats:
        files |= _sheets(kinds)
        _clear(folder / "sheets")
    for name, text in files.items():
        replace(folder / name, text)
    return [folder / name for name in files]


def to_csv(cells: pd.DataFrame) -> str:
    """All cells with raw numbers (fractions, seconds, bytes); `sample`, `accuracies` and `spec` as JSON."""
    plain = cells.assign(**{name: cells[name].map(_json) for name in ("sample", "accuracies", "cell_spec")})
    text = io.StringIO()
    plain.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sheets(kinds: Mapping[str, Sequence[Shown]]) -> dict[str, str]:
    """Names of files and what they hold: "sheets/time-1.csv", numbered as they stand in the other forms.

    What is no table begins with "#": pandas.read_csv(path, comment="#") reads the rest.
    """
    found = {}
    for kind, made in kinds.items():
        for number, table in enumerate(made, 1):
            text = io.StringIO()
            notes = (f"({place}) {note}" for place, note in enumerate(table.notes, 1))
            text.writelines(f"# {' '.join(line.split())}\n" for line in (table.title, *table.captions, *notes))
            csv.writer(text, lineterminator="\n").writerows(sheet(grid(table)))
            found[f"sheets/{kind}-{number}.csv"] = text.getvalue()
    return found


def _clear(folder: Path) -> None:
    """Make a folder, or take out the tables of an earlier report, which may have had more of them."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
        for path in folder.glob("*-*.csv"):
            if path.stem.rpartition("-")[0] in TABLES:
                path.unlink()


def _counted(number: int, noun: str) -> str:
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"
