"""Doing a plan on this machine: tasks one after the other in this process, or several at once in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from benchmark.crank import Interrupted, StopFlag
from benchmark.tasks import Outcome, Runtime, execute

Task = Mapping[str, Any]
OnStep = Callable[[str, int, int, dict[str, float]], None]  # task name, steps done, steps in all, losses
OnEnd = Callable[[str, Outcome], None]

_STOPPED = "stopped"  # an outcome that only travels from a worker to the process that told it to stop
_POLL_SECONDS = 0.1
_EVENT_SECONDS = 0.1  # between two reports of one task


def name_of(task: Task) -> str:
    """What a person calls a task."""
    return f"{task['kind']} {task['slug']}"


def run_tasks(tasks: Sequence[Task], runtime: Runtime, workers: int, on_step: OnStep, on_end: OnEnd) -> None:
    """Do all tasks, inputs first, telling of every step and end. Raises KeyboardInterrupt when told to stop."""
    if workers == 1:
        _here(tasks, runtime, on_step, on_end)
    else:
        _Pool(tasks, runtime, workers, on_step, on_end).run()


def _here(tasks: Sequence[Task], runtime: Runtime, on_step: OnStep, on_end: OnEnd) -> None:
    with runtime.stop.listening():
        for task in tasks:
            try:
                outcome = execute(task, replace(runtime, progress=partial(on_step, name_of(task))))
            except Interrupted as error:
                raise KeyboardInterrupt(f"{name_of(task)} {error}") from error
            on_end(name_of(task), outcome)


class _Pool:
    """Workers that each do one task at a time; a task starts when all its inputs of this plan have ended."""

    def __init__(self, tasks: Sequence[Task], runtime: Runtime, workers: int, on_step: OnStep, on_end: OnEnd) -> None:
        self.waiting = {task["identity"]: task for task in tasks}
        self.running: dict[Future[Outcome], Task] = {}
        self.runtime, self.workers, self.on_step, self.on_end = runtime, workers, on_step, on_end
        self.stopping = False
        # Spawned, not forked: a forked child of a process that has used torch's threads can hang.
        self.context = multiprocessing.get_context("spawn")
        self.events: Any = self.context.Queue()

    def run(self) -> None:
        start = (os.getpid(), self.events)
        plain = replace(self.runtime, stop=StopFlag())
        pool = ProcessPoolExecutor(self.workers, self.context, initializer=_begin_worker, initargs=start)
        with pool, self._listening():
            while self.running or (self.waiting and not self.stopping):
                self._submit(pool, plain)
                wait(self.running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                self._tell()
                self._collect()
        if self.stopping:
            raise KeyboardInterrupt

    def _submit(self, pool: ProcessPoolExecutor, runtime: Runtime) -> None:
        unfinished = self.waiting.keys() | {task["identity"] for task in self.running.values()}
        for identity, task in list(self.waiting.items()):
            if self.stopping or len(self.running) == self.workers:
                return
            if not unfinished & inputs_of(task):
                del self.waiting[identity]
                self.running[pool.submit(_work, task, runtime)] = task

    def _collect(self) -> None:
        for future in [future for future in self.running if future.done()]:
            task = self.running.pop(future)
            try:
                outcome = future.result()
            except BrokenProcessPool:
                self.waiting.clear()  # the pool takes no more; every task left goes on when run again
                outcome = Outcome("failed", "a worker process died: killed, or out of memory; run the same again")
            if outcome.status != _STOPPED:
                self.on_end(name_of(task), outcome)

    def _tell(self) -> None:
        while True:
            try:
                self.on_step(*self.events.get_nowait())
            except queue.Empty:
                return

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Pass SIGINT and SIGTERM on to the workers, which checkpoint; a second one kills them."""

        def stop(number: int, frame: object) -> None:
            for worker in multiprocessing.active_children():
                worker.kill() if self.stopping else worker.terminate()
            self.stopping = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def inputs_of(task: Task) -> set[str]:
    """Identities of the tasks whose results this one reads."""
    asked = task["asked"]
    return {*asked.get("experts", ()), *([asked["set"]] if "set" in asked else [])}


# --- in a worker ------------------------------------------------------------------------------------------------------

_stop = StopFlag(escalates=False)  # the terminal's Ctrl-C and the parent's signal may both come
_events: Any = None


def _begin_worker(parent: int, events: Any) -> None:
    global _events  # a pool's initialiser has no other way to hand things to its tasks
    _events = events
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop.handle)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End with the parent, however it ended: at the next step's checkpoint, or at once when no task is turning."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _stop.signal = signal.SIGTERM
    while _stop.turning:
        time.sleep(0.05)
    os._exit(1)


def _work(task: Task, runtime: Runtime) -> Outcome:
    if _stop.signal:
        return Outcome(_STOPPED)
    told = 0.0

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= _EVENT_SECONDS or done == total:
            told = now
            _events.put((name_of(task), done, total, losses))

    try:
        return execute(task, replace(runtime, progress=progress, stop=_stop))
    except (Interrupted, KeyboardInterrupt):
        return Outcome(_STOPPED)
