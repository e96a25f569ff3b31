"""Execute one task, given as plain values, in its folder of the store.

A task with a failed input is blocked: the kinds of tasks call `Attempt.failed_input_outcome` before they start.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from benchmark.compute.compilation import COMPILER
from benchmark.compute.environment import PeakMemory
from benchmark.execution.again import why_again
from benchmark.execution.attempt import Attempt, one_line
from benchmark.execution.run_steps import CHECKPOINT, Diverged, compute_for_resume
from benchmark.execution.runtime import Outcome, Runtime, Task, record_message
from benchmark.execution.stop_signals import Interrupted
from benchmark.tasks.analyze import analyze
from benchmark.tasks.condense import condense
from benchmark.tasks.evaluate import evaluate
from benchmark.tasks.import_set import import_set
from benchmark.tasks.label import label
from benchmark.tasks.prepare import prepare
from benchmark.tasks.whiten import whiten
from results.errors import ResultsError, UnwritableError
from results.store.lock import TaskLock, owner_name
from results.store.schema import NEEDS_RETRY, Status
from results.store.store import Store

FUNCTION_OF_KIND: Mapping[str, Callable[[Attempt], Outcome]] = {
    "whiten": whiten,
    "prepare": prepare,
    "condense": condense,
    "import": import_set,
    "label": label,
    "evaluate": evaluate,
    "analyze": analyze,
}


def execute(task: Task, runtime: Runtime, companions: Sequence[Task] = ()) -> Outcome:
    """Execute a task, unless it has a record. Its record or failed attempt is in the store when this returns.

    companions: prepare tasks of the same pool of experts, which may be finished along with this one; each such end is
    reported to `runtime.on_companion_end`. Raises Interrupted or KeyboardInterrupt alone, after a signal to stop; then
    a checkpoint and an attempt are in the store.
    """
    store = Store(runtime.store_root)
    try:
        record = store.record(task)
        if record is not None and not why_again(record, store, runtime.again):
            return Outcome(Status.DONE, record_message(record))
        if last := failure_not_retried(store, task, runtime):
            message = f"{last['status'].replace('_', ' ')} before: {last['message']}"
            return Outcome(Status.WAITING, message, needs_retry=True)
        lock = TaskLock(store.begin(task))
        if not lock.acquire():
            return Outcome(Status.HELD, f"{owner_name(lock.holder)} runs it ({lock.path})")
        try:
            record = store.record(task)
            reason = why_again(record, store, runtime.again) if record else ""
            if record is not None and not reason:
                return Outcome(Status.DONE, record_message(record))
            with ExitStack() as claimed:
                attempt = Attempt(task, runtime, store, lock)
                if kept := store.set_aside(task):
                    attempt.note(f"done again, as {reason}; the old record is in {kept.relative_to(store.root)}")
                attempt.companions = companions
                attempt.claim = lambda companion: _claim(companion, runtime, store, claimed)
                return _run_or_record_stop(attempt)
        finally:
            lock.release()
    except ResultsError as error:  # the store itself cannot be read or written
        return Outcome(Status.FAILED, one_line(error), ends_run=isinstance(error, UnwritableError))


def failure_not_retried(store: Store, task: Task, runtime: Runtime) -> Mapping[str, Any] | None:
    """The last attempt, if it failed and failed tasks are not to be retried; else None."""
    last = store.last_attempt(task)
    blocks = last and last["status"] in NEEDS_RETRY and not runtime.retry_failed
    return last if blocks else None


def _claim(task: Task, runtime: Runtime, store: Store, claimed: ExitStack) -> Attempt | None:
    """An attempt at a companion, locked until `claimed` closes.

    None if it is done, is not to be retried, runs elsewhere, or has a checkpoint of its own to resume from.
    """
    with suppress(ResultsError, OSError):  # reported when the task itself is executed
        if store.record(task) is None and not failure_not_retried(store, task, runtime):
            attempt = Attempt(task, runtime, store, TaskLock(store.begin(task)))
            claimed.callback(attempt.release)
            if attempt.lock.acquire() and not (attempt.folder / CHECKPOINT).exists() and store.record(task) is None:
                attempt.clean_up()
                return attempt
            attempt.release()
    return None


def _run_or_record_stop(attempt: Attempt) -> Outcome:
    """Run the task. After a signal to stop, record an attempt and raise again, unless time limits get it nowhere."""
    task, runtime, store = attempt.task, attempt.runtime, attempt.store
    try:
        outcome = attempt.catch_errors(lambda: _run(attempt))
        return replace(outcome, message="; ".join(filter(None, [outcome.message, *attempt.notes])))
    except (Interrupted, KeyboardInterrupt) as error:
        done = error.done if isinstance(error, Interrupted) else 0
        timed_out = runtime.stop.signal == signal.SIGUSR2
        if timed_out and _made_no_progress(store.last_attempt(task), done):
            message = f"no step was done between two time limits: {done} steps after each"
            return attempt.record_failure(Status.FAILED, message)
        message = str(error) or "stopped before its first step"
        store.attempt(task, Status.TIMED_OUT if timed_out else Status.INTERRUPTED, message, steps=done)
        raise


def _run(attempt: Attempt) -> Outcome:
    attempt.clean_up()
    attempt.compute = compute_for_resume(
        attempt.folder, attempt.runtime.compute, attempt.checkpoint_owner(), attempt.note
    )
    slurm_job = os.environ.get("SLURM_JOB_ID")
    where = f"{socket.gethostname()}, SLURM job {slurm_job}" if slurm_job else socket.gethostname()
    attempt.log(f"started on {attempt.compute.device}, {attempt.compute.threads} threads, {where}")
    attempt.compute.activate()
    COMPILER.begin_task(attempt.log)
    attempt.peak_memory = PeakMemory(attempt.compute.device)
    whitening = attempt.resolved["dataset"].get("whitening")
    if whitening and (outcome := attempt.failed_input_outcome("whiten", whitening)):
        return outcome
    try:
        return FUNCTION_OF_KIND[attempt.task["kind"]](attempt)
    except Diverged as error:
        return attempt.commit(Status.DIVERGED, {}, error.run_result, error.steps, str(error))


def _made_no_progress(last: Mapping[str, Any] | None, done: int) -> bool:
    """Whether the previous attempt also reached its time limit, after as many steps: a third one would, too."""
    return last is not None and last["status"] == Status.TIMED_OUT and last.get("steps", 0) >= done
