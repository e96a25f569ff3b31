"""Estimates of training networks, alone and together: as the tasks will train them, and what each is charged."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.compute import engine, forward
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.estimation import step_timing
from benchmark.estimation.estimate import EstimateRow, estimate
from benchmark.estimation.prober import Prober
from benchmark.training import vectorized
from helpers import CPU, planned
from record_parts import make_record
from results.store.store import Store


def evaluations(compute: Compute, *words: str) -> list[EstimateRow]:
    """Rows of the networks that are evaluated on random sets of CIFAR-10, whose images need not be there."""
    wide = ("datasets=[cifar10]", "architectures=[convnet2-w16]", "methods=[random]", "baselines=[]", *words)
    rows = estimate(planned(*wide, "dry_run=true"), Store(Path("nowhere")), compute, lambda *call: None)
    return [row for row in rows if row.kind == "evaluate"]


@pytest.mark.parametrize(("num_parallel", "seen", "groups"), [(1, [], 5), (2, [2], 3), (3, [3], 2), (9, [5], 1)])
def test_networks_are_probed_in_the_groups_in_which_they_will_train(
    num_parallel: int, seen: list[int], groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = Compute.parallel_gradients

    def watched(self: Compute, network, weights, images, *more):
        sizes.append(len(images))
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "parallel_gradients", watched)
    monkeypatch.setattr(step_timing, "PATIENCE", 0.0)
    (row,) = evaluations(replace(CPU, num_parallel=num_parallel), "ipcs=[1]", "num_eval=5", "protocols=[dsa]")
    assert row.cost.steps == groups * 1001, "as Evaluation counts them"
    assert sorted(set(sizes)) == seen and (not seen or len(sizes) == 1 + step_timing.LEAST_STEPS)


def test_a_group_takes_the_memory_of_all_its_networks() -> None:
    words = ("ipcs=[10]", "num_eval=8")
    one, eight = (evaluations(replace(CPU, num_parallel=k), *words)[0].cost for k in (1, 8))
    # eight have seven mini-batches more, of 100 images, whose first layer alone yields 16 maps of 32×32 in float32
    assert eight.memory - one.memory > 7 * 100 * 16 * 32 * 32 * 4
    assert one.steps == 8 * eight.steps


def test_networks_that_another_kind_of_task_trains_alone_are_probed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a curve, which train on the same images by the same recipe as those that are evaluated."""
    monkeypatch.setattr(step_timing, "PATIENCE", 0.0)
    words = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=3", "baselines=[]", "snapshots=1",
             "val_fraction=0.1")  # fmt: skip
    rows = estimate(planned(*words), Store(Path("nowhere")), replace(CPU, num_parallel=3), lambda *call: None)
    together, alone = ([row.cost for row in rows if row.kind == kind] for kind in ("evaluate", "analyze"))
    assert together[0].step_seconds != alone[0].step_seconds and alone[0].steps == 2 * 3 * together[0].steps


def test_where_a_group_has_no_memory_smaller_ones_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Compute.parallel_gradients

    def limited(self: Compute, network, weights, images, *more):
        if len(images) > 2:
            raise torch.OutOfMemoryError("no more")
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "parallel_gradients", limited)
    (row,) = evaluations(replace(CPU, num_parallel=5), "ipcs=[1]", "num_eval=5", "protocols=[dsa]")
    assert row.cost.steps == 3 * 1001 and row.cost.step_seconds > 0


def test_the_rule_of_a_gpu_gets_the_batches_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 images are trained on 256 at a time, but probed 150 at a time: three networks fit, where five seem to."""
    compute = replace(CPU)

    def as_a_gpu(self: Compute) -> None:
        self.chunk, self.graph = self.chunk or compute.chunk, self.graph or compute.graph

    monkeypatch.setattr(Compute, "__post_init__", as_a_gpu)
    monkeypatch.setattr(vectorized, "PARALLEL_PIXELS", 3 * 256 * 32**2)
    monkeypatch.setattr(step_timing, "PATIENCE", 0.0)
    (row,) = evaluations(replace(CPU, num_parallel=0), "ipcs=[30]", "num_eval=5", "protocols=[dsa]")
    assert row.cost.steps == 2 * 1001 * 2


def test_an_expert_costs_its_share_of_those_that_train_together(tmp_path: Path, monkeypatch) -> None:
    """With five left to train, five are probed together; with three of them done, the other two."""
    sizes: list[int] = []
    real = Compute.parallel_gradients

    def watched(self: Compute, network, weights, images, *more):
        sizes.append(len(images))
        until = time.process_time() + 0.05  # work, since waiting is not charged on a CPU
        while time.process_time() < until:
            pass
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "parallel_gradients", watched)
    monkeypatch.setattr(step_timing, "PATIENCE", 0.0)
    words = ("methods=[dance]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]", "num_eval=1")
    built = planned(*words, "method.dance.experts=5")

    def experts(num_parallel: int) -> EstimateRow:
        rows = estimate(built, Store(tmp_path), replace(CPU, num_parallel=num_parallel), lambda *call: None)
        return next(row for row in rows if row.kind == "prepare")

    assert experts(1).cost.steps == experts(5).cost.steps and 5 in sizes
    assert 0.05 / 5 < experts(5).cost.step_seconds < 0.05, "a fifth of a step of five"
    for task in built.of_kind("prepare")[:3]:
        parts = {name: task[name] for name in ("spec", "identity")}
        Store(tmp_path).commit(
            task, make_record("prepare", task["resolved"], task["display"], {"train_accuracy": 0.9}, **parts)
        )
    sizes.clear()
    row = experts(5)
    assert (row.tasks, row.todo) == (5, 2) and 2 in sizes and row.cost.step_seconds > 0.05 / 2


def test_whether_an_expert_is_compiled_does_not_depend_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One expert forwards too few pixels for it, five enough; the task decides for itself alone."""
    words = ("methods=[dance]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]", "method.dance.experts=5")
    built, called = planned(*words), list[int]()
    task = built.of_kind("prepare")[0]
    pixels = task["resolved"]["recipe"]["epochs"] * 1437 * 8 * 8

    def call(function, *args, **more):
        called.append(1)
        return function(*args)

    monkeypatch.setattr(COMPILER, "call", call)
    for worth, compiles in ((2 * pixels, False), (pixels // 2, True)):
        monkeypatch.setattr(engine, "WORTH_COMPILING", worth)
        prober = Prober(built, replace(CPU, compile=None, num_parallel=5))
        assert prober.task_cost(task, 5).steps and bool(called) == compiles


def test_compiling_is_not_charged_to_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring an expert's 1,437 images is timed without compiling the pass that scores."""
    seen: list[str] = []

    def call(function, *args, **more):
        if function is forward.logits and "logits" not in seen:
            time.sleep(1.0)
        seen.append(function.__name__)
        return function(*args)

    monkeypatch.setattr(COMPILER, "call", call)
    built = planned("methods=[dance]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]")
    cost = Prober(built, replace(CPU, compile=True)).task_cost(built.of_kind("prepare")[0])
    assert "logits" in seen and 0 < cost.fixed_seconds < 1.0
