"""What a person sees while tasks run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

LINE_SECONDS = 15.0  # between plain lines of one task
DRAW_SECONDS = 0.1  # between two looks at one bar, however fast the steps are


def print_whole(console: Console, table: Table) -> None:
    """Print a table at the width it needs: a narrow terminal wraps its lines, nothing is cut."""
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    wide = Console(file=console.file, width=max(console.width, needed), force_terminal=console.is_terminal)
    wide.print(table)


@dataclass
class Shown:
    """One task on the screen; its speed is counted from the first step seen."""

    name: str
    bar: TaskID
    first: tuple[float, int] | None = None
    drawn: float = 0.0
    line: float = field(default_factory=time.monotonic)


class Reading:
    """How far fetching and decoding a dataset is: called as `datasets.base.Progress`, inside a `with`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.shown: dict[str, TaskID] = {}
        self.line = time.monotonic()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bars.stop()

    def __call__(self, label: str, done: int, total: int) -> None:
        if label not in self.shown:
            for over in self.shown.values():
                self.bars.remove_task(over)
            self.shown = {label: self.bars.add_task(label, total=total or None)}
        self.bars.update(self.shown[label], completed=done, total=total or None)
        if not self.console.is_terminal and time.monotonic() - self.line >= LINE_SECONDS:
            self.line = time.monotonic()
            self.console.print(f"{label}: {done:,}" + (f" of {total:,}" if total else ""), highlight=False)


class Screen:
    """Shows the tasks of a run, one or several at a time, with losses, speed and time left."""

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self.ended = console, total, 0
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[speed]} [dim]{task.fields[losses]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.whole = self.bars.add_task("all tasks", total=total, speed="", losses="")
        self.shown: dict[str, Shown] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bars.stop()

    def step(self, name: str, done: int, total: int, losses: dict[str, float]) -> None:
        """A step of the named task is done; its first one puts the task on the screen."""
        shown, now = self._find(name), time.monotonic()
        if shown.first is None:
            shown.first = (now, done - 1)
        if now - shown.drawn < DRAW_SECONDS and done < total:
            return
        shown.drawn = now
        steps = done - shown.first[1]
        speed = steps / max(now - shown.first[0], 1e-9)
        rate = f"{speed:.3g} steps/s" if steps > 1 else ""
        values = "  ".join(f"{loss} {value:.4g}" for loss, value in losses.items())
        self.bars.update(shown.bar, completed=done, total=total, speed=rate, losses=values)
        if not self.console.is_terminal and now - shown.line >= LINE_SECONDS and done < total:
            shown.line = now
            self.say(f"{name}: {done}/{total}, {rate}, {(total - done) / max(speed, 1e-9):.0f} s left, {values}")

    def end(self, name: str, text: str) -> None:
        """The named task is over; `text` says how."""
        self.ended += 1
        if shown := self.shown.pop(name, None):
            self.bars.remove_task(shown.bar)
        self.bars.update(self.whole, completed=self.ended)
        self.say(f"[{self.ended}/{self.total}] {name}: {text}")

    def say(self, text: str) -> None:
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _find(self, name: str) -> Shown:
        if name not in self.shown:
            self.shown[name] = Shown(name, self.bars.add_task(name, total=None, speed="", losses=""))
        return self.shown[name]
