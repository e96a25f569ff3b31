"""The flow of `benchmark.reference`: plan the published cells, put the cheapest first, and run or list them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.table import Table

from benchmark.cli import main
from benchmark.cli.progress import LoadingProgress, open_console, print_uncut
from benchmark.cli.workflow import run_here, show_comparison
from benchmark.compute.engine import choose_compute
from benchmark.config.schema import ReferenceConfig
from benchmark.estimation import stored_seconds
from benchmark.planning.plan import Plan
from benchmark.planning.published_cells import (
    PublishedCell,
    cheapest_first,
    leave_out_shipped,
    plan_cells,
    remaining_seconds,
)
from benchmark.runners import speed_ratios
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.stopping import Stopped
from results.formatting import duration
from results.store.store import Store
from results.tables.columns import PRINTED, published_entry
from results.tables.model import number_text

PROBING_SHARE = 1 / 3  # of the minutes, after which cells whose cost is not known yet come last


def run_cells(config: ReferenceConfig, start: float) -> int:
    """Run the cells of the options, or list them in a dry run; returns the exit status.

    start: when the command was started, as time.monotonic.
    """
    console = open_console()
    if config.benchmarks and not config.dry_run:
        speed_ratios.measure(Path(config.store), lambda text: console.print(text, markup=False, highlight=False))
    with LoadingProgress(console) as progress:
        plan, cells = plan_cells(config, progress)
        cells = leave_out_shipped(cells)
        done = _done(plan, config)
        seconds = _probe(config, plan, cells, done, start + 60 * config.minutes * PROBING_SHARE, progress)
    cells = [cell if stored_seconds.fitting(seconds, cell.tasks) else _too_large(cell, config.store) for cell in cells]
    known = {identity: value for identity, value in seconds.items() if value is not None}
    cells = cheapest_first(plan, cells, known, done)
    if config.dry_run:
        print_uncut(console, cells_table(cells, known, done))
    notes = [f"note: {text}" for text in plan.notes] if config.dry_run else []  # a run prints them
    for text in (*notes, *left_out(cells, with_names=config.dry_run), summary(cells, known, done)):
        console.print(text, markup=False, highlight=False)
    if config.dry_run:
        return main.DONE
    if not plan.tasks:
        raise BenchmarkError("none of these cells can be run", where="tables, methods, datasets, ipcs")
    run = config.run_config(methods=["random"], datasets=[cells[0].dataset], ipcs=[1], method={})
    try:
        return run_here(plan, run, console, show_comparison)
    except Stopped:
        done = _done(plan, config)
        console.print(summary(cells, known, done), markup=False, highlight=False)
        raise


def _done(plan: Plan, config: ReferenceConfig) -> set[str]:
    return {task["identity"] for task, _ in Store(Path(config.store)).recorded(plan.tasks)}


def _probe(
    config: ReferenceConfig,
    plan: Plan,
    cells: Sequence[PublishedCell],
    done: Collection[str],
    until: float,
    progress: LoadingProgress,
) -> dict[str, float | None]:
    """The seconds of the tasks that are not done, those of small sets first."""
    compute, _ = choose_compute(config.device, config.precision, config.threads, config.workers, config.compile)
    small_first = sorted(cells, key=lambda cell: cell.published.ipc or 0)
    missing = dict.fromkeys(identity for cell in small_first for identity in cell.tasks if identity not in done)
    store, write = Path(config.store), not config.dry_run
    return stored_seconds.task_seconds(plan, missing, compute, store, progress, until=until, write=write)


def _too_large(cell: PublishedCell, store: str) -> PublishedCell:
    file = Path(store) / stored_seconds.FILE
    return replace(cell, tasks=(), reason=f"memory ran out when it was probed; removing {file} probes again")


def cells_table(cells: Sequence[PublishedCell], seconds: Mapping[str, float], done: Collection[str]) -> Table:
    """A row for each cell that is planned, in the order in which they will run."""
    table = Table(title="Cells, in the order in which they run", box=box.SIMPLE_HEAD, title_justify="left")
    texts = "Paper", "Method", "Dataset", "Settings"
    for name in ("Paper", "Method", "Dataset", "IPC", "Published %", "Settings", "Tasks", "Done", "Takes"):
        table.add_column(name, justify="left" if name in texts else "right", no_wrap=True)
    covered = set(done)
    for cell in (cell for cell in cells if cell.tasks):
        published = cell.published
        table.add_row(
            published.table,
            published.method,
            cell.dataset,
            "all" if published.ipc is None else str(published.ipc),
            number_text(PRINTED, published_entry(published)),
            cell.provenance,
            f"{len(cell.tasks)}",
            f"{sum(identity in done for identity in cell.tasks)}",
            duration(_known(remaining_seconds(cell, seconds, covered))),
        )
        covered |= set(cell.tasks)
    return table


def _known(seconds: float) -> float:
    return math.nan if math.isinf(seconds) else seconds


def left_out(cells: Sequence[PublishedCell], *, with_names: bool) -> list[str]:
    """A line for each reason why cells are not planned, with the names of these cells or their number."""
    by_reason: dict[str, list[str]] = {}
    for cell in cells:
        if cell.reason:
            by_reason.setdefault(cell.reason, []).append(cell.name)
    return [
        f"left out: {reason}: {'; '.join(names) if with_names else f'{len(names)} cells'}"
        for reason, names in by_reason.items()
    ]


def summary(cells: Sequence[PublishedCell], seconds: Mapping[str, float], done: Collection[str]) -> str:
    """How many cells are done, and what the others take as far as it is known."""
    planned = [cell for cell in cells if cell.tasks]
    missing = {identity for cell in planned for identity in cell.tasks if identity not in done}
    complete = sum(not missing.intersection(cell.tasks) for cell in planned)
    known = math.fsum(seconds[identity] for identity in missing if identity in seconds)
    unknown = sum(bool(missing.intersection(cell.tasks) - seconds.keys()) for cell in planned)
    text = f"{complete} of {len(planned)} cells are done; the others take {duration(known)}, one task at a time"
    return text + (f", and {unknown} cells that were not probed yet" if unknown else "")
