"""Signals that stop a command: it ends soon, without a traceback, with status 128 + the signal's number.

Tasks handle them in their own way while they run: see execution.stop_signals. Loads nothing heavy, as the first module.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

TIME_LIMIT = signal.SIGUSR2  # a scheduler sends it before a job's time limit
STOPS = (signal.SIGINT, signal.SIGTERM, TIME_LIMIT)


class Stopped(KeyboardInterrupt):
    """The signal `number` stopped the command, which has saved what it had to."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number


def exit_status(error: KeyboardInterrupt) -> int:
    """The status of a command that was stopped, as shells have it: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (error.number if isinstance(error, Stopped) and error.number else signal.SIGINT)


class _Handler:
    """Raises Stopped where a command is at work, once; ends the process at once at all other times."""

    def __init__(self) -> None:
        self.at_work, self.received = False, 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.at_work or self.received or in_import(frame):
            _exit(number)
        self.received = number
        raise Stopped(number)


_HANDLER = _Handler()


def install() -> None:
    """Handle the signals from now on. Nothing was begun yet: each ends the process at once."""
    for number in STOPS:
        signal.signal(number, _HANDLER)


@contextmanager
def handled() -> Iterator[None]:
    """While a command is at work: a signal raises Stopped, so that temporary files are removed; a second one does not.

    During an import the process ends at once, as code of other packages may swallow the exception or print it.
    """
    before = {number: signal.getsignal(number) for number in STOPS}
    install()
    _HANDLER.at_work, _HANDLER.received = True, 0
    try:
        yield
    finally:
        _HANDLER.at_work = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """After `seconds` in the `with` block, send this process what a scheduler sends before its time limit."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), TIME_LIMIT))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # a signal that was sent at the last moment arrives here


def was_received() -> int:
    """The signal that has raised Stopped, which other code may have replaced by another exception; 0 for none."""
    return _HANDLER.received


def in_import(frame: FrameType | None) -> bool:
    """Whether a module is being imported in this frame or one that called it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _exit(number: int) -> None:
    with suppress(Exception):  # the interrupted code may be writing to it
        sys.stdout.flush()
    show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # which progress bars hide
    with suppress(OSError):
        os.write(2, show_cursor + b"\nstopped\n")
    os._exit(128 + number)
