"""How pages are laid out: tables that wrap and are never cut, values as a command line takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

WORDS = (24, 20, 16, 12, 8)  # characters a column keeps for a word, as room allows: a longer one may be broken


def columns(*names: str, title: str = "") -> Table:
    """An empty table."""
    listed = Table(box=box.SIMPLE, title=Text(title, style="italic") if title else None, title_justify="left")
    for name in names:
        listed.add_column(Text(name), overflow="fold")
    return listed


def add(listed: Table, *cells: str) -> None:
    """A row of plain text: a source's [brackets] are no markup."""
    listed.add_row(*(Text(cell) for cell in cells))


def shown(value: Any) -> str:
    """A setting's value as a command line takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def rendered(parts: Sequence[RenderableType]) -> str:
    """The parts as text for standard output: coloured on a terminal only, wrapped to its width, never cut."""
    console = Console(markup=False, highlight=False)
    for part in parts:
        if isinstance(part, Table):
            console.width = max(console.width, _fit(part, console.width))
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))


def _fit(table: Table, width: int) -> int:
    """Set the columns' widths, and return what the table then takes: `width` at most, unless that breaks every word.

    rich itself would shrink the widest column first, down to breaking short words.
    """
    texts = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    wanted = [max(map(cell_len, column)) for column in texts]
    for most in WORDS:
        widths = [
            max(min(most, cell_len(word)) for text in column for word in text.split() or [""]) for column in texts
        ]
        if sum(widths) + _between(table) <= width:
            break
    spare = width - _between(table) - sum(widths)
    order = sorted(range(len(widths)), key=lambda index: wanted[index] - widths[index])
    for place, index in enumerate(order):  # those that lack least are served whole, the others share alike
        given = max(0, min(wanted[index] - widths[index], spare // (len(order) - place)))
        widths[index], spare = widths[index] + given, spare - given
        table.columns[index].width = widths[index]
    return sum(widths) + _between(table)


def _between(table: Table) -> int:
    """What edges, padding and dividers take of a line."""
    return 3 * len(table.columns) + 1
