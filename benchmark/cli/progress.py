"""Progress of loading datasets and of running tasks: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import fmean
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from benchmark.cli.console import Console
from results.formatting import duration

LINE_SECONDS = 15.0  # between plain lines of one task
DRAW_SECONDS = 0.1  # between two updates of one bar, however fast the steps are


def open_console() -> Console:
    """A console that breaks lines between words on a terminal, and keeps them whole in a file."""
    console = Console()
    console.soft_wrap = not console.is_terminal
    return console


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
    left: float | None = None  # seconds
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


class Shortened(ProgressColumn):
    """A text that gets the room which the other columns leave, cut with an ellipsis."""

    def __init__(self, text: Callable[[Task], str]) -> None:
        super().__init__(Column(no_wrap=False))  # columns that may not wrap keep their width
        self.text = text

    def render(self, task: Task) -> Text:
        return Text(self.text(task), no_wrap=True, overflow="ellipsis")


class TimeLeft(TimeRemainingColumn):
    """The time left as a field of the task gives it, else by the speed of its steps."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["left"], "progress.remaining") if task.fields.get("left") else super().render(task)


class TaskProgress:
    """Progress of the tasks of a run, one or several at a time, with losses, speed and time left.

    A bar, its counts and the time left are always whole; the name and the losses are shortened to fit.
    kinds: of all tasks, by name, those that take equally long. workers: how many tasks run at once. mode: bar, plain,
    none, or auto, which is bar on a terminal and else plain.
    """

    def __init__(self, console: Console, kinds: Mapping[str, Hashable], workers: int = 1, mode: str = "auto") -> None:
        mode = ("bar" if console.is_terminal else "plain") if mode == "auto" else mode
        if mode == "bar" and not console.is_terminal:
            console = Console(force_terminal=True)
        self.lines = mode == "plain"
        self.console, self.total, self.ended = console, len(kinds), 0
        self.waiting, self.workers, self.seconds = dict(kinds), workers, dict[Hashable, float]()
        self.bars = Progress(
            Shortened(lambda task: task.description),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeLeft(),
            Shortened(lambda task: f"{task.fields['speed']} {task.fields['losses']}"),
            console=console,
            transient=True,
            disable=mode != "bar",
        )
        self.whole = self.bars.add_task("all tasks", total=self.total, speed="", losses="")
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
            if done > 1:
                self.say(f"{name}: goes on from step {done - 1:,} of {total:,}")
        if now - task_bar.updated < DRAW_SECONDS and done < total:
            return
        task_bar.updated = now
        steps = done - task_bar.first[1]
        speed = steps / max(now - task_bar.first[0], 1e-9)
        rate = f"{speed:.3g} steps/s" if steps > 1 else ""
        values = "  ".join(f"{loss} {value:.4g}" for loss, value in losses.items())
        self.bars.update(task_bar.bar, completed=done, total=total, speed=rate, losses=values)
        if steps > 1 and name in self.waiting:
            task_bar.left, self.seconds[self.waiting[name]] = (total - done) / speed, total / speed
            self.bars.update(self.whole, left=self._left())
        if self.lines and now - task_bar.last_line >= LINE_SECONDS and done < total:
            task_bar.last_line = now
            self.say(f"{name}: {done}/{total}, {rate}, {duration((total - done) / max(speed, 1e-9))} left, {values}")

    def end(self, name: str, text: str) -> None:
        """Remove the bar of a task that has ended, and print how it ended."""
        self.ended += 1
        self.waiting.pop(name, None)
        if task_bar := self.task_bars.pop(name, None):
            self.bars.remove_task(task_bar.bar)
        self.bars.update(self.whole, completed=self.ended, left=self._left())
        self.say(f"[{self.ended}/{self.total}] {name}: {text}")

    def _left(self) -> str:
        """The time that all tasks left will take, "" before a task has taken steps.

        A task takes its steps times the measured seconds of one, or as long as others of its kind, or the mean of them.
        """
        if not self.seconds:
            return ""
        mean, left = fmean(self.seconds.values()), 0.0
        for name, kind in self.waiting.items():
            running = self.task_bars[name].left if name in self.task_bars else None
            left += self.seconds.get(kind, mean) if running is None else running
        return str(timedelta(seconds=round(left / min(self.workers, len(self.waiting) or 1))))

    def say(self, text: str) -> None:
        self.bars.console.print(text, markup=False, highlight=False)

    def _bar_of(self, name: str) -> TaskBar:
        if name not in self.task_bars:
            self.task_bars[name] = TaskBar(self.bars.add_task(name, total=None, speed="", losses=""))
        return self.task_bars[name]
