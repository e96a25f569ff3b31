"""Condensing: a method makes its synthetic set."""

from __future__ import annotations

from benchmark.condensation.problem import ConcreteProblem, RealImages, expect_steps
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import Turned
from benchmark.execution.runtime import Outcome
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from benchmark.utils.timing import Stopwatch
from methods import registry


def condense(attempt: Attempt) -> Outcome:
    """Let the method make its set."""
    asked, data = attempt.asked, attempt.data()
    method = registry.get(asked["method"])
    config = method.Config(**asked["settings"])
    scratch = attempt.network(seeding.generator(Role.SCRATCH)).requires_grad_(False)
    if reason := method.unsupported(config, depends_on_batch=scratch.depends_on_batch):
        return attempt.commit("unsupported", {}, Turned(0.0, {}), 0, reason)
    for expert in asked["experts"]:
        if blocked := attempt.blocked("prepare", expert):
            return blocked
    kept, _ = attempt.splits()
    problem = ConcreteProblem(
        RealImages(kept, data.num_classes, attempt.compute.device),
        [attempt.expert(identity, scratch) for identity in asked["experts"]],
        attempt.compute,
        attempt.normaliser(),
        ipc=asked["ipc"],
        image_shape=data.image_shape,
        architecture=asked["architecture"],
        flip=asked["dataset"]["flip"],
        seed=asked["seed"],
        fingerprint=data.fingerprint,
    )
    watch = Stopwatch(attempt.compute.device)
    with watch.running():  # a selection method does all its work here
        work = method(problem, config)
    cell = {"classes": data.num_classes, "ipc": asked["ipc"], "image_shape": data.image_shape}
    expect_steps(attempt.compute, work.total_steps, config, **cell)
    marks = attempt.snapshots(work)
    turned = attempt.turn(work, watch.seconds, marks)
    attempt.checksums |= {f"snapshots/{look['step']}.safetensors": look["sha256"] for look in marks.taken}
    facts = {"snapshots": [{key: look[key] for key in ("step", "seconds")} for look in marks.taken]}
    return attempt.keep(work.synthetic(), turned, work.total_steps, facts if marks.at else {})
