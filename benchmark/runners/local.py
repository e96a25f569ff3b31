"""Running a plan on this machine: tasks one after the other in this process, or several at once in worker processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_messages
from typing import Any

from benchmark.execution.again import made_by_other_code
from benchmark.execution.runtime import Outcome, Runtime, Task, record_message
from benchmark.execution.stop_signals import Interrupted, StopFlag, announce_stop
from benchmark.planning.plan import inputs_of, pool_of, task_name
from benchmark.runners.held_tasks import HeldTasks
from benchmark.tasks.execute import execute, failure_not_retried
from benchmark.tasks.prepare import identities_in_checkpoint
from benchmark.utils.stopping import STOPS, Stopped
from results.errors import ResultsError
from results.store.schema import Status
from results.store.store import Store

OnStep = Callable[[str, int, int, dict[str, float]], None]  # task's name, steps done, all steps, losses
OnEnd = Callable[[str, Outcome], None]  # task's name, how it ended
Say = Callable[[str], None]  # a sentence for the user

_STOPPED = Outcome(Status.STOPPED)  # only sent by a worker to the process that stopped it
_POLL_SECONDS = 0.2
_REPORT_SECONDS = 0.1  # the least time between two progress messages of a worker
_GRACE_SECONDS = 20.0  # for workers to write their checkpoints when this process fails


def run_tasks(
    tasks: Sequence[Task],
    runtime: Runtime,
    workers: int,
    on_step: OnStep,
    on_end: OnEnd,
    say: Say = lambda text: None,
) -> None:
    """Run all tasks, inputs first; call back after steps and at the end of each task. Raises Stopped after a signal.

    A task that another process has locked is waited for, with the tasks that need it, while the others go on.
    tasks: in the plan's order. workers: the number of processes; with 1, tasks run in this one.
    """
    to_do, runtime.stop.say = _without_done(tasks, runtime, on_end), say
    if workers == 1:
        _run_in_this_process(to_do, runtime, on_step, on_end, say)
    else:
        _WorkerPool(to_do, runtime, workers, on_step, on_end, say).run()


def _without_done(tasks: Sequence[Task], runtime: Runtime, on_end: OnEnd) -> list[Task]:
    """The tasks that are not done, or have an input that is not: then it may be made again with another content."""
    recorded = {task["identity"]: record for task, record in Store(runtime.store_root).recorded(tasks)}
    to_do: dict[str, Task] = {}
    for task in tasks:
        record = recorded.get(task["identity"])
        if record and not to_do.keys() & inputs_of(task) and not made_by_other_code(record, runtime.again):
            on_end(task_name(task), Outcome(Status.DONE, record_message(record)))
        else:
            to_do[task["identity"]] = task
    return list(to_do.values())


def _run_in_this_process(tasks: Sequence[Task], runtime: Runtime, on_step: OnStep, on_end: OnEnd, say: Say) -> None:
    waiting, held = {task["identity"]: task for task in tasks}, HeldTasks(runtime, say)
    experts = _PendingExperts(tasks, runtime)

    def companion_ended(identity: str, outcome: Outcome) -> None:
        on_end(task_name(waiting.pop(identity)), outcome)

    def run(task: Task) -> None:
        name = task_name(task)
        task_runtime = replace(runtime, progress=partial(on_step, name), on_companion_end=companion_ended)
        outcome = execute(task, task_runtime, experts.companions(task, waiting))
        if outcome.status == Status.HELD:
            held.add(task)
        else:
            on_end(name, outcome)
        if outcome.ends_run:
            waiting.clear()
            held.clear()

    with runtime.stop.installed():
        try:
            while waiting or held.identities():
                if runtime.stop.signal:  # it arrived between two tasks
                    raise Stopped(runtime.stop.signal)
                waiting = held.take_free() | waiting  # inputs come first
                task = _first_ready(waiting, held.identities())
                for expired, outcome in held.take_expired(idle=task is None):
                    on_end(task_name(expired), outcome)
                if task is not None:
                    run(waiting.pop(task["identity"]))
                elif held.identities():
                    time.sleep(_POLL_SECONDS)
        except (Interrupted, KeyboardInterrupt) as error:
            raise Stopped(runtime.stop.signal, str(error)) from error


def _first_ready(waiting: Mapping[str, Task], unfinished: Set[str]) -> Task | None:
    """The first waiting task of which no input waits or is unfinished."""
    unfinished = unfinished | waiting.keys()
    return next((task for task in waiting.values() if not unfinished & inputs_of(task)), None)


class _PendingExperts:
    """The experts that are not trained yet, by pool. Empty where networks are trained one after the other.

    Experts of one pool can be trained together by the task of one of them; the others are its companions.
    """

    def __init__(self, tasks: Sequence[Task], runtime: Runtime) -> None:
        store = Store(runtime.store_root)
        self.pools = defaultdict[str | None, list[Task]](list)
        if runtime.compute.num_parallel != 1:
            for task in tasks:
                if (pool := pool_of(task)) is not None and _is_pending(store, task, runtime):
                    self.pools[pool].append(task)

    def companions(self, task: Task, waiting: Mapping[str, Task]) -> list[Task]:
        """The waiting experts that can be trained together with a task."""
        pool = pool_of(task) if self.pools else None
        return [other for other in self.pools[pool] if other["identity"] in waiting] if pool else []


def _is_pending(store: Store, task: Task, runtime: Runtime) -> bool:
    try:
        return store.record(task) is None and failure_not_retried(store, task, runtime) is None
    except ResultsError:  # reported when the task itself runs
        return False


# --- worker processes: what this process does -------------------------------------------------------------------------


@dataclass(frozen=True)
class _CompanionOutcome:
    """A worker's message: how an expert ended that was trained together with the worker's task."""

    identity: str
    outcome: Outcome


class _Worker:
    """A process that runs the tasks it is sent, one at a time. Each has its own pipe, so none can block another."""

    def __init__(self, context: Any, runtime: Runtime, index: int) -> None:
        self.index = index
        self.pipe, far_end = context.Pipe()
        self.process = context.Process(target=_worker_main, args=(far_end, runtime), daemon=True)
        resource_tracker.ensure_running()  # the first worker would start it, which unblocks signals
        # The child inherits the blocked signals, and unblocks them when its handlers are installed.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        self.process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        far_end.close()
        self.task: Task | None = None
        self.companions: dict[str, Task] = {}  # by identity

    def start(self, task: Task, companions: Sequence[Task]) -> None:
        self.task, self.companions = task, {other["identity"]: other for other in companions}
        with suppress(OSError):  # the process is dead, which is noticed when its pipe is read
            self.pipe.send((task, companions))

    def signal(self, number: int) -> None:
        if self.process.pid and self.process.is_alive():
            os.kill(self.process.pid, number)

    def close(self, grace: float) -> None:
        """Close the pipe, which ends the process; kill it if it is still there after `grace` seconds."""
        self.pipe.close()
        self.process.join(grace)
        self.process.kill()
        self.process.join()


class _WorkerPool:
    """Workers, and the tasks that wait for one; a task starts when all its inputs of this plan have ended."""

    def __init__(
        self, tasks: Sequence[Task], runtime: Runtime, workers: int, on_step: OnStep, on_end: OnEnd, say: Say
    ) -> None:
        self.held, self.say = HeldTasks(runtime, say), say
        self.waiting, self.experts = {task["identity"]: task for task in tasks}, _PendingExperts(tasks, runtime)
        self.runtime, self.on_step, self.on_end = replace(runtime, stop=StopFlag()), on_step, on_end
        self.max_workers, self.workers = workers, list[_Worker]()
        self.stop_signal = runtime.stop.signal  # 0 until one arrives
        self.passed_on = 0  # the signal that workers get for it
        self.escalates = runtime.stop.escalates
        self.interrupted = False  # whether a running task was
        self.ended = False  # whether an outcome has ended the run
        # Spawned, not forked: a forked child of a process that has used torch's threads can hang.
        self.context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        try:
            with self._listening():
                while self._busy() or (self._unfinished() and not self.stop_signal):
                    self.waiting = self.held.take_free() | self.waiting  # inputs come first
                    self._start_tasks()
                    for task, outcome in self.held.take_expired(idle=not self._busy()):
                        self.on_end(task_name(task), outcome)
                    for pipe in wait_for_messages([worker.pipe for worker in self._busy()], timeout=_POLL_SECONDS):
                        self._receive(next(worker for worker in self.workers if worker.pipe is pipe))
        except BaseException:
            for worker in self.workers:
                worker.process.terminate()  # which writes its checkpoint, then ends
            raise
        finally:
            for worker in self.workers:
                worker.close(_GRACE_SECONDS)
        if self.stop_signal and (self._unfinished() or self.interrupted):
            raise Stopped(self.stop_signal)

    def _unfinished(self) -> Set[str]:
        """The identities of tasks that wait for a worker or for another process."""
        return self.waiting.keys() | self.held.identities()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.task is not None]

    def _start_tasks(self) -> None:
        """Give each idle worker a task whose inputs have ended."""
        running = [task for worker in self._busy() for task in (worker.task, *worker.companions.values()) if task]
        unfinished = self._unfinished() | {task["identity"] for task in running}
        for identity, task in list(self.waiting.items()):
            if self.stop_signal or len(self._busy()) == self.max_workers:
                return
            if identity in self.waiting and not unfinished & inputs_of(task):
                del self.waiting[identity]
                worker = self._idle_worker()
                worker.start(task, self._take_companions(task))
                if self.stop_signal:  # it arrived before the worker was listed or had its task
                    worker.signal(self.passed_on)

    def _take_companions(self, task: Task) -> list[Task]:
        """Remove a task's companions from those that wait: the ones in its checkpoint, else an idle worker's share."""
        companions = self.experts.companions(task, self.waiting)
        idle = self.max_workers - len(self._busy())
        share = companions[: math.ceil((1 + len(companions)) / idle) - 1]
        with suppress(ResultsError):  # the folder belongs to another task, which is reported when this one runs
            folder = Store(self.runtime.store_root).folder(task)
            if companions and (begun := identities_in_checkpoint(folder)) is not None:
                share = [other for other in companions if other["identity"] in begun]
        for other in share:
            del self.waiting[other["identity"]]
        return share

    def _idle_worker(self) -> _Worker:
        for worker in self.workers:
            if worker.task is None:
                return worker
        index = min(set(range(self.max_workers)) - {worker.index for worker in self.workers})
        runtime = replace(self.runtime, compute=self.runtime.compute.for_worker(index))
        self.workers.append(_Worker(self.context, runtime, index))
        return self.workers[-1]

    def _receive(self, worker: _Worker) -> None:
        """Handle one message of a worker, or its death: other workers go on, and a new one replaces it."""
        assert worker.task is not None
        name = task_name(worker.task)
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self.workers.remove(worker)
            worker.close(0.0)
            message = (
                _STOPPED if self.stop_signal else Outcome(Status.FAILED, "its process died: killed, or out of memory")
            )
        if isinstance(message, Outcome):
            self.waiting |= worker.companions  # those that were not trained
            task, worker.task, worker.companions = worker.task, None, {}
            self.interrupted |= message == _STOPPED
            if message.status == Status.HELD:
                self.held.add(task)
            elif message != _STOPPED and not (self.ended and message.ends_run):  # it is said once
                self.on_end(name, message)
            if message.ends_run:
                self.ended = True
                self.waiting.clear()
                self.held.clear()
        elif isinstance(message, _CompanionOutcome):
            self.on_end(task_name(worker.companions.pop(message.identity)), message.outcome)
        else:
            self.on_step(name, *message)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Pass stop signals on to the workers, which write checkpoints; a second Ctrl-C or SIGTERM kills them."""

        def stop(number: int, frame: object) -> None:
            if not self.stop_signal:
                announce_stop(self.say)
            again = self.escalates and self.stop_signal not in (0, signal.SIGUSR2)
            # A worker has to know a time limit from other reasons to stop, which are all the same to it.
            passed_on = number if number == signal.SIGUSR2 else signal.SIGTERM
            self.stop_signal, self.passed_on = number, signal.SIGKILL if again else passed_on
            for worker in self.workers:
                worker.signal(self.passed_on)

        handlers = {number: signal.signal(number, stop) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


# --- worker processes: what a worker does -----------------------------------------------------------------------------


def _worker_main(pipe: Connection, runtime: Runtime) -> None:
    """Run each task that arrives on the pipe and send its progress and outcome; return when the pipe is closed."""
    stop = StopFlag(escalates=False)  # Ctrl-C of the terminal and the main process's signal may both arrive
    for number in STOPS:
        signal.signal(number, stop.handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    last_report = 0.0

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        nonlocal last_report
        if (now := time.monotonic()) - last_report < _REPORT_SECONDS and done < total:
            return
        last_report = now
        send((done, total, losses))

    def send(message: object) -> None:
        try:
            pipe.send(message)
        except OSError:  # the main process is gone: write a checkpoint and end, too
            stop.signal = signal.SIGTERM

    def companion_ended(identity: str, outcome: Outcome) -> None:
        send(_CompanionOutcome(identity, outcome))

    runtime = replace(runtime, progress=progress, stop=stop, on_companion_end=companion_ended)
    while not stop.signal:
        try:
            task, companions = pipe.recv()
        except (EOFError, OSError):
            return
        last_report = 0.0  # the first step of each task is reported
        try:
            outcome = execute(task, runtime, companions)
        except (Interrupted, KeyboardInterrupt):
            outcome = _STOPPED
        with suppress(OSError):
            pipe.send(outcome)
