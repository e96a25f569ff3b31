"""Records joined by identities: an evaluation's `set` is a condense task, whose `experts` are prepare tasks.

Tasks that differ in any other value of their specification (settings, precision, val_fraction, …) are different cells:
`cell_spec` has these values, and `cell_key` and `seed_group_key` have them as texts, which are faster to make.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from results.store.schema import RECORDED, WHOLE_SET, Status
from results.types import Json

_NOT_IN_SPEC = {
    "kind",
    "seed",
    "experts",
    "ipc",
    "architecture",
    "set",
    "labels",
}  # the sample, the inputs, or the key itself


@dataclass(frozen=True)
class Links:
    """Records by kind and identity. Tasks without a record (`StoredResults.unfinished`) are among them.

    imports: sets made elsewhere, whose costs are unknown. prepare: experts and whitenings. users: by their
    identities, the number of condense tasks with a record that use them. labels: soft labels of sets. seed_groups:
    condense tasks that differ in the seed only, by their `seed_group_key`. seed_group_of: by condense task, its
    `seed_group_key`. best_on_test: the analyses of this name, by the `evaluated_key` that they share with an
    evaluation.
    """

    evaluations: list[Json]
    condense: dict[str, Json]
    imports: dict[str, Json]
    prepare: dict[str, Json]
    users: Counter[str]
    labels: dict[str, Json]
    seed_groups: dict[tuple[str, ...], list[Json]]
    seed_group_of: dict[str, tuple[str, ...]]
    best_on_test: dict[str, Json]

    @classmethod
    def of(cls, records: Sequence[Json]) -> Links:
        def by_identity(kind: str) -> dict[str, Json]:
            return {record["identity"]: record for record in records if record["kind"] == kind}

        condense = by_identity("condense")
        seed_group_of = {identity: seed_group_key(record) for identity, record in condense.items()}
        seed_groups: dict[tuple[str, ...], list[Json]] = defaultdict(list)
        users: Counter[str] = Counter()
        for identity, record in condense.items():
            seed_groups[seed_group_of[identity]].append(record)
            users.update(prepared_for(record) if record["status"] in RECORDED else ())
        evaluations = list(by_identity("evaluate").values())
        best_on_test = {
            evaluated_key(record): record
            for record in by_identity("analyze").values()
            if record["resolved"].get("analysis") == "best_on_test" and record["status"] == Status.OK
        }
        return cls(
            evaluations,
            condense,
            by_identity("import"),
            by_identity("prepare") | by_identity("whiten"),
            users,
            by_identity("label"),
            seed_groups,
            seed_group_of,
            best_on_test,
        )

    def best_on_test_of(self, evaluation: Json) -> Json | None:
        """The analysis best_on_test of an evaluation's set under the same protocol, with the same networks."""
        return self.best_on_test.get(evaluated_key(evaluation)) if self.best_on_test else None

    def condensed(self, evaluation: Json) -> Json | None:
        """The condense record of an evaluation's set; None for the whole set and for one condensed elsewhere."""
        return self.condense.get(evaluation["resolved"]["set"])

    def prepare_seconds(self, condensed: Json, *, shared: bool) -> float:
        """Seconds of a set's experts and whitening, in full or each divided by its users; nan if a record is absent."""
        tasks = prepared_for(condensed)
        if not tasks <= self.prepare.keys():
            return math.nan
        return math.fsum(self.prepare[task]["seconds"] / (self.users[task] if shared else 1) for task in tasks)

    def labelled(self, evaluations: Sequence[Json]) -> list[Json]:
        """The records of the soft labels with which these evaluations trained, each once."""
        identities = dict.fromkeys(record["resolved"].get("labels") for record in evaluations)
        return [self.labels[identity] for identity in identities if identity in self.labels]

    def teacher_seconds(self, labelled: Json, *, shared: bool) -> float:
        """Seconds of a label task's teacher, in full or divided by the label tasks that use it; nan if it is absent."""
        (teacher,) = labelled["resolved"]["experts"]
        users = sum(record["resolved"]["experts"] == [teacher] for record in self.labels.values())
        return self.prepare[teacher]["seconds"] / (users if shared else 1) if teacher in self.prepare else math.nan


def prepared_for(condensed: Json) -> set[str]:
    """The identities of the tasks that prepare a set: its experts, and what fits its whitening."""
    resolved = condensed["resolved"]
    return {*resolved["experts"], resolved["dataset"].get("whitening")} - {None}


_NOT_EVALUATED = {"kind", "set", "sets", "experts", "analysis", "version"}


def evaluated_key(record: Json) -> str:
    """Equal for an evaluation and for an analysis that trains the same networks in the same way on the same set."""
    resolved = record["resolved"]
    sets = resolved.get("sets") or [resolved.get("set")]
    return sorted_json([sets, {key: value for key, value in resolved.items() if key not in _NOT_EVALUATED}])


def seed_group_key(condensed: Json) -> tuple[str, ...]:
    """Equal for condense tasks that differ in their seeds only."""
    resolved, display = condensed["resolved"], condensed["display"]
    row = (display["dataset"], resolved["architecture"], display["display_name"], str(resolved["ipc"]))
    return *row, sorted_json(_compared(resolved))


def cell_key(evaluation: Json, links: Links) -> tuple[str, ...]:
    """Equal for the evaluations of one cell."""
    resolved, display = evaluation["resolved"], evaluation["display"]
    table = (display["dataset"], display["condense_architecture"] or "", resolved["architecture"], display["protocol"])
    row = (display["display_name"], str(display["ipc"]), sorted_json(_compared(resolved)))
    if seed_group := links.seed_group_of.get(resolved["set"]):
        return *table, *row, "here", seed_group[-1]
    source = str(display.get("source", "")) if resolved.get("imported") else ""
    return *table, *row, "whole" if resolved["set"] == WHOLE_SET else "elsewhere", source


def cell_spec(evaluation: Json, condensed: Json | None) -> dict[str, Any]:
    """The values of both specifications apart from those of `cell_key` and the seeds.

    Flat, with "condensed" for where: {"condensed": "here", "settings.lr": 1.0, "evaluation.num_eval": 5, …}.
    """
    resolved = evaluation["resolved"]
    spec: dict[str, Any] = {"condensed": "here" if condensed or resolved["set"] == WHOLE_SET else "elsewhere"}
    spec |= flat_spec(condensed["resolved"]) if condensed else {}
    if resolved.get("imported"):
        spec["source"] = evaluation["display"].get("source", "")  # sets of equal names from different files
    return spec | {f"evaluation.{name}": value for name, value in flat_spec(resolved).items()}


def flat_spec(resolved: Json) -> dict[str, Any]:
    """A task's values apart from the sample and the inputs: {"settings.lr": 1.0, "precision": "fp32", …}."""
    return dict(leaves(_compared(resolved)))


def _compared(resolved: Json) -> dict[str, Any]:
    return {key: value for key, value in resolved.items() if key not in _NOT_IN_SPEC}


def leaves(tree: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings with their dotted names: {"a": {"b": 1}} gives ("a.b", 1)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


sorted_json = json.JSONEncoder(sort_keys=True).encode  # json.dumps would make an encoder for each of 100,000 records
