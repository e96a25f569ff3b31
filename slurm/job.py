"""What runs inside a job: a function by name on plain values; back into the queue when told to stop before the end."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from slurm import queue
from slurm.errors import SlurmError

_WARNED = signal.SIGUSR2  # the time limit is near


class JobFailed(Exception):
    """Nothing that this job was for has come to an end."""


class Told:
    """Remembers the last signal: the function that does the work may not listen yet, or no longer."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self, number: int, frame: object) -> None:
        self.signal = number


def work(function: str, values: Mapping[str, Any]) -> None:
    """Call `function`, "package.module:name", with (values, told); requeue this job if a signal stopped it.

    The function listens to SIGTERM and SIGUSR2 itself while it works, saves when one comes, and returns
    {"stopped": the signal or 0, "begun": whether anything was done, "ended": how many things came to an end, "failed":
    what did not, in words}. Raises JobFailed, so that SLURM calls the job failed and nothing that needs it starts, when
    nothing came to an end.
    """
    told = Told()
    for number in (signal.SIGTERM, _WARNED):
        signal.signal(number, told)
    module, _, name = function.partition(":")
    found = getattr(importlib.import_module(module), name)(values, told)
    if found["stopped"]:
        if found["stopped"] == _WARNED and not found["begun"] and restarts():
            raise JobFailed("its time limit came twice before anything was done: raise minutes, or lower warning")
        _stop()
    if found["failed"] and not found["ended"]:
        raise JobFailed("; ".join(found["failed"]))


def my_id() -> str:
    """This job's id, ARRAY_INDEX for an element of an array."""
    array, index = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]


def restarts() -> int:
    """How often this job was requeued."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def _stop() -> None:
    """Requeue this job and wait to be ended; raises JobFailed where it was ended on purpose, or cannot be requeued."""
    job = my_id()
    if _ended(job):
        raise JobFailed("cancelled or requeued from outside; what was done is kept")
    try:
        queue.requeue(job)
    except SlurmError as error:
        raise JobFailed(f"stopped and saved, but cannot be requeued: {error.what}; submit again to go on") from error
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:  # a job that ends by itself now would count as finished
        time.sleep(1)


def _ended(job: str) -> bool:
    """Whether someone has ended this job, as opposed to its time limit, or another one about to take its place.

    A job that is being pre-empted still runs for its grace time; one that is cancelled (or requeued from outside) is
    completing already. Requeueing would bring a cancelled job back.
    """
    try:
        facts = queue.job_facts(job)
    except SlurmError:
        return False
    at_work = facts.get("JobState") in ("RUNNING", "SIGNALING", "PREEMPTED", "SUSPENDED")
    return not at_work and facts.get("Reason") != "TimeLimit"
