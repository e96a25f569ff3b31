"""A table as it is shown: titled columns, rows of text, ranks, captions and numbered notes."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from results.tables.entries import Notes

# Columns of words, set to the left; they are broken where a terminal is narrow.
_WORDS = {"Method", "Published", "Dataset", "Mark", "Printed in"}


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
