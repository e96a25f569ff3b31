"""How far a store is, as a table and lists of tasks, once or until all is done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmark.cli.progress import LINE_SECONDS, print_whole
from benchmark.runners import monitor
from results.store.schema import KINDS

_SHOWN = 20  # tasks of one state that are named


_LOOK_SECONDS = 5.0


def show(seen: monitor.StoreStatus, console: Console) -> None:
    """The counts, then what runs, waits, stopped and failed."""
    print_whole(console, counted(seen))

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    if seen.no_queue:
        say(seen.no_queue)
    _name(seen.of("running"), "running", lambda one: _speed(one), say)
    for why, number in Counter(one.why for one in seen.of("queued")).most_common():
        say(f"queued: {number:,}, {why or 'in the queue'}")
    _name(seen.of("stopped"), "stopped; the same command goes on from there", _ending, say)
    _name(seen.of("blocked"), "blocked: what they need has failed", lambda one: "", say)
    _name(seen.of("failed"), "failed; retry=failed tries them again", _failure, say)


def counted(seen: monitor.StoreStatus) -> Table:
    """Kinds of tasks down, states across."""
    table = Table(box=None)
    table.add_column("Tasks")
    for state in monitor.STATES:
        table.add_column(state.capitalize(), justify="right")
    for kind in KINDS:
        counts = seen.counts(kind)
        if any(counts.values()):
            table.add_row(kind, *(f"{counts[state]:,}" if counts[state] else "–" for state in monitor.STATES))
    return table


def _name(tasks: Sequence[monitor.TaskStatus], title: str, detail: Any, say: Any) -> None:
    if not tasks:
        return
    say(f"{title}:")
    for one in tasks[:_SHOWN]:
        say(f"  {one.name}{f' (job {one.job})' if one.job else ''}{': ' * bool(detail(one))}{detail(one)}")
    if len(tasks) > _SHOWN:
        say(f"  … and {len(tasks) - _SHOWN:,} more")


def _speed(one: monitor.TaskStatus) -> str:
    if not one.progress:
        return "begun"
    text = f"{one.progress['done']:,} of {one.progress['total']:,} steps, {one.progress['rate']:.3g} steps/s"
    left = one.seconds_left
    return text if left is None else f"{text}, {timedelta(seconds=round(left))} left"


def _ending(one: monitor.TaskStatus) -> str:
    """Why, and where the job's own output is."""
    return f"{one.why}{'; it printed ' * bool(one.log)}{one.log or ''}".lstrip("; ")


def _failure(one: monitor.TaskStatus) -> str:
    return "\n".join([one.why, *(f"    {line}" for line in one.log_end)])


def wait_and_show(tasks: Sequence[Mapping[str, Any]], out: Path, console: Console) -> None:
    """Show how far the queued tasks are until none is queued or running; a terminal gets a live table."""
    wanted = {task["identity"] for task in tasks}
    said = time.monotonic() - LINE_SECONDS
    with Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else _Plain() as live:
        while True:
            seen = monitor.view(out)
            at_work = [one for identity, one in seen.tasks.items() if identity in wanted and one.state in _GOING]
            if isinstance(live, Live):
                live.update(counted(seen), refresh=True)
            elif time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                states = Counter(one.state for identity, one in seen.tasks.items() if identity in wanted)
                console.print(", ".join(f"{states[s]:,} {s}" for s in monitor.STATES if states[s]), highlight=False)
            if not at_work and not seen.no_queue:
                return
            time.sleep(_LOOK_SECONDS)


_GOING = ("queued", "running")


class _Plain:
    """Where no terminal can be redrawn."""

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def unfinished(tasks: Sequence[Mapping[str, Any]], out: Path) -> list[monitor.TaskStatus]:
    """The tasks without a record."""
    seen = monitor.view(out).tasks
    found = [seen.get(task["identity"]) for task in tasks]
    return [one for one in found if one is not None and one.state != "done"]
