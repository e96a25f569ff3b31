"""Progress of loading datasets and of running tasks: bars on a terminal, plain lines elsewhere."""

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

from results.formatting import duration

LINE_SECONDS = 15.0  # between plain lines of one task
DRAW_SECONDS = 0.1  # between two updates of one bar, however fast the steps are


def print_uncut(console: Console, table: Table) -> None:
    """Print a table at the width it needs: a narrow terminal wraps its lines, nothing is cut."""
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    wide = Console(file=console.file, width=max(console.width, needed), force_terminal=console.is_terminal)
    wide.print(table)


@dataclass
class TaskBar:
    """The bar of one task; its speed is counted from the first step that was reported."""

    bar: TaskID
    first: tuple[float, int] | None = None
    updated: float = 0.0
    last_line: float = field(default_factory=time.monotonic)


class LoadingProgress:
    """Progress of fetching and decoding datasets, and of probing: a `datasets.base.Progress`, used in a `with`."""

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
        self.last_line = time.monotonic()

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
        if not self.console.is_terminal and time.monotonic() - self.last_line >= LINE_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(f"{label}: {done:,}" + (f" of {total:,}" if total else ""), highlight=False)


class TaskProgress:
    """Progress of the tasks of a run, one or several at a time, with losses, speed and time left."""

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
        self.task_bars: dict[str, TaskBar] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bars.stop()

    def step(self, name: str, done: int, total: int, losses: dict[str, float]) -> None:
        """Report a step of the named task; its first one adds a bar."""
        task_bar, now = self._bar_of(name), time.monotonic()
        if task_bar.first is None:
            task_bar.first = (now, done - 1)
        if now - task_bar.updated < DRAW_SECONDS and done < total:
            return
        task_bar.updated = now
        steps = done - task_bar.first[1]
        speed = steps / max(now - task_bar.first[0], 1e-9)
        rate = f"{speed:.3g} steps/s" if steps > 1 else ""
        values = "  ".join(f"{loss} {value:.4g}" for loss, value in losses.items())
        self.bars.update(task_bar.bar, completed=done, total=total, speed=rate, losses=values)
        if not self.console.is_terminal and now - task_bar.last_line >= LINE_SECONDS and done < total:
            task_bar.last_line = now
            self.say(f"{name}: {done}/{total}, {rate}, {duration((total - done) / max(speed, 1e-9))} left, {values}")

    def end(self, name: str, text: str) -> None:
        """Remove the bar of a task that has ended, and print how it ended."""
        self.ended += 1
        if task_bar := self.task_bars.pop(name, None):
            self.bars.remove_task(task_bar.bar)
        self.bars.update(self.whole, completed=self.ended)
        self.say(f"[{self.ended}/{self.total}] {name}: {text}")

    def say(self, text: str) -> None:
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _bar_of(self, name: str) -> TaskBar:
        if name not in self.task_bars:
            self.task_bars[name] = TaskBar(self.bars.add_task(name, total=None, speed="", losses=""))
        return self.task_bars[name]
