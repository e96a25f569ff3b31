"""Interruption: signals that ask a task to stop, and the flag that is looked at between its steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the last one: a scheduler's time limit is near


class Interrupted(Exception):
    """A signal asked the task to stop; its checkpoint is written, `done` steps are in it."""

    def __init__(self, message: str, done: int) -> None:
        super().__init__(message)
        self.done = done


@dataclass
class StopFlag:
    """Raised by a signal, looked at between steps. If it `escalates`, a second one stops at once."""

    signal: int = 0
    turning: bool = False
    escalates: bool = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        at_once = self.escalates and (self.signal or not self.turning)
        self.signal = number
        if at_once:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals to stop while inside; only possible in a process's main thread."""
        before = {number: signal.signal(number, self.handle) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
