"""Preparing experts: networks trained on the real training images, those of several tasks in lockstep on a GPU.

Each task has its own lock, weights, draws and record, as if its expert had learnt alone; what one attempt at several of
them took is shared out equally. Its checkpoint lies with the task that began it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from benchmark.compute.allocator import out_of_memory
from benchmark.datasets import Split
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import CHECKPOINT, Diverged, RunResult
from benchmark.execution.runtime import Outcome
from benchmark.training.experts import ExpertTrainings, expert_recipe
from benchmark.training.trainer import Training, accuracy
from benchmark.training.vectorized import expect_networks
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role
from benchmark.utils.tensor_files import load_tree, save_tensors, save_tree
from results.errors import ResultsError
from results.store.schema import Status


def prepare(job: Attempt) -> Outcome:
    """Train the task's expert, and as many beside it as learn at once; keep their first and last weights.

    Raises Diverged where its own expert does; others of which this is true get their records.
    """
    kept, _ = job.splits()
    learnt = Split(kept.images.to(job.compute.device), kept.labels.to(job.compute.device))
    own, jobs = job.task["identity"], _learners(job, learnt)
    try:
        work, run_result = _train(job, jobs, learnt)
        share = _share(run_result, work)
        for name in [name for name in jobs if name != own]:
            _end(job, jobs, name, lambda other: _keep(other, work, share, learnt))
        return _keep(job, work, share, learnt)  # the last: until its record is there, the checkpoint stays
    except BaseException as error:
        why = f"beside {job.task['slug']}: {str(error) or 'stopped'}"
        for other in jobs.values():
            if other is not job and not other.lock.lost:  # goes on with the next run, whatever becomes of this one
                with suppress(ResultsError):
                    other.store.attempt(other.task, Status.INTERRUPTED, why)
        raise


def begun_in(folder: Path) -> set[str] | None:
    """The identities of the tasks whose experts are in a folder's checkpoint; None where there is none to go on from.

    Of a version that trained one expert at a time: nobody beside its own.
    """
    try:
        return set(load_tree(folder / CHECKPOINT)["work"].get("experts", ()))
    except BenchmarkError:  # not there, or damaged
        return None


def _learners(job: Attempt, learnt: Split) -> dict[str, Attempt]:
    """The attempts whose experts learn at once, by the identities of their tasks; this one comes first.

    Where there is a checkpoint, only those that are in it.
    """
    begun = begun_in(job.folder)
    alike = [task for task in job.alike if begun is None or task["identity"] in begun]
    like, jobs = _new_expert(job, learnt), {job.task["identity"]: job}
    expect_networks(job.compute, 1 + len(alike), like.network, like.batch, learnt.images.shape)
    for other in islice(filter(None, map(job.claim, alike)), job.compute.num_parallel - 1):
        other.compute, other.memory = job.compute, job.memory
        other.log(f"learns together with {job.task['slug']}, whose log says more")
        jobs[other.task["identity"]] = other
    return jobs


def _train(job: Attempt, jobs: dict[str, Attempt], learnt: Split) -> tuple[ExpertTrainings, RunResult]:
    """Train the experts of `jobs`, which become fewer where memory runs out at first, and where experts diverge."""
    while True:
        if job.lock.lost:  # the checkpoint is someone else's, too
            raise BenchmarkError("another process has taken this task over", where=str(job.folder), passing=True)
        _leave_out(job, jobs, heir=job)
        try:
            work = ExpertTrainings(lambda name: _new_expert(jobs[name], learnt), list(jobs))
            job.compute.num_parallel = len(jobs)
            return work, job.turn(work)
        except Diverged as error:
            _let_diverge(job, jobs, work, error)
            continue
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if len(jobs) == 1 or (job.folder / CHECKPOINT).exists() or not out_of_memory(error):
                raise
        job.compute.step_down("num_parallel", 1)  # here, where the error no longer holds what was computed
        for name in list(jobs)[job.compute.num_parallel :]:
            jobs[name].log("begins later: memory ran out")
            jobs.pop(name).release()


def _let_diverge(job: Attempt, jobs: dict[str, Attempt], work: ExpertTrainings, error: Diverged) -> None:
    """Give those that diverged their records. The task's own has it last: another one inherits the checkpoint."""
    own, share = job.task["identity"], _share(error.run_result, work)
    for name in work.diverged():
        if name != own:
            _end(job, jobs, name, lambda other: other.commit(Status.DIVERGED, {}, share, error.steps, str(error)))
    if own in work.diverged():
        heirs = {name: other for name, other in jobs.items() if other is not job and not other.lock.lost}
        if heirs and not job.lock.lost:
            _leave_out(job, heirs, heir=next(iter(heirs.values())))
        raise Diverged(str(error), share, error.steps) from error


def _leave_out(job: Attempt, jobs: Mapping[str, Attempt], heir: Attempt) -> None:
    """Give the heir what the checkpoint holds of these jobs' experts alone, and of its seconds their share."""
    path = job.folder / CHECKPOINT
    state = load_tree(path) if path.exists() else {"work": {}}
    begun = state["work"].get("experts", {})
    if begun and (heir is not job or begun.keys() != jobs.keys()):
        state["work"]["experts"] = {name: begun[name] for name in jobs}
        state["seconds"] *= len(jobs) / len(begun)
        save_tree(heir.folder / CHECKPOINT, state)


def _end(job: Attempt, jobs: dict[str, Attempt], name: str, do: Callable[[Attempt], Outcome]) -> None:
    """Bring another task to its end, tell of it, and let it go; its faults are its own."""
    other = jobs[name]
    outcome = None if other.lock.lost else other.guarded(lambda: do(other))
    jobs.pop(name)
    if outcome is not None:
        job.runtime.ended(name, outcome)
    other.release()


def _share(run_result: RunResult, work: ExpertTrainings) -> RunResult:
    """What each of the experts that learnt together took."""
    return replace(run_result, seconds=run_result.seconds / len(work.trainings))


def _keep(job: Attempt, work: ExpertTrainings, run_result: RunResult, learnt: Split) -> Outcome:
    name = job.task["identity"]
    training = work.trainings[name]
    path = job.folder / "experts.safetensors"
    job.checksums[path.name] = save_tensors(path, work.tensors(name), {"expert": dict(job.resolved)})
    fit = accuracy(training.network, learnt, job.compute, training.normalize)
    return job.commit(Status.OK, {"train_accuracy": fit}, run_result, work.total_steps)


def _new_expert(job: Attempt, learnt: Split) -> Training:
    """The expert of a task, about to learn."""
    resolved = job.resolved
    # The recipe is no part of its seeds: experts of two recipes start from the same weights.
    values = resolved["dataset"]["fingerprint"], resolved["architecture"], resolved["expert_seed"], resolved["index"]
    recipe = expert_recipe(resolved["recipe"], len(learnt.labels))
    return job.training(Role.EXPERT, values, learnt.images, learnt.labels, recipe)
