"""Matrices from cells, as papers print them: datasets and their ipcs across, methods in family blocks down. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from results.aggregation.grouping import (
    circumstances,
    condense_architecture,
    groups,
    ipc,
    is_whole,
    protocol_of,
    ratio,
    rows_of,
)
from results.aggregation.options import DEFAULT, Options
from results.statistics.ranking import marked
from results.tables.captions import Columns, matrix_captions
from results.tables.entries import MISSING, Entry, Line, Notes, Setting, blocks, by_column, entry_text, line, named
from results.tables.model import Table
from results.types import Cell

__all__ = ["MISSING", "Dataset", "Entry", "Line", "Matrix", "matrices"]

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


def matrices(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Matrix]:
    """One matrix for each protocol and pair of networks among these cells (`aggregate.cells`), in their order."""
    return [matrix_of(group, options) for group in groups(rows_of(cells), place_of)]


def place_of(row: Cell) -> tuple[Any, ...]:
    """What a matrix is made for, beside the condensing network."""
    return row["architecture"], *protocol_of(row)


def matrix_of(rows: Sequence[Cell], options: Options) -> Matrix:
    """The matrix of these rows, which share a protocol and both networks."""
    title = ", ".join(["Test accuracy (%)", *circumstances(rows)])
    matrix = Matrix(title, _label(rows), _datasets(rows, options))
    columns = by_column(rows, _column)
    setting = Setting(marked(columns.values(), options), matrix.notes, options)
    for family, lines in blocks(rows, _column, options):
        matrix.blocks.append((family, [line(found, matrix.columns, setting) for found in lines]))
    spans = [(dataset.name, "all") for dataset in matrix.datasets]
    wholes = named([row for row in rows if is_whole(row)], _column)
    matrix.whole = [line(found, spans, setting) for found in wholes]
    words = Columns(columns, lambda keys: _in_words(keys, matrix.datasets), options.highlight)
    matrix.captions = matrix_captions(rows, words)
    return matrix


def _label(rows: Sequence[Cell]) -> str:
    protocol, _, version = protocol_of(rows[0])
    parts = [protocol or "none", f"v{version}" if version else "", condense_architecture(rows), rows[0]["architecture"]]
    return "-".join(filter(None, parts))


# --- columns ----------------------------------------------------------------------------------------------------------


def _column(row: Cell) -> Column:
    return row["dataset"], ipc(row)


def _datasets(rows: Sequence[Cell], options: Options) -> list[Dataset]:
    """Datasets in the order of the rows; one of which only the whole set is known has the one column "all"."""
    found = []
    titles = _dataset_titles(rows)
    for name in titles:
        mine = [row for row in rows if row["dataset"] == name]
        ratios = {int(row["ipc"]): ratio(row) for row in mine if not is_whole(row)}
        ipcs = sorted(ratios, key=options.ipc_rank)
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


def panels(datasets: Sequence[Dataset], most: int) -> list[list[int]]:
    """Places of the datasets that stand side by side: as few panels as `most` columns allow, of about equal width.

    A dataset is never split, however wide.
    """
    fewest = len(_filled(datasets, most))
    return next(found for width in range(1, most + 1) if len(found := _filled(datasets, width)) == fewest)


def _filled(datasets: Sequence[Dataset], width: int) -> list[list[int]]:
    panels: list[list[int]] = []
    room = 0
    for place, dataset in enumerate(datasets):
        if len(dataset.ipcs) > room:
            panels.append([])
            room = width
        panels[-1].append(place)
        room -= len(dataset.ipcs)
    return panels


_TEXT_WIDTH = 6  # columns of a matrix side by side in a text; more continue below, dataset by dataset


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
        for row in lines:
            entries = [row.entries[place] for place in columns]
            table.ranks |= {(len(table.rows), 1 + place): e.rank for place, e in enumerate(entries) if e.rank}
            table.rows.append([row.title, *map(entry_text, entries)])
    table.blocks = frozenset({*starts, len(table.rows)})
    for row in matrix.whole:
        found = [entry_text(row.entries[matrix.datasets.index(dataset)]) for dataset in datasets]
        spans = [[text, *[""] * (len(d.ipcs) - 1)] for text, d in zip(found, datasets, strict=True)]
        table.rows.append([row.title, *(text for span in spans for text in span)])
    return table


def matrix_tables(matrix: Matrix) -> list[Table]:
    """A matrix as texts that are narrow enough to read; captions and notes stand under the last."""
    found = [matrix_table(matrix, panel) for panel in panels(matrix.datasets, _TEXT_WIDTH)]
    for number, table in enumerate(found, 1):
        table.title += f" ({number} of {len(found)})" if len(found) > 1 else ""
        if number < len(found):
            table.captions, table.notes = [], Notes()
    return found
