"""What a person sees while tasks run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 15.0  # between plain lines of one task


class Screen:
    """Shows the tasks of a run one after the other, with losses, speed and time left."""

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self.number = console, total, 0
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.whole = self.bars.add_task("all tasks", total=total, speed="", losses="")
        self.bar = self.bars.add_task("", total=None, visible=False, speed="", losses="")
        self.name = ""
        self.first: tuple[float, int] | None = None  # the clock and the step at which this task's speed is counted from
        self.drawn, self.line = 0.0, time.monotonic()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bars.stop()

    def begin(self, name: str) -> None:
        """A task starts."""
        self.number += 1
        self.name, self.first, self.drawn, self.line = name, None, 0.0, time.monotonic()
        self.bars.reset(self.bar, description=name, total=None, visible=True, speed="", losses="")

    def step(self, done: int, total: int, losses: dict[str, float]) -> None:
        """A step of the task is done; drawn a few times a second, however fast the steps are."""
        now = time.monotonic()
        if self.first is None:
            self.first = (now, done - 1)
        if now - self.drawn < 0.1 and done < total:
            return
        self.drawn = now
        speed = (done - self.first[1]) / max(now - self.first[0], 1e-9)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        rate = f"{speed:.3g} steps/s" if done - self.first[1] > 1 else ""
        self.bars.update(self.bar, completed=done, total=total, speed=rate, losses=shown)
        if not self.console.is_terminal and now - self.line >= LINE_SECONDS and done < total:
            self.line = now
            left = (total - done) / max(speed, 1e-9)
            self.say(f"{self.name}: {done}/{total}, {rate}, {left:.0f} s left, {shown}")

    def end(self, text: str) -> None:
        """The task is over; `text` says how."""
        self.bars.update(self.bar, visible=False)
        self.bars.update(self.whole, completed=self.number)
        self.say(f"[{self.number}/{self.total}] {self.name}: {text}")

    def say(self, text: str) -> None:
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
