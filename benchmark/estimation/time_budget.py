"""Equal seconds instead of equal fractions: the fraction of its paper's iterations that each row runs in a time budget.

The seconds of a set are those of condensing it and of training its experts. Steps are probed before anything runs, and
the fractions are stored: a result depends on the options and never on the clock, and the same command plans the same
tasks again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from msgspec import Meta

from benchmark.compute.allocator import out_of_memory
from benchmark.compute.engine import Compute
from benchmark.compute.environment import device_name
from benchmark.config.shared_options import PlanConfig
from benchmark.datasets.base import Progress
from benchmark.estimation.prober import Prober
from benchmark.execution.runtime import Task
from benchmark.planning import grid
from benchmark.planning.plan import Plan
from benchmark.utils.errors import BenchmarkError
from results.errors import ResultsError
from results.store.atomic_files import replace as write_atomic
from results.store.atomic_files import to_json, writing
from results.store.identity import identity

FILE = "seconds.json"  # in the store: shares by what they were probed for, where and how
PROBE_VERSION = 3  # raised when probing changes in a way that changes seconds, so that old shares are not used

PartOfIterations = Annotated[float, Meta(gt=0, le=1)]


class ProbedShare(msgspec.Struct, frozen=True):
    """The share of its paper's iterations that a row runs, and between what it lies as far as probed steps tell.

    settled: whether more probed steps would hardly have changed it.
    """

    share: PartOfIterations
    low: PartOfIterations
    high: PartOfIterations
    settled: bool

    def __post_init__(self) -> None:
        if not self.low <= self.share <= self.high:
            raise ValueError(f"a share of {self.share} is not between {self.low} and {self.high}")

    @property
    def spread(self) -> float:
        """By which fraction of itself the share may be wrong."""
        return max(self.high / self.share, self.share / self.low) - 1


StoredShares = dict[str, ProbedShare | None]  # None: a method without iterations


def plan_within(config: PlanConfig, seconds: float, compute: Compute, progress: Progress) -> Plan:
    """The plan in which every row runs the fraction of its paper's iterations that fits in `seconds`.

    Fractions that are not known are probed, and written to the store except in a dry run. What the compiler reports
    meanwhile is noted in the plan. Raises as `grid.build` does, and BenchmarkError if seconds or memory are too small
    for a row.
    """
    full = grid.build(replace(config, iterations_fraction=1.0), progress)
    path, notes_before = Path(config.store) / FILE, len(full.notes)
    stored = _read(path)
    compute.activate()
    prober, shares, share_by_key = Prober(full, compute, settle=True), {}, dict(stored)
    first_of_cell = {
        (task["display"]["display_name"], _cell(task)): task
        for task in full.of_kind("condense")
        if task["display"]["role"] == "method"
    }
    for index, ((row, cell), task) in enumerate(first_of_cell.items(), start=1):
        key = _key(task, full, seconds, prober)
        if key not in share_by_key:
            share_by_key[key] = _share(task, full, seconds, prober)
        progress("probing how much of its iterations a method runs in the time given", index, len(first_of_cell))
        if (share := share_by_key[key]) is not None:
            shares[(row, *cell)] = share
    if share_by_key != stored and not config.dry_run:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, to_json(msgspec.to_builtins(share_by_key)))
    plan = grid.build(config, progress, {cell: share.share for cell, share in shares.items()})
    plan.note(*full.notes[notes_before:], *_spread(shares, seconds, path))
    _show_budgets(plan, shares, seconds)
    return plan


def _show_budgets(plan: Plan, shares: Mapping[tuple[str, str, int, str], ProbedShare], seconds: float) -> None:
    """Let the tables say which seconds each row was given, and how well its share is known."""
    for task in plan.tasks:
        display = task["display"]
        architecture = display.get("condense_architecture", task["resolved"].get("architecture"))
        ipc = display.get("ipc", task["resolved"].get("ipc"))
        share = shares.get((display.get("display_name", ""), display["dataset"], ipc, architecture))
        if share is not None:
            display["budget"] = {"seconds": seconds, "spread": share.spread}


def _spread(shares: Mapping[tuple[str, str, int, str], ProbedShare], seconds: float, path: Path) -> Iterator[str]:
    """Sentences on how well the shares are known: one on all of them, and one on each that did not settle."""
    if shares:
        worst = max(share.spread for share in shares.values())
        yield (
            f"budget_seconds={seconds:g}: iterations follow from the median of probed steps; the share of each method "
            f"is known to within {100 * worst:.2g} %"
        )
    for (row, dataset, ipc, _), share in shares.items():
        if not share.settled:
            yield (
                f"the seconds of a step of {row} on {dataset} at ipc {ipc} did not settle: its share of the iterations "
                f"is {100 * share.share:.3g} %, from {100 * share.low:.3g} to {100 * share.high:.3g} %. Other work on "
                f"this machine disturbs probing; removing {path} probes again"
            )


def _cell(task: Task) -> tuple[str, int, str]:
    return task["display"]["dataset"], task["resolved"]["ipc"], task["resolved"]["architecture"]


def _key(task: Task, full: Plan, seconds: float, prober: Prober) -> str:
    """What a share is stored under: the cell with its settings and precision, and what else its seconds depend on.

    All experts of a cell cost the same, and all or none are compiled.
    """
    cell = {key: value for key, value in task["resolved"].items() if key not in ("seed", "experts")}
    compute = prober.compute
    try:
        how = _compiled(prober, task)
        num_experts = "experts" if compute.num_parallel == 1 else f"{_experts_per_device(task, prober)} experts at once"
        for expert in task["resolved"]["experts"][:1]:
            how += f", {num_experts} {_compiled(prober, full.by_identity[expert])}"
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise _too_large(task, seconds) from error
    where = f"{device_name(compute.device)}, {compute.threads} threads"
    return f"{identity(cell)} in {seconds:g} s on {where}, {how}, probe version {PROBE_VERSION}"


def _experts_per_device(task: Task, prober: Prober) -> int:
    return math.ceil(len(task["resolved"]["experts"]) / prober.compute.num_devices)


def _compiled(prober: Prober, task: Task) -> str:
    return "compiled" if prober.is_compiled(task) else "uncompiled"


def _share(task: Task, full: Plan, seconds: float, prober: Prober) -> ProbedShare | None:
    """The share of the iterations that fits in `seconds`; None for a method without iterations."""
    cost = prober.task_cost(task)
    if not cost.fits:
        raise _too_large(task, seconds)
    if not cost.steps:
        return None
    per_device = _experts_per_device(task, prober)
    experts = [prober.task_cost(full.by_identity[expert], per_device) for expert in task["resolved"]["experts"]]
    if not all(expert.fits for expert in experts):
        raise _too_large(task, seconds, "the experts of ")
    expert_seconds = sum(expert.seconds for expert in experts)
    remaining = seconds - expert_seconds - cost.fixed_seconds
    if remaining <= 0:
        display = task["display"]
        raise BenchmarkError(
            f"the experts of {display['display_name']} on {display['dataset']} take {expert_seconds:,.0f} s alone",
            where=f"budget_seconds={seconds:g}",
            next="give more seconds, or train fewer or shorter experts: "
            f"method.{task['resolved']['method']}.pretrain_epochs=N",
        )
    share = min(1.0, remaining / (cost.steps * cost.step_seconds))
    off = sum(expert.uncertainty * expert.steps * expert.step_seconds for expert in experts if expert.steps)
    least = max(0.0, 1 - off / remaining) / (1 + cost.uncertainty)  # as a part of the share
    most = (1 + off / remaining) / max(1 - cost.uncertainty, 0.01)
    # Experts that take less than a tenth of the time hardly change what is left.
    settled = cost.settled and (expert_seconds < 0.1 * remaining or all(expert.settled for expert in experts))
    return ProbedShare(share, max(share * least, 1e-9), min(1.0, share * most), settled)


def _too_large(task: Task, seconds: float, whose: str = "") -> BenchmarkError:
    display, resolved = task["display"], task["resolved"]
    return BenchmarkError(
        f"memory ran out while {whose}{display['display_name']} on {display['dataset']} at ipc {resolved['ipc']} "
        f"with {resolved['architecture']} {'were' if whose else 'was'} probed",
        where=f"budget_seconds={seconds:g}",
        next="leave this row out, or choose a smaller ipc, fewer real images or a smaller network",
    )


def _read(path: Path) -> StoredShares:
    """The shares that were probed before. Raises ResultsError, naming the file, for one that is not in (0, 1]."""
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=StoredShares)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:  # also of another type or out of range
        raise ResultsError(
            f"the shares of iterations that were probed before cannot be used: {error}",
            where=str(path),
            next="remove the file to probe again; other iterations then make other sets",
        ) from error
