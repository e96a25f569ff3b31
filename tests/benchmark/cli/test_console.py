"""Names of files and messages reach the terminal, tables and spreadsheets as text only."""

from __future__ import annotations

import csv
import io

import pandas as pd
from rich.table import Table as RichTable
from rich.text import Text

from benchmark.cli.console import Console
from benchmark.cli.main import message
from benchmark.utils.errors import BenchmarkError
from results.formatting import printable
from results.rendering.files import to_csv, to_sheet
from results.rendering.text import render_rich, to_markdown
from results.tables.model import Column, Entry, RowBlock, Table

EVIL = "\x1b[31mred\x07\u202eevil\x9b2J"
SHOWN = r"\x1b[31mred\x07\u202eevil\x9b2J"


def test_control_characters_are_escapes_and_other_letters_stay() -> None:
    assert printable(EVIL) == SHOWN and printable("josé ± 中 \udce9\n") == "josé ± 中 \udce9\n"


def test_whatever_is_printed_is_text() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    table = RichTable(EVIL)
    table.add_row(Text(EVIL, style="bold"))
    console.print(EVIL, markup=False, highlight=False)
    console.print(table)
    printed = console.file.getvalue()
    assert SHOWN.replace(r"\x07", "") in printed, "rich leaves out the bell"
    assert not {"\x07", "\u202e", "\x9b"} & set(printed) and "\x1b[31m" not in printed
    assert "\x1b[1m" in printed, "styles stay"


def test_errors_are_text() -> None:
    text = message(BenchmarkError(EVIL, where=EVIL, next=EVIL))
    assert text.count(SHOWN) == 3 and "\x1b" not in text


def table_of(name: str) -> Table:
    columns = [
        Column("name", "Name", lambda row: row[0], text=True),
        Column("a", "A", lambda row: row[1], "{:.1f}".format),
    ]
    rows = [[Entry(name, words=name, notes=(name,)), Entry(-0.5)]]
    return Table("mine", name, columns, [RowBlock(name, rows)], captions=[name])


def test_tables_hold_text_in_every_form() -> None:
    table, console = table_of(EVIL), Console(file=io.StringIO(), width=200)
    for part in render_rich(table):
        console.print(part)
    for text in (console.file.getvalue(), to_markdown(table), *map(str, to_sheet(table))):
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(text)


def test_markdown_shows_signs_of_html_and_of_its_tables() -> None:
    text = to_markdown(table_of("<img src=x> a|b & c"))
    assert "<img" not in text and r"&lt;img src=x> a\|b &amp; c" in text


def test_no_cell_of_a_csv_file_is_a_formula() -> None:
    for name in ("=1+1", "+1", "-x", "@SUM(A1)"):
        rows = to_sheet(table_of(name))
        assert rows[1][:2] == [f"'{name}"] * 2 and "-0.5" in rows[1]
    nested = {key: [[1]] for key in ("sample", "accuracies", "cell_spec", "evaluation_ids", "set_ids")}
    written = to_csv(pd.DataFrame({"display_name": ["=cmd()"], "difference": [-0.5], **nested}))
    (row,) = csv.DictReader(io.StringIO(written))
    assert row["display_name"] == "'=cmd()" and row["difference"] == "-0.5"
