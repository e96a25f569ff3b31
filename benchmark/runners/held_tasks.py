"""Tasks that another run on the same store is working on: this run waits for them while it does others."""

from __future__ import annotations

import time
from collections.abc import Callable, KeysView

from benchmark.execution.runtime import Outcome, Runtime, Task
from benchmark.planning.plan import task_name
from results.errors import ResultsError
from results.formatting import duration
from results.store.lock import LockWatch, owner_name
from results.store.schema import Status
from results.store.store import Store

_LOOK_SECONDS = 1.0  # between two looks at the locks


class HeldTasks:
    """The tasks of this run that other processes have locked.

    say: called with a sentence, once for each of these processes.
    """

    def __init__(self, runtime: Runtime, say: Callable[[str], None]) -> None:
        self._store, self._max_wait_seconds, self._say = Store(runtime.store_root), runtime.max_wait_seconds, say
        self._watches: dict[str, tuple[Task, LockWatch]] = {}  # by the task's identity
        self._named: set[str] = set()
        self._looked = self._idle_since = time.monotonic()

    def identities(self) -> KeysView[str]:
        return self._watches.keys()

    def add(self, task: Task) -> None:
        """Wait for a task that could not be locked."""
        watch = LockWatch(self._store.folder(task))
        self._watches[task["identity"]] = task, watch
        if not _is_free(watch) and (owner := owner_name(watch.owner)) not in self._named:
            self._named.add(owner)
            limit = duration(self._max_wait_seconds)
            self._say(f"waits for {owner}, which runs {task_name(task)}: at most {limit} (max_wait_seconds)")

    def take_free(self) -> dict[str, Task]:
        """Remove and return the tasks, by identity, that no process has locked any more: done, stopped or killed."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return {}
        self._looked = time.monotonic()
        free = {identity: task for identity, (task, watch) in self._watches.items() if _is_free(watch)}
        for identity in free:
            del self._watches[identity]
        return free

    def take_expired(self, idle: bool) -> list[tuple[Task, Outcome]]:
        """Remove and return all tasks, with outcomes, when this run has only waited for `max_wait_seconds`.

        idle: whether nothing else runs or can be run now.
        """
        if not idle:
            self._idle_since = time.monotonic()
        if not idle or time.monotonic() - self._idle_since < self._max_wait_seconds:
            return []
        expired, self._watches = list(self._watches.values()), {}
        return [(task, Outcome(Status.HELD, _still_held(watch))) for task, watch in expired]

    def clear(self) -> None:
        """Wait for none of them any longer."""
        self._watches.clear()


def _is_free(watch: LockWatch) -> bool:
    try:
        return watch.is_free()
    except ResultsError:  # reported when the task itself is run
        return True


def _still_held(watch: LockWatch) -> str:
    return f"{owner_name(watch.owner)} still runs it ({watch.path}); run again later, or raise max_wait_seconds"
