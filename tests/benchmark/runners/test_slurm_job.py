"""What a queued job does and what is seen of it from outside, without a cluster; tests/slurm has the real one."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from benchmark.config import compose as options
from benchmark.planning import grid
from benchmark.runners import monitor, slurm_job
from benchmark.utils.errors import BenchmarkError
from results.store.store import Store
from slurm import queue, submissions

SMALL = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "seeds=[0,1]",
         "method.dm.iterations=2")  # fmt: skip


@pytest.fixture
def tasks(tmp_path: Path) -> list[grid.Task]:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        wanted = options.parse(compose("run", [*SMALL, f"store={tmp_path}", f"data_root={tmp_path / 'data'}"]))
    return grid.build(wanted).tasks


def given(out: Path, tasks: list[grid.Task], **changes: Any) -> dict[str, Any]:
    how = {"out": str(out), "device": "cpu", "gpus": 0, "precision": "fp32", "threads": 1, "compile": None,
           "at_once": 1, "checkpoint_seconds": 30.0, "retry": None}  # fmt: skip
    return slurm_job.values(tuple(tasks), how | changes)


@pytest.fixture(autouse=True)
def handlers() -> Any:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_job_does_its_tasks_and_tells_of_each(tmp_path: Path, tasks: list[grid.Task]) -> None:
    done = slurm_job.work(given(tmp_path, tasks), SimpleNamespace(signal=0))
    assert done == {"stopped": 0, "begun": True, "ended": 4, "failed": []}
    again = slurm_job.work(given(tmp_path, tasks), SimpleNamespace(signal=0))
    assert again == {"stopped": 0, "begun": False, "ended": 4, "failed": []}


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_signal_that_came_before_the_work_stops_it(tmp_path: Path, tasks: list[grid.Task], at_once: int) -> None:
    told = SimpleNamespace(signal=signal.SIGTERM)
    done = slurm_job.work(given(tmp_path, tasks, at_once=at_once), told)
    assert done == {"stopped": signal.SIGTERM, "begun": False, "ended": 0, "failed": []}
    assert not any(Store(tmp_path).record(task) for task in tasks)


def test_what_lacks_its_input_fails_and_says_so(tmp_path: Path, tasks: list[grid.Task]) -> None:
    (score,) = [task for task in tasks if task["kind"] == "evaluate"][:1]
    done = slurm_job.work(given(tmp_path, [score]), SimpleNamespace(signal=0))
    assert done["ended"] == 0 and "what it needs is not there: condense" in done["failed"][0]


def test_a_gpu_that_was_asked_for_must_be_there(tmp_path: Path, tasks: list[grid.Task], monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BenchmarkError, match="torch sees none here"):
        slurm_job.work(given(tmp_path, tasks, gpus=1, device="auto"), SimpleNamespace(signal=0))


def test_where_the_queue_cannot_be_asked_what_was_queued_still_counts(
    tmp_path: Path, tasks: list[grid.Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions.intend(tmp_path / "slurm", "run", "run-1", [[task["identity"]] for task in tasks])
    submissions.submitted(tmp_path / "slurm", "run", "run-1", "17")
    for task in tasks:
        Store(tmp_path).begin(task)
    monkeypatch.setenv("PATH", str(tmp_path))
    seen = monitor.view(tmp_path)
    assert "no SLURM commands here" in seen.no_queue
    assert {(one.state, one.job) for one in seen.tasks.values()} == {("queued", f"17_{k}") for k in range(4)}


def test_tasks_whose_jobs_are_over_are_told_with_what_those_printed(
    tmp_path: Path, tasks: list[grid.Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions.intend(tmp_path / "slurm", "run", "run-1", [[task["identity"]] for task in tasks])
    submissions.submitted(tmp_path / "slurm", "run", "run-1", "17")
    for task in tasks:
        Store(tmp_path).attempt(task, "interrupted", "after step 1 of 2")
    monkeypatch.setattr(queue, "there", lambda: True)
    monkeypatch.setattr(queue, "jobs", dict)
    monkeypatch.setattr(queue, "ended", lambda ids: dict.fromkeys(ids, "FAILED"))
    seen = monitor.view(tmp_path).tasks
    for place, task in enumerate(tasks):
        one = seen[task["identity"]]
        assert (one.state, one.why) == ("stopped", f"job 17_{place} ended as FAILED; after step 1 of 2")
        assert one.log == tmp_path / f"slurm/run/jobs/17_{place}_0_log.err"
