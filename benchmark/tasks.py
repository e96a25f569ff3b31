"""Doing one task: prepare, condense or evaluate, from plain values, into its folder of the store."""

from __future__ import annotations

import signal
import socket
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch

from benchmark.crank import CHECKPOINT, Interrupted
from benchmark.errors import BenchmarkError
from benchmark.kinds import Job
from benchmark.memory import out_of_memory
from benchmark.runtime import Outcome, Runtime, worded
from methods.errors import MethodError
from results.errors import ResultsError
from results.lock import TaskLock
from results.store import Store

Task = Mapping[str, Any]
HERE_SECONDS = 5.0  # for the process that holds a task on this host to let go: it may have just been told to stop


def execute(task: Task, runtime: Runtime, alike: Sequence[Task] = ()) -> Outcome:
    """Do a task unless its record is there; what it comes to is written to the store before this returns.

    alike: experts to be trained like this one; those that are done along with it are told of in the outcome.

    Raises only Interrupted or KeyboardInterrupt, when told to stop (a checkpoint and an attempt are written).
    """
    store = Store(runtime.out)
    try:
        if (record := store.record(task)) is not None:
            return Outcome("done", worded(record))
        if last := _waits(store, task, runtime):
            return Outcome("waiting", f"{last['status'].replace('_', ' ')} before: {last['message']}")
        lock = TaskLock(store.begin(task))
        if not _acquired(lock):
            holder = lock.holder or {}
            return Outcome(
                "held",
                f"process {holder.get('pid')} on {holder.get('host')} is at it, says {lock.path}; run again later",
            )
        try:
            if (record := store.record(task)) is not None:
                return Outcome("done", worded(record))
            with ExitStack() as held:
                job = Job(task, runtime, store, lock)
                job.alike = len(alike)
                job.others = filter(None, (_claimed(other, runtime, store, held) for other in alike))
                return _attempt(job)
        finally:
            lock.release()
    except ResultsError as error:  # the store itself cannot be read or written
        return Outcome("failed", _sentence(error))


def _acquired(lock: TaskLock) -> bool:
    """Claim the task. An owner on another host is watched until it is known to be dead or alive."""
    if lock.acquire(wait=HERE_SECONDS):
        return True
    elsewhere = (lock.holder or {}).get("host") != socket.gethostname()
    return elsewhere and lock.acquire(wait=3 * lock.period + 2)


def _waits(store: Store, task: Task, runtime: Runtime) -> Mapping[str, Any] | None:
    """The last attempt, where it keeps the task from being tried again unless that is asked for."""
    last = store.last_attempt(task)
    stays = last and last["status"] in ("failed", "out_of_memory") and not runtime.retry_failed
    return last if stays else None


def _claimed(task: Task, runtime: Runtime, store: Store, held: ExitStack) -> Job | None:
    """An attempt at a task that can be begun now, locked until `held` lets go.

    None where it is done, waits, is someone else's, or has a checkpoint, from which it goes on alone.
    """
    with suppress(ResultsError):  # which is told when the task's own turn comes
        if store.record(task) is None and not _waits(store, task, runtime):
            folder = store.begin(task)
            lock = TaskLock(folder)
            if not (folder / CHECKPOINT).exists() and lock.acquire():
                held.callback(lock.release)
                return Job(task, runtime, store, lock) if store.record(task) is None else None
    return None


def _attempt(job: Job) -> Outcome:
    task, runtime, store = job.task, job.runtime, job.store
    try:
        return job.run()
    except (Interrupted, KeyboardInterrupt) as error:
        done = error.done if isinstance(error, Interrupted) else 0
        timed_out = runtime.stop.signal == signal.SIGUSR2
        if timed_out and _stuck(store.last_attempt(task), done):
            return job.failed("failed", f"no step was done between two time limits: {done} steps after each")
        why = str(error) or "stopped before its first step"
        store.attempt(task, "timed_out" if timed_out else "interrupted", why, steps=done)
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        return job.failed("out_of_memory", str(error).partition("\n")[0] or "out of memory")
    except BenchmarkError as error:
        return job.failed("interrupted" if error.passing else "failed", _sentence(error))
    except MethodError as error:
        return job.failed("failed", _sentence(error))
    except ResultsError as error:
        return job.failed("interrupted", _sentence(error))
    except Exception as error:  # noqa: BLE001 -- one task's fault must not stop the others; the log has it whole
        job.log(traceback.format_exc())
        status = "out_of_memory" if out_of_memory(error) else "failed"  # a CPU's RuntimeError
        return job.failed(status, f"{type(error).__name__}: {error} (see {job.folder / 'log.txt'})")


def _stuck(last: Mapping[str, Any] | None, done: int) -> bool:
    """Whether the try before this one, too, ran into its time limit after as many steps: a third would do no better."""
    return last is not None and last["status"] == "timed_out" and last.get("steps", 0) >= done


def _sentence(error: BenchmarkError | MethodError | ResultsError) -> str:
    return " ".join(part for part in (error.what, error.where and f"({error.where})", error.next) if part)
