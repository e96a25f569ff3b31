"""A learning rate that a set brings: which protocols take it, what the record says, and what is no such number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from benchmark.condensation.synthetic_set import learned_lr, load_set, save_set
from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.execution.runtime import Runtime
from benchmark.external_sets.score import score
from benchmark.planning import external_sets
from benchmark.planning.grid import Plan
from benchmark.tasks.execute import execute
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from external_set_files import subset
from helpers import CPU, planned
from methods.base import SyntheticSet
from results.store.store import Store

METHOD = '''"""Random images, with a learning rate."""
from dataclasses import dataclass

import torch

from methods.base import Card, Condenser, Settings, SyntheticSet, setting


@dataclass(frozen=True)
class PacedConfig(Settings):
    lr: float = setting(0.0123, "learning rate that the set brings", "the test")


class Paced(Condenser):
    card = Card("paced", "Paced", "coreset", "", native="quick", learns_lr=True)
    Config = PacedConfig
    total_steps = 0

    def __init__(self, problem, config):
        self.ipc, self.lr = problem.ipc, config.lr
        self.images = problem.real.sample(problem.ipc, problem.generator("real")).flatten(0, 1)
        self.labels = torch.arange(problem.num_classes).repeat_interleave(problem.ipc)

    def synthetic(self):
        return SyntheticSet(self.images, self.labels, self.ipc, training={"lr": self.lr})

    def step(self): ...
    def state_dict(self): return {}
    def load_state_dict(self, state): ...
'''
TINY = ("datasets=[digits]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1")


@pytest.fixture
def paced(plug_in: Callable[[str, str], Path]) -> None:
    plug_in("paced = other_method:Paced", METHOD)


def run(plan: Plan, out: Path) -> dict[str, dict[str, Any]]:
    """All tasks of a plan done in this process: the records of evaluations by their protocol."""
    for task in plan.tasks:
        assert execute(task, Runtime(out, CPU)).status == "done"
    records = [Store(out).record(task) for task in plan.of_kind("evaluate")]
    return {record["display"]["protocol"]: record for record in records if record}


def test_native_and_lr_take_the_learning_rate_of_the_set(paced: None, tmp_path: Path) -> None:
    plan = planned("methods=[paced]", *TINY, "baselines=[]", "protocols=[native,quick,quick@lr]")
    records = run(plan, tmp_path)
    assert {name: record["result"]["lr"] for name, record in records.items()} == {
        "native": 0.0123, "quick": 0.02, "quick@lr": 0.0123,
    }  # fmt: skip
    (condensed,) = plan.of_kind("condense")
    stored = load_set(Store(tmp_path).folder(condensed) / "synthetic.safetensors")
    assert stored.training == {"lr": 0.0123}
    for name, lr in {"native": 0.0123, "quick": None, "quick@lr": 0.0123}.items():
        assert records[name]["result"]["accuracies"] == score(
            stored.images, stored.labels, "digits", "quick",
            lr=lr, architecture="convnet2-w4", num_eval=1, device="cpu", threads=1,
        ), name  # fmt: skip
    assert records["native"]["result"]["right_per_class"] != records["quick"]["result"]["right_per_class"]


def test_only_an_evaluation_that_takes_the_learning_rate_diverges_with_it(paced: None, tmp_path: Path) -> None:
    plan = planned("methods=[paced@lr:-0.5]", *TINY, "baselines=[]", "protocols=[native,quick]")
    records = run(plan, tmp_path)
    assert {name: record["status"] for name, record in records.items()} == {"native": "diverged", "quick": "ok"}
    message = records["native"]["message"]
    assert message == "the set's learning rate must be a positive number of at most 10,000,000, got -0.5"


def test_a_note_says_what_lr_does_to_sets_that_bring_none(paced: None) -> None:
    for method, noted in (("paced", False), ("dm", True)):
        plan = planned(f"methods=[{method}]", *TINY, "baselines=[]", "protocols=[quick@lr]")
        assert any("sets without a learning rate of their own" in note for note in plan.notes) == noted
        assert all(task["spec"]["protocol"]["lr_from_set"] for task in plan.of_kind("evaluate"))


def test_methods_that_learn_no_learning_rate_are_evaluated_as_before() -> None:
    plan = planned("methods=[dm,dance]", *TINY, "protocols=[native,quick,native@steps]")
    assert not any("lr_from_set" in task["spec"].get("protocol", {}) for task in plan.tasks)


@pytest.mark.parametrize("variant", ["lr", "steps@lr", "lr@plain", "steps@lr@plain"])
def test_the_variant_joins_the_others(variant: str) -> None:
    cell: dict[str, Any] = {"native": "dc", "published_as": "cifar10", "resolution": 32, "num_classes": 10, "ipc": 10}
    found = protocols.get(f"dsa@{variant}", **cell, factor=2)
    assert found.lr_from_set and found.name == f"dsa@{variant}"
    assert found.steps_fixed == ("steps" in variant) and (found.augment == "none") == ("plain" in variant)
    assert not protocols.get("native", **cell, factor=2).lr_from_set
    assert protocols.get("native", **cell, factor=2, learns_lr=True).lr_from_set
    assert not protocols.get("dsa", **cell, factor=2, learns_lr=True).lr_from_set


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0, 1e8, True, "0.1"])
def test_what_is_no_learning_rate_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="must be a positive number of at most 10,000,000"):
        learned_lr({"lr": value})
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(*subset(), 2, training={"lr": value}))
    with pytest.raises(BenchmarkError, match="must be a positive number of at most 10,000,000"):
        imported(tmp_path / "synthetic.safetensors")


# --- sets made elsewhere ----------------------------------------------------------------------------------------------


def imported(path: Path, *words: str) -> Plan:
    options.register()
    overrides = [f"set={path}", "dataset=digits", "num_eval=1", "eval_architectures=[convnet2-w4]", "baselines=[]"]
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        composed = compose("evaluate", overrides=[*overrides, *words])
    return external_sets.build(options.parse_as(schema.EvaluateConfig, composed)).plan


@pytest.mark.parametrize("as_tensor", [True, False])
def test_an_imported_set_keeps_its_learning_rate(as_tensor: bool, tmp_path: Path) -> None:
    images, labels = subset()
    for name, value in {"images": images, "labels": labels, "lr": torch.tensor(0.25) if as_tensor else 0.25}.items():
        torch.save(value, tmp_path / f"{name}_best.pt")
    save_set(tmp_path / "own.safetensors", SyntheticSet(images, labels, 2, training={"lr": 0.25}))
    save_set(tmp_path / "other.safetensors", SyntheticSet(images, labels, 2))
    names = f"[{tmp_path}/lr_best.pt,{tmp_path}/images_best.pt,{tmp_path}/labels_best.pt]"
    plans = [imported(path, "protocols=[quick@lr]") for path in (tmp_path, names, tmp_path / "own.safetensors")]
    (identity,) = {plan.of_kind("import")[0]["identity"] for plan in plans}
    assert imported(tmp_path / "other.safetensors").of_kind("import")[0]["identity"] != identity
    records = run(plans[0], tmp_path / "outputs")
    assert records["quick@lr"]["result"]["lr"] == 0.25
    folder = Store(tmp_path / "outputs").folder(plans[0].of_kind("import")[0])
    assert load_set(folder / "synthetic.safetensors").training == {"lr": 0.25}
