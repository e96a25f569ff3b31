"""A table of text, and its forms for a terminal and in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from results.statistics.ranking import BEST, SECOND
from results.tables.accuracy import Matrix, panels
from results.tables.across import Cross
from results.tables.entries import MISSING, Entry, Line, Notes

# Columns of words, set to the left; they are broken where a terminal is narrow.
_WORDS = {"Method", "Published", "Dataset", "Mark", "Printed in"}
_TEXT_WIDTH = 6  # columns of a matrix side by side in a text; more continue below, dataset by dataset
_LONGEST_WORD = 20  # characters of it that a narrow terminal keeps on one line
_STYLES = {BEST: "bold", SECOND: "underline"}
_LEGEND = re.compile(r"Bold: (\w+), underlined: (second \w+)")  # as `captions` words it
_SIGNS = {BEST: ("*", "*"), SECOND: ("_", "_")}
_MARKUP = {BEST: ("**", "**"), SECOND: ("<ins>", "</ins>")}  # underlined on GitHub, which knows no <u>


@dataclass
class Table:
    """What is printed: `rows` of text in the order of `columns`; `notes` are numbered from 1 and cited in the rows.

    ranks: BEST or SECOND by (row, column) places. words: columns that are set to the left. blocks: places of the rows
    that begin one; without any, a block is of rows that have the first column in common (an ipc, say).
    """

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    ranks: dict[tuple[int, int], str] = field(default_factory=dict)
    words: Set[str] = frozenset(_WORDS)
    blocks: Set[int] = frozenset()

    def begins(self, place: int) -> bool:
        """Whether a row, but not the first, begins a block."""
        first = [row[0] for row in self.rows[max(0, place - 1) : place + 1]]
        return place > 0 and (place in self.blocks if self.blocks else len(set(first)) > 1)

    @property
    def label(self) -> str:
        """Its title in plain words, to refer to it."""
        return re.sub(r"[^a-z0-9.@]+", "-", self.title.lower()).strip("-")

    def without(self, *columns: str) -> None:
        """Leave columns out. Ranks stay where they are, so that only columns behind all ranks may go."""
        kept = [place for place, name in enumerate(self.columns) if name not in columns]
        self.columns = [self.columns[place] for place in kept]
        self.rows = [[row[place] for place in kept] for row in self.rows]


def cross_table(cross: Cross) -> Table:
    """A table of networks or protocols as text."""
    table = Table(cross.title, ["IPC", "Method", *cross.heads], notes=cross.notes, captions=cross.captions)
    for group in cross.groups:
        for _, lines in group.blocks:
            for found in lines:
                _add(table, group.ipc, found)
    for found in cross.whole:
        _add(table, "all", found)
    return table


def matrix_table(matrix: Matrix, panel: Sequence[int] | None = None) -> Table:
    """A matrix as text, or some of its datasets, given by their places. The whole set stands once for each dataset."""
    datasets = [matrix.datasets[place] for place in (range(len(matrix.datasets)) if panel is None else panel)]
    columns = [matrix.columns.index((dataset.name, images)) for dataset in datasets for images in dataset.ipcs]
    heads = [
        f"{d.title} ipc {images} ({share}\u00a0%)"
        for d in datasets
        for images, share in zip(d.ipcs, d.ratios, strict=True)
    ]
    table = Table(matrix.title, ["Method", *heads], notes=matrix.notes, captions=matrix.captions)
    starts = set()
    for _, lines in matrix.blocks:
        starts.add(len(table.rows))
        for line in lines:
            entries = [line.entries[place] for place in columns]
            table.ranks |= {(len(table.rows), 1 + place): e.rank for place, e in enumerate(entries) if e.rank}
            table.rows.append([line.title, *map(entry_text, entries)])
    table.blocks = frozenset({*starts, len(table.rows)})
    for line in matrix.whole:
        found = [entry_text(line.entries[matrix.datasets.index(dataset)]) for dataset in datasets]
        spans = [[text, *[""] * (len(d.ipcs) - 1)] for text, d in zip(found, datasets, strict=True)]
        table.rows.append([line.title, *(text for span in spans for text in span)])
    return table


def matrix_tables(matrix: Matrix) -> list[Table]:
    """A matrix as texts that are narrow enough to read; captions and notes stand under the last."""
    found = [matrix_table(matrix, panel) for panel in panels(matrix.datasets, _TEXT_WIDTH)]
    for number, table in enumerate(found, 1):
        table.title += f" ({number} of {len(found)})" if len(found) > 1 else ""
        if number < len(found):
            table.captions, table.notes = [], Notes()
    return found


def _add(table: Table, ipc: str, found: Line) -> None:
    ranks = {(len(table.rows), 2 + place): e.rank for place, e in enumerate(found.entries) if e.rank}
    table.ranks |= ranks
    table.rows.append([ipc, found.title, *map(entry_text, found.entries)])


def entry_text(entry: Entry) -> str:
    """ "48.9 ± 0.4† (1) n.s." """
    number = entry.mean + (f" ± {entry.spread}" if entry.spread else "") + ("†" if entry.single else "")
    note = f"({entry.note})" if entry.note else ""
    return " ".join(filter(None, [number, note, "" if entry.mean == MISSING else entry.doubt]))


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
