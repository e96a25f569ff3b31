"""What stands behind the identities in analyse records: sets, called as in the tables, with their costs. Pure."""

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
WHOLE = "whole"  # stands for the whole training set among the sets of an analysis
_SAMPLE = {"kind", "seed", "experts", "ipc", "architecture", "dataset"}  # the sample, the inputs, or the place


@dataclass(frozen=True)
class MadeSet:
    """A synthetic set, condensed here or (kind "import") elsewhere.

    selected: real images, which nothing has changed. machine: device and precision. prepare_seconds: of its experts,
    in full; nan when a record is absent or of another machine. order: where its row stands in the tables.
    """

    identity: str
    kind: str
    name: str
    place: Place
    seed: int
    factor: int
    selected: bool
    machine: tuple[str, str]
    seconds: float
    prepare_seconds: float
    order: tuple[Any, ...]


@dataclass(frozen=True, order=True)
class Place:
    """Where sets compete. condensed_with: a network, "" for sets made elsewhere."""

    dataset: str
    dataset_title: str
    condense_architecture: str
    ipc: int


def made_sets(records: Sequence[Json]) -> dict[str, MadeSet]:
    """By identity, all sets that came to a good end, in the order of the tables: by place, row and seed."""
    ready = [record for record in records if record["kind"] in ("condense", "import") and record["status"] == Status.OK]
    experts = {record["identity"]: record for record in records if record["kind"] == "prepare"}
    called = _names(ready)
    found = [_made(record, called[record["identity"]], experts) for record in ready]
    found.sort(key=lambda made: (made.place, made.order, made.name, made.seed, made.identity))
    return {made.identity: made for made in found}


def _made(record: Json, name: str, experts: Mapping[str, Json]) -> MadeSet:
    resolved, display = record["resolved"], record["display"]
    used = set(resolved.get("experts") or ())
    known = all(expert in experts and machine(experts[expert]) == machine(record) for expert in used)
    return MadeSet(
        record["identity"],
        record["kind"],
        name,
        _place(record),
        int(resolved.get("seed", 0)),
        int(record["result"]["factor"]),
        display["card"]["family"] == "coreset",
        machine(record),
        float(record["seconds"]),
        math.fsum(float(experts[expert]["seconds"]) for expert in used) if known else math.nan,
        _order(display),
    )


def machine(record: Json) -> tuple[str, str]:
    """The hardware and the precision on which seconds depend."""
    return device(record["environment"]), str(record["resolved"].get("precision", ""))


def _place(record: Json) -> Place:
    resolved, display = record["resolved"], record["display"]
    name = display["dataset"]
    return Place(name, display.get("dataset_title") or name, resolved.get("architecture", ""), int(resolved["ipc"]))


def _order(display: Json) -> tuple[Any, ...]:
    """Controls, then families by year, as `results.aggregation.cells` has them."""
    card, row = display["card"], display["display_name"]
    return not is_random(row), family_rank(card["family"])[0], card.get("year") or 0, row


# --- what they are called ---------------------------------------------------------------------------------------------


def _names(records: Sequence[Json]) -> dict[str, str]:
    """By identity: the title of each set; sets of one place and title also show the settings in which they differ."""
    alike: dict[tuple[Any, ...], dict[str, list[Json]]] = {}
    for record in records:
        spec = json.dumps(_spec(record), sort_keys=True)
        alike.setdefault((_place(record), record["display"]["display_name"]), {}).setdefault(spec, []).append(record)
    set_names: dict[str, str] = {}
    for by_spec in alike.values():
        groups = list(by_spec.values())
        differences = distinguish([_spec(group[0]) for group in groups]) if len(groups) > 1 else []
        suffixes = [f" [{difference}]" for difference in differences] or [""]
        for group, suffix in zip(groups, suffixes, strict=True):
            set_names |= {record["identity"]: _title(record["display"]) + suffix for record in group}
    return set_names


def _title(display: Json) -> str:
    return title(
        {"display_name": display["display_name"], "method": display["card"]["name"], "title": display["card"]["title"]}
    )


def _spec(record: Json) -> dict[str, Any]:
    """What must agree for sets to have one name, as `naming.distinguish` takes it."""
    if record["kind"] != "condense":
        return {"condensed": "elsewhere", "source": record["display"].get("source", "")}
    settings = {name: value for name, value in record["resolved"].items() if name not in _SAMPLE}
    return {"condensed": "here", **dict(leaves(settings))}


# --- analyses ---------------------------------------------------------------------------------------------------------


def analyses(records: Sequence[Json], name: str) -> tuple[list[Json], list[str]]:
    """The finished analyses of this name, and what became of the others."""
    ours = [r for r in records if r["kind"] == "analyze" and r["resolved"].get("analysis") == name]
    bad = [r for r in ours if r["status"] != Status.OK]
    lines = [f"{name}, analysis {r['identity'][:12]}: {r['status']}: {r['message']}".rstrip(": ") for r in bad]
    return [r for r in ours if r["status"] == Status.OK], lines


def circumstances(record: Json) -> tuple[Any, ...]:
    """What analyses must share to stand in one figure, beside the sets: data, network, protocol, split, precision."""
    resolved, protocol = record["resolved"], record["resolved"].get("protocol") or {}
    wanted = ("version", "architecture", "val_fraction", "precision")
    return (
        record["display"]["dataset"],
        (resolved.get("dataset") or {}).get("fingerprint", ""),
        *(resolved.get(name) for name in wanted),
        *(protocol.get(name) for name in ("name", "version")),
    )


def analyzed_on(record: Json) -> str:
    """The hardware and precision of an analysis."""
    return ", ".join(filter(None, machine(record)))


def protocol_of(record: Json) -> str:
    """ "protocol quick v1", "" where no protocol is involved."""
    protocol = record["resolved"].get("protocol") or {}
    return f"protocol {protocol['name']} v{protocol.get('version', '?')}" if protocol.get("name") else ""


def attempt(what: str, make: Callable[[], T], missing: list[str]) -> list[T]:
    """What `make` makes, or nothing and a line among `missing` where a record does not hold what it should."""
    try:
        return [make()]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        missing.append(f"{what}: a record of it is not understood ({type(error).__name__}: {error})")
        return []
