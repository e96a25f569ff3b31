"""Experts that are trained together and stopped, killed or fail: nothing is lost, doubled or charged twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.runtime import Outcome
from benchmark.execution.stop_signals import Interrupted
from benchmark.runners.local import run_tasks
from benchmark.tasks.execute import execute
from benchmark.utils import tensor_files
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.stopping import Stopped
from benchmark.utils.tensor_files import load_tree, save_tree
from expert_parts import (
    STEPS,
    assert_close,
    assert_equal,
    experts,
    log,
    path_of,
    records,
    runtime,
    slowed,
    stopping,
    train,
    train_together,
)
from results.errors import ResultsError
from results.store.lock import TaskLock
from results.store.store import Store


@pytest.mark.parametrize("at", [1, 9, STEPS])
def test_a_stopped_group_resumes_to_the_same_bytes(at: int, tmp_path: Path) -> None:
    train(tmp_path / "whole", 4)
    first, *others = experts()
    with pytest.raises(Interrupted, match=f"after step {at} of {STEPS}"):
        execute(first, stopping(tmp_path / "out", at), others)
    store = Store(tmp_path / "out")
    assert not any(store.record(task) for task in experts()) and not list(tmp_path.glob("out/*/*/lock.json"))
    messages = [store.last_attempt(task)["message"] for task in experts()]
    assert messages == [f"after step {at} of {STEPS}"] + 3 * [
        f"trained together with {first['slug']}: after step {at} of {STEPS}"
    ]
    assert all(outcome.new for outcome in train(tmp_path / "out", 4).values())
    assert f"resuming from step {at}" in log(tmp_path / "out", first)
    assert_equal(tmp_path / "out", tmp_path / "whole")


def test_a_stopped_group_resumes_without_one_that_was_finished_meanwhile(alone: Path, tmp_path: Path) -> None:
    """Its share of the charged seconds is left out, too."""
    first, *others = experts()
    with pytest.raises(Interrupted, match="after step 9"):
        execute(first, stopping(tmp_path, 9), others)
    path = Store(tmp_path).folder(first) / CHECKPOINT
    save_tree(path, load_tree(path) | {"seconds": 4000.0})
    assert execute(others[1], runtime(tmp_path, 1)).new, "done meanwhile"
    outcome, companions = train_together(first, others, runtime(tmp_path, 4))
    assert outcome.new and [*companions] == [others[0]["slug"], others[2]["slug"]]
    seconds = [record["seconds"] for record in records(tmp_path) if record["environment"]["num_parallel"] == 3]
    assert seconds == 3 * [pytest.approx(1000, abs=100)]
    assert_close(tmp_path, alone)


def test_a_resumed_group_has_the_same_experts(alone: Path, tmp_path: Path) -> None:
    """One that was held elsewhere at first, and is free now, is not added: it is trained later."""
    first, held, *others = experts()
    lock = TaskLock(Store(tmp_path).begin(held))
    assert lock.acquire()
    with pytest.raises(Interrupted, match="after step 9"):
        execute(first, stopping(tmp_path, 9, num_parallel=3), [held, *others])
    lock.release()
    outcome, companions = train_together(first, [held, *others], runtime(tmp_path, 4))
    assert outcome.new and [*companions] == [task["slug"] for task in others]
    assert Store(tmp_path).last_attempt(held) is None and not (Store(tmp_path).folder(held) / "log.txt").exists()
    assert execute(held, runtime(tmp_path, 1)).new
    assert_close(tmp_path, alone)


def test_an_expert_that_was_trained_alone_goes_on_alone(alone: Path, tmp_path: Path) -> None:
    first, *others = experts()
    with pytest.raises(Interrupted, match="after step 9"):
        execute(first, stopping(tmp_path, 9, num_parallel=1), others)
    assert train_together(others[0], [first], runtime(tmp_path, 4))[1] == {}, "it has a checkpoint of its own"
    assert train_together(first, others[1:], runtime(tmp_path, 4))[1] == {}
    assert "resuming from step 9" in log(tmp_path, first) and Store(tmp_path).record(others[1]) is None
    assert path_of(first, tmp_path).read_bytes() == path_of(first, alone).read_bytes()


def test_an_error_of_one_expert_does_not_concern_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, broken, *others = experts()
    real = tensor_files.write_bytes

    def write(path: Path, content: bytes) -> None:
        if path == path_of(broken, tmp_path):
            raise BenchmarkError("the disk is full", transient=True)
        real(path, content)

    monkeypatch.setattr(tensor_files, "write_bytes", write)
    outcome, companions = train_together(first, [broken, *others], runtime(tmp_path, 4))
    assert outcome.new and companions[broken["slug"]] == Outcome("failed", "the disk is full")
    assert all(companions[task["slug"]].new for task in others)
    assert Store(tmp_path).last_attempt(broken)["status"] == "interrupted"
    monkeypatch.undo()
    assert execute(broken, runtime(tmp_path, 1)).new


def test_a_stop_between_two_ends_loses_and_hides_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path / "whole", 4)
    out, ended, released = tmp_path / "out", list[str](), list[bool]()

    def save(path: Path, *more: Any) -> None:
        if path == path_of(experts()[2], out):
            released.append(not (path_of(experts()[1], out).parent / "lock.json").exists())
            raise KeyboardInterrupt
        tensor_files.save_tensors(path, *more)

    monkeypatch.setattr("benchmark.tasks.prepare.save_tensors", save)
    frequent = runtime(out, 4, checkpoint_seconds=1e-4)
    with pytest.raises(Stopped):
        run_tasks(experts(), frequent, 1, lambda *step: None, lambda name, outcome: ended.append(name))
    assert ended == [f"prepare {experts()[1]['slug']}"] and not list(out.glob("*/*/lock.json"))
    assert released == [True], "otherwise a kill would leave the lock of a task that is done"
    monkeypatch.undo()
    assert [outcome.new for outcome in train(out, 4).values()].count(True) == 3
    assert_equal(out, tmp_path / "whole")


def test_a_group_goes_on_whole_beside_other_workers(alone: Path, tmp_path: Path) -> None:
    """A share of the four would have been two."""
    first, *others = experts()
    with pytest.raises(Interrupted, match="after step 9"):
        execute(first, stopping(tmp_path, 9, num_parallel=3), others)
    ended: list[str] = []
    run_tasks(experts(), runtime(tmp_path, 4), 2, lambda *step: None, lambda name, outcome: ended.append(name))
    assert sorted(ended) == [f"prepare {task['slug']}" for task in experts()]
    assert [record["environment"]["num_parallel"] for record in records(tmp_path)] == [3, 3, 3, 1]
    assert_close(tmp_path, alone)


def test_a_folder_and_a_lock_that_cannot_be_cleared_are_reported_by_their_own_tasks(
    tmp_path: Path, monkeypatch
) -> None:
    first, unclean, locked, last = experts()
    (Store(tmp_path).begin(unclean) / f".half.{32 * 'a'}").mkdir()
    real = TaskLock.release

    def release(self: TaskLock) -> None:
        real(self)
        if self.path.parent == Store(tmp_path).folder(locked):
            raise ResultsError("the lock cannot be removed")

    monkeypatch.setattr(TaskLock, "release", release)
    outcome, companions = train_together(first, [unclean, locked, last], runtime(tmp_path, 4))
    assert (
        outcome.new and [*companions] == [locked["slug"], last["slug"]] and all(end.new for end in companions.values())
    )
    assert execute(unclean, runtime(tmp_path, 4)).status == "failed"


def test_one_that_another_process_has_taken_over_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, taken, *others = experts()
    monkeypatch.setattr("benchmark.tasks.execute.TaskLock", partial(TaskLock, period=0.02))
    theirs = TaskLock(Store(tmp_path).folder(taken))

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        if done == 5:
            theirs.path.unlink()
            assert theirs.acquire()

    outcome, companions = train_together(first, [taken, *others], slowed(runtime(tmp_path, 4, progress=progress)))
    assert outcome.new and [*companions] == [task["slug"] for task in others] and theirs.held
    assert Store(tmp_path).record(taken) is None and not path_of(taken, tmp_path).exists()
    theirs.release()
