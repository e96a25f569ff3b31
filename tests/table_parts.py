"""What tests read off a table: its heads, rows as text, and entries by the names of their rows."""

from __future__ import annotations

from results.formatting import percent
from results.tables.model import COVERED


def heads(table):
    return [column.title for column in table.columns]


def column(table, title, key="Method"):
    """The text of one column by that of another, which is unique in the table."""
    index, name = heads(table).index(title), heads(table).index(key)
    return {row[name]: row[index] for row in table.texts()}


def entries(table):
    """Name → entries of the columns that do not name the row."""
    numbers = [index for index, column in enumerate(table.columns) if not column.names_row]
    name = heads(table).index("Method")
    return {row[name].value: [row[index] for index in numbers if row[index] is not COVERED] for row in table.rows}


def mean(entry):
    """The accuracy in percent."""
    return "–" if entry.number is None else percent(entry.number)


def ranks(table):
    """(row, column) → rank, by their numbers."""
    rows = enumerate(table.rows)
    return {(r, c): entry.rank for r, row in rows for c, entry in enumerate(row) if entry.rank}
