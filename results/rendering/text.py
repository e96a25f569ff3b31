"""A table of text, and its forms for a terminal and in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from results.statistics.ranking import BEST, SECOND
from results.tables.model import Table

_LONGEST_WORD = 20  # characters of it that a narrow terminal keeps on one line
_STYLES = {BEST: "bold", SECOND: "underline"}
_LEGEND = re.compile(r"Bold: (\w+), underlined: (second \w+)")  # as `captions` words it
_SIGNS = {BEST: ("*", "*"), SECOND: ("_", "_")}
_MARKUP = {BEST: ("**", "**"), SECOND: ("<ins>", "</ins>")}  # underlined on GitHub, which knows no <u>


def render_rich(table: Table, *, plain: bool = False) -> RichTable:
    """For a terminal; a line between the ipcs. `below` gives the captions and notes that belong under it.

    plain: ranks as *best* and _second_, for a file or a pipe that shows no styles.
    """
    rich = RichTable(
        title=table.title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), show_edge=False
    )
    shown = [_marked(table, place, _SIGNS) if plain else row for place, row in enumerate(table.rows)]
    for column, name in enumerate(table.columns):
        head = re.sub(r" (?=\(|peak|%|s\b|ipc\b)|(?<=/) ", "\n", name)
        words = name in table.words
        texts = [*head.split("\n"), *(text for row in shown for text in _pieces(row[column], words))]
        rich.add_column(
            head,
            justify="left" if words else "right",
            no_wrap=not words,
            overflow="fold",
            min_width=max(map(cell_len, texts)),
        )
    for place, row in enumerate(shown):
        styles = [_STYLES.get(table.ranks.get((place, column), ""), "") for column in range(len(row))]
        # Text: "[4/5]" is no markup
        styled = [Text(text, style="" if plain else style) for text, style in zip(row, styles, strict=True)]
        rich.add_row(*styled, end_section=place + 1 < len(shown) and table.begins(place + 1))
    return rich


def _pieces(text: str, words: bool) -> list[str]:
    """What a column must hold on one line: all of a number, a word of a name, unless that is very long."""
    return [word[:_LONGEST_WORD] for word in text.split()] if words else [text]


def to_markdown(table: Table) -> str:
    """A heading, the table, then captions and notes as a list."""
    bars = [":--" if name in table.words else "--:" for name in table.columns]
    rows = [_marked(table, place, _MARKUP) for place in range(len(table.rows))]
    lines = [_line(row) for row in [table.columns, bars, *rows]]
    under = [f"- {line}" for line in below(table)]
    return "\n".join([f"### {table.title}", "", *lines, "", *under, ""])


def _marked(table: Table, place: int, signs: Mapping[str, tuple[str, str]]) -> list[str]:
    """One row, the best and second best numbers within their signs, what is noted beside a number outside."""
    found = []
    for column, text in enumerate(table.rows[place]):
        before, after = signs.get(table.ranks.get((place, column), ""), ("", ""))
        words = text.split(" ")
        number = 3 if words[1:2] == ["±"] else 1
        found.append(" ".join([before + " ".join(words[:number]) + after, *words[number:]]) if before else text)
    return found


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in row) + " |"


def below(table: Table, *, plain: bool = False) -> list[str]:
    """Captions, then numbered notes; plain: with the signs of `render_rich` in the sentence on ranks."""
    captions = [_LEGEND.sub(_plain, text) if plain else text for text in table.captions]
    return [*captions, *(f"({number}) {text}" for number, text in enumerate(table.notes, 1))]


def _plain(legend: re.Match[str]) -> str:
    return f"*{legend[1].capitalize()}* and _{legend[2]}_"
