"""Lines of a table with accuracies across: rows of `aggregate.cells` by method, in family blocks. Pure.

What stands across is the caller's: a `column` function gives each row its place (a dataset and ipc, a network, …).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from results.aggregation.grouping import family_rank, is_whole
from results.aggregation.naming import differing, distinguish, title
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import row_order
from results.formatting import percent
from results.types import Cell

MISSING = "–"
NOT_RUN = "not run: the store has no such task"

Column = Callable[[Cell], Hashable]
Named = tuple[str, dict[Hashable, Cell]]  # what a line is called, and its cells


@dataclass(frozen=True)
class Entry:
    """One cell in parts. `mean` and `spread` in percent; MISSING, with a note where the reason is known."""

    mean: str = MISSING
    spread: str = ""
    single: bool = False  # the ± is over the networks of a single set: †
    rank: str = ""  # ranking.BEST, ranking.SECOND or none
    note: int | None = None  # the number of a note below
    doubt: str = ""  # "n.s." or "n.t.": not shown to be better than random


@dataclass(frozen=True)
class Line:
    """A method, with an entry for each column."""

    title: str
    entries: tuple[Entry, ...]


class Notes(list[str]):
    """What stands below a table, numbered from 1."""

    def number(self, text: str) -> int | None:
        """The number under which `text` stands, None for no text."""
        if text and text not in self:
            self.append(text)
        return self.index(text) + 1 if text else None


def by_column(rows: Sequence[Cell], column: Column) -> dict[Hashable, list[Cell]]:
    """The rows of each column, without the whole set, which competes with nobody."""
    found: dict[Hashable, list[Cell]] = {}
    for row in rows:
        if not is_whole(row):
            found.setdefault(column(row), []).append(row)
    return found


def blocks(rows: Sequence[Cell], column: Column, options: Options = DEFAULT) -> list[tuple[str, list[Named]]]:
    """Lines in blocks with a name each: the families, unless `options.order` is another; then one block without."""
    found = list(named([row for row in rows if not is_whole(row)], column))
    if options.order == "accuracy":
        return [("", _best_first(found))] if found else []
    order = row_order(options)
    found.sort(key=lambda line: (*order(_any_cell(line)), line[0]))
    if options.order != "family":
        return [("", found)] if found else []
    families = sorted({_any_cell(line)["family"] for line in found}, key=family_rank)
    return [(name, [line for line in found if _any_cell(line)["family"] == name]) for name in families]


def _best_first(lines: Sequence[Named]) -> list[Named]:
    """By the mean over the columns that all scored lines have, or over its own columns where there is none."""
    scored = [{where for where, row in cells.items() if row["sets"]} for _, cells in lines]
    shared = set.intersection(*filter(None, scored)) if any(scored) else set()

    def order(place: int) -> tuple[object, ...]:
        name, cells = lines[place]
        means = [float(cells[where]["accuracy"]) for where in shared or scored[place] if where in scored[place]]
        return not means, -fmean(means) if means else 0.0, name

    return [lines[place] for place in sorted(range(len(lines)), key=order)]


def _any_cell(line: Named) -> Cell:
    return next(iter(line[1].values()))


# --- which rows make one line -----------------------------------------------------------------------------------------


def named(rows: Sequence[Cell], column: Column) -> Iterator[Named]:
    """Rows of one name make one line, or one for each request where some column holds several of them."""
    alike: dict[str, list[Cell]] = {}
    for row in rows:
        alike.setdefault(row["display_name"], []).append(row)
    for same in alike.values():
        crowded = [cells for cells in _in_columns(same, column) if len(cells) > 1]
        if crowded:
            yield from _told_apart(same, crowded, column)
        else:
            yield title(same[0]), {column(row): row for row in same}


def _in_columns(rows: Sequence[Cell], column: Column) -> list[list[Cell]]:
    found: dict[Hashable, list[Cell]] = {}
    for row in rows:
        found.setdefault(column(row), []).append(row)
    return list(found.values())


def _told_apart(rows: Sequence[Cell], crowded: Sequence[Sequence[Cell]], column: Column) -> Iterator[Named]:
    """Lines by the settings that differ within the crowded columns; settings that only some rows have come second.

    (A row that never got as far as an evaluation lacks all that is asked of evaluations.)
    """
    for only_common in (True, False):
        keys = {where: _keys(crowded, where, only_common) for where in ("here", "elsewhere")}
        requests: dict[tuple[str, ...], list[Cell]] = {}
        for row in rows:
            where = row["cell_spec"]["condensed"]
            values = (json.dumps(row["cell_spec"].get(key), sort_keys=True) for key in keys[where])
            requests.setdefault((where, *values), []).append(row)
        if all(len(cells) == 1 for same in requests.values() for cells in _in_columns(same, column)):
            break
    differences = distinguish([same[0]["cell_spec"] for same in requests.values()], keys)
    for difference, same in zip(differences, requests.values(), strict=True):
        yield f"{title(same[0])} [{difference}]", {column(row): row for row in same}


def _keys(crowded: Sequence[Sequence[Cell]], where: str, only_common: bool) -> list[str]:
    found: dict[str, None] = {}
    for cells in crowded:
        specs = [row["cell_spec"] for row in cells if row["cell_spec"]["condensed"] == where]
        common = set.intersection(*map(set, specs)) if specs else set()
        found |= dict.fromkeys(key for key in differing(specs) if key in common or not only_common)
    return sorted(found, key=lambda key: (len(key), key))


# --- entries ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """What entries of one table share. marks: id of a cell → its rank and doubt; notes: where reasons are written."""

    marks: Mapping[int, tuple[str, str]]
    notes: Notes
    options: Options = DEFAULT


def line(found: Named, columns: Sequence[Hashable], setting: Setting) -> Line:
    """A line of all `columns`."""
    name, cells = found
    return Line(name, tuple(_entry(cells.get(column), setting) for column in columns))


def _entry(row: Cell | None, setting: Setting) -> Entry:
    if row is None or not row["sets"]:
        return Entry(
            note=setting.notes.number(_reason(row) if row else NOT_RUN) if setting.options.explain_missing else None
        )
    note = setting.notes.number(_reason(row))
    marks = setting.marks.get(id(row), ("", ""))
    single = math.isnan(row["sd"]) and not math.isnan(row["sd_networks"])
    deviation = row["sd_networks"] if single else row["sd"]
    spread = "" if math.isnan(deviation) else percent(deviation)
    return Entry(percent(row["accuracy"]), spread, single, marks[0], note, marks[1])


def _reason(row: Cell) -> str:
    """Why sets are missing, "" when none is."""
    if not row["sets"]:
        return f"{row['status']}: {row['message']}".rstrip(": ")
    if not row["missing"]:
        return str(row["message"])
    return f"{row['sets']} of {row['expected']} sets: {row['message']}".rstrip(": ")


def entry_text(entry: Entry) -> str:
    """ "48.9 ± 0.4† (1) n.s." """
    number = entry.mean + (f" ± {entry.spread}" if entry.spread else "") + ("†" if entry.single else "")
    note = f"({entry.note})" if entry.note else ""
    return " ".join(filter(None, [number, note, "" if entry.mean == MISSING else entry.doubt]))
