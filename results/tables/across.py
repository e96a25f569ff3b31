"""Tables with evaluation networks or protocols across, methods down, and a block for each ipc."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
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
    rows_of,
)
from results.aggregation.options import DEFAULT, Options
from results.formatting import percent
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.captions import RankedColumns, captions, network_norms
from results.tables.cell_table import cell_table
from results.tables.columns import COLUMNS
from results.tables.entries import KeyOfCell, cells_by_column, entries_by_column, family_blocks, named_rows
from results.tables.model import Column, Table
from results.types import Cell


def network_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Evaluation networks across, the condensing one first: a table for each dataset, condensing network and protocol.

    Only where at least two networks were scored on condensed sets.
    """
    row_groups = groups(rows_of(cells), lambda row: (row["dataset"], *protocol_of(row)))
    return [table for rows in row_groups if (table := _by_network(rows, options)) is not None]


def protocol_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Protocols across, `native` last: a table for each dataset and pair of networks.

    Only where at least two protocols were scored on condensed sets.
    """
    row_groups = groups(rows_of(cells), lambda row: (row["dataset"], row["architecture"]))
    return [table for rows in row_groups if (table := _by_protocol(rows, options)) is not None]


def _by_network(rows: Sequence[Cell], options: Options) -> Table | None:
    rows = [row for row in rows if row["architecture"]]
    networks = _column_keys(rows, itemgetter("architecture"))
    if len(networks) < 2:
        return None
    first, condensed = rows[0], condense_architecture(rows)
    if not options.eval_architectures:
        networks.sort(key=lambda name: name != condensed)
    words = [f"condensed with {condensed}", f"protocol {first['protocol']}"]
    title = ", ".join([_dataset_title(first), "evaluation networks across", *words])
    heads = {network: network for network in networks}
    return _table("networks", title, rows, heads, itemgetter("architecture"), network_norms(rows), options)


def _by_protocol(rows: Sequence[Cell], options: Options) -> Table | None:
    rows = [row for row in rows if row["protocol"]]
    protocols = _column_keys(rows, protocol_of)
    if len(protocols) < 2:
        return None
    if not options.protocols:
        protocols.sort(key=lambda protocol: protocol[0].startswith("native"))
    names = [name for name, *_ in protocols]
    heads = {key: f"{key[0]} v{key[2]}" if names.count(key[0]) > 1 else key[0] for key in protocols}
    title = ", ".join([_dataset_title(rows[0]), "protocols across", *circumstances(rows)[:2]])
    return _table("protocols", title, rows, heads, protocol_of, "", options)


def _dataset_title(row: Cell) -> str:
    """The dataset's title, followed by its name if that is another word."""
    title, name = str(row["dataset_title"]), str(row["dataset"])
    return title if re.sub(r"\W", "", title).lower() == name else f"{title} ({name})"


def _column_keys(rows: Sequence[Cell], key_of: Callable[[Cell], Any]) -> list[Any]:
    """The columns in the order of the rows; none if fewer than two of them have a scored condensed set."""
    scored = {key_of(row) for row in rows if row["sets"] and not is_whole(row)}
    return list(dict.fromkeys(map(key_of, rows))) if len(scored) > 1 else []


def _table(
    kind: str,
    title: str,
    cells: Sequence[Cell],
    heads: Mapping[Hashable, str],
    key_of: KeyOfCell,
    about: str,
    options: Options,
) -> Table:
    """A table with a column for each of `heads`, in order. Cells of one ipc and one column are ranked together."""
    by_column = cells_by_column(cells, lambda row: (ipc(row), key_of(row)))
    marks = ranks_and_remarks_by_row(by_column.values(), options)
    numbers = sorted({int(row["ipc"]) for row in cells if not is_whole(row)}, key=options.ipc_rank)
    named = [
        row
        for number in numbers
        for _, block in family_blocks([cell for cell in cells if ipc(cell) == str(number)], key_of, options)
        for row in block
    ]
    named += named_rows([cell for cell in cells if is_whole(cell)], key_of)
    rows = [
        {**next(iter(of_row.values())), "name": name, **entries_by_column(of_row, heads, marks, options)}
        for name, of_row in named
    ]
    columns = [Column(head, head, itemgetter(key), percent, tables=(kind,)) for key, head in heads.items()]
    ranked = RankedColumns(by_column, lambda keys: _in_words(keys, heads), options.highlight)
    table = cell_table(kind, title, rows, captions(cells, ranked, about), options, [*COLUMNS, *columns])
    return replace(table, wide=True)


def _in_words(columns: Set[Any], heads: Mapping[Hashable, str]) -> list[str]:
    """The columns, given by ipc and key; those with equal ipcs are named together: "dsa, dc at ipc 1, 10"."""
    heads_by_ipcs: dict[str, list[str]] = {}
    for key, head in heads.items():
        ipcs = sorted((ipc_text for ipc_text, column in columns if column == key), key=int)
        if ipcs:
            heads_by_ipcs.setdefault(", ".join(ipcs), []).append(head)
    return [f"{', '.join(same_ipcs)} at ipc {ipcs}" for ipcs, same_ipcs in heads_by_ipcs.items()]
