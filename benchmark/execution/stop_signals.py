"""Interruption: the signals that stop a task, and the flag that is checked between its steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # a scheduler sends the last one before its time limit


class Interrupted(Exception):
    """A signal stopped the task after `done` steps; its checkpoint is written."""

    def __init__(self, message: str, done: int) -> None:
        super().__init__(message)
        self.done = done


@dataclass
class StopFlag:
    """The signal that a task should stop for, 0 for none. It is checked between steps.

    running: whether steps are being run, after which a checkpoint is written. escalates: whether a second signal, or
    one that arrives while no steps run, raises KeyboardInterrupt at once.
    """

    signal: int = 0
    running: bool = False
    escalates: bool = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        at_once = self.escalates and (self.signal or not self.running)
        self.signal = number
        if at_once:
            raise KeyboardInterrupt

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the stop signals inside the `with` block; only possible in a process's main thread."""
        before = {number: signal.signal(number, self.handle) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
