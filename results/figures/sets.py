"""The stored sets that figures show, named as in tables, and the analyses of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from results.aggregation.cells import device
from results.aggregation.grouping import family_rank, is_random
from results.aggregation.links import leaves
from results.aggregation.naming import distinguish, title
from results.store.schema import Status
from results.types import Json

T = TypeVar("T")
_NOT_IN_NAMES = {"kind", "seed", "experts", "ipc", "architecture", "dataset"}  # the seed, the inputs, the scenario


@dataclass(frozen=True, order=True)
class Scenario:
    """What sets must share to be compared. condense_architecture: "" for sets made elsewhere."""

    dataset: str
    dataset_title: str
    condense_architecture: str
    ipc: int


@dataclass(frozen=True)
class StoredSet:
    """A synthetic set, condensed here or (kind "import") elsewhere.

    selected: whether its images are unchanged real ones. machine: device and precision. prepare_seconds: of all its
    experts; nan if a record is missing or of another machine. order: sorts sets as tables sort their rows.
    """

    identity: str
    kind: str
    name: str
    scenario: Scenario
    seed: int
    factor: int
    selected: bool
    machine: tuple[str, str]
    seconds: float
    prepare_seconds: float
    order: tuple[Any, ...]


def stored_sets(records: Sequence[Json]) -> dict[str, StoredSet]:
    """All finished sets by identity, ordered by scenario, then as in tables, then by seed."""
    finished = [r for r in records if r["kind"] in ("condense", "import") and r["status"] == Status.OK]
    experts = {record["identity"]: record for record in records if record["kind"] == "prepare"}
    names = _names(finished)
    sets = [_stored_set(record, names[record["identity"]], experts) for record in finished]
    sets.sort(key=lambda stored: (stored.scenario, stored.order, stored.name, stored.seed, stored.identity))
    return {stored.identity: stored for stored in sets}


def _stored_set(record: Json, name: str, experts: Mapping[str, Json]) -> StoredSet:
    resolved, display = record["resolved"], record["display"]
    used = set(resolved.get("experts") or ())
    known = all(expert in experts and machine(experts[expert]) == machine(record) for expert in used)
    return StoredSet(
        record["identity"],
        record["kind"],
        name,
        _scenario(record),
        int(resolved.get("seed", 0)),
        int(record["result"]["factor"]),
        display["card"]["family"] == "coreset",
        machine(record),
        float(record["seconds"]),
        math.fsum(float(experts[expert]["seconds"]) for expert in used) if known else math.nan,
        _order(display),
    )


def machine(record: Json) -> tuple[str, str]:
    """The hardware and the precision, on which seconds depend."""
    return device(record["environment"]), str(record["resolved"].get("precision", ""))


def machine_text(record: Json) -> str:
    """The hardware and precision of a record."""
    return ", ".join(filter(None, machine(record)))


def _scenario(record: Json) -> Scenario:
    resolved, display = record["resolved"], record["display"]
    name = display["dataset"]
    return Scenario(name, display.get("dataset_title") or name, resolved.get("architecture", ""), int(resolved["ipc"]))


def _order(display: Json) -> tuple[Any, ...]:
    """As tables sort their rows: random baselines, then families by year."""
    card, name = display["card"], display["display_name"]
    return not is_random(name), family_rank(card["family"])[0], card.get("year") or 0, name


# --- names ------------------------------------------------------------------------------------------------------------


def _names(records: Sequence[Json]) -> dict[str, str]:
    """By identity: the title of each set. Sets of one scenario and title also show the settings that differ."""
    by_name: dict[tuple[Scenario, str], dict[str, list[Json]]] = {}
    for record in records:
        spec = json.dumps(_spec(record), sort_keys=True)
        key = _scenario(record), record["display"]["display_name"]
        by_name.setdefault(key, {}).setdefault(spec, []).append(record)
    set_names: dict[str, str] = {}
    for by_spec in by_name.values():
        groups = list(by_spec.values())
        differences = distinguish([_spec(group[0]) for group in groups]) if len(groups) > 1 else []
        suffixes = [f" [{difference}]" for difference in differences] or [""]
        for group, suffix in zip(groups, suffixes, strict=True):
            set_names |= {record["identity"]: _title(record["display"]) + suffix for record in group}
    return set_names


def _title(display: Json) -> str:
    card = display["card"]
    return title(
        {
            "label": display.get("label"),
            "display_name": display["display_name"],
            "method": card["name"],
            "title": card["title"],
        }
    )


def _spec(record: Json) -> dict[str, Any]:
    """What must agree for sets to have one name, as `naming.distinguish` takes it."""
    if record["kind"] != "condense":
        return {"condensed": "elsewhere", "source": record["display"].get("source", "")}
    settings = {name: value for name, value in record["resolved"].items() if name not in _NOT_IN_NAMES}
    return {"condensed": "here", **dict(leaves(settings))}


# --- analyses ---------------------------------------------------------------------------------------------------------


def analyses(records: Sequence[Json], name: str) -> tuple[list[Json], list[str]]:
    """The finished analyses of this name, and a line on each other one."""
    of_name = [r for r in records if r["kind"] == "analyze" and r["resolved"].get("analysis") == name]
    unusable = [r for r in of_name if r["status"] != Status.OK]
    lines = [f"{name}, analysis {r['identity'][:12]}: {r['status']}: {r['message']}".rstrip(": ") for r in unusable]
    return [r for r in of_name if r["status"] == Status.OK], lines


def analysis_key(record: Json) -> tuple[Any, ...]:
    """What analyses must share to be in one figure, besides the scenario: data, network, protocol, split, precision."""
    resolved, protocol = record["resolved"], record["resolved"].get("protocol") or {}
    return (
        record["display"]["dataset"],
        (resolved.get("dataset") or {}).get("fingerprint", ""),
        *(resolved.get(name) for name in ("version", "architecture", "val_fraction", "precision")),
        *(protocol.get(name) for name in ("name", "version")),
    )


def protocol_text(record: Json) -> str:
    """ "protocol quick v1", or "" without a protocol."""
    protocol = record["resolved"].get("protocol") or {}
    return f"protocol {protocol['name']} v{protocol.get('version', '?')}" if protocol.get("name") else ""


def try_to_build(what: str, build: Callable[[], T], missing: list[str]) -> list[T]:
    """The built object in a list. If a record lacks what it needs: an empty list, and a line is added to `missing`."""
    try:
        return [build()]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        missing.append(f"{what}: a record of it is not understood ({type(error).__name__}: {error})")
        return []
