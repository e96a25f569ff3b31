"""Records of analyses: their shape is checked, and no table ever counts them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from record_parts import changed, task_of
from results.aggregation.cells import cells
from results.store.identity import identity
from results.store.schema import ANALYSIS_RESULTS
from results.store.store import Store
from results.store.validation import problem

RESULTS: dict[str, Any] = {
    "curve": {"split": "validation", "points": [{"step": 0, "seconds": 0.0, "accuracies": [0.1]}]},
    "training_curve": {"split": "validation", "points": [{"step": 0, "seconds": 0.0, "accuracies": [0.1]}]},
    "best_on_test": {"points": [{"step": 5, "seconds": 1.0, "accuracies": [0.1]}], "test_images": 10_000},
    "validation": {"accuracies": [0.1, 0.2], "images": 100},
    "discrepancy": {"steps": [0], "sets": {}},
    "interpolation": {"lambdas": [0.0], "split": "train", "accuracies": [[0.9]]},
    "expert": {"real": {"train": 0.9, "validation": None}, "sets": {}},
    "embedding": {"method": "pca", "real": {"xy": [[0.0, 0.0]], "labels": [0]}, "sets": {}},
}


def analyzed(name: str, sets: list[str], experts: list[str], like: dict[str, Any]) -> dict[str, Any]:
    """The record of an analysis, with the remaining fields of another record."""
    resolved = {"kind": "analyze", "analysis": name, "version": 1, "sets": sets, "experts": experts}
    resolved |= {"architecture": "convnet3", "dataset": {"fingerprint": "cifar10"}}
    resolved |= {"val_fraction": 0.0, "precision": "fp32"}
    display = {"dataset": "cifar10", "published_as": "cifar10", "num_classes": 10, "train_images": 50_000}
    display["condense_architecture"] = "convnet3"
    head = {"kind": "analyze", "identity": identity(resolved), "spec": resolved, "resolved": resolved}
    return changed(like | head, display=display, result=RESULTS[name])


@pytest.fixture
def stored(make_expert, make_condensed, make_evaluated) -> list[dict[str, Any]]:
    expert = make_expert(0)
    sets = [make_condensed("dm", seed, resolved={"experts": [expert["identity"]]}) for seed in range(2)]
    return [
        expert,
        *sets,
        *(make_evaluated(condensed, [0.5, 0.6]) for condensed in sets),
        make_evaluated(None, [0.8, 0.9]),
    ]


def test_tables_do_not_change_for_analyses(stored: list[dict[str, Any]]) -> None:
    analyses = [analyzed(name, [stored[1]["identity"]], [stored[0]["identity"]], stored[1]) for name in RESULTS]
    pd.testing.assert_frame_equal(cells(stored), cells([*analyses, *stored]))


@pytest.mark.parametrize("name", RESULTS)
def test_an_analysis_must_hold_what_its_figure_draws(name: str, stored: list[dict[str, Any]]) -> None:
    assert set(RESULTS) == set(ANALYSIS_RESULTS)
    record = analyzed(name, [], [], stored[1])
    assert problem(record) == ""
    key = next(iter(record["result"]))
    lacking = record | {"result": {k: v for k, v in record["result"].items() if k != key}}
    assert problem(lacking) == f"it lacks result.{key}"
    assert problem(changed(record, status="diverged", result={})) == ""
    other = changed(record, resolved=record["resolved"] | {"analysis": "horoscope"})
    assert problem(other) == "", "an analysis of another package"
    assert "result is wrong" in problem(changed(other, result=[]))
    assert problem({key: value for key, value in record.items() if key != "resolved"}) == "it lacks resolved"


def test_the_store_keeps_and_finds_analyses(tmp_path, stored: list[dict[str, Any]]) -> None:
    record = analyzed("curve", [stored[1]["identity"]], [], stored[1])
    task = task_of(record, "curve-dm")
    assert Store(tmp_path).commit(task, record)
    assert Store(tmp_path).record(task) == record and Store(tmp_path).records() == ([record], [])
    assert (tmp_path / "analyze" / f"curve-dm-{record['identity'][:12]}" / "record.json").exists()
