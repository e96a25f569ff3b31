"""The flow that several commands share: plan, describe, run here or queue, and print the results."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmark.cli import main, status_view, sweep
from benchmark.cli.console import Console
from benchmark.cli.progress import LoadingProgress, TaskProgress, open_console, print_uncut
from benchmark.cli.tables import show_tables
from benchmark.compute.engine import Compute, choose_compute
from benchmark.config.shared_options import PlanConfig
from benchmark.datasets.base import Progress
from benchmark.estimation import summary, time_budget
from benchmark.estimation.estimate import cost_key, estimate
from benchmark.execution.again import made_by_other_code
from benchmark.execution.attempt import one_line
from benchmark.execution.method_code import method_code
from benchmark.execution.runtime import Outcome, Runtime, Task
from benchmark.planning import grid
from benchmark.planning.plan import WHOLE_CARD, Plan, task_name
from benchmark.runners import slurm
from benchmark.runners.local import run_tasks
from benchmark.utils import stopping
from benchmark.utils.errors import unknown
from results.errors import ResultsError
from results.formatting import percent
from results.store.schema import Status
from results.store.store import Store
from results.types import Json
from slurm.cluster import Cluster

Unfinished = list[tuple[str, Outcome]]  # names of tasks without a record, each with the reason
Recorded = Sequence[tuple[Json, Json]]  # tasks with their records
Finish = Callable[[Plan, PlanConfig, Unfinished, Console], int]  # prints the results; returns the exit status
Build = Callable[[Any, Progress], Plan]  # from the command's own configuration


def plan_and_run(
    config: PlanConfig,
    finish: Finish,
    reduce_plan: Callable[[Plan], Plan] = lambda plan: plan,
    build: Build = grid.build,
) -> int:
    """Plan, and run the tasks here or queue them; `reduce_plan` keeps the part of the plan that a command needs.

    build: makes the plan of a command whose plan is not a grid; a plan within budget_seconds is one.
    """
    console = open_console()
    if config.launcher == "slurm":
        return _queue(config, finish, lambda progress: reduce_plan(build(config, progress)), console)
    compute, _ = _compute(config)
    with LoadingProgress(console) as reading:
        if config.budget_seconds is None:
            plan = build(config, reading)
        else:
            plan = time_budget.plan_within(config, config.budget_seconds, compute, reading)
        plan = reduce_plan(plan)
    return run_here(plan, config, console, finish)


def run_here(plan: Plan, config: PlanConfig, console: Console, finish: Finish) -> int:
    """Describe the plan and run it on this machine, or print an estimate of it; returns the exit status."""
    compute, workers = _compute(config)
    store = Store(Path(config.store))
    _check_again(plan, config)
    console.print(describe(plan, store, config, compute, workers), markup=False, highlight=False)
    if config.dry_run:
        show_estimate(plan, store, compute, workers, console)
        return main.DONE
    return finish(plan, config, _run_tasks(plan, config, compute, workers, console), console)


def show_comparison(plan: Plan, config: PlanConfig, unfinished: Unfinished, console: Console) -> int:
    """Print the tables of what is planned, in a sweep at its end, then what failed; returns the exit status."""
    # A record holds the display names of the run that made it; these tables use those of this run.
    recorded = Store(Path(config.store)).recorded(plan.tasks)
    records = [record | {"display": task["display"]} for task, record in recorded]
    if sweep.is_sweep():
        sweep.keep(records, Path(config.store), references="reference" in config.baselines)
    else:
        show_tables(records, Path(config.store), console, references="reference" in config.baselines)
    show_failures(unfinished, console)
    if not unfinished and not sweep.is_sweep():
        where = "" if config.store == "outputs" else f" {shlex.quote(f'store={config.store}')}"
        console.print(f"next: python -m benchmark.report{where}", markup=False, highlight=False, soft_wrap=True)
    return main.SOME_FAILED if unfinished else main.DONE


def show_failures(unfinished: Unfinished, console: Console) -> None:
    """Name the tasks that have no record, with the reason, and say how to continue."""
    for name, outcome in unfinished:
        console.print(f"{outcome.status}: {name}\n  {outcome.message}", markup=False, highlight=False)
    states = {outcome.status for _, outcome in unfinished}
    if any(outcome.needs_retry for _, outcome in unfinished):
        console.print("retry=failed tries failed tasks again", highlight=False)
    elif Status.FAILED in states:  # what failed has passed, or the message says what to do
        console.print("the same command tries failed tasks again", highlight=False)
    if Status.HELD in states:
        console.print("the same command goes on when the other run has finished them", highlight=False)
    if states & {Status.STOPPED, Status.TO_DO}:  # of jobs that were killed or cancelled
        console.print("the same command continues stopped tasks and begins the others", highlight=False)


def show_estimate(
    plan: Plan, store: Store, compute: Compute, workers: int, console: Console, job_memory: float | None = None
) -> None:
    """Probe a few steps of every kind of task and print what the whole plan will take; nothing is written.

    job_memory: as `summary.totals` takes it.
    """
    known = len(plan.notes)
    with LoadingProgress(console) as probing:
        rows = estimate(plan, store, compute, probing)
    print_uncut(console, summary.table(rows))
    notes = [f"note: {text}" for text in plan.notes[known:]]
    for text in (*summary.totals(rows, plan, compute, workers, job_memory), *notes):
        console.print(text, markup=False, highlight=False)


def describe(plan: Plan, store: Store, config: PlanConfig, compute: Compute, workers: int) -> str:
    """The plan in a few lines: tasks of each kind, how many are done, and notes on them."""
    total, problems = Counter(task["kind"] for task in plan.tasks), list[ResultsError]()
    recorded = list(store.recorded(plan.tasks, problems.append))
    notes = [*plan.notes, *_made_by_other_code(recorded, config)]
    if config.dry_run:  # a run names them when it comes to their tasks
        notes += [one_line(problem) for problem in problems]
    done = Counter(task["kind"] for task, record in recorded if not made_by_other_code(record, config.again))
    counts = ", ".join(f"{total[kind]} {kind} ({done[kind]} done)" for kind in total)
    lines = [
        f"plan: {counts}",
        f"{workers} at a time on {compute.device}, {compute.threads} threads each, {compute.precision}; "
        f"store: {config.store}",
    ]
    return "\n".join(lines + [f"note: {text}" for text in notes])


def _check_again(plan: Plan, config: PlanConfig) -> None:
    """Raise BenchmarkError for a method of `again` that condenses nothing in the plan."""
    methods = {task["resolved"]["method"]: None for task in plan.of_kind("condense")}
    for name in config.again:
        if name not in methods:
            raise unknown("method of this run", name, methods, where=f"again=[{','.join(config.again)}]")


def _made_by_other_code(recorded: Recorded, config: PlanConfig) -> Iterator[str]:
    """A sentence for each method of which sets are stored that code other than today's made."""
    sets: dict[str, list[Json]] = {}
    for task, record in recorded:
        if task["kind"] == "condense" and record["code"]:
            sets.setdefault(task["resolved"]["method"], []).append(record["code"])
    for method, codes in sets.items():
        now = method_code(method)["sha256"]
        others = [code for code in codes if code["sha256"] != now]
        if others and method not in config.again:
            versions = {_version_text(code): None for code in others}
            yield (
                f"{len(others)} of {len(codes)} stored sets of {method} were made by other code of it than today's "
                f"({', '.join(versions)}): their numbers are of that code; again={method} makes them again"
            )


def _version_text(code: Json) -> str:
    commit = f", commit {code['commit'][:10]}" if code["commit"] else ""
    return f"{code['distribution'] or 'a checkout'} {code['version'] or ''}".strip() + commit


def _compute(config: PlanConfig) -> tuple[Compute, int]:
    return choose_compute(config.device, config.precision, config.threads, config.workers, config.compile)


def _run_tasks(plan: Plan, config: PlanConfig, compute: Compute, workers: int, console: Console) -> Unfinished:
    """Run every task on this machine, with progress bars."""
    unfinished: Unfinished = []
    runtime = Runtime(
        Path(config.store),
        compute,
        checkpoint_seconds=config.checkpoint_seconds,
        max_wait_seconds=config.max_wait_seconds,
        retry_failed=config.retry == "failed",
        again=frozenset(config.again),
        tracker=config.tracker,
        shared=workers > compute.num_devices,
    )
    # The whole set takes longest, and nothing waits for it: last, so that the methods' numbers do not wait, either.
    tasks = sorted(plan.tasks, key=lambda task: task["resolved"].get("set") == WHOLE_CARD.name)
    by_name, store = {task_name(task): task for task in tasks}, Store(runtime.store_root)
    kinds = {name: cost_key(task, plan.by_identity) for name, task in by_name.items()}
    with TaskProgress(console, kinds, workers, config.progress) as screen:

        def end(name: str, outcome: Outcome) -> None:
            screen.end(name, _in_words(outcome) + _accuracy(by_name[name], outcome, store))
            if outcome.status != Status.DONE:
                unfinished.append((name, outcome))

        run_tasks(tasks, runtime, workers, screen.step, end, screen.say)
    return unfinished


def _accuracy(task: Task, outcome: Outcome, store: Store) -> str:
    """What an evaluation that has just ended has found, "" for all else."""
    if task["kind"] != "evaluate" or not outcome.new:
        return ""
    accuracies = [each for _, record in store.recorded([task]) for each in record["result"].get("accuracies", ())]
    return f", {percent(fmean(accuracies))} %" if accuracies else ""


def _in_words(outcome: Outcome) -> str:
    status = outcome.status if outcome.new or outcome.status != Status.DONE else "was done before"
    return f"{status}: {outcome.message}" if outcome.message else status


def _queue(config: PlanConfig, finish: Finish, build: Callable[[Progress], Plan], console: Console) -> int:
    """Queue what is to do on a cluster, and with `wait` block until all queued jobs have finished.

    Ctrl-C ends the waiting; the jobs continue.
    """
    cluster = slurm.check(config)
    with LoadingProgress(console) as reading:
        plan = build(reading)
    _check_again(plan, config)
    recorded = list(Store(Path(config.store)).recorded(plan.tasks))  # `launch` names damaged records
    for text in (*plan.notes, *_made_by_other_code(recorded, config)):
        console.print(f"note: {text}", markup=False, highlight=False)
    if config.dry_run:
        console.print(slurm.preview(plan.tasks, config, cluster), markup=False, highlight=False)
        _show_estimate_of_jobs(plan, config, cluster, console)
        return main.DONE
    launched = slurm.launch(plan.tasks, config, cluster)
    console.print(slurm.summary(launched, config.store), markup=False, highlight=False)
    if not config.wait and (launched.jobs or launched.queued_before):
        return main.DONE
    try:
        status_view.wait_and_show(plan.tasks, Path(config.store), console)
    except KeyboardInterrupt as error:
        text = f"no longer waiting; the jobs continue: {slurm.next_steps(config.store)}"
        console.print(f"\n{text}", markup=False, highlight=False)
        return stopping.exit_status(error)
    return finish(plan, config, _unfinished(plan, config), console)


def _show_estimate_of_jobs(plan: Plan, config: PlanConfig, cluster: Cluster, console: Console) -> None:
    """Probe steps here as jobs compute them, which this machine cannot tell of GPUs if it has none."""
    if here := slurm.compute_here(config, cluster):
        job_memory = cluster.memory * 2**30 if cluster.memory else None
        show_estimate(plan, Store(Path(config.store)), *here, console, job_memory)
        text = "the steps were measured on this machine; those of the cluster may be faster or slower"
    else:
        text = (
            "jobs compute on GPUs, and this machine has none to measure steps on; the same command with launcher=local "
            "inside a job prints times and memory"
        )
    console.print(f"note: {text}", markup=False, highlight=False)


def _unfinished(plan: Plan, config: PlanConfig) -> Unfinished:
    left: Sequence[status_view.TaskStatus] = status_view.unfinished(plan.tasks, Path(config.store))
    failed = Status.FAILED
    return [(task.name, Outcome(task.state, task.reason, needs_retry=task.state == failed)) for task in left]
