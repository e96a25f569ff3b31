"""Hand-made records: factories for one prepare, condense or evaluate record, and for tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from results.aggregation.cells import cells
from results.store.schema import SCHEMA
from results.store.store import identity

Record = dict[str, Any]
FAMILIES = {"random": "coreset", "dc": "gradient matching"}
ENVIRONMENT = {"device": "NVIDIA H100", "threads": 8, "torch": "2.9", "commit": "0123456789abcdef", "dirty": False}


@pytest.fixture
def make_task() -> Callable[..., Record]:
    def make(kind: str = "condense", slug: str = "dm-digits", **asked: Any) -> Record:
        asked = {"kind": kind, "seed": 0, **asked}
        return {
            "kind": kind,
            "identity": identity(asked),
            "slug": slug,
            "spec": asked,
            "asked": asked,
            "label": {"row": "dm"},
        }

    return make


def _record(kind: str, asked: Record, label: Record, result: Record, **more: Any) -> Record:
    asked = {"kind": kind, "validation": 0.0, "precision": "fp32", **asked}
    status = more.get("status", "ok")
    facts = {"message": "", "seconds": 1.0, "steps": 10, "peak_memory_bytes": None, "environment": ENVIRONMENT}
    outcome = {"status": status, "result": result if status == "ok" else {}, "finished": "2026-01-01T00:00:00+00:00"}
    head = {"schema": SCHEMA, "kind": kind, "identity": identity(asked), "spec": asked, "asked": asked, "label": label}
    head |= {"artifacts": {}, "code": None}
    return {**head, **facts, **outcome, **more}


def _card(name: str) -> Record:
    family = FAMILIES.get(name, "distribution matching")
    return {"name": name, "title": name.upper(), "family": family, "paper": "", "year": 2023, "native": "dsa"}


@pytest.fixture
def make_expert() -> Callable[..., Record]:
    def make(index: int, *, dataset: str = "cifar10", **more: Any) -> Record:
        asked = {"dataset": {"fingerprint": dataset}, "architecture": "convnet3", "recipe": {"epochs": 60}}
        return _record("prepare", {**asked, "index": index, "pool_seed": 0}, {"dataset": dataset}, {}, **more)

    return make


@pytest.fixture(scope="session")
def make_condensed() -> Callable[..., Record]:
    """A synthetic set of `row` at `ipc`; `asked` and `label` entries replace the usual ones."""

    def make(
        row: str = "dm",
        seed: int = 0,
        ipc: int = 10,
        *,
        dataset: str = "cifar10",
        asked: Record | None = None,
        label: Record | None = None,
        **more: Any,
    ) -> Record:
        method = row.partition("@")[0].partition(" ")[0]
        request = {"method": method, "version": 1, "settings": {"lr": 1.0}, "ipc": ipc, "seed": seed, "experts": []}
        request |= {"architecture": "convnet3", "dataset": {"fingerprint": dataset}, "row": row} | (asked or {})
        words = {"dataset": dataset, "reference": "cifar10", "num_classes": 10, "train_images": 50_000, "row": row}
        words |= {"card": _card(method), "variant": "", "provenance": "paper", "fraction": 1.0} | (label or {})
        result = {"stored_images": 10 * ipc, "decoded_images": 10 * ipc, "factor": 1, "bytes": 1000}
        return _record("condense", request, words, result, **more)

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
        asked: Record | None = None,
        label: Record | None = None,
        **more: Any,
    ) -> Record:
        source = condensed["label"] if condensed else {"card": _card("whole"), "row": "whole", "fraction": 1.0}
        request = {"set": condensed["identity"] if condensed else "whole", "architecture": "convnet3"}
        request |= {"seed": condensed["asked"]["seed"] if condensed else 0, "networks": len(accuracies)}
        request |= {"protocol": {"name": recipe or protocol, "version": 1}, "dataset": {"fingerprint": dataset}}
        words = {"dataset": dataset, "reference": "cifar10", "num_classes": 10, "train_images": 50_000}
        words |= {"row": source["row"], "card": source["card"], "condensed_with": "convnet3" if condensed else ""}
        words |= {"ipc": condensed["asked"]["ipc"] if condensed else None, "protocol": protocol, "factor": 1}
        control = source["row"] == "whole" or source["row"].startswith("random")
        words |= {"kind_of_row": "control" if control else "method", "fraction": source["fraction"]}
        words |= {"provenance": source.get("provenance", "paper")} | (label or {})
        result = {"accuracies": accuracies, "validation_accuracies": [], "optimiser_steps": 1000}
        result |= {"test_images": 10_000, "decoded_images": 100, "test_images_per_class": [1000] * 10}
        result["right_per_class"] = [[round(1000 * value)] * 10 for value in accuracies]
        return _record("evaluate", request | (asked or {}), words, result, **more)

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
