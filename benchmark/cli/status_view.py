"""The progress of a store as a table and lists of tasks, once or until all queued jobs have finished."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from benchmark.cli.console import Console
from benchmark.cli.main import print_error
from benchmark.cli.progress import LINE_SECONDS, print_uncut
from benchmark.runners.monitor import STATES, StoreStatus, read_status
from benchmark.runners.monitor import TaskStatus as TaskStatus
from results.formatting import duration
from results.store.schema import KINDS, Status

_MOST_NAMED = 20  # tasks of one state
_POLL_SECONDS = 5.0
_UNDER_WAY = (Status.QUEUED, Status.RUNNING)


def show(progress: StoreStatus, console: Console) -> None:
    """The counts, then the tasks that are running, queued, stopped, blocked and failed."""
    print_uncut(console, counts_table(progress))

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    def name(state: Status, title: str, detail: Callable[[TaskStatus], str]) -> None:
        tasks = progress.in_state(state)
        if tasks:
            say(f"{title}:")
        for task in tasks[:_MOST_NAMED]:
            job, more = f" (job {task.job})" if task.job else "", detail(task)
            say(f"  {task.name}{job}{': ' if more else ''}{more}")
        if len(tasks) > _MOST_NAMED:
            say(f"  … and {len(tasks) - _MOST_NAMED:,} more")

    for problem in progress.problems:
        print_error(problem)
    if progress.queue_problem:
        say(progress.queue_problem)
    name(Status.RUNNING, "running", _speed)
    for why, number in Counter(task.reason for task in progress.in_state(Status.QUEUED)).most_common():
        say(f"queued: {number:,}, {why or 'in the queue'}")
    name(Status.STOPPED, "stopped; the same command continues from their checkpoints", _ending)
    name(Status.BLOCKED, "blocked: an input of theirs has failed", lambda task: "")
    name(Status.FAILED, "failed; retry=failed tries them again", _failure)


def counts_table(progress: StoreStatus) -> Table:
    """Kinds of tasks down, states across."""
    table = Table(box=None)
    table.add_column("Tasks")
    for state in STATES:
        table.add_column(state.capitalize(), justify="right")
    for kind in KINDS:
        counts = progress.counts(kind)
        if any(counts.values()):
            table.add_row(kind, *(f"{counts[state]:,}" if counts[state] else "–" for state in STATES))
    return table


def _speed(task: TaskStatus) -> str:
    if not task.progress:
        return "begun"
    text = f"{task.progress['done']:,} of {task.progress['total']:,} steps, {task.progress['rate']:.3g} steps/s"
    left = task.seconds_left
    return text if left is None else f"{text}, {duration(left)} left"


def _ending(task: TaskStatus) -> str:
    """The reason, and where the job's own output is."""
    return f"{task.reason}{'; output: ' if task.log else ''}{task.log or ''}".lstrip("; ")


def _failure(task: TaskStatus) -> str:
    return "\n".join([task.reason, *(f"    {line}" for line in task.log_end)])


# --- waiting ----------------------------------------------------------------------------------------------------------


def wait_and_show(tasks: Sequence[Mapping[str, Any]], folder: Path, console: Console) -> None:
    """Block until none of the tasks is queued or running, and show the counts; a terminal gets a live table."""
    wanted = {task["identity"] for task in tasks}
    last_line = time.monotonic() - LINE_SECONDS
    with Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else nullcontext() as live:
        while True:
            progress = read_status(folder)
            states = Counter(task.state for identity, task in progress.tasks.items() if identity in wanted)
            if live is not None:
                live.update(counts_table(progress), refresh=True)
            elif time.monotonic() - last_line >= LINE_SECONDS:
                last_line = time.monotonic()
                console.print(", ".join(f"{states[s]:,} {s}" for s in STATES if states[s]), highlight=False)
            if not any(states[state] for state in _UNDER_WAY) and not progress.queue_problem:
                return
            time.sleep(_POLL_SECONDS)


def unfinished(tasks: Sequence[Mapping[str, Any]], folder: Path) -> list[TaskStatus]:
    """The tasks without a record."""
    known = read_status(folder).tasks
    found = [known.get(task["identity"]) for task in tasks]
    return [task for task in found if task is not None and task.state != Status.DONE]
