"""Tuning: the plan of the trials of each method, and the choice that their records make.

A trial condenses a set with drawn settings on the training images that are not withheld, and scores it on those that
are. Its tasks are ordinary ones, so that they are stored, resumed and queued as any others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from benchmark.config.schema import TuneConfig
from benchmark.datasets.base import Progress
from benchmark.planning import analyses, choices
from benchmark.planning.grid import TaskPlanner
from benchmark.planning.plan import Plan, ResolvedRow
from benchmark.planning.plan_datasets import add_datasets
from benchmark.planning.rows import requested_rows, rows_by_architecture
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import search
from results.errors import ResultsError
from results.store.choices import Choice, TrialScore
from results.store.schema import Status
from results.store.store import Store
from results.types import Json


@dataclass(frozen=True)
class Trial:
    """settings: those drawn, {} for the method as it is. scores: identities of the tasks that score it."""

    settings: Mapping[str, Any]
    scores: frozenset[str]


@dataclass(frozen=True)
class TunedCell:
    """What is tuned at once: a row on one dataset, ipc and network. tasks: identities of all tasks of its trials."""

    title: str
    tuned: Mapping[str, Any]
    procedure: Mapping[str, Any]
    trials: Sequence[Trial]
    tasks: frozenset[str]


@dataclass
class TuningPlan(Plan):
    """The tasks of all trials, and which of them belong together."""

    cells: list[TunedCell] = field(default_factory=list)


def build(config: TuneConfig, progress: Progress | None = None) -> TuningPlan:
    """The trials of every requested row. Raises BenchmarkError or MethodError as `grid.build`."""
    rows = [row for row in requested_rows(config) if not row.variant]
    if soft := next((row for row in rows if row.soft), None):
        what = f"{soft.name} has the labels of a teacher, and tuning scores sets alone"
        raise BenchmarkError(what, where=f"methods=[{soft.name}]", next=f"methods=[{soft.method}]")
    plan = TuningPlan()
    untunable = [row for row in rows if not search.space(row.method)]
    rows = [row for row in rows if row not in untunable]
    plan.note(*(f"{row.name} has nothing to tune" for row in untunable))
    if not rows:
        names = ",".join(config.methods)
        next_step = "name a method with a search space: python -m benchmark.methods NAME"
        raise BenchmarkError("there is nothing to tune", where=f"methods=[{names}]", next=next_step)
    for name in config.protocols:
        protocols.check_name(name)
    of_trials = replace(config, seeds=config.trial_seeds)
    for entry, outline in add_datasets(plan, config, progress).items():
        for architecture, of_rows in rows_by_architecture(config.architectures, rows, min(outline.image_shape[1:])):
            planner = TaskPlanner(of_trials, plan, outline, entry, architecture, {})
            for ipc in config.ipcs:
                planner.check_ipc(ipc)
                for row in of_rows:
                    _add_cell(plan, planner, planner.resolve(row, ipc), ipc, config)
    plan.note("then the chosen settings run on all training images beside the methods' own, as python -m benchmark.run")
    return plan


def _add_cell(plan: TuningPlan, planner: TaskPlanner, untuned: ResolvedRow, ipc: int, config: TuneConfig) -> None:
    """Add the trials of one row."""
    row, method = untuned.row, untuned.row.method
    fixed = row.overrides(config.method)
    varied = [dimension for dimension in search.space(method) if dimension.setting not in fixed]
    if not varied:
        what = f"all settings that tuning varies in {row.name} are given on the command line"
        raise BenchmarkError(what, where=f"method.{method}", next="leave one of them away")
    trials, tasks = [], set[str]()
    for number in range(config.trials):
        drawn = search.draw(method, untuned.settings.config, config.tuning_seed, number, fixed)
        settings = tuple({**dict(row.settings), **drawn}.items())
        part = planner.part(replace(row, settings=settings), ipc)
        for task in part.of_kind("condense"):
            task["display"]["trial_of"] = untuned.display_name
        scores = analyses.validations(part)
        part.by_identity = {key: task for key, task in part.by_identity.items() if task["kind"] != "evaluate"} | scores
        for key, task in part.by_identity.items():
            plan.by_identity.setdefault(key, task)
        plan.note(*(part.notes if number == 0 else ()))
        tasks |= part.by_identity.keys()
        trials.append(Trial(drawn, frozenset(scores)))
    where = (ipc, planner.architecture, planner.dataset)
    procedure = {
        "trials": config.trials,
        "tuning_seed": config.tuning_seed,
        "space": [asdict(dimension) | {"values": list(dimension.values)} for dimension in varied],
        "val_fraction": config.val_fraction,
        "protocols": list(config.protocols),
        "networks": planner.eval_architectures,
        "num_eval": config.num_eval,
        "seeds": list(config.trial_seeds),
        "precision": config.precision,
        "expert_seed": config.expert_seed,
    }
    tuned = choices.what_is_tuned(untuned, *where)
    plan.cells.append(TunedCell(choices.title(untuned, *where), tuned, procedure, trials, frozenset(tasks)))


def choose(cell: TunedCell, name: str, plan: Plan, store: Store) -> Choice:
    """The choice that the records of a cell's trials make. Raises ResultsError if one of them has no record."""
    tasks = [task for identity, task in plan.by_identity.items() if identity in cell.tasks]
    records = {record["identity"]: record for _, record in store.recorded(tasks)}
    if left := [task for task in tasks if task["identity"] not in records]:
        what = f"{len(left):,} of {len(tasks):,} tasks of {cell.title} have no record"
        raise ResultsError(what, where=str(store.root), next="run the same command again")
    trials = tuple(TrialScore(trial.settings, _accuracy(trial, records)) for trial in cell.trials)
    seconds = math.fsum(record["seconds"] for record in records.values())
    choice = Choice(name, cell.title, cell.tuned, cell.procedure, trials, seconds)
    assert choice.chosen >= 0
    return choice


def _accuracy(trial: Trial, records: Mapping[str, Json]) -> float | None:
    """The mean over the trial's protocols, seeds and networks; None if any of its sets diverged."""
    scores = [records[identity] for identity in sorted(trial.scores)]
    if any(record["status"] != Status.OK for record in scores):
        return None
    return fmean(accuracy for record in scores for accuracy in record["result"]["accuracies"])
