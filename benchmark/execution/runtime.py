"""How tasks are done, and how one ended: what passes between whoever runs tasks and whoever does one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.compute.engine import Compute
from benchmark.execution.run_steps import Progress, StopFlag


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

    status: str
    message: str = ""
    new: bool = False


def worded(record: Mapping[str, Any]) -> str:
    """How a finished task ended, where that is not plainly well."""
    return "" if record["status"] == "ok" else f"{record['status']}: {record['message']}"
