"""Experts of several tasks that learn in lockstep: each as if alone, stopped, killed, diverged or short of memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from benchmark import config, ensemble, plan
from benchmark.checkpoint import load_tensors, load_tree, save_tree
from benchmark.compute import Compute
from benchmark.crank import CHECKPOINT
from benchmark.local import Stopped, run_tasks
from benchmark.planned import experts_like
from benchmark.runtime import Outcome, Runtime
from benchmark.tasks import execute
from parts import CPU
from results.lock import TaskLock
from results.store import Store

WORDS = ("methods=[dance]", "ipcs=[1]", "controls=[]", "architectures=[convnet2-w4]", "seeds=[0]",
         "method.dance.experts=4", "method.dance.pretrain_epochs=1")  # fmt: skip
STEPS = 23  # of 1,437 digits, 64 at a time


@lru_cache
def experts(*words: str) -> tuple[plan.Task, ...]:
    """Tasks that train experts of small networks on digits."""
    config.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return tuple(plan.build(config.parse(compose("run", overrides=[*WORDS, *words]))).of_kind("prepare"))


def runtime(out: Path, together: int, **more: Any) -> Runtime:
    return Runtime(out, replace(CPU, together=together), **more)


def train(out: Path, together: int, tasks: tuple[plan.Task, ...] | None = None, **more: Any) -> dict[str, Outcome]:
    """Do all tasks here; how each ended, by its name, in the order in which they did."""
    ended: dict[str, Outcome] = {}
    told = lambda name, outcome: ended.update({name: outcome})  # noqa: E731
    run_tasks(experts() if tasks is None else tasks, runtime(out, together, **more), 1, lambda *step: None, told)
    return ended


def records(out: Path) -> list[dict[str, Any]]:
    return [record for _, record in Store(out).recorded(experts())]


def path_of(task: plan.Task, out: Path) -> Path:
    return Store(out).folder(task) / "experts.safetensors"


def log(out: Path, task: plan.Task) -> str:
    return (Store(out).folder(task) / "log.txt").read_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    assert {outcome.status for outcome in train(out, 1).values()} == {"done"}
    return out


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("together")
    assert all(outcome == Outcome("done", new=True) or outcome.beside for outcome in train(out, 3).values())
    return out


def alike(mine: Path, theirs: Path, but: int | None = None) -> None:
    """Same experts, but for rounding that some steps have let grow."""
    for place, task in enumerate(experts()):
        if place == but:
            continue
        found, expected = (load_tensors(path_of(task, out))[0] for out in (mine, theirs))
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda said, of=name: of + said)


def equal(mine: Path, theirs: Path) -> None:
    """The same experts to the last byte."""
    for task in experts():
        assert path_of(task, mine).read_bytes() == path_of(task, theirs).read_bytes(), task["slug"]


def test_each_expert_is_what_it_is_alone(alone: Path, together: Path) -> None:
    alike(together, alone)
    for mine, theirs in zip(records(together), records(alone), strict=True):
        assert mine["asked"] == theirs["asked"] and mine["steps"] == theirs["steps"] == STEPS
        assert mine["result"]["train_accuracy"] == pytest.approx(theirs["result"]["train_accuracy"], abs=0.003)
    trained = [load_tensors(path_of(task, together))[0]["trained/classifier.bias"] for task in experts()]
    assert not any(torch.allclose(a, b) for a, b in pairwise(trained)), "each its own"


def test_a_group_shares_out_its_seconds_and_says_how_many_learnt(together: Path, alone: Path) -> None:
    found = records(together)
    assert [record["environment"]["together"] for record in found] == [3, 3, 3, 1]
    assert found[0]["seconds"] == found[1]["seconds"] == found[2]["seconds"] > 0
    assert [record["environment"]["together"] for record in records(alone)] == [1, 1, 1, 1]
    first, *others = experts()
    assert "learns together" not in log(together, first)
    assert all(f"learns together with {first['slug']}" in log(together, task) for task in others[:2])


def test_no_second_is_charged_twice(tmp_path: Path) -> None:
    first, *others = experts()
    slow = runtime(tmp_path, 4, progress=lambda *step: time.sleep(0.05))
    began = time.monotonic()
    execute(first, slow, others)
    took = time.monotonic() - began
    assert STEPS * 0.05 < sum(record["seconds"] for record in records(tmp_path)) < took


def test_all_are_told_of_once_when_they_have_ended(tmp_path: Path) -> None:
    ended = train(tmp_path, 4)
    assert [*ended] == [f"prepare {task['slug']}" for task in experts()]
    assert all(outcome.new and outcome.status == "done" for outcome in ended.values())
    again = train(tmp_path, 4)
    assert [*again] == [*ended] and not any(outcome.new for outcome in again.values())


def test_only_experts_of_one_pool_learn_together() -> None:
    first, second, *_ = mine = experts()
    assert experts_like(first, mine[1:]) == list(mine[1:])
    for words in ("method.dance.pretrain_epochs=2", "pool_seed=1", "architectures=[convnet2-w8]", "validation=0.1"):
        assert experts_like(first, experts(words)) == [], words
    assert experts_like(first, [second | {"request": second["request"] | {"data_root": "elsewhere"}}]) == []
    assert experts_like(first | {"kind": "condense"}, mine) == []


def test_a_gpu_is_given_as_many_at_once_as_its_rule_allows(alone: Path, tmp_path: Path, monkeypatch) -> None:
    """Three fit, and four experts are then two and two."""
    monkeypatch.setattr(Compute, "__post_init__", lambda self: None)  # where 0 becomes 1 on a CPU
    monkeypatch.setattr(ensemble, "TOGETHER_PIXELS", 3 * 64 * 8**2)
    train(tmp_path, 0)
    assert [record["environment"]["together"] for record in records(tmp_path)] == [2, 2, 2, 2]
    alike(tmp_path, alone)


# --- what was there before --------------------------------------------------------------------------------------------


def test_what_is_done_waits_or_is_held_elsewhere_is_left_to_itself(alone: Path, tmp_path: Path) -> None:
    first, done, waits, held = experts()
    store = Store(tmp_path)
    assert execute(done, runtime(tmp_path, 1)).new
    store.attempt(waits, "failed", "something was wrong")
    lock = TaskLock(store.begin(held))
    assert lock.acquire()
    try:
        outcome = execute(first, runtime(tmp_path, 4), [done, waits, held])
    finally:
        lock.release()
    assert outcome.new and outcome.beside == {} and store.record(waits) is None and store.record(held) is None
    outcome = execute(held, runtime(tmp_path, 4, retry_failed=True), [first, done, waits])
    assert outcome.new and [*outcome.beside] == [waits["identity"]] and outcome.beside[waits["identity"]].new
    assert not list(tmp_path.glob("*/*/lock.json"))
    alike(tmp_path, alone)


def test_an_unreadable_neighbour_is_told_of_in_its_own_turn(tmp_path: Path) -> None:
    broken = Store(tmp_path).begin(experts()[1]) / "record.json"
    broken.write_text("{")
    ended = [*train(tmp_path, 4).values()]
    assert [outcome.status for outcome in ended].count("failed") == 1
    assert sum(outcome.new for outcome in ended) == 3 and broken.read_text() == "{"


# --- stopped, and short of memory -------------------------------------------------------------------------------------


def stopping(out: Path, at: int, together: int = 4) -> Runtime:
    """How tasks are done, until so many steps are: then comes a signal to stop."""
    stopped = runtime(out, together)

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        if done == at:
            stopped.stop.signal = signal.SIGTERM

    stopped.progress = progress
    return stopped


@pytest.mark.parametrize("at", [1, 9, STEPS])
def test_a_stopped_group_goes_on_to_the_same_bytes(at: int, tmp_path: Path) -> None:
    train(tmp_path / "whole", 4)
    first, *others = experts()
    with pytest.raises(BaseException, match=f"after step {at} of {STEPS}"):
        execute(first, stopping(tmp_path / "out", at), others)
    store = Store(tmp_path / "out")
    assert not any(store.record(task) for task in experts()) and not list(tmp_path.glob("out/*/*/lock.json"))
    assert [store.last_attempt(task) is None for task in experts()] == [False, True, True, True]
    assert all(outcome.new for outcome in train(tmp_path / "out", 1).values()), "as many at once as it began with"
    assert f"going on from step {at}" in log(tmp_path / "out", first)
    equal(tmp_path / "out", tmp_path / "whole")


def test_one_of_a_stopped_group_goes_on_without_another(alone: Path, tmp_path: Path) -> None:
    first, *others = experts()
    with pytest.raises(BaseException, match="after step 9"):
        execute(first, stopping(tmp_path, 9), others)
    assert execute(others[1], runtime(tmp_path, 1)).new, "done meanwhile"
    outcome = execute(first, runtime(tmp_path, 4), others)
    assert outcome.new and [*outcome.beside] == [others[0]["identity"], others[2]["identity"]]
    alike(tmp_path, alone)


def test_a_checkpoint_of_an_expert_alone_is_taken_up_in_any_version(alone: Path, tmp_path: Path) -> None:
    """Also where the others could learn along with it; one that was made before experts learnt together, too."""
    first, *others = experts()
    with pytest.raises(BaseException, match="after step 9"):
        execute(first, stopping(tmp_path, 9, together=1), others)
    path = Store(tmp_path).folder(first) / CHECKPOINT
    state = load_tree(path)
    (state["work"],) = state["work"]["experts"].values()
    save_tree(path, state)
    assert execute(others[0], runtime(tmp_path, 4), [first]).beside == {}, "it has a checkpoint of its own"
    assert execute(first, runtime(tmp_path, 4), others[1:]).beside == {}
    assert "going on from step 9" in log(tmp_path, first)
    assert path_of(first, tmp_path).read_bytes() == path_of(first, alone).read_bytes()


def limited(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is memory for so many networks at once."""
    real = Compute.gradients_together

    def gradients(self: Compute, network: Any, weights: Any, images: torch.Tensor, *more: Any) -> Any:
        if len(images) > most:
            raise torch.OutOfMemoryError("no more")
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "gradients_together", gradients)


def test_where_memory_runs_out_fewer_learn_at_once(alone: Path, tmp_path: Path, monkeypatch) -> None:
    limited(2, monkeypatch)
    ended = train(tmp_path, 4)
    assert len(ended) == 4 and all(outcome.new for outcome in ended.values())
    found = [record["environment"] for record in records(tmp_path)]
    assert [(one["together"], one["stepped_down"]) for one in found] == [(2, 1), (2, 1), (2, 0), (2, 0)]
    alike(tmp_path, alone)


# --- one that diverges ------------------------------------------------------------------------------------------------


def diverging(index: int, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The expert of this index learns, at the step after so many, that its images are not numbers."""
    from benchmark import training

    real = training.next_batches

    def batches(trainings: Any) -> Any:
        found = real(trainings)
        for place, one in enumerate(trainings):
            if one.done == at and one.draw("which", 0).initial_seed() == seeds_of(index):
                found.images[place].fill_(float("nan"))
        return found

    for module in ("benchmark.training", "benchmark.ensemble"):
        monkeypatch.setattr(f"{module}.next_batches", batches)


def seeds_of(index: int) -> int:
    """The seed with which the expert of an index draws."""
    from benchmark import seeds

    asked = experts()[index]["asked"]
    roles = {
        "dataset": asked["dataset"]["fingerprint"],
        "architecture": asked["architecture"],
        "recipe": json.dumps(asked["recipe"], sort_keys=True),
        "index": index,
        "pool_seed": asked["pool_seed"],
    }
    return seeds.generator("expert-which", **roles, at=0).initial_seed()


@pytest.mark.parametrize("lost", [0, 2])
def test_one_that_diverges_leaves_the_others_as_they_are(lost: int, alone: Path, tmp_path: Path, monkeypatch) -> None:
    diverging(lost, 15, monkeypatch)
    ended = [*train(tmp_path, 4, checkpoint_seconds=1e-4).values()]
    assert len(ended) == 4 and all(outcome.status == "done" and outcome.new for outcome in ended)
    found = records(tmp_path)
    assert [record["status"] for record in found] == ["diverged" if i == lost else "ok" for i in range(4)]
    assert found[lost]["steps"] == 16 and "at step 16 of 23" in found[lost]["message"]
    assert not path_of(experts()[lost], tmp_path).exists()
    alike(tmp_path, alone, but=lost)
    if lost:
        assert log(tmp_path, experts()[0]).count("going on from step 15") == 1


# --- workers ----------------------------------------------------------------------------------------------------------


def test_every_worker_takes_its_share_of_a_pool(alone: Path, tmp_path: Path) -> None:
    ended: dict[str, Outcome] = {}
    run_tasks(experts(), runtime(tmp_path, 4), 2, lambda *step: None, lambda name, end: ended.update({name: end}))
    assert len(ended) == 4 and all(outcome.new for outcome in ended.values())
    assert [record["environment"]["together"] for record in records(tmp_path)] == [2, 2, 2, 2]
    alike(tmp_path, alone)


def test_experts_that_did_not_fit_are_given_out_again(tmp_path: Path) -> None:
    ended: dict[str, Outcome] = {}
    run_tasks(experts(), runtime(tmp_path, 3), 2, lambda *step: None, lambda name, end: ended.update({name: end}))
    assert len(ended) == 4 and all(outcome.new for outcome in ended.values())


def test_when_a_worker_dies_its_other_experts_are_trained_by_the_next(tmp_path: Path) -> None:
    long = experts("method.dance.pretrain_epochs=20")
    ended: dict[str, Outcome] = {}
    killed: list[str] = []

    def step(name: str, done: int, total: int, losses: dict[str, float]) -> None:
        if not killed:
            killed.append(name)
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    run_tasks(long, runtime(tmp_path, 2), 2, step, lambda name, end: ended.update({name: end}))
    status = [ended[f"prepare {task['slug']}"].status for task in long]
    assert sorted(status) == ["done", "done", "failed", "failed"] and len(killed) == 1
    lost = [task for task, ended in zip(long, status, strict=True) if ended == "failed"]
    assert not any(Store(tmp_path).record(task) for task in lost)


def test_a_real_signal_stops_the_group_of_a_worker(tmp_path: Path) -> None:
    long = experts("method.dance.pretrain_epochs=20")
    ended: list[str] = []

    def step(name: str, done: int, total: int, losses: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGTERM) if not stopped else None
        stopped.append(time.monotonic())

    stopped: list[float] = []
    with pytest.raises(Stopped):
        run_tasks(long, runtime(tmp_path, 2), 2, step, lambda name, end: ended.append(name))
    store = Store(tmp_path)
    assert not ended and not any(store.record(task) for task in long) and not list(tmp_path.glob("*/*/lock.json"))
    assert {last["status"] for task in long if (last := store.last_attempt(task))} == {"interrupted"}
