"""Records joined by their identities: evaluate.asked.set → condense → asked.experts → prepare. Pure.

Requests that differ in anything else that was asked (settings, precision, fraction, …) are different cells; `spec`
holds what tells them apart, and `key` and `batch` say the same in texts that are quicker to make.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from results.store.schema import RECORDED
from results.types import Json

_SETS = ("prepare", "condense", "import")  # what evaluations are joined with
_NOT_IN_SPEC = {"kind", "seed", "experts", "ipc", "architecture", "set"}  # the sample, the inputs, or the key itself


@dataclass(frozen=True)
class Links:
    """Records by kind and identity; `users`: expert → condense tasks that use it; `batches`: same request, any seed.

    `imports`: sets made elsewhere, which cost nothing here. `batch_of`: condense task → the key of its batch.
    Tasks that came to no end (`gather.Stored.unfinished`) stand among the others, but use no expert.
    """

    evaluations: list[Json]
    condense: dict[str, Json]
    imports: dict[str, Json]
    prepare: dict[str, Json]
    users: Counter[str]
    batches: dict[tuple[str, ...], list[Json]]
    batch_of: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, records: Sequence[Json]) -> Links:
        kinds = {kind: {r["identity"]: r for r in records if r["kind"] == kind} for kind in _SETS}
        batches: dict[tuple[str, ...], list[Json]] = defaultdict(list)
        users: Counter[str] = Counter()
        batch_of = {name: batch(record) for name, record in kinds["condense"].items()}
        for name, record in kinds["condense"].items():
            batches[batch_of[name]].append(record)
            users.update(set(record["resolved"]["experts"]) if record["status"] in RECORDED else ())
        evaluations = {r["identity"]: r for r in records if r["kind"] == "evaluate"}
        condense, imports, prepare = (kinds[kind] for kind in ("condense", "import", "prepare"))
        return cls(list(evaluations.values()), condense, imports, prepare, users, batches, batch_of)

    def condensed(self, evaluation: Json) -> Json | None:
        """The condense record behind an evaluation; None for the whole set or one condensed elsewhere."""
        return self.condense.get(evaluation["resolved"]["set"])

    def prepare_seconds(self, condensed: Json, *, shared: bool) -> float:
        """Seconds of the experts behind one set, in full or shared among their users; nan when a record is absent."""
        experts = set(condensed["resolved"]["experts"])
        if not experts <= self.prepare.keys():
            return math.nan
        return math.fsum(self.prepare[e]["seconds"] / (self.users[e] if shared else 1) for e in experts)


def batch(condensed: Json) -> tuple[str, ...]:
    """What condense tasks that differ in their seeds alone have in common."""
    resolved, display = condensed["resolved"], condensed["display"]
    return (
        display["dataset"],
        resolved["architecture"],
        display["display_name"],
        str(resolved["ipc"]),
        text(_compared(resolved)),
    )


def key(evaluation: Json, links: Links) -> tuple[str, ...]:
    """What a cell is made for, and in two texts all that `spec` holds, which takes longer to make."""
    resolved, display = evaluation["resolved"], evaluation["display"]
    place = (display["dataset"], display["condense_architecture"] or "", resolved["architecture"], display["protocol"])
    source = str(display.get("source", "")) if resolved.get("imported") else ""
    made_by = links.batch_of.get(resolved["set"])
    made = ("here", made_by[-1]) if made_by else ("whole" if resolved["set"] == "whole" else "elsewhere", source)
    return *place, display["display_name"], str(display["ipc"]), text(_compared(resolved)), *made


def cell_spec(evaluation: Json, condensed: Json | None) -> dict[str, Any]:
    """All that was asked beside the key and the seeds, flat: {"settings.lr": 1.0, "evaluation.networks": 5, …}."""
    here = condensed is not None or evaluation["resolved"]["set"] == "whole"
    found: dict[str, Any] = {"condensed": "here" if here else "elsewhere"}
    found |= flat(condensed["resolved"]) if condensed else {}
    if evaluation["resolved"].get("imported"):
        found["source"] = evaluation["display"].get("source", "")  # files of one name are rows of their own
    return found | {f"evaluation.{name}": value for name, value in flat(evaluation["resolved"]).items()}


def _compared(resolved: Json) -> dict[str, Any]:
    return {key: value for key, value in resolved.items() if key not in _NOT_IN_SPEC}


def flat(resolved: Json) -> dict[str, Any]:
    """What was asked beside the sample and the inputs: {"settings.lr": 1.0, "precision": "fp32", …}."""
    return dict(leaves(_compared(resolved)))


def leaves(tree: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their names: {"a": {"b": 1}} gives ("a.b", 1)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


text = json.JSONEncoder(sort_keys=True).encode  # json.dumps would make an encoder for each of 100,000 records
