"""Matrices from cells, as papers print them: datasets and their ipcs across, methods in family blocks down. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from results.captions import Columns, matrix_captions
from results.lines import MISSING, Entry, Line, Notes, blocks, by_column, line, named
from results.ranking import marks
from results.rows import circumstances, condensed_with, groups, ipc, is_whole, protocol_of, ratio, rows_of

__all__ = ["MISSING", "Dataset", "Entry", "Line", "Matrix", "matrices"]

Cell = Mapping[str, Any]
Column = tuple[str, str]  # a dataset's name and an ipc, as texts


@dataclass(frozen=True)
class Dataset:
    """What stands above a dataset's columns; ratios in percent of the training images."""

    name: str
    title: str
    ipcs: tuple[str, ...]
    ratios: tuple[str, ...]


@dataclass
class Matrix:
    """One table. `blocks` hold a family each, with entries in the order of `columns`; `whole` one for each dataset."""

    title: str
    label: str  # of plain words, to refer to it
    datasets: list[Dataset]
    blocks: list[tuple[str, list[Line]]] = field(default_factory=list)
    whole: list[Line] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

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
    columns = by_column(rows, _column)
    marked = {id(row): mark for cells in columns.values() for row, mark in zip(cells, marks(cells), strict=True)}
    for family, lines in blocks(rows, _column):
        matrix.blocks.append((family, [line(found, matrix.columns, marked, matrix.notes) for found in lines]))
    spans = [(dataset.name, "all") for dataset in matrix.datasets]
    wholes = named([row for row in rows if is_whole(row)], _column)
    matrix.whole = [line(found, spans, marked, matrix.notes) for found in wholes]
    matrix.captions = matrix_captions(rows, Columns(columns, lambda keys: _in_words(keys, matrix.datasets)))
    return matrix


def _label(rows: Sequence[Cell]) -> str:
    protocol, _, version = protocol_of(rows[0])
    parts = [protocol or "none", f"v{version}" if version else "", condensed_with(rows), rows[0]["architecture"]]
    return "-".join(filter(None, parts))


# --- columns ----------------------------------------------------------------------------------------------------------


def _column(row: Cell) -> Column:
    return row["dataset"], ipc(row)


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


def _in_words(columns: Set[Hashable], datasets: Sequence[Dataset]) -> list[str]:
    said = []
    for dataset in datasets:
        ipcs = [images for images in dataset.ipcs if (dataset.name, images) in columns]
        said += [f"{dataset.title} at ipc {', '.join(ipcs)}"] if ipcs else []
    return said
