"""Which records stand behind each cell of `aggregate.cells`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from results.aggregation.grouping import is_whole
from results.types import Json

_ABSENT = object()


@dataclass(frozen=True)
class Behind:
    """The records of one cell, by seed: its evaluations, its sets (condense or import), the experts they used.

    Sets that came to no good end are among them, whatever the protocol.
    """

    evaluations: list[Json] = field(default_factory=list)
    sets: list[Json] = field(default_factory=list)
    experts: list[Json] = field(default_factory=list)


def behind(records: Sequence[Json], cells: Sequence[Json]) -> list[Behind]:
    """The records of each of these cells, in the cells' order."""
    kinds: dict[str, dict[str, Json]] = defaultdict(dict)
    for record in records:
        kinds[record["kind"]][record["identity"]] = record
    made: dict[Hashable, list[Json]] = defaultdict(list)
    for record in kinds["condense"].values():
        made[_made(record)].append(record)
    scored: dict[Hashable, list[Json]] = defaultdict(list)
    for record in kinds["evaluate"].values():
        scored[_scored(record)].append(record)
    return [_of_cell(cell, scored[_place(cell)], made[_batch(cell)], kinds) for cell in cells]


def _of_cell(cell: Json, scored: Sequence[Json], made: Sequence[Json], kinds: Mapping[str, Json]) -> Behind:
    condense, imports, prepare = (kinds.get(kind, {}) for kind in ("condense", "import", "prepare"))
    spec = cell["cell_spec"]
    evaluations = [r for r in scored if _agrees(spec, r, condense.get(r["resolved"]["set"]))]
    sets = {r["identity"]: r for r in made if _agrees(spec, None, r)} if _is_condensed(cell) else {}
    given = [imports[r["resolved"]["set"]] for r in evaluations if r["resolved"]["set"] in imports]
    sets |= {record["identity"]: record for record in given}
    experts = dict.fromkeys(expert for record in sets.values() for expert in record["resolved"].get("experts", ()))
    return Behind(
        sorted(evaluations, key=_seed), sorted(sets.values(), key=_seed), [prepare[e] for e in experts if e in prepare]
    )


def _is_condensed(cell: Json) -> bool:
    return cell["cell_spec"].get("condensed") == "here" and not is_whole(cell)


def _seed(record: Json) -> tuple[int, str]:
    return record["resolved"].get("seed", 0), record["identity"]


def _place(cell: Json) -> Hashable:
    words = (cell["dataset"], cell["condense_architecture"], cell["architecture"], cell["protocol"], cell["recipe"])
    return *words, cell["version"], cell["display_name"], None if is_whole(cell) else int(cell["ipc"])


def _scored(record: Json) -> Hashable:
    resolved, display = record["resolved"], record["display"]
    recipe = resolved["protocol"]["name"].removeprefix("native:")
    words = (
        display["dataset"],
        display["condense_architecture"] or "",
        resolved["architecture"],
        display["protocol"],
        recipe,
    )
    return *words, resolved["protocol"]["version"], display["display_name"], display["ipc"]


def _batch(cell: Json) -> Hashable:
    return (
        cell["dataset"],
        cell["condense_architecture"],
        cell["display_name"],
        None if is_whole(cell) else int(cell["ipc"]),
    )


def _made(record: Json) -> Hashable:
    return (
        record["display"]["dataset"],
        record["resolved"]["architecture"],
        record["display"]["display_name"],
        record["resolved"]["ipc"],
    )


def _agrees(spec: Json, evaluation: Json | None, condensed: Json | None) -> bool:
    """Whether records ask for all that a cell's spec names: "evaluation.…" of one, "source" of its label, the rest."""
    for name, value in spec.items():
        if name == "condensed" or (evaluation is None and name.startswith("evaluation.")):
            continue
        if name == "source":
            found = evaluation["display"].get("source", "") if evaluation else _ABSENT
        elif name.startswith("evaluation."):
            found = _at(evaluation or {}, name.removeprefix("evaluation."))
        else:
            found = _at(condensed or {}, name)
        if found != value:
            return False
    return True


def _at(record: Json, path: str) -> Any:
    found: Any = record.get("resolved", {})
    for key in path.split("."):
        found = found.get(key, _ABSENT) if isinstance(found, Mapping) else _ABSENT
    return found
