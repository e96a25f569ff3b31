"""Interruption: the signals that stop a task, and the flag that is checked between its steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from benchmark.utils.stopping import STOPS, in_import

_ANNOUNCE_SECONDS = 0.2  # to wait for the sentence on the screen


class Interrupted(Exception):
    """A signal stopped the task after `done` steps; its checkpoint is written."""

    def __init__(self, message: str, done: int) -> None:
        super().__init__(message)
        self.done = done


@dataclass
class StopFlag:
    """The signal that a task should stop for, 0 for none. It is checked between steps.

    running: whether steps are being run, after which a checkpoint is written. escalates: whether a second signal, or
    one that arrives while no steps run, raises KeyboardInterrupt at once. say: called with a sentence at the first one.
    """

    signal: int = 0
    running: bool = False
    escalates: bool = True
    say: Callable[[str], None] | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        at_once = self.escalates and (self.signal or not (self.running or in_import(frame)))
        if not self.signal and self.say:
            announce_stop(self.say)
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


def announce_stop(say: Callable[[str], None]) -> None:
    """Say at once that saving begins; from a thread, as the interrupted code may be in the middle of printing."""
    thread = threading.Thread(target=say, args=("stopping, saving…",))
    thread.start()
    thread.join(_ANNOUNCE_SECONDS)
