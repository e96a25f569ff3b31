"""How far a task is, in a small file of its folder, for whoever looks on from another process or machine."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from benchmark.execution.run_steps import Progress
from results.errors import ResultsError
from results.store.atomic_files import write_json_atomic

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
            write_json_atomic(self.path, {"done": done, "total": total, "rate": rate, "losses": losses})

    def end(self) -> None:
        """Nothing is running any more: the file goes."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
