"""Tables of text, for a terminal and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from results.statistics.ranking import BEST, SECOND
from results.tables.model import Table

_LONGEST_WORD = 20  # characters of a word that a narrow terminal keeps on one line
_STYLES = {BEST: "bold", SECOND: "underline"}
_LEGEND = re.compile(r"Bold: (\w+), underlined: (second \w+)")  # as `tables.captions` words it
_SIGNS = {BEST: ("*", "*"), SECOND: ("_", "_")}
_MARKUP = {BEST: ("**", "**"), SECOND: ("<ins>", "</ins>")}  # underlined on GitHub, which does not support <u>


def render_rich(table: Table, *, plain: bool = False) -> RichTable:
    """For a terminal, with a line between blocks. `lines_below` gives the captions and notes to print below it.

    plain: ranks as *best* and _second_, for a file or a pipe, which show no styles.
    """
    rich = RichTable(
        title=table.title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), show_edge=False
    )
    rows = [_marked(table, index, _SIGNS) if plain else row for index, row in enumerate(table.rows)]
    for column, name in enumerate(table.columns):
        is_text = name in table.text_columns
        lines = head_lines(name)
        unbroken = [*lines, *(part for row in rows for part in _unbroken(row[column], is_text))]
        rich.add_column(
            "\n".join(lines),
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold",
            min_width=max(map(cell_len, unbroken)),
        )
    for index, row in enumerate(rows):
        ranks = ["" if plain else table.ranks.get((index, column), "") for column in range(len(row))]
        # Text, because rich would read "[4/5]" in a string as markup.
        styled = [Text(text, style=_STYLES.get(rank, "")) for text, rank in zip(row, ranks, strict=True)]
        rich.add_row(*styled, end_section=index + 1 < len(rows) and table.starts_block(index + 1))
    return rich


def head_lines(name: str) -> list[str]:
    """A column's head on several lines: units and what is in brackets have a line of their own."""
    return re.sub(r" (?=\(|peak|%|s\b|ipc\b)|(?<=/) ", "\n", name).split("\n")


def _unbroken(text: str, is_text: bool) -> list[str]:
    """The parts of a text that must fit on one line: a whole number, or the words of a name up to a length."""
    return [word[:_LONGEST_WORD] for word in text.split()] if is_text else [text]


def to_markdown(table: Table) -> str:
    """A heading, the table, then captions and notes as a list."""
    bars = [":--" if name in table.text_columns else "--:" for name in table.columns]
    rows = [_marked(table, index, _MARKUP) for index in range(len(table.rows))]
    lines = [_markdown_row(row) for row in [table.columns, bars, *rows]]
    return "\n".join([f"### {table.title}", "", *lines, "", *(f"- {line}" for line in lines_below(table)), ""])


def _marked(table: Table, index: int, signs: Mapping[str, tuple[str, str]]) -> list[str]:
    """A row with the best and second best numbers between their signs; remarks next to a number stay outside."""
    marked = []
    for column, text in enumerate(table.rows[index]):
        before, after = signs.get(table.ranks.get((index, column), ""), ("", ""))
        words = text.split(" ")
        number = 3 if words[1:2] == ["±"] else 1
        marked.append(" ".join([before + " ".join(words[:number]) + after, *words[number:]]) if before else text)
    return marked


def _markdown_row(row: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in row) + " |"


def lines_below(table: Table, *, plain: bool = False) -> list[str]:
    """Captions, then numbered notes. plain: the sentence on ranks shows the signs of `render_rich`."""
    captions = [_LEGEND.sub(_plain_legend, text) if plain else text for text in table.captions]
    return [*captions, *(f"({number}) {text}" for number, text in enumerate(table.notes, 1))]


def _plain_legend(legend: re.Match[str]) -> str:
    return f"*{legend[1].capitalize()}* and _{legend[2]}_"
