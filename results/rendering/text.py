"""Tables for a terminal and as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from results.aggregation.options import TABLES
from results.statistics.ranking import BEST, SECOND
from results.tables.model import Column, Entry, RowBlock, Table, number_text, split_wide, superscript

_MAX_COLUMNS = 6  # of a wide table side by side; more follow below
_LONGEST_WORD = 20  # characters of a word that a narrow terminal keeps on one line
_STYLES = {BEST: "bold", SECOND: "underline"}
_SIGNS = {BEST: ("*", "*"), SECOND: ("_", "_")}
_MARKUP = {BEST: ("**", "**"), SECOND: ("<ins>", "</ins>")}  # underlined on GitHub, which does not support <u>
EXPLAINED = "docs/reading-tables.md"
_EXPLAINED_KINDS = {*TABLES, "condensing"}  # not those of other packages


def render_rich(table: Table, *, plain: bool = False, width: int | None = None) -> list[RichTable]:
    """For a terminal, without its title, with a line between blocks; `terminal_lines` gives captions and notes.

    plain: ranks as *best* and _second_, for a file or a pipe, which show no styles. A wide table has several parts, as
    few as fit into `width` characters, if given.
    """
    columns = _MAX_COLUMNS
    parts = [_rich(part, plain=plain) for part in split_wide(table, columns)]
    if width is not None and max(map(least_width, parts)) > width:
        columns = len(table.columns)
        while columns > 1 and max(map(least_width, parts)) > width:
            columns -= 1
            parts = [_rich(part, plain=plain) for part in split_wide(replace(table, wide=True), columns)]
    return parts


def least_width(table: RichTable) -> int:
    """The characters that a line of the table has at least; words break within their column."""
    return Console(width=1000).measure(table).minimum


def _rich(table: Table, *, plain: bool) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    signs = _SIGNS if plain else {}
    texts = [[_marked(table, *pair, signs) for pair in zip(table.columns, row, strict=True)] for row in table.rows]
    for index, column in enumerate(table.columns):
        lines = head_lines(column.title)
        unbroken = [*lines, *(part for row in texts for part in _unbroken(row[index], column.text))]
        rich.add_column(
            "\n".join(lines),
            justify="left" if column.text else "right",
            no_wrap=not column.text,
            overflow="fold",
            min_width=max(map(cell_len, unbroken)),
        )
    ends = {sum(len(block.rows) for block in table.blocks[: number + 1]) for number in range(len(table.blocks) - 1)}
    for number, (row, entries) in enumerate(zip(texts, table.rows, strict=True), 1):
        ranks = ["" if plain else entry.rank for entry in entries]
        # Text, because rich would read "[4/5]" in a string as markup.
        styled = [Text(text, style=_STYLES.get(rank, "")) for text, rank in zip(row, ranks, strict=True)]
        rich.add_row(*styled, end_section=number in ends)
    return rich


def head_lines(name: str) -> list[str]:
    """A column's head on several lines: units and what is in brackets have a line of their own."""
    return re.sub(r" (?=\(|peak|%|s\b|ipc\b)|(?<=/) ", "\n", name).split("\n")


def _unbroken(text: str, is_text: bool) -> list[str]:
    """The parts of a text that must fit on one line: a whole number, or the words of a name up to a length."""
    return [word[:_LONGEST_WORD] for word in text.split()] if is_text else [text]


def to_markdown(table: Table) -> str:
    """A heading, the table, then captions and notes as a list. A wide table has several parts."""
    parts = [_markdown(part) for part in split_wide(table, _MAX_COLUMNS)]
    below = (f"- {_escape(line)}" for line in lines_below(table))
    return "\n".join([f"### {_escape(table.title)}", "", *"\n\n".join(parts).split("\n"), "", *below, ""])


def _markdown(table: Table) -> str:
    bars = [":--" if column.text else "--:" for column in table.columns]
    escaped = [[_escaped(entry) for entry in row] for row in table.rows]
    table = replace(table, blocks=[RowBlock("", escaped)], notes=list(map(_escape, table.notes)))
    rows = [[_marked(table, *pair, _MARKUP) for pair in zip(table.columns, row, strict=True)] for row in table.rows]
    return "\n".join(_markdown_row(row) for row in [[_escape(column.title) for column in table.columns], bars, *rows])


def _escape(text: str) -> str:
    """As text in Markdown, which would take it for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _escaped(entry: Entry) -> Entry:
    value = _escape(entry.value) if isinstance(entry.value, str) else entry.value
    return replace(entry, value=value, words=_escape(entry.words), notes=tuple(map(_escape, entry.notes)))


def _marked(table: Table, column: Column, entry: Entry, signs: Mapping[str, tuple[str, str]]) -> str:
    """An entry with the best and second best numbers between their signs; remarks next to a number stay outside."""
    before, after = signs.get(entry.rank, ("", ""))
    return " ".join(filter(None, [f"{before}{number_text(column, entry)}{after}", table.remark(entry)]))


def _markdown_row(row: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in row) + " |"


def lines_below(table: Table) -> list[str]:
    """Captions, the last of which names the page that explains the table, then numbered notes."""
    *captions, last = table.captions or [""]
    pointer = f"Explained in {EXPLAINED}#{table.kind}." if table.kind in _EXPLAINED_KINDS else ""
    return [line for line in (*captions, f"{last} {pointer}".strip(), *_notes(table)) if line]


def terminal_lines(table: Table, width: int | None) -> list[str]:
    """Captions, one line each, cut where they are wider than `width` (None: whole), then numbered notes."""
    captions = [textwrap.shorten(line, width, placeholder=" …") if width else line for line in table.captions]
    return [*captions, *_notes(table)]


def _notes(table: Table) -> list[str]:
    return [f"{superscript(number)} {text}" for number, text in enumerate(table.notes, 1)]
