"""Which records belong to each cell of `aggregation.cells`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from results.aggregation.grouping import is_whole
from results.aggregation.links import Links, cell_spec, flat_spec, sorted_json
from results.types import Cell, Json


@dataclass(frozen=True)
class CellRecords:
    """The records of one cell, ordered by seed.

    evaluations: of the cell. sets: its condense or import records, under whatever protocol they were evaluated,
    including those that ended without a set. experts: the prepare records of the experts that the sets used.
    """

    evaluations: list[Json] = field(default_factory=list)
    sets: list[Json] = field(default_factory=list)
    experts: list[Json] = field(default_factory=list)


def records_of_cells(records: Sequence[Json], cells: Sequence[Cell]) -> list[CellRecords]:
    """The records of each of these cells, in the cells' order."""
    links = Links.of(records)
    evaluations: dict[Hashable, list[Json]] = defaultdict(list)
    for record in links.evaluations:
        evaluations[_evaluation_key(record, links)].append(record)
    condensed: dict[Hashable, list[Json]] = defaultdict(list)
    for record in links.condense.values():
        condensed[_condensed_key(record)].append(record)
    return [_of_cell(evaluations[_cell_key(cell)], condensed[_set_key(cell)], links) for cell in cells]


def _of_cell(evaluations: Sequence[Json], condensed: Sequence[Json], links: Links) -> CellRecords:
    sets = {record["identity"]: record for record in condensed}
    set_identities = [evaluation["resolved"]["set"] for evaluation in evaluations]
    sets |= {identity: links.imports[identity] for identity in set_identities if identity in links.imports}
    experts = dict.fromkeys(expert for record in sets.values() for expert in record["resolved"].get("experts", ()))
    return CellRecords(
        sorted(evaluations, key=_seed),
        sorted(sets.values(), key=_seed),
        [links.prepare[expert] for expert in experts if expert in links.prepare],
    )


def _seed(record: Json) -> tuple[int, str]:
    return record["resolved"].get("seed", 0), record["identity"]


# --- the keys by which cells and records are joined -------------------------------------------------------------------


def _cell_key(cell: Cell) -> Hashable:
    names = ("dataset", "condense_architecture", "architecture", "protocol", "recipe", "version", "display_name")
    return *(cell[name] for name in names), _ipc(cell), sorted_json(cell["cell_spec"])


def _evaluation_key(record: Json, links: Links) -> Hashable:
    resolved, display, protocol = record["resolved"], record["display"], record["resolved"]["protocol"]
    return (
        *(display["dataset"], display["condense_architecture"] or "", resolved["architecture"], display["protocol"]),
        *(protocol["name"].removeprefix("native:"), protocol["version"], display["display_name"], display["ipc"]),
        sorted_json(cell_spec(record, links.condensed(record))),
    )


def _set_key(cell: Cell) -> Hashable:
    """The key of the sets condensed for a cell; that of the whole set or of imported sets has no records."""
    spec = {name: value for name, value in cell["cell_spec"].items() if not name.startswith("evaluation.")}
    return cell["dataset"], cell["condense_architecture"], cell["display_name"], _ipc(cell), sorted_json(spec)


def _condensed_key(record: Json) -> Hashable:
    resolved, display = record["resolved"], record["display"]
    spec = sorted_json({"condensed": "here", **flat_spec(resolved)})
    return display["dataset"], resolved["architecture"], display["display_name"], resolved["ipc"], spec


def _ipc(cell: Cell) -> int | None:
    return None if is_whole(cell) else int(cell["ipc"])
