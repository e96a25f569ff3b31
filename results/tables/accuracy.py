"""Accuracy tables as papers print them: datasets and their ipcs across, methods in family blocks down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pandas as pd

from results.aggregation.grouping import (
    circumstances,
    condense_architecture,
    groups,
    ipc,
    is_whole,
    protocol_of,
    ratio_percent,
    rows_of,
)
from results.aggregation.options import DEFAULT, Options
from results.formatting import percent, short
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.captions import RankedColumns, captions
from results.tables.columns import METHOD
from results.tables.entries import cells_by_column, entries_by_column, family_blocks, named_rows
from results.tables.model import COVERED, Column, RowBlock, Table, build
from results.types import Cell

ColumnKey = tuple[str, str]  # dataset and ipc


def matrices(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """One table for each protocol and pair of networks among these `aggregation.cells`, in their order."""
    return [matrix_of(group, options) for group in groups(rows_of(cells), matrix_key)]


def matrix_key(row: Cell) -> tuple[Any, ...]:
    """What the rows of one table share besides the condensing network."""
    return row["architecture"], *protocol_of(row)


def matrix_of(rows: Sequence[Cell], options: Options) -> Table:
    """The table of these rows, which share a protocol and both networks."""
    columns = _columns(rows, options)
    by_column = cells_by_column(rows, _column_key)
    marks = ranks_and_remarks_by_row(by_column.values(), options)
    shown = [replace(METHOD, heads=("Dataset", "IPC", "Ratio %")), *columns.values()]
    blocks = []
    for family, block in family_blocks(rows, _column_key, options):
        named = [{"name": name} | entries_by_column(of_row, columns, marks, options) for name, of_row in block]
        blocks.append(RowBlock(family, build(shown, named)))
    if wholes := list(_whole_rows(rows, columns, options)):
        blocks.append(RowBlock("", build(shown, wholes)))
    title = ", ".join(["Test accuracy (%)", *circumstances(rows)])
    ranked = RankedColumns(by_column, lambda keys: _in_words(keys, columns), options.highlight)
    return Table("accuracy", title, shown, blocks, captions(rows, ranked), label=_label(rows), wide=True)


def _whole_rows(
    rows: Sequence[Cell], columns: Mapping[ColumnKey, Column], options: Options
) -> Iterator[dict[Any, Any]]:
    """The rows of whole sets, which have one entry for all columns of a dataset."""
    datasets = Counter(dataset for dataset, _ in columns)
    for name, cells in named_rows([row for row in rows if is_whole(row)], _column_key):
        entries: dict[Any, Any] = {"name": name, **dict.fromkeys(columns, COVERED)}
        of_row = entries_by_column(cells, [(dataset, "all") for dataset in datasets], {}, options)
        for dataset, width in datasets.items():
            first = next(key for key in columns if key[0] == dataset)
            entries[first] = replace(of_row[dataset, "all"], span=width)
        yield entries


def _label(rows: Sequence[Cell]) -> str:
    protocol, _, version = protocol_of(rows[0])
    parts = [protocol or "none", f"v{version}" if version else "", condense_architecture(rows), rows[0]["architecture"]]
    return "-".join(filter(None, parts))


# --- columns ----------------------------------------------------------------------------------------------------------


def _column_key(row: Cell) -> ColumnKey:
    return row["dataset"], ipc(row)


def _columns(rows: Sequence[Cell], options: Options) -> dict[ColumnKey, Column]:
    """By dataset and ipc, in the order of the rows; a dataset with only the whole set has the column "all"."""
    columns = {}
    for name, title in _dataset_titles(rows).items():
        of_dataset = [row for row in rows if row["dataset"] == name]
        ratios = {ipc(row): ratio_percent(row) for row in of_dataset if not is_whole(row)} or {"all": 100.0}
        for text in sorted(ratios, key=lambda text: options.ipc_rank(int(text)) if text != "all" else (0, 0)):
            head = f"{title} ipc {text} ({short(ratios[text])}\u00a0%)"
            heads = (title, text, short(ratios[text]))
            columns[name, text] = Column(f"{name} {text}", head, itemgetter((name, text)), percent, heads=heads)
    return columns


def _dataset_titles(rows: Sequence[Cell]) -> dict[str, str]:
    """Name → title. A record without a title gives its name; datasets that share a title also show their names."""
    titles: dict[str, str] = {}
    for row in rows:
        name = row["dataset"]
        if titles.get(name, name) == name:
            titles[name] = row["dataset_title"]
    shared = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    return {name: f"{title} ({name})" if title in shared else title for name, title in titles.items()}


def _in_words(keys: Set[Hashable], columns: Mapping[ColumnKey, Column]) -> list[str]:
    """The columns by dataset: "CIFAR-10 at ipc 1, 10"."""
    ipcs: dict[str, list[str]] = {}
    for key, column in columns.items():
        if key in keys:
            ipcs.setdefault(column.heads[0], []).append(column.heads[1])
    return [f"{title} at ipc {', '.join(of_title)}" for title, of_title in ipcs.items()]
