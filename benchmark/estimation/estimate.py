"""The cost of a plan before it runs: tasks with the same cost share a row, and one of them is probed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmark.compute.engine import Compute
from benchmark.datasets.base import Progress
from benchmark.estimation.prober import Prober, TaskCost
from benchmark.execution.runtime import Task
from benchmark.planning.plan import Plan
from results.store.schema import KINDS
from results.store.store import Store


@dataclass(frozen=True)
class EstimateRow:
    """Tasks of one kind with the same cost: all seeds (or experts) of a cell. todo: how many are not done yet."""

    kind: str
    dataset: str
    ipc: int | None
    description: str
    tasks: int
    todo: int
    cost: TaskCost

    @property
    def hours(self) -> float:
        """Device-hours of the tasks that are not done yet."""
        return self.todo * self.cost.seconds / 3600


def estimate(plan: Plan, store: Store, compute: Compute, progress: Progress) -> list[EstimateRow]:
    """One row for each group of tasks with the same cost, by kind, datasets in the plan's order. Writes no file.

    What the compiler reports meanwhile is noted in the plan.
    Steps are probed uncompiled unless compile=true: compiling every shape of a large plan takes an hour.
    """
    compute = replace(compute, compile=bool(compute.compile))
    compute.activate()
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for task in plan.tasks:
        groups.setdefault(cost_key(task, plan.by_identity), []).append(task)
    done = {task["identity"] for task, _ in store.recorded(plan.tasks)}
    prober = Prober(plan, compute)
    rows = []
    for index, ((kind, dataset, ipc, description, _), tasks) in enumerate(groups.items(), start=1):
        todo = sum(task["identity"] not in done for task in tasks)
        per_device = max(1, math.ceil(todo / compute.num_devices))
        cost = prober.task_cost(tasks[0], per_device)
        rows.append(EstimateRow(kind, dataset, ipc, description, len(tasks), todo, cost))
        progress("probing a few steps of each kind of task", index, len(groups))
    return sorted(rows, key=lambda row: KINDS.index(row.kind))  # stable


def cost_key(task: Task, sets: Mapping[str, Task]) -> tuple[Any, ...]:
    """(kind, dataset, ipc, description) as shown in a row, then what else the cost of a task depends on."""
    resolved, display = task["resolved"], task["display"]
    network, row = resolved.get("architecture"), _row(display)
    description = {
        "whiten": "ZCA of the training images",
        "prepare": f"experts, {network}",
        "condense": f"{row}, {network}",
        "import": f"{row}, made elsewhere",
        "label": f"{row}, labels of a teacher",
        "evaluate": f"{row}, {network}, {display.get('protocol')}",
        "analyze": ", ".join(filter(None, (_analysis_title(task, sets), network, display.get("protocol")))),
    }[task["kind"]]
    other = str(resolved.get("recipe", display.get("condense_architecture")))
    return (task["kind"], display["dataset"], display.get("ipc"), description, other)


def _analysis_title(task: Task, sets: Mapping[str, Task]) -> str:
    """The analysis; for one that scores snapshots, which costs what its set costs, also the set's row."""
    resolved = task["resolved"]
    name = str(resolved.get("analysis"))
    of_one_set = ("curve", "training_curve", "best_on_test", "validation")
    condense = sets.get(resolved["sets"][0]) if name in of_one_set else None
    return f"{name} of {_row(condense['display'])}" if condense else name


def _row(display: Mapping[str, Any]) -> Any:
    """The row's name; trials of tuning are taken to cost what the first of them does."""
    row = display.get("trial_of")
    return f"trials of {row}" if row else display.get("display_name")
