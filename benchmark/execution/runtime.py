"""How tasks are run and how one ended: what runners pass to a task, and what it returns to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.compute.engine import Compute
from benchmark.execution.stop_signals import StopFlag
from benchmark.execution.work import StepProgress
from results.errors import ResultsError
from results.store.atomic_files import write_json
from results.store.schema import Status

Task = Mapping[
    str, Any
]  # a results.store.schema.StoredTask with `requested`: dataset and data_root as a command names them


def _no_progress(done: int, total: int, losses: dict[str, float]) -> None:
    """The default of `Runtime.progress`: pickled with it, so no lambda."""


def _no_companions(identity: str, outcome: Outcome) -> None:
    """The default of `Runtime.on_companion_end`."""


@dataclass
class Runtime:
    """How tasks are run; nothing here is part of a task's identity.

    shared: whether other tasks run on the device at the same time, which makes timings incomparable with others.
    max_wait_seconds: for tasks that another run has locked, once nothing else is left to do.
    again: methods whose sets are condensed again if other code made them. tracker: also shows losses, in `tensorboard`.
    on_companion_end: called with the identity and the outcome of each companion that `execute` finished with its task.
    """

    store_root: Path
    compute: Compute
    checkpoint_seconds: float = 30.0
    max_wait_seconds: float = 3600.0
    retry_failed: bool = False
    again: frozenset[str] = frozenset()
    tracker: str = "none"
    shared: bool = False
    progress: StepProgress = _no_progress
    on_companion_end: Callable[[str, Outcome], None] = _no_companions
    stop: StopFlag = field(default_factory=StopFlag)


@dataclass(frozen=True)
class Outcome:
    """How a call of `execute` ended.

    status: done (the task has a record; `new` if this call wrote it), failed, waiting (it failed before and is not
    retried), held (another process runs it; from a runner: still after the wait), blocked (an input is missing), or
    stopped. needs_retry: only `retry=failed` tries the task again. ends_run: other tasks would fail in the same way.
    """

    status: Status
    message: str = ""
    new: bool = False
    needs_retry: bool = False
    ends_run: bool = False


def record_message(record: Mapping[str, Any]) -> str:
    """The status and message of a finished task's record, "" if it is ok."""
    return "" if record["status"] == Status.OK else f"{record['status']}: {record['message']}"


_FIRST_SECONDS, _SECONDS = 2.0, 10.0  # before the first progress.json, and between two


class ProgressFile:
    """A StepProgress that also writes the task's progress.json: steps done, total, steps per second, and losses."""

    def __init__(self, folder: Path, progress: StepProgress) -> None:
        self.path, self.progress = folder / "progress.json", progress
        self.start: tuple[float, int] | None = None  # time of the first call, and the steps done by then
        self.due = time.monotonic() + _FIRST_SECONDS

    def __call__(self, done: int, total: int, losses: dict[str, float]) -> None:
        self.progress(done, total, losses)
        now = time.monotonic()
        self.start = self.start or (now, done)
        if now < self.due or done == total:
            return
        self.due = now + _SECONDS
        start_time, start_done = self.start
        rate = (done - start_done) / max(now - start_time, 1e-9)
        with suppress(ResultsError):  # on a full disk, the checkpoint's error says so
            write_json(self.path, {"done": done, "total": total, "rate": rate, "losses": losses})

    def remove(self) -> None:
        """Remove the file, as the task no longer runs."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
