"""Accuracy matrices as papers print them: datasets and their ipcs across, methods in family blocks down."""

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
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.captions import RankedColumns, matrix_captions
from results.tables.entries import (
    EntryContext,
    MethodRow,
    cells_by_column,
    entry_text,
    family_blocks,
    method_row,
    named_rows,
)
from results.tables.model import Notes, Table
from results.types import Cell

_TEXT_WIDTH = 6  # columns of a matrix side by side in a text table; more datasets follow in another one


@dataclass(frozen=True)
class DatasetColumns:
    """The heads of a dataset's columns, one for each ipc; ratios are in percent of the training images."""

    name: str
    title: str
    ipcs: tuple[str, ...]
    ratios: tuple[str, ...]


@dataclass
class Matrix:
    """One table. Rows in `blocks` have an entry for each of `columns`, rows in `whole` one for each dataset."""

    title: str
    label: str  # lower-case words, for links and references
    datasets: list[DatasetColumns]
    blocks: list[tuple[str, list[MethodRow]]] = field(default_factory=list)  # by family
    whole: list[MethodRow] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The dataset and ipc of each column from left to right."""
        return [(dataset.name, ipc_text) for dataset in self.datasets for ipc_text in dataset.ipcs]


def matrices(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Matrix]:
    """One matrix for each protocol and pair of networks among these `aggregation.cells`, in their order."""
    return [matrix_of(group, options) for group in groups(rows_of(cells), matrix_key)]


def matrix_key(row: Cell) -> tuple[Any, ...]:
    """What the rows of one matrix share besides the condensing network."""
    return row["architecture"], *protocol_of(row)


def matrix_of(rows: Sequence[Cell], options: Options) -> Matrix:
    """The matrix of these rows, which share a protocol and both networks."""
    title = ", ".join(["Test accuracy (%)", *circumstances(rows)])
    matrix = Matrix(title, _label(rows), _dataset_columns(rows, options))
    columns = cells_by_column(rows, _column_key)
    context = EntryContext(ranks_and_remarks_by_row(columns.values(), options), matrix.notes, options)
    for family, block in family_blocks(rows, _column_key, options):
        matrix.blocks.append((family, [method_row(row, matrix.columns, context) for row in block]))
    whole_columns = [(dataset.name, "all") for dataset in matrix.datasets]
    wholes = named_rows([row for row in rows if is_whole(row)], _column_key)
    matrix.whole = [method_row(row, whole_columns, context) for row in wholes]
    ranked = RankedColumns(columns, lambda keys: _in_words(keys, matrix.datasets), options.highlight)
    matrix.captions = matrix_captions(rows, ranked)
    return matrix


def _label(rows: Sequence[Cell]) -> str:
    protocol, _, version = protocol_of(rows[0])
    parts = [protocol or "none", f"v{version}" if version else "", condense_architecture(rows), rows[0]["architecture"]]
    return "-".join(filter(None, parts))


# --- columns ----------------------------------------------------------------------------------------------------------


def _column_key(row: Cell) -> tuple[str, str]:
    return row["dataset"], ipc(row)


def _dataset_columns(rows: Sequence[Cell], options: Options) -> list[DatasetColumns]:
    """Datasets in the order of the rows; one that only the whole set was scored on has the single column "all"."""
    datasets = []
    for name, title in _dataset_titles(rows).items():
        ratios = {int(row["ipc"]): ratio(row) for row in rows if row["dataset"] == name and not is_whole(row)}
        ipcs = sorted(ratios, key=options.ipc_rank)
        heads = (tuple(map(str, ipcs)), tuple(map(ratios.__getitem__, ipcs))) if ipcs else (("all",), ("100",))
        datasets.append(DatasetColumns(name, title, *heads))
    return datasets


def _dataset_titles(rows: Sequence[Cell]) -> dict[str, str]:
    """Name → title. A record without a title gives its name; datasets that share a title also show their names."""
    titles: dict[str, str] = {}
    for row in rows:
        name = row["dataset"]
        if titles.get(name, name) == name:
            titles[name] = row["dataset_title"]
    shared = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    return {name: f"{title} ({name})" if title in shared else title for name, title in titles.items()}


def _in_words(columns: Set[Hashable], datasets: Sequence[DatasetColumns]) -> list[str]:
    phrases = []
    for dataset in datasets:
        ipcs = [ipc_text for ipc_text in dataset.ipcs if (dataset.name, ipc_text) in columns]
        phrases += [f"{dataset.title} at ipc {', '.join(ipcs)}"] if ipcs else []
    return phrases


# --- as text ----------------------------------------------------------------------------------------------------------


def panels(datasets: Sequence[DatasetColumns], max_columns: int) -> list[list[int]]:
    """The indices of the datasets in each panel: as few panels as possible, of about equal width.

    A dataset is never split, even if it alone is wider than `max_columns`.
    """
    fewest = len(_filled(datasets, max_columns))
    return next(filled for width in range(1, max_columns + 1) if len(filled := _filled(datasets, width)) == fewest)


def _filled(datasets: Sequence[DatasetColumns], width: int) -> list[list[int]]:
    filled: list[list[int]] = []
    room = 0
    for index, dataset in enumerate(datasets):
        if len(dataset.ipcs) > room:
            filled.append([])
            room = width
        filled[-1].append(index)
        room -= len(dataset.ipcs)
    return filled


def _panel_table(matrix: Matrix, panel: Sequence[int]) -> Table:
    """The datasets with the indices in `panel` as text. The whole set has one entry for each dataset."""
    datasets = [matrix.datasets[index] for index in panel]
    columns = [matrix.columns.index((dataset.name, ipc_text)) for dataset in datasets for ipc_text in dataset.ipcs]
    heads = [
        f"{dataset.title} ipc {ipc_text} ({share}\u00a0%)"
        for dataset in datasets
        for ipc_text, share in zip(dataset.ipcs, dataset.ratios, strict=True)
    ]
    table = Table(matrix.title, ["Method", *heads], notes=matrix.notes, captions=matrix.captions)
    starts = set()
    for _, block in matrix.blocks:
        starts.add(len(table.rows))
        for row in block:
            entries = [row.entries[column] for column in columns]
            table.ranks |= {(len(table.rows), 1 + index): e.rank for index, e in enumerate(entries) if e.rank}
            table.rows.append([row.title, *map(entry_text, entries)])
    table.block_starts = frozenset({*starts, len(table.rows)})
    for row in matrix.whole:
        texts = [row.title]
        for dataset in datasets:
            texts += [entry_text(row.entries[matrix.datasets.index(dataset)]), *[""] * (len(dataset.ipcs) - 1)]
        table.rows.append(texts)
    return table


def matrix_tables(matrix: Matrix) -> list[Table]:
    """A matrix as text tables that are narrow enough to read; captions and notes are below the last one."""
    tables = [_panel_table(matrix, panel) for panel in panels(matrix.datasets, _TEXT_WIDTH)]
    for number, table in enumerate(tables, 1):
        table.title += f" ({number} of {len(tables)})" if len(tables) > 1 else ""
        if number < len(tables):
            table.captions, table.notes = [], Notes()
    return tables
