"""Which records belong to each cell of `aggregation.cells`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    """The records of each of these cells, in the cells' order; without tasks that have none."""
    by_identity = {record["identity"]: record for record in records}

    def sorted_records(identities: Sequence[str]) -> list[Json]:
        return sorted((by_identity[identity] for identity in identities if identity in by_identity), key=_seed)

    found = []
    for cell in cells:
        sets = sorted_records(cell["set_ids"])
        experts = dict.fromkeys(expert for record in sets for expert in record["resolved"].get("experts", ()))
        expert_records = [by_identity[expert] for expert in experts if expert in by_identity]
        found.append(CellRecords(sorted_records(cell["evaluation_ids"]), sets, expert_records))
    return found


def _seed(record: Json) -> tuple[int, str]:
    return record["resolved"].get("seed", 0), record["identity"]
