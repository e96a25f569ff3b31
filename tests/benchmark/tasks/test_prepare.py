"""Experts of several tasks that are trained in lockstep: each as if alone, diverged, or short of memory."""

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

from benchmark.compute.engine import Compute
from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.runtime import Outcome
from benchmark.planning.plan import pool_of
from benchmark.runners.local import run_tasks
from benchmark.tasks import prepare as preparing
from benchmark.tasks.execute import execute
from benchmark.training import trainer, vectorized
from benchmark.utils.stopping import Stopped
from benchmark.utils.tensor_files import load_tensors
from expert_parts import (
    SLOW,
    STEPS,
    assert_close,
    experts,
    log,
    path_of,
    records,
    runtime,
    slowed,
    train,
    train_together,
)
from results.store.lock import TaskLock
from results.store.store import Store


@pytest.fixture(scope="module")
def in_groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("in_groups")
    assert all(outcome == Outcome("done", new=True) for outcome in train(out, 3).values())
    return out


def test_each_expert_equals_the_one_trained_alone(alone: Path, in_groups: Path) -> None:
    assert_close(in_groups, alone)
    for mine, theirs in zip(records(in_groups), records(alone), strict=True):
        assert mine["resolved"] == theirs["resolved"] and mine["steps"] == theirs["steps"] == STEPS
        assert mine["result"]["train_accuracy"] == pytest.approx(theirs["result"]["train_accuracy"], abs=0.003)
    trained = [load_tensors(path_of(task, in_groups))[0]["trained/classifier.bias"] for task in experts()]
    assert not any(torch.allclose(a, b) for a, b in pairwise(trained)), "each its own"


def test_a_group_shares_its_seconds_and_records_its_size(in_groups: Path, alone: Path) -> None:
    grouped = records(in_groups)
    assert [record["environment"]["num_parallel"] for record in grouped] == [3, 3, 3, 1]
    assert grouped[0]["seconds"] == grouped[1]["seconds"] == grouped[2]["seconds"] > 0
    assert [record["environment"]["num_parallel"] for record in records(alone)] == [1, 1, 1, 1]
    first, *others = experts()
    assert "trained together" not in log(in_groups, first)
    assert all(f"trained together with {first['slug']}" in log(in_groups, task) for task in others[:2])


def test_no_second_is_charged_twice(tmp_path: Path) -> None:
    first, *others = experts()
    start = time.monotonic()
    execute(first, slowed(runtime(tmp_path, 4)), others)
    seconds = time.monotonic() - start
    assert STEPS * SLOW < sum(record["seconds"] for record in records(tmp_path)) < seconds


def test_each_end_is_reported_once(tmp_path: Path) -> None:
    ended = train(tmp_path, 4)
    first, *others = [f"prepare {task['slug']}" for task in experts()]
    assert [*ended] == [*others, first], "the first has the checkpoint of all"
    assert all(outcome.new and outcome.status == "done" for outcome in ended.values())
    again = train(tmp_path, 4)
    assert [*again] == [first, *others] and not any(outcome.new for outcome in again.values())


def test_only_experts_of_one_pool_are_trained_together() -> None:
    first = experts()[0]
    assert {pool_of(task) for task in experts()} == {pool_of(first)}
    for words in ("method.dance.pretrain_epochs=2", "expert_seed=1", "architectures=[convnet2-w8]", "val_fraction=0.1"):
        assert pool_of(experts(words)[0]) not in (pool_of(first), None), words
    assert pool_of(first | {"requested": first["requested"] | {"data_root": "elsewhere"}}) != pool_of(first)
    assert pool_of(first | {"kind": "condense"}) is None


def test_a_gpu_trains_as_many_at_once_as_its_rule_allows(alone: Path, tmp_path: Path, monkeypatch) -> None:
    """Three fit, and four experts are then two and two."""
    monkeypatch.setattr(Compute, "__post_init__", lambda self: None)  # it sets 0 to 1 on a CPU
    monkeypatch.setattr(vectorized, "PARALLEL_PIXELS", 3 * 64 * 8**2)
    train(tmp_path, 0)
    assert [record["environment"]["num_parallel"] for record in records(tmp_path)] == [2, 2, 2, 2]
    assert_close(tmp_path, alone)


# --- what was there before --------------------------------------------------------------------------------------------


def test_tasks_that_are_done_waiting_or_held_elsewhere_are_left_alone(alone: Path, tmp_path: Path) -> None:
    first, done, waits, held = experts()
    store = Store(tmp_path)
    assert execute(done, runtime(tmp_path, 1)).new
    store.attempt(waits, "failed", "something was wrong")
    lock = TaskLock(store.begin(held))
    assert lock.acquire()
    try:
        outcome, companions = train_together(first, [done, waits, held], runtime(tmp_path, 4))
    finally:
        lock.release()
    assert outcome.new and companions == {} and store.record(waits) is None and store.record(held) is None
    left = Store(tmp_path).folder(waits) / f".half.{32 * 'a'}"
    left.touch()
    outcome, companions = train_together(held, [first, done, waits], runtime(tmp_path, 4, retry_failed=True))
    assert outcome.new and [*companions] == [waits["slug"]] and companions[waits["slug"]].new
    assert not left.exists(), "a temporary file that a kill left"
    assert not list(tmp_path.glob("*/*/lock.json"))
    assert_close(tmp_path, alone)


def test_an_unreadable_companion_fails_when_it_is_executed_itself(tmp_path: Path) -> None:
    broken = Store(tmp_path).begin(experts()[1]) / "record.json"
    broken.write_text("{")
    ended = [*train(tmp_path, 4).values()]
    assert [outcome.status for outcome in ended].count("failed") == 1
    assert sum(outcome.new for outcome in ended) == 3 and broken.read_text() == "{"


# --- short of memory -------------------------------------------------------------------------------------------------


def limited(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is memory for so many networks at once."""
    real = Compute.parallel_gradients

    def gradients(self: Compute, network: Any, weights: Any, images: torch.Tensor, *more: Any) -> Any:
        if len(images) > most:
            raise torch.OutOfMemoryError("no more")
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "parallel_gradients", gradients)


def test_fewer_experts_are_trained_at_once_if_memory_runs_out(alone: Path, tmp_path: Path, monkeypatch) -> None:
    """Another process can take the others meanwhile."""
    limited(2, monkeypatch)
    locked, ended = set[int](), list[str]()

    def step(*how_far: Any) -> None:
        locked.add(len(list(tmp_path.glob("*/*/lock.json"))))

    run_tasks(experts(), runtime(tmp_path, 4), 1, step, lambda name, outcome: ended.append(name))
    assert sorted(ended) == [f"prepare {task['slug']}" for task in experts()] and locked == {2}
    environments = [record["environment"] for record in records(tmp_path)]
    assert [(each["num_parallel"], each["stepped_down"]) for each in environments] == [(2, 1), (2, 1), (2, 0), (2, 0)]
    assert "postponed: memory ran out" in log(tmp_path, experts()[3])
    assert_close(tmp_path, alone)


def test_experts_are_trained_one_by_one_without_memory_for_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(0, monkeypatch)
    assert all(outcome.new for outcome in train(tmp_path, 4).values())
    assert {record["environment"]["num_parallel"] for record in records(tmp_path)} == {1}


# --- one that diverges ------------------------------------------------------------------------------------------------


def diverging(index: int, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of the expert of this index become NaN after `at` steps."""
    new_training, next_batches = preparing._new_training, trainer.next_batches

    def with_index(attempt: Any, train: Any) -> Any:
        training = new_training(attempt, train)
        training.index = attempt.resolved["index"]
        return training

    def with_nan(trainings: Any) -> Any:
        batches = next_batches(trainings)
        for row, training in enumerate(trainings):
            if training.index == index and training.done == at:
                batches.images[row].fill_(float("nan"))
        return batches

    monkeypatch.setattr(preparing, "_new_training", with_index)
    for module in (trainer, vectorized):
        monkeypatch.setattr(module, "next_batches", with_nan)


@pytest.mark.parametrize("diverged", [0, 2])
def test_one_that_diverges_leaves_the_others_as_they_are(
    diverged: int, alone: Path, tmp_path: Path, monkeypatch
) -> None:
    """If it is the first, the next one takes its checkpoint over."""
    diverging(diverged, 15, monkeypatch)
    ended = [*train(tmp_path, 4, checkpoint_seconds=1e-4).values()]
    assert len(ended) == 4 and all(outcome.status == "done" and outcome.new for outcome in ended)
    stored = records(tmp_path)
    assert [record["status"] for record in stored] == ["diverged" if i == diverged else "ok" for i in range(4)]
    assert stored[diverged]["steps"] == 16 and "at step 16 of 23" in stored[diverged]["message"]
    assert [record["environment"]["num_parallel"] for record in stored] == [4 if i == diverged else 3 for i in range(4)]
    assert not path_of(experts()[diverged], tmp_path).exists()
    leader = experts()[0 if diverged else 1]
    assert log(tmp_path, leader).count("resuming from step 15") == 1
    assert not list(tmp_path.glob(f"*/*/{CHECKPOINT}")) and not list(tmp_path.glob("*/*/lock.json"))
    assert_close(tmp_path, alone, but=diverged)


def test_an_end_is_reported_although_the_others_are_stopped_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(2, 5, monkeypatch)
    ended: list[str] = []
    stoppable = runtime(tmp_path, 4)

    def step(name: str, done: int, total: int, losses: dict[str, float]) -> None:
        if done == 20:
            stoppable.stop.signal = signal.SIGTERM

    with pytest.raises(Stopped):
        run_tasks(experts(), stoppable, 1, step, lambda name, outcome: ended.append(name))
    assert ended == [f"prepare {experts()[2]['slug']}"]


# --- workers ----------------------------------------------------------------------------------------------------------


def test_only_unfinished_experts_are_shared_among_workers(tmp_path: Path) -> None:
    """Two workers train one each of the two of four that are left."""
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
    assert_close(tmp_path, alone)


def test_experts_that_did_not_fit_are_assigned_again(tmp_path: Path) -> None:
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
    unfinished = [task for task, ended in zip(long, status, strict=True) if ended == "failed"]
    assert not any(Store(tmp_path).record(task) for task in unfinished)


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
