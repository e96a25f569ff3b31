"""Tables with evaluation networks or protocols across, methods down, and the ipcs as groups of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
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
from results.tables.captions import RankedColumns, network_captions, protocol_captions
from results.tables.entries import (
    ColumnKey,
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


@dataclass(frozen=True)
class IpcGroup:
    """The rows of one ipc in blocks by family; the ratio is in percent of the training images."""

    ipc: str
    ratio: str
    blocks: list[tuple[str, list[MethodRow]]]


@dataclass
class AcrossTable:
    """One table. All rows have their entries in the order of `heads`; notes are numbered from 1."""

    title: str
    label: str  # lower-case words, for links and references
    heads: list[str]
    groups: list[IpcGroup] = field(default_factory=list)
    whole: list[MethodRow] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)


def network_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[AcrossTable]:
    """Evaluation networks across, the condensing one first: a table for each dataset, condensing network and protocol.

    Only where at least two networks were scored on condensed sets.
    """
    row_groups = groups(rows_of(cells), lambda row: (row["dataset"], *protocol_of(row)))
    return [table for rows in row_groups if (table := _by_network(rows, options)) is not None]


def protocol_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[AcrossTable]:
    """Protocols across, `native` last: a table for each dataset and pair of networks.

    Only where at least two protocols were scored on condensed sets.
    """
    row_groups = groups(rows_of(cells), lambda row: (row["dataset"], row["architecture"]))
    return [table for rows in row_groups if (table := _by_protocol(rows, options)) is not None]


def _by_network(rows: Sequence[Cell], options: Options) -> AcrossTable | None:
    rows = [row for row in rows if row["architecture"]]
    networks = _column_keys(rows, lambda row: row["architecture"])
    if len(networks) < 2:
        return None
    first, network = rows[0], condense_architecture(rows)
    if not options.eval_architectures:
        networks.sort(key=lambda name: name != network)
    words = [f"condensed with {network}", f"protocol {first['protocol']}"]
    label = f"cross-{first['dataset']}-{network}-{'-v'.join(map(str, protocol_of(first)[::2]))}"
    table = AcrossTable(", ".join([_dataset_title(first), "evaluation networks across", *words]), label, list(networks))
    return _AcrossColumns(networks, lambda row: row["architecture"], network_captions, options).fill(table, rows)


def _by_protocol(rows: Sequence[Cell], options: Options) -> AcrossTable | None:
    rows = [row for row in rows if row["protocol"]]
    protocols = _column_keys(rows, protocol_of)
    if len(protocols) < 2:
        return None
    if not options.protocols:
        protocols.sort(key=lambda protocol: protocol[0].startswith("native"))
    names = [name for name, *_ in protocols]
    heads = [f"{name} v{version}" if names.count(name) > 1 else name for name, _, version in protocols]
    first = rows[0]
    label = f"protocols-{first['dataset']}-{condense_architecture(rows)}-{first['architecture']}"
    title = ", ".join([_dataset_title(first), "protocols across", *circumstances(rows)[:2]])
    return _AcrossColumns(protocols, protocol_of, protocol_captions, options).fill(
        AcrossTable(title, label, heads), rows
    )


def _dataset_title(row: Cell) -> str:
    """The dataset's title, followed by its name if that is another word."""
    title, name = str(row["dataset_title"]), str(row["dataset"])
    return title if re.sub(r"\W", "", title).lower() == name else f"{title} ({name})"


def _column_keys(rows: Sequence[Cell], column_key: Callable[[Cell], Any]) -> list[Any]:
    """The columns in the order of the rows; none if fewer than two of them have a scored condensed set."""
    scored = {column_key(row) for row in rows if row["sets"] and not is_whole(row)}
    return list(dict.fromkeys(map(column_key, rows))) if len(scored) > 1 else []


@dataclass(frozen=True)
class _AcrossColumns:
    """The columns of a table in order, the column of a cell, and the function for the table's captions."""

    keys: Sequence[Hashable]
    column_key: ColumnKey
    captions: Callable[[Sequence[Cell], RankedColumns], list[str]]
    options: Options

    def fill(self, table: AcrossTable, rows: Sequence[Cell]) -> AcrossTable:
        """The table with its rows and captions. Cells of one ipc and one column are ranked together."""
        heads = dict(zip(self.keys, table.heads, strict=True))
        columns = cells_by_column(rows, lambda row: (ipc(row), self.column_key(row)))
        context = EntryContext(ranks_and_remarks_by_row(columns.values(), self.options), table.notes, self.options)
        for number in sorted({int(row["ipc"]) for row in rows if not is_whole(row)}, key=self.options.ipc_rank):
            of_ipc = [row for row in rows if ipc(row) == str(number)]
            blocks = [
                (family, [method_row(row, self.keys, context) for row in block])
                for family, block in family_blocks(of_ipc, self.column_key, self.options)
            ]
            table.groups.append(IpcGroup(str(number), ratio(of_ipc[0]), blocks))
        wholes = named_rows([row for row in rows if is_whole(row)], self.column_key)
        table.whole = [method_row(row, self.keys, context) for row in wholes]
        ranked = RankedColumns(columns, lambda keys: _in_words(keys, heads), self.options.highlight)
        table.captions = self.captions(rows, ranked)
        return table


def _in_words(columns: Set[Any], heads: Mapping[Hashable, str]) -> list[str]:
    """The columns, given by ipc and key; those with equal ipcs are named together: "dsa, dc at ipc 1, 10"."""
    heads_by_ipcs: dict[str, list[str]] = {}
    for key, head in heads.items():
        ipcs = sorted((ipc_text for ipc_text, column in columns if column == key), key=int)
        if ipcs:
            heads_by_ipcs.setdefault(", ".join(ipcs), []).append(head)
    return [f"{', '.join(same_ipcs)} at ipc {ipcs}" for ipcs, same_ipcs in heads_by_ipcs.items()]


def across_as_text(across: AcrossTable) -> Table:
    """A table of networks or protocols as text."""
    table = Table(across.title, ["IPC", "Method", *across.heads], notes=across.notes, captions=across.captions)
    rows = [(group.ipc, row) for group in across.groups for _, block in group.blocks for row in block]
    for ipc_text, row in [*rows, *(("all", row) for row in across.whole)]:
        table.ranks |= {(len(table.rows), 2 + index): e.rank for index, e in enumerate(row.entries) if e.rank}
        table.rows.append([ipc_text, row.title, *map(entry_text, row.entries)])
    return table
