"""Preparing experts: networks trained on the real training images, those of several tasks in lockstep on a GPU.

Each task has its own lock, weights, draws and record, as if its expert had learnt alone; what one attempt at several of
them took is shared out equally. Its checkpoint lies with the task that began it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from benchmark.checkpoint import save_tensors
from benchmark.crank import Diverged, Turned
from benchmark.datasets import Split
from benchmark.ensemble import expect_networks
from benchmark.job import Attempt
from benchmark.runtime import Outcome
from benchmark.training import Recipe, Training, accuracy
from benchmark.works import ExpertTrainings


def expert_recipe(recipe: Mapping[str, Any], images: int) -> Recipe:
    """An expert's recipe in optimiser steps; lr falls after int(fraction · epochs) epochs."""
    each = -(-images // recipe["batch"])
    return Recipe(
        steps=recipe["epochs"] * each,
        batch=recipe["batch"],
        lr=recipe["lr"],
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        drops=tuple(int(part * recipe["epochs"] + 1e-9) * each for part in recipe["milestones"]),
        gamma=recipe["gamma"],
        reset_at_drop=False,
        augment=recipe["augment"],
        cutmix=recipe["cutmix"],
    )


def prepare(job: Attempt) -> Outcome:
    """Train the task's expert, and as many beside it as learn at once; keep their first and last weights.

    One that diverges gets its record, and the others go on without it, from the last checkpoint.
    """
    kept, _ = job.splits()
    learnt = Split(kept.images.to(job.compute.device), kept.labels.to(job.compute.device))
    own, jobs, made = job.task["identity"], _learners(job, learnt), dict[str, Outcome]()
    while own in jobs:
        work = ExpertTrainings(lambda name: _new_expert(jobs[name], learnt), list(jobs), job.compute)
        try:
            turned = job.turn(work)
        except Diverged as error:
            share = _share(error.turned, work)
            made |= {n: jobs.pop(n).commit("diverged", {}, share, error.steps, str(error)) for n in work.diverged()}
        else:
            job.compute.together = len(work.trainings)
            _, *others = work.trainings
            for name in [*others, own]:  # its own last: until its record is there, the checkpoint stays
                if name == own or not jobs[name].lock.lost:
                    made[name] = _keep(jobs[name], work, name, _share(turned, work), learnt)
            break
    return replace(made.pop(own), beside=made)


def _learners(job: Attempt, learnt: Split) -> dict[str, Attempt]:
    """The attempts whose experts learn at once, by the identities of their tasks; this one comes first."""
    found = {job.task["identity"]: job}
    like = _new_expert(job, learnt)
    expect_networks(job.compute, 1 + job.alike, like.network, like.batch, learnt.images.shape)
    for other in islice(job.others, job.compute.together - 1):
        other.compute, other.memory = job.compute, job.memory
        other.log(f"learns together with {job.task['slug']}, whose log says more")
        found[other.task["identity"]] = other
    return found


def _share(turned: Turned, work: ExpertTrainings) -> Turned:
    """What each of the experts that learnt together took."""
    return replace(turned, seconds=turned.seconds / len(work.trainings))


def _keep(job: Attempt, work: ExpertTrainings, name: str, turned: Turned, learnt: Split) -> Outcome:
    save_tensors(job.folder / "experts.safetensors", work.tensors(name), {"expert": dict(job.asked)})
    training = work.trainings[name]
    fit = accuracy(training.network, learnt, job.compute, training.normalise)
    return job.commit("ok", {"train_accuracy": fit}, turned, work.total_steps)


def _new_expert(job: Attempt, learnt: Split) -> Training:
    """The expert of a task, about to learn."""
    asked = job.asked
    roles = {
        "dataset": asked["dataset"]["fingerprint"],
        "architecture": asked["architecture"],
        "recipe": json.dumps(asked["recipe"], sort_keys=True),
        "index": asked["index"],
        "pool_seed": asked["pool_seed"],
    }
    recipe = expert_recipe(asked["recipe"], len(learnt.labels))
    return job.training("expert", roles, learnt.images, learnt.labels, recipe)
