"""The seconds of a plan's tasks, probed once on a device and then kept in the store."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from benchmark.compute.engine import Compute
from benchmark.compute.environment import device_name
from benchmark.datasets.base import Progress
from benchmark.estimation.estimate import cost_key
from benchmark.estimation.prober import Prober
from benchmark.execution.runtime import Task
from benchmark.planning.plan import Plan
from results.errors import ResultsError
from results.store.atomic_files import replace as write_atomic
from results.store.atomic_files import to_json, writing
from results.store.identity import canonical
from results.store.schema import WHOLE_SET

FILE = "probed.json"  # in the store: seconds of tasks by device and identity; null for one that does not fit in memory

StoredSeconds = dict[str, dict[str, float | None]]


def task_seconds(
    plan: Plan,
    identities: Iterable[str],
    compute: Compute,
    store: Path,
    progress: Progress,
    *,
    until: float,
    write: bool,
) -> dict[str, float | None]:
    """The seconds of each of these tasks, by identity; None for one that does not fit in memory.

    What is not known yet is probed in this order, until the time `until` (of time.monotonic), and written to the store
    if `write`. Tasks that were not reached are missing. Steps are probed uncompiled unless compile=true. Raises
    ResultsError for a damaged file.
    """
    stored = _read(store / FILE)
    known = stored.setdefault(f"{device_name(compute.device)}, {compute.threads} threads", {})
    tasks = [plan.by_identity[identity] for identity in identities]
    groups: dict[Any, list[Task]] = {}
    for task in tasks:
        if task["identity"] not in known:
            groups.setdefault(_cost_key(task, plan), []).append(task)
    if groups:
        compute = replace(compute, compile=bool(compute.compile))
        compute.activate()
    prober = Prober(plan, compute)
    for index, group in enumerate(groups.values()):
        if time.monotonic() >= until:
            break
        progress("probing a few steps of each kind of task", index, len(groups))
        cost = prober.task_cost(group[0], max(1, math.ceil(len(group) / compute.num_devices)))
        known |= {task["identity"]: cost.seconds if cost.fits else None for task in group}
        if write:
            _write(store / FILE, stored)
    return {task["identity"]: known[task["identity"]] for task in tasks if task["identity"] in known}


def _cost_key(task: Task, plan: Plan) -> tuple[Any, ...]:
    """Equal for tasks of one cost. What a set is made by does not change what networks trained on it take."""
    resolved, display = task["resolved"], task["display"]
    if task["kind"] != "evaluate" or resolved["set"] == WHOLE_SET:
        return cost_key(task, plan.by_identity)
    training = {key: value for key, value in resolved["protocol"].items() if key not in ("name", "version")}
    sizes = display["dataset"], display["ipc"], display["factor"], resolved["architecture"], resolved["num_eval"]
    return "evaluate", *sizes, canonical(training)


def fitting(seconds: dict[str, float | None], tasks: Collection[str]) -> bool:
    """Whether memory suffices for all of these tasks, as far as they were probed."""
    return all(seconds.get(identity, 0.0) is not None for identity in tasks)


def _read(path: Path) -> StoredSeconds:
    try:
        return msgspec.json.decode(path.read_bytes(), type=StoredSeconds) if path.exists() else {}
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ResultsError(
            f"the seconds that were probed before cannot be read: {error}",
            where=str(path),
            next="remove the file to probe again",
        ) from error


def _write(path: Path, stored: StoredSeconds) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, to_json(stored))
