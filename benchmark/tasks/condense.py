"""Condense: a method makes its synthetic set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.condensation.problem import ConcreteProblem, DeviceImages, TrainedExpert, choose_compile
from benchmark.datasets.imagenet_classes import readable
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import RunResult
from benchmark.execution.runtime import Outcome
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.timing import Stopwatch
from methods import registry
from methods.base import ExpertRecipe
from results.store.artifacts import MAKE_AGAIN
from results.store.schema import Status


def condense(attempt: Attempt) -> Outcome:
    """Run the task's method to its last step, then save its set and snapshots."""
    resolved, data = attempt.resolved, attempt.data()
    method = registry.get(resolved["method"])
    config = method.Config(**resolved["settings"])
    scratch = attempt.scratch_network()
    if reason := method.unsupported(config, depends_on_batch=scratch.depends_on_batch):
        return attempt.commit(Status.UNSUPPORTED, {}, RunResult(0.0, {}), 0, reason)
    for expert in resolved["experts"]:
        if outcome := attempt.failed_input_outcome("prepare", expert):
            return outcome
    experts = attempt.experts(scratch)
    _check_epochs(attempt, experts, method.experts(config))
    train, _ = attempt.splits()
    problem = ConcreteProblem(
        DeviceImages(train, data.num_classes, attempt.compute.device),
        experts,
        attempt.compute,
        attempt.normalizer(),
        ipc=resolved["ipc"],
        image_shape=data.image_shape,
        architecture=resolved["architecture"],
        flip=resolved["dataset"]["flip"],
        seed=resolved["seed"],
        fingerprint=data.fingerprint,
    )
    watch = Stopwatch(attempt.compute.device)
    with watch.running():  # a selection method does all its work in its constructor
        work = method(problem, config)
    cell = {"counts": problem.real.counts, "ipc": resolved["ipc"], "image_shape": data.image_shape}
    choose_compile(attempt.compute, work.total_steps, config, **cell)
    schedule = attempt.snapshot_schedule(work)
    run_result = attempt.run_steps(work, watch.seconds, schedule)
    attempt.checksums |= {f"snapshots/{taken['step']}.safetensors": taken["sha256"] for taken in schedule.taken}
    facts: dict[str, Any] = {"classes": readable(data.classes)}
    if schedule.steps:
        facts["snapshots"] = [{key: taken[key] for key in ("step", "seconds")} for taken in schedule.taken]
    return attempt.save_set(work.synthetic(), run_result, work.total_steps, facts)


def _check_epochs(attempt: Attempt, experts: Sequence[TrainedExpert], recipe: ExpertRecipe | None) -> None:
    """Raise BenchmarkError if an expert lacks weights that the recipe keeps: it was put into the store by hand."""
    for identity, expert in zip(attempt.resolved["experts"], experts, strict=True):
        missing = sorted({*recipe.keep} - {*expert.epochs}) if recipe else []
        if missing:
            epochs = ", ".join(map(str, missing))
            folder = attempt.store.folder({"kind": "prepare", "identity": identity})
            what = f"an expert lacks its weights after epoch {epochs}, which {attempt.resolved['method']} needs"
            raise BenchmarkError(what, where=str(folder), next=MAKE_AGAIN)
