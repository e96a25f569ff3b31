"""Made-up records: factories for one prepare, condense or evaluate record, and for tasks and cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results.aggregation.cells import cells
from results.store.schema import SCHEMA, Status
from results.store.store import identity

Record = dict[str, Any]
FAMILIES = {"random": "coreset", "dc": "gradient matching"}
CIFAR10_CONSTANTS = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.2010]}
ENVIRONMENT = {"device": "NVIDIA H100", "threads": 8, "torch": "2.9", "commit": "0123456789abcdef", "dirty": False}


@pytest.fixture
def make_task() -> Callable[..., Record]:
    def make(kind: str = "condense", slug: str = "dm-digits", **resolved: Any) -> Record:
        resolved = {"kind": kind, "seed": 0, **resolved}
        head = {"kind": kind, "identity": identity(resolved), "slug": slug}
        return head | {"spec": resolved, "resolved": resolved, "display": {"display_name": "dm"}}

    return make


def _record(kind: str, resolved: Record, display: Record, result: Record, **changes: Any) -> Record:
    resolved = {"kind": kind, "val_fraction": 0.0, "precision": "fp32", **resolved}
    status = changes.get("status", Status.OK.value)
    return {
        **{"schema": SCHEMA, "kind": kind, "identity": identity(resolved), "status": status, "message": ""},
        **{"spec": resolved, "resolved": resolved, "display": display},
        **{"result": result if status == Status.OK else {}, "artifacts": {}, "code": None},
        **{"seconds": 1.0, "steps": 10, "peak_memory_bytes": None, "environment": ENVIRONMENT},
        "finished": "2026-01-01T00:00:00+00:00",
        **changes,
    }


def _card(name: str) -> Record:
    family = FAMILIES.get(name, "distribution matching")
    return {"name": name, "title": name.upper(), "family": family, "paper": "", "year": 2023, "native": "dsa"}


def _dataset(name: str) -> Record:
    """The part of a display that says which dataset it is of."""
    return {"dataset": name, "published_as": "cifar10", "num_classes": 10, "train_images": 50_000}


@pytest.fixture
def make_expert() -> Callable[..., Record]:
    def make(index: int, *, dataset: str = "cifar10", **changes: Any) -> Record:
        resolved = {"dataset": {"fingerprint": dataset}, "architecture": "convnet3", "recipe": {"epochs": 60}}
        resolved |= {"index": index, "expert_seed": 0}
        return _record("prepare", resolved, {"dataset": dataset}, {}, **changes)

    return make


@pytest.fixture(scope="session")
def make_condensed() -> Callable[..., Record]:
    """A synthetic set of `row` at `ipc`; `resolved` and `display` replace the usual values, `changes` other fields."""

    def make(
        row: str = "dm",
        seed: int = 0,
        ipc: int = 10,
        *,
        dataset: str = "cifar10",
        resolved: Record | None = None,
        display: Record | None = None,
        **changes: Any,
    ) -> Record:
        method = row.partition("@")[0].partition(" ")[0]
        values = {"method": method, "version": 1, "settings": {"lr": 1.0}, "ipc": ipc, "seed": seed, "experts": []}
        values |= {"architecture": "convnet3", "dataset": {"fingerprint": dataset}, "display_name": row}
        shown = _dataset(dataset) | {"display_name": row, "card": _card(method), "overrides": ""}
        shown |= {"provenance": "paper", "iterations_fraction": 1.0}
        result = {"stored_images": 10 * ipc, "decoded_images": 10 * ipc, "factor": 1, "bytes": 1000}
        return _record("condense", values | (resolved or {}), shown | (display or {}), result, **changes)

    return make


@pytest.fixture(scope="session")
def make_evaluated() -> Callable[..., Record]:
    """The networks' `accuracies` on a condensed set, or on the whole training set when `condensed` is None."""

    def make(
        condensed: Record | None,
        accuracies: list[float],
        *,
        dataset: str = "cifar10",
        protocol: str = "dsa",
        recipe: str = "",
        resolved: Record | None = None,
        display: Record | None = None,
        **changes: Any,
    ) -> Record:
        whole = {"card": _card("whole"), "display_name": "whole", "iterations_fraction": 1.0}
        source = condensed["display"] if condensed else whole
        name = source["display_name"]
        values = {"set": condensed["identity"] if condensed else "whole", "architecture": "convnet3"}
        values |= {"seed": condensed["resolved"]["seed"] if condensed else 0, "num_eval": len(accuracies)}
        values |= {"protocol": {"name": recipe or protocol, "version": 1, "epochs": 1001}}
        values |= {"dataset": {"fingerprint": dataset, **CIFAR10_CONSTANTS}}
        shown = _dataset(dataset) | {"display_name": name, "card": source["card"], "protocol": protocol, "factor": 1}
        shown["condense_architecture"] = "convnet3" if condensed else ""
        shown["ipc"] = condensed["resolved"]["ipc"] if condensed else None
        shown["role"] = "baseline" if name == "whole" or name.startswith("random") else "method"
        shown["iterations_fraction"] = source["iterations_fraction"]
        shown["provenance"] = source.get("provenance", "paper")
        result = {"accuracies": accuracies, "validation_accuracies": [], "optimizer_steps": 1000}
        result |= {"test_images": 10_000, "decoded_images": 100, "test_images_per_class": [1000] * 10}
        result["right_per_class"] = [[round(1000 * value)] * 10 for value in accuracies]
        return _record("evaluate", values | (resolved or {}), shown | (display or {}), result, **changes)

    return make


@pytest.fixture
def make_cells(make_condensed, make_evaluated):
    """Cells of rows given as {row: set means}, one network a set."""

    def make(means, *, extra=(), condensed=None, evaluated=None, **more):
        records = list(extra)
        for row, values in means.items():
            sets = [make_condensed(row, seed, **(condensed or {}), **more) for seed in range(len(values))]
            scores = [make_evaluated(s, [v], **(evaluated or {}), **more) for s, v in zip(sets, values, strict=True)]
            records += [*sets, *scores]
        return cells(records)

    return make
