"""A plan: tasks as plain values, each known by what it asks, in an order in which inputs come first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark import datasets
from benchmark.datasets import Constants, Outline
from results.store import canonical, identity

Task = dict[str, Any]  # plain values: kind, identity, slug, asked, label, request


@dataclass
class Plan:
    """Tasks in an order in which every task comes after its inputs, and what a person should be told."""

    by_identity: dict[str, Task] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outlines: dict[str, Outline] = field(default_factory=dict)  # by the dataset's name

    @property
    def tasks(self) -> list[Task]:
        return list(self.by_identity.values())

    def add(self, kind: str, slug: str, asked: dict[str, Any], label: dict[str, Any], request: dict[str, Any]) -> str:
        """The task's identity; a task that is planned already is not planned again."""
        asked = {"kind": kind, **asked}
        key = identity(asked)
        task = {"kind": kind, "identity": key, "slug": slug, "asked": asked, "label": label, "request": request}
        self.by_identity.setdefault(key, task)
        return key

    def note(self, *texts: str) -> None:
        self.notes += [text for text in texts if text not in self.notes]

    def of_kind(self, kind: str) -> list[Task]:
        return [task for task in self.tasks if task["kind"] == kind]


def inputs_of(task: Mapping[str, Any]) -> set[str]:
    """Identities of the tasks whose results this one reads."""
    asked = task["asked"]
    return {*asked.get("experts", ()), *asked.get("sets", ()), *([asked["set"]] if "set" in asked else [])}


def pool_of(task: Mapping[str, Any]) -> str | None:
    """Equal for tasks that train experts of the same pool, which differ in their index alone; None of other tasks."""
    if task["kind"] != "prepare":
        return None
    return canonical({**task["asked"], "index": None, "request": task["request"]})


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
        "reference": dataset.reference,
        "num_classes": dataset.num_classes,
        "train_images": sum(dataset.train),
    }


def absolute(entry: str) -> str:
    """A dataset's name as it is, a path so that a task finds it from any folder."""
    return entry if datasets.key_of(entry) else str(Path(entry).expanduser().absolute())
