"""How tasks are done, and how one ended: what passes between whoever runs tasks and whoever does one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.compute.engine import Compute
from benchmark.execution.interruption import StopFlag
from benchmark.execution.work import Progress
from results.errors import ResultsError
from results.store.atomic_files import write_json
from results.store.schema import Status


def _silent(done: int, total: int, losses: dict[str, float]) -> None:
    """A progress callback for nobody."""


def _unheard(identity: str, outcome: Outcome) -> None:
    """The same for how tasks end."""


@dataclass
class Runtime:
    """How tasks are done: nothing here is part of what they ask.

    ended: told of every task that comes to an end along with the one that was begun, by its identity.
    """

    out: Path
    compute: Compute
    checkpoint_seconds: float = 30.0
    retry_failed: bool = False
    shared: bool = False  # whether other tasks run on this device meanwhile: such timings never mix with others
    progress: Progress = _silent
    ended: Callable[[str, Outcome], None] = _unheard
    stop: StopFlag = field(default_factory=StopFlag)


@dataclass(frozen=True)
class Outcome:
    """done (a record is there; `new` if this call wrote it), failed, waiting (for retry), held, or blocked."""

    status: Status
    message: str = ""
    new: bool = False


def worded(record: Mapping[str, Any]) -> str:
    """How a finished task ended, where that is not plainly well."""
    return "" if record["status"] == Status.OK else f"{record['status']}: {record['message']}"


FILE = "progress.json"


_FIRST_SECONDS, _SECONDS = 2.0, 10.0  # until the first word, and between two


class Pulse:
    """A progress callback that also keeps `progress.json`: steps done, steps in all, steps a second of this try."""

    def __init__(self, folder: Path, passed_on: Progress) -> None:
        self.path, self.passed_on = folder / FILE, passed_on
        self.first: tuple[float, int] | None = None  # when, and how many steps were done by then
        self.due = time.monotonic() + _FIRST_SECONDS

    def __call__(self, done: int, total: int, losses: dict[str, float]) -> None:
        self.passed_on(done, total, losses)
        now = time.monotonic()
        self.first = self.first or (now, done)
        if now < self.due or done == total:
            return
        self.due = now + _SECONDS
        began, before = self.first
        rate = (done - before) / max(now - began, 1e-9)
        with suppress(ResultsError):  # a full disk is told by what must be written
            write_json(self.path, {"done": done, "total": total, "rate": rate, "losses": losses})

    def end(self) -> None:
        """Nothing is running any more: the file goes."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
