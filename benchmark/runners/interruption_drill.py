"""Interrupting the job of a queued task on purpose, for `benchmark.drill`. Signals are in execution.stop_signals."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmark.config.schema import INTERRUPTIONS
from benchmark.config.shared_options import PlanConfig
from benchmark.execution.runtime import Task
from benchmark.planning import grid
from benchmark.runners import monitor, slurm
from benchmark.runners.monitor import TaskStatus
from benchmark.utils.errors import BenchmarkError
from results.store.schema import Status
from slurm import queue, submissions

_POLL_SECONDS = 2.0
_MAX_WAIT_SECONDS = 1800.0  # in the queue, and after a requeue, when SLURM holds a job back


def queue_set(config: PlanConfig) -> Task:
    """Queue a run that makes one set; returns the set's task."""
    cluster = slurm.check(config)
    plan = grid.build(config)
    slurm.launch(plan.tasks, config, cluster)
    return plan.of_kind("condense")[0]


def job_of(config: PlanConfig, task: Task) -> str:
    """The id of the job that was queued last for a task."""
    return submissions.job_by_task(submissions.read(Path(config.store) / "slurm"))[task["identity"]]


def interrupt(config: PlanConfig, task: Task, mode: str, say: Callable[[str], None]) -> None:
    """Wait until a task is running, then interrupt its job in a way of INTERRUPTIONS.

    Raises BenchmarkError if the task ended before, or did not begin within half an hour.
    """
    status = wait_until(config, task, lambda s: bool(s.progress) or s.state in (Status.DONE, Status.FAILED))
    if status.state != Status.RUNNING or not status.progress:
        raise BenchmarkError(
            f"the job cannot be interrupted, because its task is {status.state} already: {status.reason}",
            where=str(status.folder),
            next="steps=MORE",
        )
    say(f"at step {status.progress['done']:,} of {status.progress['total']:,} the job is {INTERRUPTIONS[mode]}")
    job = job_of(config, task)
    if mode == "warning":
        queue.run("scancel", "--signal=USR2", job)
    elif mode == "requeue":
        queue.requeue(job)
    else:
        queue.cancel([job])
        wait_until(config, task, lambda s: s.state not in (Status.RUNNING, Status.QUEUED))
        queue_set(config)


def wait_until(config: PlanConfig, task: Task, condition: Callable[[TaskStatus], bool]) -> TaskStatus:
    """The first status of a task that meets a condition. Raises BenchmarkError after half an hour."""
    began = time.monotonic()
    while time.monotonic() - began < _MAX_WAIT_SECONDS:
        store = monitor.read_status(Path(config.store))
        status = store.tasks.get(task["identity"])
        if status is not None and not store.queue_problem and condition(status):
            return status
        time.sleep(_POLL_SECONDS)
    option = f"store={config.store}"
    raise BenchmarkError(
        f"the job did not get on within {_MAX_WAIT_SECONDS / 60:.0f} minutes",
        where=config.store,
        next=f"python -m benchmark.status {option} shows its state; python -m benchmark.cancel {option} cancels it",
    )
