"""Doing one task: prepare, condense or evaluate, from plain values, into its folder of the store."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from benchmark.compute.compilation import COMPILER
from benchmark.compute.environment import PeakMemory
from benchmark.execution.attempt import Attempt, sentence
from benchmark.execution.interruption import Interrupted
from benchmark.execution.run_steps import CHECKPOINT, Diverged, as_begun
from benchmark.execution.runtime import Outcome, Runtime, worded
from benchmark.tasks.analyze import analyze
from benchmark.tasks.condense import condense
from benchmark.tasks.evaluate import evaluate
from benchmark.tasks.import_set import import_set
from benchmark.tasks.prepare import prepare
from results.errors import ResultsError
from results.store.lock import TaskLock
from results.store.schema import NEEDS_RETRY, Status
from results.store.store import Store

Task = Mapping[str, Any]
KINDS: Mapping[str, Callable[[Attempt], Outcome]] = {
    "prepare": prepare,
    "condense": condense,
    "import": import_set,
    "evaluate": evaluate,
    "analyze": analyze,
}
HERE_SECONDS = 5.0  # for the process that holds a task on this host to let go: it may have just been told to stop


def execute(task: Task, runtime: Runtime, alike: Sequence[Task] = ()) -> Outcome:
    """Do a task unless its record is there; what it comes to is written to the store before this returns.

    alike: experts to be trained like this one, who may be done along with it: `runtime.ended` is told of them.

    Raises only Interrupted or KeyboardInterrupt, when told to stop (a checkpoint and an attempt are written).
    """
    store = Store(runtime.out)
    try:
        if (record := store.record(task)) is not None:
            return Outcome(Status.DONE, worded(record))
        if last := waits(store, task, runtime):
            return Outcome(Status.WAITING, f"{last['status'].replace('_', ' ')} before: {last['message']}")
        lock = TaskLock(store.begin(task))
        if not _acquired(lock):
            holder = lock.holder or {}
            return Outcome(
                Status.HELD,
                f"process {holder.get('pid')} on {holder.get('host')} is at it, says {lock.path}; run again later",
            )
        try:
            if (record := store.record(task)) is not None:
                return Outcome(Status.DONE, worded(record))
            with ExitStack() as held:
                job = Attempt(task, runtime, store, lock)
                job.alike, job.claim = alike, lambda other: _claimed(other, runtime, store, held)
                return _attempt(job)
        finally:
            lock.release()
    except ResultsError as error:  # the store itself cannot be read or written
        return Outcome(Status.FAILED, sentence(error))


def _acquired(lock: TaskLock) -> bool:
    """Claim the task. An owner on another host is watched until it is known to be dead or alive."""
    if lock.acquire(wait=HERE_SECONDS):
        return True
    elsewhere = (lock.holder or {}).get("host") != socket.gethostname()
    return elsewhere and lock.acquire(wait=3 * lock.period + 2)


def waits(store: Store, task: Task, runtime: Runtime) -> Mapping[str, Any] | None:
    """The last attempt, where it keeps the task from being tried again unless that is asked for."""
    last = store.last_attempt(task)
    stays = last and last["status"] in NEEDS_RETRY and not runtime.retry_failed
    return last if stays else None


def _claimed(task: Task, runtime: Runtime, store: Store, held: ExitStack) -> Attempt | None:
    """An attempt at a task that can be begun now, locked until `held` lets go.

    None where it is done, waits, is someone else's, or has a checkpoint, from which it goes on by itself.
    """
    with suppress(ResultsError, OSError):  # which is told when the task's own turn comes
        if store.record(task) is None and not waits(store, task, runtime):
            job = Attempt(task, runtime, store, TaskLock(store.begin(task)))
            held.callback(job.release)
            if job.lock.acquire() and not (job.folder / CHECKPOINT).exists() and store.record(task) is None:
                job.clean_up()
                return job
            job.release()
    return None


def _attempt(job: Attempt) -> Outcome:
    task, runtime, store = job.task, job.runtime, job.store
    try:
        return job.guarded(lambda: _run(job))
    except (Interrupted, KeyboardInterrupt) as error:
        done = error.done if isinstance(error, Interrupted) else 0
        timed_out = runtime.stop.signal == signal.SIGUSR2
        if timed_out and _stuck(store.last_attempt(task), done):
            return job.failed(Status.FAILED, f"no step was done between two time limits: {done} steps after each")
        why = str(error) or "stopped before its first step"
        store.attempt(task, Status.TIMED_OUT if timed_out else Status.INTERRUPTED, why, steps=done)
        raise


def _run(attempt: Attempt) -> Outcome:
    attempt.clean_up()
    attempt.compute = as_begun(attempt.folder, attempt.runtime.compute, attempt.log)
    job = os.environ.get("SLURM_JOB_ID")
    where = f"{socket.gethostname()}, SLURM job {job}" if job else socket.gethostname()
    attempt.log(f"begun on {attempt.compute.device}, {attempt.compute.threads} threads, {where}")
    attempt.compute.activate()
    COMPILER.begin_task(attempt.log)
    attempt.memory = PeakMemory(attempt.compute.device)
    try:
        return KINDS[attempt.task["kind"]](attempt)
    except Diverged as error:
        return attempt.commit(Status.DIVERGED, {}, error.run_result, error.steps, str(error))


# --- the kinds ----------------------------------------------------------------------------------------------------


def _stuck(last: Mapping[str, Any] | None, done: int) -> bool:
    """Whether the try before this one, too, ran into its time limit after as many steps: a third would do no better."""
    return last is not None and last["status"] == Status.TIMED_OUT and last.get("steps", 0) >= done
