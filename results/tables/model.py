"""A table: columns that are declared with their values and formats, rows of entries in blocks, captions and notes.

The terminal, Markdown, HTML, CSV and LaTeX render the same entries, and none reads a printed text back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from results.formatting import printable
from results.types import Cell

MISSING = "–"


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    value: a number in the unit of its column (fractions, seconds, bytes, images), or a text; None if it is missing.
    spread: a deviation in the same unit, nan if there is none. single: it is over the networks of a single set,
    marked †. bound: "≤" or "≥", if the number is one. rank: `ranking.BEST`, `ranking.SECOND` or none. words: what
    follows the number. notes: texts of the notes that it cites. tip: what HTML shows at the pointer. span: the number
    of columns that it covers; 0 if the entry to its left covers it.
    """

    value: float | str | None = None
    spread: float = math.nan
    single: bool = False
    bound: str = ""
    rank: str = ""
    words: str = ""
    notes: tuple[str, ...] = ()
    tip: str = ""
    span: int = 1

    @property
    def number(self) -> float | None:
        """The value if it is a known number, else None."""
        return None if isinstance(self.value, str) or self.value is None or math.isnan(self.value) else self.value


COVERED = Entry("", span=0)


@dataclass(frozen=True)
class Column:
    """A column, declared once for all tables that have it.

    name: by which `columns=[…]` asks for it. title: its head, with the unit. value: an entry, or the value of one, from
    a row. form: prints a number. caption: a sentence on what it shows. tables: the kinds of tables that have it. text:
    words, which are aligned to the left and wrap. names_row: it says what the row is, and is in every part of a table.
    shown: whether some rows need the column. heads: several heads above each other, of which equal outer ones of
    neighbours are joined; else the title is the only one.
    """

    name: str
    title: str
    value: Callable[[Any], Entry | float | str | None]
    form: Callable[[float], str] = str
    caption: str = ""
    tables: Sequence[str] = ()
    text: bool = False
    names_row: bool = False
    shown: Callable[[Sequence[Cell]], bool] = lambda rows: True
    heads: tuple[str, ...] = ()

    def entry(self, row: Any) -> Entry:
        """The row's entry."""
        value = self.value(row)
        if isinstance(value, Entry):
            return value
        return Entry(value if isinstance(value, str | Real) else None)  # NA is missing

    def print(self, entry: Entry) -> str:
        """The entry's value: "48.9", "≤ 12", "diverged", or "–" if it is missing."""
        if isinstance(entry.value, str):
            return entry.value
        return MISSING if entry.number is None else f"{entry.bound} {self.form(entry.number)}".strip()

    def print_spread(self, entry: Entry) -> str:
        """The entry's deviation, "" if there is none."""
        return "" if math.isnan(entry.spread) else self.form(entry.spread)


@dataclass(frozen=True)
class RowBlock:
    """Rows between two lines, each with an entry for every column. name: "" or shown above them in HTML."""

    name: str
    rows: list[list[Entry]]


@dataclass(frozen=True)
class Table:
    """A table as every format shows it.

    kind: its name in `tables=[…]`, and that of its section in docs/reading-tables.md. notes: those that entries cite,
    numbered from 1; they are collected unless they are given. label: for links, made from the title unless it is given.
    wide: with many columns, it continues below with the same rows.
    """

    kind: str
    title: str
    columns: Sequence[Column]
    blocks: Sequence[RowBlock]
    captions: Sequence[str] = ()
    label: str = ""
    wide: bool = False
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        for name in ("title", "captions", "notes"):
            object.__setattr__(self, name, _printable(getattr(self, name)))
        blocks = [
            RowBlock(printable(b.name), [list(map(_printable_entry, row)) for row in b.rows]) for b in self.blocks
        ]
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "label", self.label or re.sub(r"[^a-z0-9.@]+", "-", self.title.lower()).strip("-"))
        cited = dict.fromkeys(note for row in self.rows for entry in row for note in entry.notes)
        object.__setattr__(self, "notes", self.notes or list(cited))

    @property
    def rows(self) -> Iterator[list[Entry]]:
        """The rows of all blocks."""
        return (row for block in self.blocks for row in block.rows)

    def note_numbers(self, entry: Entry) -> list[int]:
        """The numbers of the notes that an entry cites."""
        return [1 + self.notes.index(note) for note in entry.notes]

    def texts(self) -> list[list[str]]:
        """Every row as plain text."""
        return [[self.text(*pair) for pair in zip(self.columns, row, strict=True)] for row in self.rows]

    def text(self, column: Column, entry: Entry) -> str:
        """ "48.9 ± 0.4† [4/5] n.s. ¹" """
        return " ".join(filter(None, [number_text(column, entry), self.remark(entry)]))

    def remark(self, entry: Entry) -> str:
        """What follows the number: words and the numbers of notes, "[4/5] n.s. ¹"."""
        return " ".join([*([entry.words] if entry.words else []), *map(superscript, self.note_numbers(entry))])


def _printable(texts: str | Sequence[str]) -> str | list[str]:
    return printable(texts) if isinstance(texts, str) else list(map(printable, texts))


def _printable_entry(entry: Entry) -> Entry:
    """The entry with texts that any terminal and file may show."""
    texts = [entry.words, entry.tip, *entry.notes, *([entry.value] if isinstance(entry.value, str) else [])]
    if all(text == printable(text) for text in texts):
        return entry
    value = printable(entry.value) if isinstance(entry.value, str) else entry.value
    notes = tuple(map(printable, entry.notes))
    return replace(entry, value=value, words=printable(entry.words), tip=printable(entry.tip), notes=notes)


def number_text(column: Column, entry: Entry) -> str:
    """An entry's number with its deviation: "48.9 ± 0.4†"."""
    spread = column.print_spread(entry)
    return column.print(entry) + (f" ± {spread}" if spread else "") + ("†" if entry.single else "")


def superscript(number: int) -> str:
    """12 → "¹²"."""
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def build(columns: Sequence[Column], rows: Sequence[Mapping[Any, Any]]) -> list[list[Entry]]:
    """The entries of some rows."""
    return [[column.entry(row) for column in columns] for row in rows]


def split_wide(table: Table, max_columns: int) -> list[Table]:
    """A wide table in as few parts as possible, of about equal width; columns that share an outer head stay together.

    max_columns: besides those that name the rows. Captions and notes are in every part.
    """
    named = [index for index, column in enumerate(table.columns) if column.names_row]
    groups: dict[str, list[int]] = {}
    for index, column in enumerate(table.columns):
        if index not in named:
            groups.setdefault(column.heads[0] if column.heads else column.name, []).append(index)
    if not table.wide or len(table.columns) - len(named) <= max_columns:
        return [table]
    fewest = len(_filled(groups.values(), max_columns))
    widths = range(1, max_columns + 1)
    parts = next(parts for width in widths if len(parts := _filled(groups.values(), width)) == fewest)
    return [_with_columns(table, [*named, *part]) for part in parts]


def _filled(groups: Iterable[list[int]], width: int) -> list[list[int]]:
    """The groups one after the other into parts of at most this width; a wider group is a part of its own."""
    parts: list[list[int]] = []
    for group in groups:
        if not parts or len(parts[-1]) + len(group) > width:
            parts.append([])
        parts[-1] += group
    return parts


def _with_columns(table: Table, indices: Sequence[int]) -> Table:
    blocks = [RowBlock(block.name, [[row[index] for index in indices] for row in block.rows]) for block in table.blocks]
    return replace(table, columns=[table.columns[index] for index in indices], blocks=blocks)
