"""Equal seconds instead of an equal fraction: how much of its paper's iterations each row runs in so many seconds.

Seconds are those of one set: condensing, and training the experts behind it, in full. They are turned into iterations
before anything runs, from a few probed steps, and remembered in the store: a result depends on what was asked and never
on the clock, and the same command asks for the same tasks again.
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
from benchmark.estimation.prober import Prober, Progress
from benchmark.planning import grid
from benchmark.planning.grid import Plan, Task
from benchmark.utils.errors import BenchmarkError
from results.errors import ResultsError
from results.store.atomic_files import replace as write
from results.store.atomic_files import to_json, writing
from results.store.store import identity

FILE = "seconds.json"  # in the store: what was probed, by what was asked, where and how
MEASURED = 2  # the way of measuring: raised where other seconds come of it, so that no share of before is used again


def planned_within(config: PlanConfig, seconds: float, compute: Compute, progress: Progress) -> Plan:
    """The plan in which every row takes its share of its paper's iterations; it notes what was said while probing.

    Raises as `plan.build` does, and BenchmarkError where there is no time or no memory for a row.

    Shares not known yet are probed, and written to the store unless this is a dry run.
    """
    full = grid.build(replace(config, iterations_fraction=1.0), progress)
    path, before = Path(config.store) / FILE, len(full.notes)
    known = _read(path)
    compute.activate()
    prober, shares, found = Prober(full, compute), {}, dict(known)
    tasks = {
        (t["display"]["display_name"], _cell(t)): t
        for t in full.of_kind("condense")
        if t["display"]["role"] == "method"
    }
    for place, ((row, cell), task) in enumerate(tasks.items(), start=1):
        resolved = _asked(task, full, seconds, prober)
        if resolved not in found:
            found[resolved] = _share(task, full, seconds, prober)
        progress("probing how much of its iterations a method runs in the time given", place, len(tasks))
        if (share := found[resolved]) is not None:
            shares[(row.partition(" (")[0], *cell)] = share
    if found != known and not config.dry_run:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write(path, to_json(found))
    planned = grid.build(config, progress, shares)
    planned.note(*full.notes[before:])
    return planned


def _cell(task: Task) -> tuple[str, int, str]:
    return task["display"]["dataset"], task["resolved"]["ipc"], task["resolved"]["architecture"]


def _asked(task: Task, full: Plan, seconds: float, prober: Prober) -> str:
    """What a share is remembered by: the cell with its settings and precision, and what else its seconds depend on.

    All experts of a cell cost the same, and are compiled alike.
    """
    alike = {key: value for key, value in task["resolved"].items() if key not in ("seed", "experts")}
    where = f"{device_name(prober.compute.device)}, {prober.compute.threads} threads"
    try:
        how = [_compiled(prober, task)]
        experts = "experts" if prober.compute.num_parallel == 1 else f"{_at_once(task, prober)} experts at once"
        how += [
            f"{experts} {_compiled(prober, full.by_identity[expert])}" for expert in task["resolved"]["experts"][:1]
        ]
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise _too_large(task, seconds) from error
    return f"{identity(alike)} in {seconds:g} s on {where}, {', '.join(how)}, measured in way {MEASURED}"


def _at_once(task: Task, prober: Prober) -> int:
    """How many of a set's experts each device has to train."""
    return math.ceil(len(task["resolved"]["experts"]) / prober.compute.num_devices)


def _compiled(prober: Prober, task: Task) -> str:
    return "compiled" if prober.compiles(task) else "uncompiled"


def _share(task: Task, full: Plan, seconds: float, prober: Prober) -> float | None:
    """The fraction of the iterations for which there is time, above 0 and at most 1; None where there are none."""
    probe = prober.probe(task)
    if not probe.fits:
        raise _too_large(task, seconds)
    if not probe.steps:
        return None
    at_once = _at_once(task, prober)
    experts = [prober.probe(full.by_identity[expert], at_once) for expert in task["resolved"]["experts"]]
    if not all(expert.fits for expert in experts):
        raise _too_large(task, seconds, "the experts of ")
    prepared = sum(expert.total for expert in experts)
    left, whole = seconds - prepared - probe.fixed, probe.steps * probe.seconds
    if left <= 0:
        display = task["display"]
        raise BenchmarkError(
            f"the experts of {display['display_name']} on {display['dataset']} take {prepared:,.0f} s alone",
            where=f"budget_seconds={seconds:g}",
            next="give more seconds, or train fewer or shorter experts: "
            f"method.{task['resolved']['method']}.pretrain_epochs=N",
        )
    return min(1.0, left / whole)


def _too_large(task: Task, seconds: float, whose: str = "") -> BenchmarkError:
    display, resolved = task["display"], task["resolved"]
    return BenchmarkError(
        f"memory ran out while {whose}{display['display_name']} on {display['dataset']} at ipc {resolved['ipc']} "
        f"with {resolved['architecture']} {'were' if whose else 'was'} probed",
        where=f"budget_seconds={seconds:g}",
        next="leave this row out, or ask for a smaller ipc, fewer real images or a smaller network",
    )


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise ResultsError(
            "what was probed before cannot be read", where=str(path), next="remove the file to probe again"
        ) from error
    return found
