"""What a queued job does and which status its tasks have, without a cluster; tests/slurm has a real one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.execution.runtime import Task
from benchmark.runners import queued_tasks
from benchmark.runners.monitor import read_status
from benchmark.utils.errors import BenchmarkError
from helpers import planned
from results.store.schema import Status
from results.store.store import Store
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
                "concurrent_tasks": 1, "checkpoint_seconds": 30.0, "retry": None, "again": []}  # fmt: skip
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


def test_tasks_count_as_queued_where_the_queue_cannot_be_read(
    tmp_path: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions.record_intent(tmp_path / "slurm", "run", "run-1", [[task["identity"]] for task in tasks])
    submissions.record_id(tmp_path / "slurm", "run", "run-1", "17")
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
    submissions.record_intent(tmp_path / "slurm", "run", "run-1", [[task["identity"]] for task in tasks])
    submissions.record_id(tmp_path / "slurm", "run", "run-1", "17")
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
