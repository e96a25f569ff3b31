"""Equal seconds instead of equal fractions: the fraction of its paper's iterations that each row runs in a time budget.

The seconds of a set are those of condensing it and of training its experts. Steps are probed before anything runs, and
the fractions are stored: a result depends on the options and never on the clock, and the same command plans the same
tasks again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmark.compute.allocator import out_of_memory
from benchmark.compute.engine import Compute
from benchmark.compute.environment import device_name
from benchmark.config.schema import PlanConfig
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

FILE = "seconds.json"  # in the store: fractions by what they were probed for, where and how
PROBE_VERSION = 2  # raised when probing changes in a way that changes seconds, so that old fractions are not used


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
    prober, fractions, fraction_by_key = Prober(full, compute), {}, dict(stored)
    first_of_cell = {
        (task["display"]["display_name"], _cell(task)): task
        for task in full.of_kind("condense")
        if task["display"]["role"] == "method"
    }
    for index, ((row, cell), task) in enumerate(first_of_cell.items(), start=1):
        key = _key(task, full, seconds, prober)
        if key not in fraction_by_key:
            fraction_by_key[key] = _fraction(task, full, seconds, prober)
        progress("probing how much of its iterations a method runs in the time given", index, len(first_of_cell))
        if (fraction := fraction_by_key[key]) is not None:
            fractions[(row, *cell)] = fraction
    if fraction_by_key != stored and not config.dry_run:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, to_json(fraction_by_key))
    plan = grid.build(config, progress, fractions)
    plan.note(*full.notes[notes_before:])
    return plan


def _cell(task: Task) -> tuple[str, int, str]:
    return task["display"]["dataset"], task["resolved"]["ipc"], task["resolved"]["architecture"]


def _key(task: Task, full: Plan, seconds: float, prober: Prober) -> str:
    """What a fraction is stored under: the cell with its settings and precision, and what else its seconds depend on.

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


def _fraction(task: Task, full: Plan, seconds: float, prober: Prober) -> float | None:
    """The fraction of the iterations that fits in `seconds`, in (0, 1]; None for a method without iterations."""
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
    return min(1.0, remaining / (cost.steps * cost.step_seconds))


def _too_large(task: Task, seconds: float, whose: str = "") -> BenchmarkError:
    display, resolved = task["display"], task["resolved"]
    return BenchmarkError(
        f"memory ran out while {whose}{display['display_name']} on {display['dataset']} at ipc {resolved['ipc']} "
        f"with {resolved['architecture']} {'were' if whose else 'was'} probed",
        where=f"budget_seconds={seconds:g}",
        next="leave this row out, or choose a smaller ipc, fewer real images or a smaller network",
    )


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        fractions = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fractions, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise ResultsError(
            "the fractions that were probed before cannot be read",
            where=str(path),
            next="remove the file to probe again",
        ) from error
    return fractions
