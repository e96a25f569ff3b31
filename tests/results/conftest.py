"""Made-up records: factories for one prepare, condense or evaluate record, and for tasks and cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from record_parts import make_record, scores
from results.aggregation.cells import cells
from results.store.identity import identity

Record = dict[str, Any]
FAMILIES = {"random": "coreset", "dc": "gradient matching"}
CIFAR10_CONSTANTS = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.2010]}


@pytest.fixture
def make_task() -> Callable[..., Record]:
    def make(kind: str = "condense", slug: str = "dm-digits", **resolved: Any) -> Record:
        usual = {"kind": kind, "method": "dm", "version": 1, "settings": {}, "ipc": 1, "seed": 0, "experts": []}
        usual |= {"architecture": "convnet3", "dataset": {"fingerprint": "digits"}, "val_fraction": 0.0}
        resolved = {**usual, "precision": "fp32", **resolved}
        head = {"kind": kind, "identity": identity(resolved), "slug": slug, "spec": resolved, "resolved": resolved}
        shown = _dataset("digits") | {"display_name": "dm", "card": _card("dm"), "overrides": ""}
        shown |= {"provenance": "paper", "iterations_fraction": 1.0}
        return head | {"display": shown, "requested": {"dataset": "digits", "data_root": "data"}}

    return make


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
        return make_record("prepare", resolved, {"dataset": dataset}, {}, **changes)

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
        return make_record("condense", values | (resolved or {}), shown | (display or {}), result, **changes)

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
        result = scores(accuracies) | {"validation_accuracies": [], "optimizer_steps": 1000, "decoded_images": 100}
        return make_record("evaluate", values | (resolved or {}), shown | (display or {}), result, **changes)

    return make


@pytest.fixture(scope="session")
def make_best_on_test() -> Callable[..., Record]:
    """The analysis best_on_test of an evaluation. accuracies: of the networks on each snapshot."""

    def make(evaluated: Record, *accuracies: list[float]) -> Record:
        kept = {key: value for key, value in evaluated["resolved"].items() if key not in ("kind", "set")}
        values = kept | {
            "analysis": "best_on_test",
            "version": 1,
            "sets": [evaluated["resolved"]["set"]],
            "experts": [],
        }
        points = [{"step": s, "seconds": 1.0, "accuracies": each} for s, each in enumerate(accuracies, start=1)]
        display = {key: evaluated["display"][key] for key in ("dataset", "num_classes", "train_images")}
        display |= {"condense_architecture": "convnet3", "ipc": 10, "protocol": evaluated["display"]["protocol"]}
        return make_record("analyze", values, display, {"points": points, "test_images": 10_000})

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
