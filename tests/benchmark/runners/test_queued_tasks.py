"""What a queued job does and which status its tasks have, without a cluster; tests/slurm has a real one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.execution.runtime import Task
from benchmark.runners import queued_tasks
from benchmark.runners.monitor import at_work, read_status
from benchmark.utils.errors import BenchmarkError
from helpers import planned
from results.store.lock import TaskLock
from results.store.schema import Status
from results.store.store import Store
from results.store.task_states import task_states
from slurm import queue, submissions
from slurm.job import JobResult, SignalRecorder

SMALL = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "seeds=[0,1]",
         "method.dm.iterations=2")  # fmt: skip


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return planned(*SMALL, f"store={tmp_path}", f"data_root={tmp_path / 'data'}").tasks


def run(out: Path, tasks: list[Task], arrived: int = 0, **changes: Any) -> JobResult:
    """Run a job; `arrived` is a signal that came before."""
    settings = {"store": str(out), "device": "cpu", "gpus": 0, "precision": "fp32", "threads": 1, "compile": None,
                "concurrent_tasks": 1, "checkpoint_seconds": 30.0, "max_wait_seconds": 1.0,
                "retry": None, "again": [], "tracker": "none"}  # fmt: skip
    recorder = SignalRecorder()
    recorder.signal = arrived
    return queued_tasks.run(queued_tasks.arguments(tasks, settings | changes), recorder)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_job_runs_its_tasks_and_reports_each(tmp_path: Path, tasks: list[Task]) -> None:
    assert run(tmp_path, tasks) == JobResult(progressed=True, finished=4)
    assert run(tmp_path, tasks) == JobResult(progressed=False, finished=4)


@pytest.mark.parametrize("concurrent_tasks", [1, 2])
def test_a_signal_that_came_before_the_first_task_stops_it(
    tmp_path: Path, tasks: list[Task], concurrent_tasks: int
) -> None:
    result = run(tmp_path, tasks, signal.SIGTERM, concurrent_tasks=concurrent_tasks)
    assert result == JobResult(stop_signal=signal.SIGTERM)
    assert not any(Store(tmp_path).record(task) for task in tasks)


def test_a_task_without_its_input_fails_with_a_message(tmp_path: Path, tasks: list[Task]) -> None:
    evaluation = next(task for task in tasks if task["kind"] == "evaluate")
    result = run(tmp_path, [evaluation])
    assert result.finished == 0 and "condense" in result.failures[0]


def test_a_gpu_that_was_requested_must_be_there(tmp_path: Path, tasks: list[Task], monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BenchmarkError, match="torch sees none here"):
        run(tmp_path, tasks, gpus=1, device="auto")


def submit_as_array_17(store: Path, tasks: list[Task]) -> None:
    submissions.record_intent(store / "slurm", "run", "run-1", [[task["identity"]] for task in tasks])
    submissions.record_id(store / "slurm", "run", "run-1", "17")


def test_tasks_count_as_queued_where_the_queue_cannot_be_read(
    tmp_path: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_as_array_17(tmp_path, tasks)
    for task in tasks:
        Store(tmp_path).begin(task)
    monkeypatch.setenv("PATH", str(tmp_path))
    status = read_status(tmp_path)
    assert "no SLURM commands here" in status.queue_problem
    assert {(task.state, task.job) for task in status.tasks.values()} == {
        (Status.QUEUED, f"17_{index}") for index in range(4)
    }


def test_the_status_of_tasks_whose_jobs_ended_has_the_output_of_their_jobs(
    tmp_path: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_as_array_17(tmp_path, tasks)
    for task in tasks:
        Store(tmp_path).attempt(task, "interrupted", "after step 1 of 2")
    monkeypatch.setattr(queue, "available", lambda: True)
    monkeypatch.setattr(queue, "jobs", dict)
    monkeypatch.setattr(queue, "final_states", lambda ids: dict.fromkeys(ids, "FAILED"))
    statuses = read_status(tmp_path).tasks
    for index, task in enumerate(tasks):
        status = statuses[task["identity"]]
        expected = f"job 17_{index} ended as FAILED; after step 1 of 2"
        assert (status.state, status.reason) == (Status.STOPPED, expected)
        assert status.log == tmp_path / f"slurm/run/jobs/17_{index}_0_log.err"


@pytest.mark.parametrize(("ahead", "running"), [(0, True), (30, True), (-3600, False), (3600, False), (1e9, False)])
def test_a_lock_shows_a_running_task_only_near_the_present(
    tmp_path: Path, tasks: list[Task], ahead: float, running: bool
) -> None:
    """`ahead`: seconds by which the file system's clock, or a damaged time, is ahead of ours."""
    with TaskLock(Store(tmp_path).begin(tasks[0])) as lock:
        when = time.time() + ahead  # noqa: TID251 -- as files have it
        os.utime(lock.path, (when, when))
        state = task_states(tmp_path, tasks)[tasks[0]["identity"]]
        assert at_work(state) == running
        assert (read_status(tmp_path).tasks[tasks[0]["identity"]].state == Status.RUNNING) == running


def test_a_job_waits_for_a_task_that_another_process_runs(
    tmp_path: Path, tasks: list[Task], capsys: pytest.CaptureFixture[str]
) -> None:
    with TaskLock(Store(tmp_path).begin(tasks[0])):
        result = run(tmp_path, tasks)
    assert result.finished == 2 and len(result.failures) == 2
    assert capsys.readouterr().out.count(f"waits for process {os.getpid()} on") == 1


@pytest.mark.parametrize(("restarts", "tried_again"), [("0", True), ("1", False)])
def test_a_requeued_job_does_not_try_again_what_failed(
    restarts: str, tried_again: bool, tmp_path: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have failed in this very job, before it was requeued."""
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    Store(tmp_path).attempt(tasks[0], "failed", "a shape is wrong")
    result = run(tmp_path, tasks[:1], retry="failed")
    assert (result.finished == 1) == tried_again
    assert any("a shape is wrong" in failure for failure in result.failures) != tried_again
