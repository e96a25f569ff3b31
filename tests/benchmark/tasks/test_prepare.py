"""Experts of several tasks that learn in lockstep: each as if alone, stopped, killed, diverged or short of memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from expert_parts import (
    SLOW,
    STEPS,
    alike,
    experts,
    led,
    log,
    path_of,
    records,
    runtime,
    slowly,
    train,
)

from benchmark.compute.engine import Compute
from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.runtime import Outcome
from benchmark.planning.plan import pool_of
from benchmark.runners.local import Stopped, run_tasks
from benchmark.tasks import prepare as preparing
from benchmark.tasks.execute import execute
from benchmark.training import trainer, vectorized
from benchmark.utils.tensor_files import load_tensors
from results.store.lock import TaskLock
from results.store.store import Store


@pytest.fixture(scope="module")
def num_parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("num_parallel")
    assert all(outcome == Outcome("done", new=True) for outcome in train(out, 3).values())
    return out


def test_each_expert_is_what_it_is_alone(alone: Path, num_parallel: Path) -> None:
    alike(num_parallel, alone)
    for mine, theirs in zip(records(num_parallel), records(alone), strict=True):
        assert mine["resolved"] == theirs["resolved"] and mine["steps"] == theirs["steps"] == STEPS
        assert mine["result"]["train_accuracy"] == pytest.approx(theirs["result"]["train_accuracy"], abs=0.003)
    trained = [load_tensors(path_of(task, num_parallel))[0]["trained/classifier.bias"] for task in experts()]
    assert not any(torch.allclose(a, b) for a, b in pairwise(trained)), "each its own"


def test_a_group_shares_out_its_seconds_and_says_how_many_learnt(num_parallel: Path, alone: Path) -> None:
    found = records(num_parallel)
    assert [record["environment"]["num_parallel"] for record in found] == [3, 3, 3, 1]
    assert found[0]["seconds"] == found[1]["seconds"] == found[2]["seconds"] > 0
    assert [record["environment"]["num_parallel"] for record in records(alone)] == [1, 1, 1, 1]
    first, *others = experts()
    assert "learns together" not in log(num_parallel, first)
    assert all(f"learns together with {first['slug']}" in log(num_parallel, task) for task in others[:2])


def test_no_second_is_charged_twice(tmp_path: Path) -> None:
    first, *others = experts()
    began = time.monotonic()
    execute(first, slowly(runtime(tmp_path, 4)), others)
    took = time.monotonic() - began
    assert STEPS * SLOW < sum(record["seconds"] for record in records(tmp_path)) < took


def test_all_are_told_of_once_when_they_have_ended(tmp_path: Path) -> None:
    ended = train(tmp_path, 4)
    first, *others = [f"prepare {task['slug']}" for task in experts()]
    assert [*ended] == [*others, first], "whose checkpoint is theirs, too"
    assert all(outcome.new and outcome.status == "done" for outcome in ended.values())
    again = train(tmp_path, 4)
    assert [*again] == [first, *others] and not any(outcome.new for outcome in again.values())


def test_only_experts_of_one_pool_learn_together() -> None:
    first = experts()[0]
    assert {pool_of(task) for task in experts()} == {pool_of(first)}
    for words in ("method.dance.pretrain_epochs=2", "expert_seed=1", "architectures=[convnet2-w8]", "val_fraction=0.1"):
        assert pool_of(experts(words)[0]) not in (pool_of(first), None), words
    assert pool_of(first | {"requested": first["requested"] | {"data_root": "elsewhere"}}) != pool_of(first)
    assert pool_of(first | {"kind": "condense"}) is None


def test_a_gpu_is_given_as_many_at_once_as_its_rule_allows(alone: Path, tmp_path: Path, monkeypatch) -> None:
    """Three fit, and four experts are then two and two."""
    monkeypatch.setattr(Compute, "__post_init__", lambda self: None)  # where 0 becomes 1 on a CPU
    monkeypatch.setattr(vectorized, "PARALLEL_PIXELS", 3 * 64 * 8**2)
    train(tmp_path, 0)
    assert [record["environment"]["num_parallel"] for record in records(tmp_path)] == [2, 2, 2, 2]
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
        outcome, beside = led(first, [done, waits, held], runtime(tmp_path, 4))
    finally:
        lock.release()
    assert outcome.new and beside == {} and store.record(waits) is None and store.record(held) is None
    left = Store(tmp_path).folder(waits) / f".half.{32 * 'a'}"
    left.touch()
    outcome, beside = led(held, [first, done, waits], runtime(tmp_path, 4, retry_failed=True))
    assert outcome.new and [*beside] == [waits["slug"]] and beside[waits["slug"]].new
    assert not left.exists(), "what a kill left half-written"
    assert not list(tmp_path.glob("*/*/lock.json"))
    alike(tmp_path, alone)


def test_an_unreadable_neighbour_is_told_of_in_its_own_turn(tmp_path: Path) -> None:
    broken = Store(tmp_path).begin(experts()[1]) / "record.json"
    broken.write_text("{")
    ended = [*train(tmp_path, 4).values()]
    assert [outcome.status for outcome in ended].count("failed") == 1
    assert sum(outcome.new for outcome in ended) == 3 and broken.read_text() == "{"


# --- short of memory -------------------------------------------------------------------------------------------------


def limited(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is memory for so many networks at once."""
    real = Compute.parallel_gradients

    def gradients(self: Compute, network: Any, weights: Any, images: torch.Tensor, *more: Any) -> Any:
        if len(images) > most:
            raise torch.OutOfMemoryError("no more")
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "parallel_gradients", gradients)


def test_where_memory_runs_out_fewer_learn_at_once(alone: Path, tmp_path: Path, monkeypatch) -> None:
    """The others are free for whoever has room for them, meanwhile."""
    limited(2, monkeypatch)
    locked, ended = set[int](), list[str]()

    def step(*how_far: Any) -> None:
        locked.add(len(list(tmp_path.glob("*/*/lock.json"))))

    run_tasks(experts(), runtime(tmp_path, 4), 1, step, lambda name, outcome: ended.append(name))
    assert sorted(ended) == [f"prepare {task['slug']}" for task in experts()] and locked == {2}
    found = [record["environment"] for record in records(tmp_path)]
    assert [(one["num_parallel"], one["stepped_down"]) for one in found] == [(2, 1), (2, 1), (2, 0), (2, 0)]
    assert "begins later: memory ran out" in log(tmp_path, experts()[3])
    alike(tmp_path, alone)


def test_with_no_memory_for_two_each_learns_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(0, monkeypatch)
    assert all(outcome.new for outcome in train(tmp_path, 4).values())
    assert {record["environment"]["num_parallel"] for record in records(tmp_path)} == {1}


# --- one that diverges ------------------------------------------------------------------------------------------------


def diverging(index: int, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of this expert are, at the step after so many, not numbers."""
    new_expert, next_batches = preparing._new_expert, trainer.next_batches

    def marked(job: Any, learnt: Any) -> Any:
        made = new_expert(job, learnt)
        made.index = job.resolved["index"]
        return made

    def batches(trainings: Any) -> Any:
        found = next_batches(trainings)
        for place, one in enumerate(trainings):
            if one.index == index and one.done == at:
                found.images[place].fill_(float("nan"))
        return found

    monkeypatch.setattr(preparing, "_new_expert", marked)
    for module in (trainer, vectorized):
        monkeypatch.setattr(module, "next_batches", batches)


@pytest.mark.parametrize("lost", [0, 2])
def test_one_that_diverges_leaves_the_others_as_they_are(lost: int, alone: Path, tmp_path: Path, monkeypatch) -> None:
    """The first one's checkpoint goes to the next in line."""
    diverging(lost, 15, monkeypatch)
    ended = [*train(tmp_path, 4, checkpoint_seconds=1e-4).values()]
    assert len(ended) == 4 and all(outcome.status == "done" and outcome.new for outcome in ended)
    found = records(tmp_path)
    assert [record["status"] for record in found] == ["diverged" if i == lost else "ok" for i in range(4)]
    assert found[lost]["steps"] == 16 and "at step 16 of 23" in found[lost]["message"]
    assert [record["environment"]["num_parallel"] for record in found] == [4 if i == lost else 3 for i in range(4)]
    assert not path_of(experts()[lost], tmp_path).exists()
    leader = experts()[0 if lost else 1]
    assert log(tmp_path, leader).count("going on from step 15") == 1
    assert not list(tmp_path.glob(f"*/*/{CHECKPOINT}")) and not list(tmp_path.glob("*/*/lock.json"))
    alike(tmp_path, alone, but=lost)


def test_an_end_is_told_though_the_others_are_stopped_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverging(2, 5, monkeypatch)
    told: list[str] = []
    how = runtime(tmp_path, 4)

    def step(name: str, done: int, total: int, losses: dict[str, float]) -> None:
        if done == 20:
            how.stop.signal = signal.SIGTERM

    with pytest.raises(Stopped):
        run_tasks(experts(), how, 1, step, lambda name, outcome: told.append(name))
    assert told == [f"prepare {experts()[2]['slug']}"]


# --- workers ----------------------------------------------------------------------------------------------------------


def test_what_is_done_is_no_part_of_a_share(tmp_path: Path) -> None:
    """Two workers have one each of the two that are left of four."""
    first, second, *_ = experts()
    assert train(tmp_path, 4, (first, second))
    ended: dict[str, Outcome] = {}
    run_tasks(experts(), runtime(tmp_path, 4), 2, lambda *step: None, lambda name, end: ended.update({name: end}))
    assert [ended[f"prepare {task['slug']}"].new for task in experts()] == [False, False, True, True]
    assert [record["environment"]["num_parallel"] for record in records(tmp_path)] == [2, 2, 1, 1]


def test_every_worker_takes_its_share_of_a_pool(alone: Path, tmp_path: Path) -> None:
    ended: dict[str, Outcome] = {}
    run_tasks(experts(), runtime(tmp_path, 4), 2, lambda *step: None, lambda name, end: ended.update({name: end}))
    assert len(ended) == 4 and all(outcome.new for outcome in ended.values())
    assert [record["environment"]["num_parallel"] for record in records(tmp_path)] == [2, 2, 2, 2]
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
