"""Analyze tasks: which sets and experts of a plan each analysis takes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any

from benchmark import analyses
from benchmark.analyses.base import GroupAnalysis, SetGroup
from benchmark.analyses.best_on_test import BestOnTestAnalysis
from benchmark.analyses.curve import CurveAnalysis
from benchmark.analyses.training_curve import TrainingCurveAnalysis
from benchmark.analyses.validation import ValidationAnalysis
from benchmark.config.schema import AnalyzeConfig
from benchmark.execution.runtime import Task
from benchmark.planning.plan import Part, Plan, dataset_content, dataset_display, inputs_of
from benchmark.utils.errors import BenchmarkError, unknown

_DISPLAY = (
    "dataset",
    "dataset_title",
    "published_as",
    "num_classes",
    "train_images",
    "condense_architecture",
    "ipc",
    "protocol",
)


def check(config: AnalyzeConfig) -> None:
    """Raise BenchmarkError for an unknown analysis, or a wrong option of any."""
    for name in config.analyses:
        if name not in analyses.names():
            raise unknown("analysis", name, analyses.names(), where=f"analyses=[{name}]")
    for name in [*config.analyses, *analyses.BUILT_IN]:
        analyses.get(name).check(config)


def add_curves(plan: Plan, points: int, protocol_names: Sequence[str]) -> None:
    """Add a curve for each evaluation under these protocols, along a set's snapshots or training on the whole set.

    protocol_names: without those that robustness_scores adds. points: their number along training on the whole set,
    besides the first.
    """
    curve = CurveAnalysis()
    for task in _evaluations(plan, protocol_names):
        _add_scoring(plan, task, f"curve-{task['slug']}", curve.content(task, points))


def add_best_on_test(plan: Plan, protocol_names: Sequence[str]) -> None:
    """Add the scoring of the snapshots of each evaluation's set on the test split."""
    best_on_test = BestOnTestAnalysis()
    for task in _evaluations(plan, protocol_names):
        condense = plan.by_identity.get(task["resolved"]["set"])
        if condense and condense["resolved"].get("snapshots"):
            _add_scoring(plan, task, f"best-on-test-{task['slug']}", best_on_test.content(task))


def validations(plan: Plan) -> dict[str, Task]:
    """The scoring of each evaluation's set on withheld images alone, by identity, in place of the evaluations."""
    scored = Plan()
    for task in plan.of_kind("evaluate"):
        _add_scoring(scored, task, f"validation-{task['slug']}", ValidationAnalysis().content(task))
    return scored.by_identity


def _add_training_curves(plan: Plan, protocol_names: Sequence[str]) -> None:
    """Add the training curve of each evaluation of a condensed set; `curve` has that of the whole set."""
    training_curve = TrainingCurveAnalysis()
    for task in _evaluations(plan, protocol_names):
        if task["resolved"]["set"] in plan.by_identity:
            _add_scoring(plan, task, f"training-curve-{task['slug']}", training_curve.content(task))


def _evaluations(plan: Plan, protocol_names: Sequence[str]) -> list[Task]:
    """The evaluations under these protocols, without imported sets, which have no snapshots."""
    return [
        task
        for task in plan.of_kind("evaluate")
        if not task["resolved"].get("imported") and task["display"]["protocol"] in protocol_names
    ]


def _add_scoring(plan: Plan, evaluation: Task, slug: str, content: dict[str, Any]) -> None:
    """Add an analysis that trains the networks of an evaluation, but on what `content` says in place of its set."""
    spec, resolved = (
        {key: value for key, value in evaluation[part].items() if key not in ("kind", "set")} | content
        for part in ("spec", "resolved")
    )
    display = {key: evaluation["display"][key] for key in _DISPLAY}
    plan.add_specified("analyze", slug, spec, resolved, display, evaluation["requested"])


def reduce_to_analyses(plan: Plan, config: AnalyzeConfig) -> Plan:
    """Reduce a run's plan to the requested analyses and the tasks that they need. Nothing is evaluated.

    Raises BenchmarkError if the plan has no sets, or no experts, for one of the analyses.
    """
    for name in config.analyses:
        analysis = analyses.get(name)
        if isinstance(analysis, GroupAnalysis):
            _add_groups(plan, config, analysis)
        elif isinstance(analysis, TrainingCurveAnalysis):
            _add_training_curves(plan, config.protocols)
    needed = {task["identity"] for task in plan.of_kind("analyze") if task["resolved"]["analysis"] in config.analyses}
    for task in reversed(plan.tasks):  # each task comes after its inputs
        if task["identity"] in needed:
            needed |= inputs_of(task)
    plan.by_identity = {identity: task for identity, task in plan.by_identity.items() if identity in needed}
    return plan


def _add_groups(plan: Plan, config: AnalyzeConfig, analysis: GroupAnalysis) -> None:
    """Add the analysis of every group of sets; a note names those that have none, and why."""
    reasons = []
    groups = _groups(plan, config, analysis)
    for group in groups:
        if reason := analysis.unsupported(group):
            reasons.append(reason)
            plan.note(f"{analysis.name} is left out on {group.outline.name} with {group.architecture}: {reason}")
        else:
            _add(plan, config, analysis, group)
    if len(reasons) == len(groups):
        raise _no_groups(plan, config, analysis, reasons)


def _no_groups(plan: Plan, config: AnalyzeConfig, analysis: GroupAnalysis, reasons: Sequence[str]) -> BenchmarkError:
    """The error for an analysis that can be made of no group of sets, for these reasons."""
    where = f"analyses=[{analysis.name}], methods=[{','.join(config.methods)}]"
    if analysis.needs_experts and not plan.of_kind("prepare"):
        return BenchmarkError(
            f"{analysis.name} needs experts, and none of the methods trains any here",
            where=where,
            next="add a method that does: methods=[…,dance]",
        )
    if reasons:
        return BenchmarkError(
            f"{analysis.name}: {reasons[0]}",
            where=f"analyses=[{analysis.name}], architectures={config.architectures}",
            next="name an architecture with another norm",
        )
    return BenchmarkError(
        f"there is no set for {analysis.name}",
        where=where,
        next="name a method that condenses: methods=[dance]",
    )


def _groups(plan: Plan, config: AnalyzeConfig, analysis: GroupAnalysis) -> list[SetGroup]:
    """The plan's sets of the requested seeds, in the groups that the analysis takes together."""
    sets: dict[tuple[str, str, int, int | None], list[Task]] = {}
    for task in plan.of_kind("condense"):
        resolved = task["resolved"]
        if resolved["seed"] in config.seeds:
            ipc = resolved["ipc"] if analysis.by_ipc else None
            key = task["display"]["dataset"], resolved["architecture"], resolved["seed"], ipc
            sets.setdefault(key, []).append(task)
    groups = []
    for (dataset, architecture, seed, ipc), tasks in sets.items():
        pool = max((task["resolved"]["experts"] for task in tasks), key=len)
        experts = [plan.by_identity[identity] for identity in pool]
        groups.append(SetGroup(plan.outlines[dataset], architecture, seed, ipc, tasks, experts))
    return groups


def _add(plan: Plan, config: AnalyzeConfig, analysis: GroupAnalysis, group: SetGroup) -> None:
    content: dict[str, Any] = {
        "analysis": analysis.name,
        "version": analysis.version,
        "sets": sorted(task["identity"] for task in group.sets) if analysis.uses_sets else [],
        "experts": [],
        "architecture": group.architecture,
        "dataset": dataset_content(group.outline, group.outline.constants),
        "val_fraction": config.val_fraction,
        "precision": config.precision,
    }
    for key, value in analysis.content(group, config).items():
        content[key] = Part.of(value, "source") if is_dataclass(value) else value  # without the source of a protocol
    display = dataset_display(group.outline) | {"condense_architecture": group.architecture, "ipc": group.ipc}
    ipc, seed = f"-ipc{group.ipc}" if group.ipc else "", f"-seed{group.seed}" if analysis.uses_sets else ""
    slug = f"{analysis.name}-{group.outline.name}{ipc}-{group.architecture}{seed}"
    plan.add("analyze", slug, content, display, group.sets[0]["requested"])
