"""Condensing: a method makes its synthetic set."""

from __future__ import annotations

from benchmark.condensation.problem import ConcreteProblem, RealImages, expect_steps
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import RunResult
from benchmark.execution.runtime import Outcome
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from benchmark.utils.timing import Stopwatch
from methods import registry
from results.store.schema import Status


def condense(attempt: Attempt) -> Outcome:
    """Let the method make its set."""
    resolved, data = attempt.resolved, attempt.data()
    method = registry.get(resolved["method"])
    config = method.Config(**resolved["settings"])
    scratch = attempt.network(seeding.generator(Role.SCRATCH)).requires_grad_(False)
    if reason := method.unsupported(config, depends_on_batch=scratch.depends_on_batch):
        return attempt.commit(Status.UNSUPPORTED, {}, RunResult(0.0, {}), 0, reason)
    for expert in resolved["experts"]:
        if skip_reason := attempt.skip_reason("prepare", expert):
            return skip_reason
    kept, _ = attempt.splits()
    problem = ConcreteProblem(
        RealImages(kept, data.num_classes, attempt.compute.device),
        [attempt.expert(identity, scratch) for identity in resolved["experts"]],
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
    with watch.running():  # a selection method does all its work here
        work = method(problem, config)
    cell = {"classes": data.num_classes, "ipc": resolved["ipc"], "image_shape": data.image_shape}
    expect_steps(attempt.compute, work.total_steps, config, **cell)
    schedule = attempt.snapshots(work)
    run_result = attempt.turn(work, watch.seconds, schedule)
    attempt.checksums |= {f"snapshots/{look['step']}.safetensors": look["sha256"] for look in schedule.taken}
    facts = {"snapshots": [{key: look[key] for key in ("step", "seconds")} for look in schedule.taken]}
    return attempt.save_set(work.synthetic(), run_result, work.total_steps, facts if schedule.at else {})
