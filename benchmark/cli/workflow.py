"""The flow of a run that several commands share: plan, describe, do or queue, and print what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmark.cli import main, status_view
from benchmark.cli.progress import Reading, Screen, print_whole
from benchmark.cli.tables import show_tables
from benchmark.compute.engine import Compute, choose_compute
from benchmark.config.schema import RunConfig
from benchmark.estimation import summary, time_budget
from benchmark.estimation.prober import estimate
from benchmark.execution.runtime import Outcome, Runtime
from benchmark.planning import grid
from benchmark.runners import slurm
from benchmark.runners.local import run_tasks
from results.store.store import Store

Complete = Callable[[grid.Plan], grid.Plan]


Finish = Callable[[grid.Plan, Store, Any, list[tuple[str, Outcome]], Console], int]


def carry_through(config: RunConfig, end: Finish, complete: Complete = lambda planned: planned) -> int:
    """Plan a run, let `complete` make it what the command is after, do or queue it; `end` tells what came of it."""
    console = Console(soft_wrap=True)
    if config.launcher == "slurm":
        return run_queued(config, console, end, complete)
    compute, workers = choose_compute(config.device, config.precision, config.threads, config.workers, config.compile)
    with Reading(console) as reading:
        if config.budget_seconds is None:
            planned = grid.build(config, reading)
        else:
            planned = time_budget.planned_within(config, config.budget_seconds, compute, reading)
        planned = complete(planned)
    store = Store(Path(config.store))
    console.print(describe(planned, store, config, compute, workers), markup=False, highlight=False)
    if config.dry_run:
        show_estimate(planned, store, compute, workers, console)
        return main.DONE
    return end(planned, store, config, do_all(planned, config, compute, workers, console), console)


def run_queued(config: RunConfig, console: Console, end: Finish, complete: Complete) -> int:
    """Queue what is to do on a cluster; with `wait`, look on until it is done. Returns the exit status.

    Ctrl-C ends the looking on; the jobs go on.
    """
    asked = slurm.check(config)
    with Reading(console) as reading:
        planned = complete(grid.build(config, reading))
    for text in planned.notes:
        console.print(f"note: {text}", markup=False, highlight=False)
    if config.dry_run:
        console.print(slurm.preview(planned.tasks, config, asked), markup=False, highlight=False)
        return main.DONE
    launched = slurm.launch(planned.tasks, config, asked)
    console.print(slurm.summary(launched, config.store), markup=False, highlight=False)
    if config.wait or not (launched.jobs or launched.queued_before):
        out = Path(config.store)
        try:
            status_view.wait_and_show(planned.tasks, out, console)
        except KeyboardInterrupt:
            said = f"no longer waiting, and the jobs go on: {slurm.next_steps(config.store)}"
            console.print(f"\n{said}", markup=False, highlight=False)
            return main.STOPPED
        left = [(one.name, Outcome(one.state, one.why)) for one in status_view.unfinished(planned.tasks, out)]
        return end(planned, Store(out), config, left, console)
    return main.DONE


def carry_out(
    planned: grid.Plan, store: Store, config: RunConfig, compute: Compute, workers: int, console: Console
) -> int:
    """Do what is planned, print its tables and what failed; returns the exit status."""
    return finish(planned, store, config, do_all(planned, config, compute, workers, console), console)


def finish(
    planned: grid.Plan, store: Store, config: RunConfig, failures: list[tuple[str, Outcome]], console: Console
) -> int:
    """Print the tables of what is planned, then what failed; returns the exit status."""
    # A record says how its first run called things; these tables say it as this run was asked.
    records = [record | {"display": task["display"]} for task, record in store.recorded(planned.tasks)]
    show_tables(records, Path(config.store), console)
    tell_failures(failures, console)
    return main.SOME_FAILED if failures else main.DONE


def tell_failures(failures: Sequence[tuple[str, Outcome]], console: Console) -> None:
    """Name the tasks that came to no end, and why."""
    for name, outcome in failures:
        console.print(f"{outcome.status}: {name}\n  {outcome.message}", markup=False, highlight=False)
    states = {outcome.status for _, outcome in failures}
    if states & {"failed", "waiting"}:
        console.print("what failed is tried again with retry=failed", highlight=False)
    if states & {"stopped", "to do"}:  # of jobs that were killed or cancelled
        console.print("what was stopped or never begun goes on with the same command", highlight=False)


def show_estimate(planned: grid.Plan, store: Store, compute: Compute, workers: int, console: Console) -> None:
    """Probe a few steps of every kind of task and print what the whole plan will take; nothing is written."""
    known = len(planned.notes)
    with Reading(console) as probing:
        lines = estimate(planned, store, compute, probing)
    print_whole(console, summary.table(lines))
    noted = [f"note: {text}" for text in planned.notes[known:]]
    for text in (*summary.summary(lines, planned, compute, workers), *noted):
        console.print(text, markup=False, highlight=False)


def do_all(
    planned: grid.Plan, config: RunConfig, compute: Compute, workers: int, console: Console
) -> list[tuple[str, Outcome]]:
    """Do every task on this machine; returns those that came to no end, with what is wrong."""
    failures: list[tuple[str, Outcome]] = []
    runtime = Runtime(
        Path(config.store),
        compute,
        checkpoint_seconds=config.checkpoint_seconds,
        retry_failed=config.retry == "failed",
        shared=workers > compute.devices,
    )
    with Screen(console, len(planned.tasks)) as screen:

        def ended(name: str, outcome: Outcome) -> None:
            screen.end(name, _worded(outcome))
            if outcome.status != "done":
                failures.append((name, outcome))

        run_tasks(planned.tasks, runtime, workers, screen.step, ended)
    return failures


def describe(planned: grid.Plan, store: Store, config: RunConfig, compute: Compute, workers: int) -> str:
    """The plan in a few lines: tasks of each kind, how many are done, and what a person should know beforehand."""
    total = Counter(task["kind"] for task in planned.tasks)
    done = Counter(task["kind"] for task, _ in store.recorded(planned.tasks))
    counts = ", ".join(f"{total[kind]} {kind} ({done[kind]} done)" for kind in total)
    lines = [
        f"plan: {counts}",
        f"{workers} at a time on {compute.device}, {compute.threads} threads each, {compute.precision}; "
        f"store: {config.store}",
    ]
    return "\n".join(lines + [f"note: {text}" for text in planned.notes])


def _worded(outcome: Outcome) -> str:
    known = outcome.status if outcome.new or outcome.status != "done" else "was done before"
    return f"{known}: {outcome.message}" if outcome.message else known
