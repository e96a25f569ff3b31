"""Matrices from cells, as papers print them: datasets and their ipcs across, methods in family blocks down. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from results.aggregate import FAMILIES, is_random
from results.captions import matrix_captions
from results.numbers import percent
from results.ranking import barred, places
from results.rows import circumstances, differing, groups, ipc, is_whole, protocol_of, ratio, rows_of, said, title

MISSING = "–"

Cell = Mapping[str, Any]
Column = tuple[str, str]  # a dataset's name and an ipc, as texts
_Line = tuple[str, dict[Column, Cell]]  # what it is called, and its cells


@dataclass(frozen=True)
class Entry:
    """One cell in parts. `mean` and `spread` in percent; MISSING, with a note where the reason is known."""

    mean: str = MISSING
    spread: str = ""
    single: bool = False  # the ± is over the networks of a single set: †
    rank: str = ""  # ranking.BEST, ranking.SECOND or none
    note: int | None = None  # the number of a note below


@dataclass(frozen=True)
class Dataset:
    """What stands above a dataset's columns; ratios in percent of the training images."""

    name: str
    title: str
    ipcs: tuple[str, ...]
    ratios: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A method: entries in the order of the datasets and of their ipcs; the whole set has one for each dataset."""

    title: str
    entries: tuple[Entry, ...]


@dataclass
class Matrix:
    """One table. `blocks` hold a family each; `whole` spans its datasets' columns; notes are numbered from 1."""

    title: str
    label: str  # of plain words, to refer to it
    datasets: list[Dataset]
    blocks: list[tuple[str, list[Line]]] = field(default_factory=list)
    whole: list[Line] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> int | None:
        """The number under which `text` stands below the matrix, None for no text."""
        if text and text not in self.notes:
            self.notes.append(text)
        return self.notes.index(text) + 1 if text else None

    @property
    def columns(self) -> list[Column]:
        """All columns from left to right."""
        return [(dataset.name, images) for dataset in self.datasets for images in dataset.ipcs]


def matrices(cells: pd.DataFrame) -> list[Matrix]:
    """One matrix for each protocol and pair of networks among these cells (`aggregate.cells`), in their order."""
    return [_matrix(group) for group in groups(rows_of(cells), _place)]


def _place(row: Cell) -> tuple[Any, ...]:
    """What a matrix is made for, beside the condensing network."""
    return row["architecture"], *protocol_of(row)


def _matrix(rows: Sequence[Cell]) -> Matrix:
    matrix = Matrix(", ".join(["Test accuracy (%)", *circumstances(rows)]), _label(rows), _datasets(rows))
    columns = _by_column([row for row in rows if not is_whole(row)])
    ranks = {id(row): rank for cells in columns.values() for row, rank in zip(cells, places(cells), strict=True)}
    for family, lines in _blocks(rows):
        matrix.blocks.append((family, [_line(line, matrix.columns, ranks, matrix) for line in lines]))
    spans = [(dataset.name, "all") for dataset in matrix.datasets]
    matrix.whole = [_line(line, spans, ranks, matrix) for line in _lines([row for row in rows if is_whole(row)])]
    unordered = {column for column, cells in columns.items() if barred(cells) == "budget"}
    matrix.captions = matrix_captions(
        rows,
        marked=any(ranks.values()),
        unordered=_in_words(unordered, matrix.datasets),
        all_unordered=unordered == columns.keys(),
    )
    return matrix


def _label(rows: Sequence[Cell]) -> str:
    protocol, _, version = protocol_of(rows[0])
    network = next((row["condensed_with"] for row in rows if row["condensed_with"]), "")
    parts = [protocol or "none", f"v{version}" if version else "", network, rows[0]["architecture"]]
    return "-".join(filter(None, parts))


# --- columns ----------------------------------------------------------------------------------------------------------


def _by_column(rows: Sequence[Cell]) -> dict[Column, list[Cell]]:
    columns: dict[Column, list[Cell]] = {}
    for row in rows:
        columns.setdefault((row["dataset"], ipc(row)), []).append(row)
    return columns


def _datasets(rows: Sequence[Cell]) -> list[Dataset]:
    """Datasets in the order of the rows; one of which only the whole set is known has the one column "all"."""
    found = []
    titles = _dataset_titles(rows)
    for name in titles:
        mine = [row for row in rows if row["dataset"] == name]
        ratios = {int(row["ipc"]): ratio(row) for row in mine if not is_whole(row)}
        ipcs = sorted(ratios)
        across = (tuple(map(str, ipcs)), tuple(ratios[images] for images in ipcs)) if ipcs else (("all",), ("100",))
        found.append(Dataset(name, titles[name], *across))
    return found


def _dataset_titles(rows: Sequence[Cell]) -> dict[str, str]:
    """Name → title. Older records have none and give the name; where two datasets share a title the names stand too."""
    titles: dict[str, str] = {}
    for row in rows:
        name = row["dataset"]
        if titles.get(name, name) == name:
            titles[name] = row["dataset_title"]
    shared = [text for text in titles.values() if list(titles.values()).count(text) > 1]
    return {name: f"{text} ({name})" if text in shared else text for name, text in titles.items()}


def _in_words(columns: set[Column], datasets: Sequence[Dataset]) -> list[str]:
    said = []
    for dataset in datasets:
        ipcs = [images for images in dataset.ipcs if (dataset.name, images) in columns]
        said += [f"{dataset.title} at ipc {', '.join(ipcs)}"] if ipcs else []
    return said


# --- lines ------------------------------------------------------------------------------------------------------------


def _blocks(rows: Sequence[Cell]) -> list[tuple[str, list[_Line]]]:
    """Families in the order of FAMILIES, then others by name; within one: random, other controls, then by year."""
    blocks: dict[str, list[_Line]] = {}
    for line in _lines([row for row in rows if not is_whole(row)]):
        blocks.setdefault(_any_cell(line)["family"], []).append(line)
    known = {family: place for place, family in enumerate(FAMILIES)}
    names = sorted(blocks, key=lambda name: (known.get(name, len(known)), name))
    return [(name, sorted(blocks[name], key=_order)) for name in names]


def _order(line: _Line) -> tuple[Any, ...]:
    row = _any_cell(line)
    return not is_random(row["row"]), row["kind_of_row"] != "control", row["year"] or 0, row["row"], line[0]


def _any_cell(line: _Line) -> Cell:
    return next(iter(line[1].values()))


def _lines(rows: Sequence[Cell]) -> Iterator[_Line]:
    """Rows of one name make one line, or one for each request where some column holds several of them."""
    alike: dict[str, list[Cell]] = {}
    for row in rows:
        alike.setdefault(row["row"], []).append(row)
    for same in alike.values():
        crowded = [cells for cells in _by_column(same).values() if len(cells) > 1]
        if crowded:
            yield from _told_apart(same, crowded)
        else:
            yield title(same[0]), {(row["dataset"], ipc(row)): row for row in same}


def _told_apart(rows: Sequence[Cell], crowded: Sequence[Sequence[Cell]]) -> Iterator[_Line]:
    """Lines by the settings that differ within the crowded columns; settings that only some rows have come second.

    (A row that never got as far as an evaluation lacks all that is asked of evaluations.)
    """
    for only_common in (True, False):
        keys = {where: _keys(crowded, where, only_common) for where in ("here", "elsewhere")}
        requests: dict[tuple[str, ...], list[Cell]] = {}
        for row in rows:
            where = row["spec"]["condensed"]
            values = (json.dumps(row["spec"].get(key), sort_keys=True) for key in keys[where])
            requests.setdefault((where, *values), []).append(row)
        if all(len(cells) == 1 for same in requests.values() for cells in _by_column(same).values()):
            break
    found = [same[0] for same in requests.values()]
    called = [_suffix(row["spec"], keys) for row in found]
    if len(set(called)) < len(called):
        called = [_suffix(row["spec"], keys, None) for row in found]
    for words, same in zip(called, requests.values(), strict=True):
        yield f"{title(same[0])} [{words}]", {(row["dataset"], ipc(row)): row for row in same}


def _keys(crowded: Sequence[Sequence[Cell]], where: str, only_common: bool) -> list[str]:
    found: dict[str, None] = {}
    for cells in crowded:
        specs = [row["spec"] for row in cells if row["spec"]["condensed"] == where]
        common = set.intersection(*map(set, specs)) if specs else set()
        found |= dict.fromkeys(key for key in differing(specs) if key in common or not only_common)
    return sorted(found, key=lambda key: (len(key), key))


def _suffix(spec: Cell, keys: Mapping[str, Sequence[str]], *most: None) -> str:
    where = spec["condensed"]
    words = said(spec, keys[where], *most)
    if where == "elsewhere":
        return f"condensed elsewhere{', ' if words else ''}{words}"
    return words or "condensed here"


# --- entries ----------------------------------------------------------------------------------------------------------


def _line(line: _Line, columns: Sequence[Column], ranks: Mapping[int, str], matrix: Matrix) -> Line:
    name, cells = line
    entries = (_entry(cells[column], ranks, matrix) if column in cells else Entry() for column in columns)
    return Line(name, tuple(entries))


def _entry(row: Cell, ranks: Mapping[int, str], matrix: Matrix) -> Entry:
    note = matrix.note(_reason(row))
    if not row["sets"]:
        return Entry(note=note)
    single = math.isnan(row["sd"]) and not math.isnan(row["sd_networks"])
    deviation = row["sd_networks"] if single else row["sd"]
    spread = "" if math.isnan(deviation) else percent(deviation)
    return Entry(percent(row["accuracy"]), spread, single, ranks.get(id(row), ""), note)


def _reason(row: Cell) -> str:
    """Why sets are missing, "" when none is."""
    if not row["sets"]:
        return f"{row['status']}: {row['message']}".rstrip(": ")
    if not row["missing"]:
        return str(row["message"])
    return f"{row['sets']} of {row['expected']} sets: {row['message']}".rstrip(": ")
