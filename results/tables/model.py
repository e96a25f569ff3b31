"""A table as it is shown: titled columns, rows of text, ranks, captions and numbered notes."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

# Columns of words, which are aligned to the left and wrap where a terminal is narrow.
_TEXT_COLUMNS = {"Method", "Published", "Dataset", "Mark", "Printed in"}


class Notes(list[str]):
    """The notes below a table, numbered from 1."""

    def number(self, text: str) -> int | None:
        """The number of the note with this text, which is added if it is new; None for no text."""
        if text and text not in self:
            self.append(text)
        return self.index(text) + 1 if text else None


@dataclass
class Table:
    """A printed table: `rows` of text in the order of `columns`, which cite `notes` by their numbers.

    ranks: BEST or SECOND by the indices of row and column. text_columns: the columns aligned to the left. block_starts:
    the indices of the rows that begin a block; if it is empty, rows with equal first columns (an ipc) form a block.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    ranks: dict[tuple[int, int], str] = field(default_factory=dict)
    text_columns: Set[str] = frozenset(_TEXT_COLUMNS)
    block_starts: Set[int] = frozenset()

    def starts_block(self, index: int) -> bool:
        """Whether the row begins a block; the first row of the table does not count."""
        if index == 0:
            return False
        return index in self.block_starts if self.block_starts else self.rows[index - 1][0] != self.rows[index][0]

    @property
    def label(self) -> str:
        """The title in lower case without special characters, for links and references."""
        return re.sub(r"[^a-z0-9.@]+", "-", self.title.lower()).strip("-")

    def drop_columns(self, *columns: str) -> None:
        """Remove columns. Ranks keep their indices, so only columns to the right of all ranks may be removed."""
        kept = [index for index, name in enumerate(self.columns) if name not in columns]
        self.columns = [self.columns[index] for index in kept]
        self.rows = [[row[index] for index in kept] for row in self.rows]
