"""Doing a plan on this machine: tasks one after the other in this process, or several at once in worker processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as ready
from typing import Any

from benchmark.execution.interruption import STOPS, Interrupted, StopFlag
from benchmark.execution.runtime import Outcome, Runtime
from benchmark.planning.plan import inputs_of as inputs_of
from benchmark.planning.plan import pool_of
from benchmark.tasks.execute import execute, waits
from benchmark.tasks.prepare import begun_in
from results.errors import ResultsError
from results.store.store import Store

Task = Mapping[str, Any]
OnStep = Callable[[str, int, int, dict[str, float]], None]  # task name, steps done, steps in all, losses
OnEnd = Callable[[str, Outcome], None]


class Stopped(KeyboardInterrupt):
    """A signal, `number`, stopped the tasks; what each had done is in its checkpoint."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True)
class _Beside:
    """How a task ended that a worker did along with its own."""

    identity: str
    outcome: Outcome


_STOPPED = Outcome("stopped")  # only travels from a worker to the process that told it to stop
_POLL_SECONDS = 0.2
_EVENT_SECONDS = 0.1  # between two reports of one task
_GRACE_SECONDS = 20.0  # for workers to write their checkpoints when this process fails


def name_of(task: Task) -> str:
    """What a person calls a task."""
    return f"{task['kind']} {task['slug']}"


def run_tasks(tasks: Sequence[Task], runtime: Runtime, workers: int, on_step: OnStep, on_end: OnEnd) -> None:
    """Do all tasks, inputs first, telling of every step and end. Raises Stopped when told to stop."""
    if workers == 1:
        _here(tasks, runtime, on_step, on_end)
    else:
        _Pool(tasks, runtime, workers, on_step, on_end).run()


def _here(tasks: Sequence[Task], runtime: Runtime, on_step: OnStep, on_end: OnEnd) -> None:
    with runtime.stop.listening():
        waiting, experts = {task["identity"]: task for task in tasks}, _Experts(tasks, runtime)

        def ended(identity: str, outcome: Outcome) -> None:
            on_end(name_of(waiting.pop(identity)), outcome)

        while waiting:
            if runtime.stop.signal:  # it came between two tasks
                raise Stopped(runtime.stop.signal)
            task = waiting.pop(next(iter(waiting)))
            try:
                told = replace(runtime, progress=partial(on_step, name_of(task)), ended=ended)
                outcome = execute(task, told, experts.beside(task, waiting))
            except (Interrupted, KeyboardInterrupt) as error:
                raise Stopped(runtime.stop.signal, f"{name_of(task)} {error}") from error
            on_end(name_of(task), outcome)


class _Experts:
    """Experts that are still to be trained, by their pools; none where networks learn one after the other."""

    def __init__(self, tasks: Sequence[Task], runtime: Runtime) -> None:
        store, self.pools = Store(runtime.out), defaultdict[str | None, list[Task]](list)
        for task in tasks if runtime.compute.num_parallel != 1 else ():
            if (pool := pool_of(task)) is not None and _to_do(store, task, runtime):
                self.pools[pool].append(task)

    def beside(self, task: Task, waiting: Mapping[str, Task]) -> list[Task]:
        """The experts among those that wait that may be trained along with a task."""
        pool = pool_of(task) if self.pools else None
        return [other for other in self.pools[pool] if other["identity"] in waiting] if pool else []


def _to_do(store: Store, task: Task, runtime: Runtime) -> bool:
    try:
        return store.record(task) is None and waits(store, task, runtime) is None
    except ResultsError:  # told when its turn comes
        return False


class _Worker:
    """A process that does the tasks it is sent, one at a time, over a pipe of its own: none can block another."""

    def __init__(self, context: Any, runtime: Runtime, place: int) -> None:
        self.place = place
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, runtime), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # the child begins so: deaf until it has its handlers
        self.process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.task: Task | None = None
        self.alike: dict[str, Task] = {}  # experts that it may train along with its task, by their identities

    def begin(self, task: Task, alike: list[Task]) -> None:
        self.task, self.alike = task, {other["identity"]: other for other in alike}
        with suppress(OSError):  # it died: the next look at its pipe tells
            self.pipe.send((task, alike))

    def end(self, grace: float) -> None:
        """Close its pipe, at which it ends; kill it if it has not within `grace` seconds."""
        self.pipe.close()
        self.process.join(grace)
        self.process.kill()
        self.process.join()


class _Pool:
    """Workers, and the tasks of a plan; a task starts when all its inputs of this plan have ended."""

    def __init__(self, tasks: Sequence[Task], runtime: Runtime, workers: int, on_step: OnStep, on_end: OnEnd) -> None:
        self.waiting, self.experts = {task["identity"]: task for task in tasks}, _Experts(tasks, runtime)
        self.runtime, self.most, self.on_step, self.on_end = replace(runtime, stop=StopFlag()), workers, on_step, on_end
        self.workers: list[_Worker] = []
        self.cut_short = False  # whether a task was
        self.stopping = runtime.stop.signal  # the signal that said so; it may have come before
        self.escalates = runtime.stop.escalates
        # Spawned, not forked: a forked child of a process that has used torch's threads can hang.
        self.context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        try:
            with self._listening():
                while self._busy() or (self.waiting and not self.stopping):
                    self._give_out()
                    for pipe in ready([worker.pipe for worker in self._busy()], timeout=_POLL_SECONDS):
                        self._hear(next(worker for worker in self.workers if worker.pipe is pipe))
        except BaseException:
            for worker in self.workers:
                worker.process.terminate()  # checkpoint, then end
            raise
        finally:
            for worker in self.workers:
                worker.end(_GRACE_SECONDS)
        if self.stopping and (self.waiting or self.cut_short):
            raise Stopped(self.stopping)

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.task is not None]

    def _give_out(self) -> None:
        at_work = [task for worker in self.workers if worker.task for task in (worker.task, *worker.alike.values())]
        unfinished = self.waiting.keys() | {task["identity"] for task in at_work}
        for identity, task in list(self.waiting.items()):
            if self.stopping or len(self._busy()) == self.most:
                return
            if identity in self.waiting and not unfinished & inputs_of(task):
                del self.waiting[identity]
                self._idle().begin(task, self._taken_along(task))

    def _taken_along(self, task: Task) -> list[Task]:
        """Experts like this one, no longer waiting: those in its checkpoint, else an idle worker's share."""
        alike, idle = self.experts.beside(task, self.waiting), self.most - len(self._busy())
        share = alike[: math.ceil((1 + len(alike)) / idle) - 1]
        with suppress(ResultsError):  # of a folder that is another task's: told when it is done
            if alike and (begun := begun_in(Store(self.runtime.out).folder(task))) is not None:
                share = [other for other in alike if other["identity"] in begun]
        for other in share:
            del self.waiting[other["identity"]]
        return share

    def _idle(self) -> _Worker:
        for worker in self.workers:
            if worker.task is None:
                return worker
        place = min(set(range(self.most)) - {worker.place for worker in self.workers})
        runtime = replace(self.runtime, compute=self.runtime.compute.on(place))
        self.workers.append(_Worker(self.context, runtime, place))
        return self.workers[-1]

    def _hear(self, worker: _Worker) -> None:
        assert worker.task is not None
        name = name_of(worker.task)
        try:
            told = worker.pipe.recv()
        except (EOFError, OSError):  # it is dead; the others go on, and a new one takes its place
            self.workers.remove(worker)
            worker.end(0.0)
            told = _STOPPED if self.stopping else Outcome("failed", "its process died: killed, or out of memory")
        if isinstance(told, Outcome):
            self.waiting |= worker.alike
            worker.task, worker.alike = None, {}
            self.cut_short |= told == _STOPPED
            if told != _STOPPED:
                self.on_end(name, told)
        elif isinstance(told, _Beside):
            self.on_end(name_of(worker.alike.pop(told.identity)), told.outcome)
        else:
            self.on_step(name, *told)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Pass signals to stop on to the workers, which checkpoint; a second Ctrl-C or SIGTERM kills them."""

        def stop(number: int, frame: object) -> None:
            again = self.escalates and self.stopping not in (0, signal.SIGUSR2)
            for worker in self.workers:
                if worker.process.pid and worker.process.is_alive():
                    os.kill(worker.process.pid, signal.SIGKILL if again else _passed_on(number))
            self.stopping = number

        before = {number: signal.signal(number, stop) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _passed_on(number: int) -> int:
    """A worker learns of a time limit as such; anything else is a plain wish to stop."""
    return signal.SIGUSR2 if number == signal.SIGUSR2 else signal.SIGTERM


def _serve(pipe: Connection, runtime: Runtime) -> None:
    """A worker's life: do each task that comes, tell of its steps and its end; end when the pipe closes."""
    stop = StopFlag(escalates=False)  # the terminal's Ctrl-C and the other process's signal may both come
    for number in STOPS:
        signal.signal(number, stop.handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    told = 0.0

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        nonlocal told
        if (now := time.monotonic()) - told < _EVENT_SECONDS and done < total:
            return
        told = now
        tell((done, total, losses))

    def tell(what: object) -> None:
        try:
            pipe.send(what)
        except OSError:  # the other process is gone, however it ended: checkpoint and follow
            stop.signal = signal.SIGTERM

    def ended(identity: str, outcome: Outcome) -> None:
        tell(_Beside(identity, outcome))

    mine = replace(runtime, progress=progress, stop=stop, ended=ended)
    while not stop.signal:
        try:
            task, alike = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            outcome = execute(task, mine, alike)
        except (Interrupted, KeyboardInterrupt):
            outcome = _STOPPED
        with suppress(OSError):
            pipe.send(outcome)
