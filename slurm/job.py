"""What runs inside a SLURM job: call a function by its name; requeue the job if a signal stopped it."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slurm import queue
from slurm.errors import SlurmError

TIME_LIMIT_SIGNAL = signal.SIGUSR2  # sent some seconds before the time limit; SIGTERM: pre-emption or scancel


class JobFailed(Exception):
    """None of the job's tasks has finished."""


class SignalRecorder:
    """A signal handler that keeps the last signal, for times when the called function does not handle signals."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self, number: int, frame: object) -> None:
        self.signal = number


@dataclass
class JobResult:
    """What the called function did.

    stop_signal: the signal that stopped it, 0 where none did. progressed: whether any step was done. finished: the
    number of tasks that are done. failures: a message for each task that failed.
    """

    stop_signal: int = 0
    progressed: bool = False
    finished: int = 0
    failures: list[str] = field(default_factory=list)


def run_job(function: str, arguments: Mapping[str, Any]) -> None:
    """Call `function`, "package.module:name", with (arguments, recorder); requeue this job if a signal stopped it.

    The function handles SIGTERM and SIGUSR2 itself while it works, saves when one arrives, and returns a JobResult;
    `recorder.signal` is a signal that arrived before. Raises JobFailed when no task has finished, so that SLURM marks
    the job as failed and does not start the jobs that depend on it.
    """
    recorder = SignalRecorder()
    for number in (signal.SIGTERM, TIME_LIMIT_SIGNAL):
        signal.signal(number, recorder)
    module, _, name = function.partition(":")
    result: JobResult = getattr(importlib.import_module(module), name)(arguments, recorder)
    if result.stop_signal:
        if result.stop_signal == TIME_LIMIT_SIGNAL and not result.progressed and restarts():
            raise JobFailed(
                "two time limits in a row came before the first step: raise timeout_min, or lower signal_seconds"
            )
        _requeue()
    if result.failures and not result.finished:
        raise JobFailed("; ".join(result.failures))


def restarts() -> int:
    """How often this job was requeued."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def _requeue() -> None:
    """Requeue this job and wait until SLURM ends it. Raises JobFailed where a user ended it, or if requeueing fails."""
    array, index = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    job = f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]
    if _ended_by_user(job):
        raise JobFailed("cancelled or requeued by a user; the checkpoint is kept")
    try:
        queue.requeue(job)
    except SlurmError as error:
        raise JobFailed(f"saved, but cannot be requeued: {error.what}; submit again to continue") from error
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:  # a job that ended by itself now would count as finished
        time.sleep(1)


def _ended_by_user(job: str) -> bool:
    """Whether a user cancelled or requeued this job, as opposed to its time limit or pre-emption.

    A job that is being pre-empted still runs for its grace time; one that is cancelled (or requeued by a user) is
    completing already. Requeueing would bring a cancelled job back.
    """
    try:
        fields = queue.show_job(job)
    except SlurmError:
        return False
    running = fields.get("JobState") in ("RUNNING", "SIGNALING", "PREEMPTED", "SUSPENDED")
    return not running and fields.get("Reason") != "TimeLimit"
