"""A plan: tasks as plain values, each identified by its specification, in an order in which inputs come first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmark import datasets
from benchmark.datasets import Constants, Outline
from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.whole import WholeSet
from results.store.store import canonical, identity

Task = dict[str, Any]  # plain values: kind, identity, slug, spec, asked, label, request
# Values that a specification leaves out. A request that comes later has its default here, and no identity moves.
DEFAULTS: Mapping[str, Any] = {
    "val_fraction": 0.0,
    "precision": "fp32",
    "expert_seed": 0,
    "imported": False,
    "snapshots": None,
}


@dataclass(frozen=True)
class Part:
    """What a dataclass (settings, a recipe, a protocol) adds to a request, as JSON values.

    values: all of its fields; given: those that are not at their default, which the identity hashes. So a field that
    comes later moves no identity, and a default that changes must raise a version.
    """

    values: dict[str, Any]
    given: dict[str, Any]

    @classmethod
    def of(cls, instance: Any, *left_out: str) -> Part:
        """The part of a dataclass's instance, without the fields named."""
        values = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(instance).items()
            if key not in left_out
        }
        own = {spec.name: spec.default for spec in fields(instance) if spec.default is not MISSING}
        given = {key: value for key, value in values.items() if key not in own or getattr(instance, key) != own[key]}
        return cls(values, given)


@dataclass
class Plan:
    """Tasks in an order in which every task comes after its inputs, and what a person should be told."""

    by_identity: dict[str, Task] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outlines: dict[str, Outline] = field(default_factory=dict)  # by the dataset's name

    @property
    def tasks(self) -> list[Task]:
        return list(self.by_identity.values())

    def add(
        self, kind: str, slug: str, asked: dict[str, Any], display: dict[str, Any], requested: dict[str, Any]
    ) -> str:
        """The task's identity; a task that is planned already is not planned again.

        asked: JSON values and `Part`s. The task holds them in full, and as the specification that is hashed.
        """
        full = {key: value.values if isinstance(value, Part) else value for key, value in asked.items()}
        spec = {
            key: value.given if isinstance(value, Part) else value
            for key, value in asked.items()
            if key not in DEFAULTS or value != DEFAULTS[key]
        }
        return self.add_specified(kind, slug, spec, full, display, requested)

    def add_specified(
        self,
        kind: str,
        slug: str,
        spec: dict[str, Any],
        asked: dict[str, Any],
        display: dict[str, Any],
        requested: dict[str, Any],
    ) -> str:
        """`add` where both are known: the specification without defaults, and all values."""
        spec, asked = {"kind": kind, **spec}, {"kind": kind, **asked}
        key = identity(spec)
        task = {"kind": kind, "identity": key, "slug": slug, "spec": spec, "resolved": asked}
        self.by_identity.setdefault(key, task | {"display": display, "requested": requested})
        return key

    def note(self, *texts: str) -> None:
        self.notes += [text for text in texts if text not in self.notes]

    def of_kind(self, kind: str) -> list[Task]:
        return [task for task in self.tasks if task["kind"] == kind]


def task_name(task: Mapping[str, Any]) -> str:
    """The name of a task in messages: its kind and its slug."""
    return f"{task['kind']} {task['slug']}"


def inputs_of(task: Mapping[str, Any]) -> set[str]:
    """Identities of the tasks whose results this one reads."""
    asked = task["resolved"]
    return {*asked.get("experts", ()), *asked.get("sets", ()), *([asked["set"]] if "set" in asked else [])}


def pool_of(task: Mapping[str, Any]) -> str | None:
    """Equal for tasks that train experts of the same pool, which differ in their index alone; None of other tasks."""
    if task["kind"] != "prepare":
        return None
    return canonical({**task["resolved"], "index": None, "requested": task["requested"]})


# --- parts of requests ------------------------------------------------------------------------------------------------


def data_asked(dataset: Outline, constants: Constants) -> dict[str, Any]:
    """What tasks ask of a dataset: which images, and how networks see them."""
    return {
        "fingerprint": dataset.fingerprint,
        "mean": list(constants.mean),
        "std": list(constants.std),
        "flip": dataset.flip,
    }


def dataset_label(dataset: Outline) -> dict[str, Any]:
    """What tables say of a dataset."""
    return {
        "dataset": dataset.name,
        "dataset_title": dataset.title,
        "published_as": dataset.published_as,
        "num_classes": dataset.num_classes,
        "train_images": sum(dataset.train),
    }


def absolute(entry: str) -> str:
    """A dataset's name as it is, a path so that a task finds it from any folder."""
    return entry if datasets.key_of(entry) else str(Path(entry).expanduser().absolute())


WHOLE = WholeSet.card


@dataclass(frozen=True)
class Row:
    """A row of the tables: a method, with a factor of its own or not; a control runs beside whatever was asked."""

    method: str
    factor: int | None = None
    control: bool = False
    unasked: bool = False  # a variant that a preset adds: left out, with a note, where it cannot be had

    @property
    def name(self) -> str:
        return self.method if self.factor is None else f"{self.method}@f{self.factor}"

    def overrides(self, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Settings from the command line; a control keeps to its own, whatever is asked of the method."""
        asked = {} if self.control else dict(given.get(self.method) or {})
        return asked | ({} if self.factor is None else {"factor": self.factor})


def parse_row(text: str, *, control: bool = False) -> Row:
    """`NAME` or `NAME@fN`. Raises MethodError for an unknown name, BenchmarkError for an unknown suffix."""
    name, at, suffix = text.partition("@")
    if name == WHOLE.name and not at:
        return Row(name, control=True)
    registry.get(name)
    if not at:
        return Row(name, control=control)
    if not re.fullmatch(r"f[1-9]\d*", suffix):
        raise BenchmarkError(f"'{text}' is no method", where="methods", next=f"{name}, or {name}@f2 for factor 2")
    return Row(name, int(suffix[1:]), control)
