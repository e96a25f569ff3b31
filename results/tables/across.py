"""Tables from cells with evaluation networks or protocols across, methods down, ipcs as groups of rows. Pure."""

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
from results.statistics.ranking import marked
from results.tables.captions import Columns, network_captions, protocol_captions
from results.tables.entries import Line, Notes, Setting, blocks, by_column, entry_text, line, named
from results.tables.model import Table
from results.types import Cell


@dataclass(frozen=True)
class Group:
    """The rows of one ipc, a block for each family; the ratio in percent of the training images."""

    ipc: str
    ratio: str
    blocks: list[tuple[str, list[Line]]]


@dataclass
class Cross:
    """One table; all lines have their entries in the order of `heads`; notes are numbered from 1."""

    title: str
    label: str  # of plain words, to refer to it
    heads: list[str]
    groups: list[Group] = field(default_factory=list)
    whole: list[Line] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)


def network_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Cross]:
    """Evaluation networks across, the condensing one first: a table for each dataset, condensing network and protocol.

    Only where two or more networks were scored on condensed sets.
    """
    found = groups(rows_of(cells), lambda row: (row["dataset"], *protocol_of(row)))
    return [table for rows in found if (table := _by_network(rows, options)) is not None]


def protocol_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Cross]:
    """Protocols across, `native` last: a table for each dataset and pair of networks.

    Only where two or more protocols were scored on condensed sets.
    """
    found = groups(rows_of(cells), lambda row: (row["dataset"], row["architecture"]))
    return [table for rows in found if (table := _by_protocol(rows, options)) is not None]


def _by_network(rows: Sequence[Cell], options: Options) -> Cross | None:
    rows = [row for row in rows if row["architecture"]]
    networks = _across(rows, lambda row: row["architecture"])
    if len(networks) < 2:
        return None
    first, network = rows[0], condense_architecture(rows)
    if not options.eval_architectures:
        networks.sort(key=lambda name: name != network)
    words = [f"condensed with {network}", f"protocol {first['protocol']}"]
    label = f"cross-{first['dataset']}-{network}-{'-v'.join(map(str, protocol_of(first)[::2]))}"
    table = Cross(", ".join([_titled(first), "evaluation networks across", *words]), label, list(networks))
    return _Columns(networks, lambda row: row["architecture"], network_captions, options).fill(table, rows)


def _by_protocol(rows: Sequence[Cell], options: Options) -> Cross | None:
    rows = [row for row in rows if row["protocol"]]
    protocols = _across(rows, protocol_of)
    if len(protocols) < 2:
        return None
    if not options.protocols:
        protocols.sort(key=lambda found: found[0].startswith("native"))
    names = [name for name, *_ in protocols]
    heads = [f"{name} v{version}" if names.count(name) > 1 else name for name, _, version in protocols]
    first = rows[0]
    label = f"protocols-{first['dataset']}-{condense_architecture(rows)}-{first['architecture']}"
    title = ", ".join([_titled(first), "protocols across", *circumstances(rows)[:2]])
    return _Columns(protocols, protocol_of, protocol_captions, options).fill(Cross(title, label, heads), rows)


def _titled(row: Cell) -> str:
    """The dataset's title, with its name where the title does not say it."""
    title, name = str(row["dataset_title"]), str(row["dataset"])
    return title if re.sub(r"\W", "", title).lower() == name else f"{title} ({name})"


def _across(rows: Sequence[Cell], column: Callable[[Cell], Any]) -> list[Any]:
    """All that may stand across, in the order of the rows; nothing unless two of them have a scored, condensed set."""
    scored = {column(row) for row in rows if row["sets"] and not is_whole(row)}
    return list(dict.fromkeys(map(column, rows))) if len(scored) > 1 else []


@dataclass(frozen=True)
class _Columns:
    """What stands across, how a row tells its place there, and how such tables are captioned."""

    places: Sequence[Hashable]
    column: Callable[[Cell], Hashable]
    captions: Callable[[Sequence[Cell], Columns], list[str]]
    options: Options

    def fill(self, table: Cross, rows: Sequence[Cell]) -> Cross:
        """The table with its lines and captions; ranks and doubts are those of one ipc and one place across."""
        heads = dict(zip(self.places, table.heads, strict=True))
        columns = by_column(rows, lambda row: (ipc(row), self.column(row)))
        setting = Setting(marked(columns.values(), self.options), table.notes, self.options)
        images = {int(row["ipc"]) for row in rows if not is_whole(row)}
        for number in sorted(images, key=self.options.ipc_rank):
            mine = [row for row in rows if ipc(row) == str(number)]
            found = [
                (family, [line(one, self.places, setting) for one in lines])
                for family, lines in blocks(mine, self.column, self.options)
            ]
            table.groups.append(Group(str(number), ratio(mine[0]), found))
        wholes = named([row for row in rows if is_whole(row)], self.column)
        table.whole = [line(one, self.places, setting) for one in wholes]
        words = Columns(columns, lambda keys: _in_words(keys, heads), self.options.highlight)
        table.captions = self.captions(rows, words)
        return table


def _in_words(places: Set[Any], heads: Mapping[Hashable, str]) -> list[str]:
    """Columns that share their ipcs are named together: "dsa, dc at ipc 1, 10"."""
    shared: dict[str, list[str]] = {}
    for column, head in heads.items():
        ipcs = sorted((images for images, where in places if where == column), key=int)
        if ipcs:
            shared.setdefault(", ".join(ipcs), []).append(head)
    return [f"{', '.join(names)} at ipc {ipcs}" for ipcs, names in shared.items()]


def cross_table(cross: Cross) -> Table:
    """A table of networks or protocols as text."""
    table = Table(cross.title, ["IPC", "Method", *cross.heads], notes=cross.notes, captions=cross.captions)
    for group in cross.groups:
        for _, lines in group.blocks:
            for found in lines:
                _add(table, group.ipc, found)
    for found in cross.whole:
        _add(table, "all", found)
    return table


def _add(table: Table, ipc: str, found: Line) -> None:
    ranks = {(len(table.rows), 2 + place): e.rank for place, e in enumerate(found.entries) if e.rank}
    table.ranks |= ranks
    table.rows.append([ipc, found.title, *map(entry_text, found.entries)])
