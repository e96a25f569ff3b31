"""Prepare: experts are trained on the real training images, those of several tasks in lockstep on a GPU.

Each task has its own lock, weights, random draws and record, as if its expert were trained alone. The seconds of a
group are divided equally among its tasks. The group's checkpoint is in the folder of the task that started it.
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
from benchmark.training.experts import ExpertTrainings, expert_recipe, kept_steps
from benchmark.training.trainer import Training, accuracy
from benchmark.training.vectorized import choose_num_parallel
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role
from benchmark.utils.tensor_files import load_tree, save_tensors, save_tree
from results.errors import ResultsError
from results.store.schema import Status

Group = dict[str, Attempt]  # attempts whose experts are trained in lockstep, by the identities of their tasks


def prepare(attempt: Attempt) -> Outcome:
    """Train the task's expert, together with those of companions, and save its initial, kept and trained weights.

    Raises Diverged if its own expert diverges; companions whose experts diverge get their own records.
    """
    train, _ = attempt.splits()
    train = attempt.on_device(train)
    own, group = attempt.task["identity"], _claim_group(attempt, train)
    try:
        work, run_result = _train_group(attempt, group, train)
        share = _share_of(run_result, work)
        for identity in [identity for identity in group if identity != own]:
            _finish_companion(attempt, group, identity, lambda companion: _save_expert(companion, work, share, train))
        return _save_expert(attempt, work, share, train)  # last, because its record removes the checkpoint
    except BaseException as error:
        message = f"trained together with {attempt.task['slug']}: {str(error) or 'stopped'}"
        for companion in group.values():
            if companion is not attempt and not companion.lock.lost:  # retried by the next run, whatever this one does
                with suppress(ResultsError):
                    companion.store.attempt(companion.task, Status.INTERRUPTED, message)
        raise


def identities_in_checkpoint(folder: Path) -> set[str] | None:
    """The tasks whose experts a folder's checkpoint holds, None without a usable checkpoint."""
    try:
        return set(load_tree(folder / CHECKPOINT)["work"]["experts"])
    except BenchmarkError:  # missing or damaged
        return None


def _claim_group(attempt: Attempt, train: Split) -> Group:
    """The group to train, this attempt first; from the tasks in its checkpoint alone, if there is one."""
    resumed = identities_in_checkpoint(attempt.folder)
    companions = [task for task in attempt.companions if resumed is None or task["identity"] in resumed]
    example, group = _new_training(attempt, train), {attempt.task["identity"]: attempt}
    choose_num_parallel(attempt.compute, 1 + len(companions), example.network, example.batch, train.images.shape)
    for companion in islice(filter(None, map(attempt.claim, companions)), attempt.compute.num_parallel - 1):
        companion.compute, companion.peak_memory = attempt.compute, attempt.peak_memory
        companion.log(f"trained together with {attempt.task['slug']}: see its log")
        group[companion.task["identity"]] = companion
    return group


def _train_group(attempt: Attempt, group: Group, train: Split) -> tuple[ExpertTrainings, RunResult]:
    """Train the group, which shrinks when experts diverge, or if memory runs out before its first checkpoint."""
    keep = kept_steps(attempt.resolved["recipe"], len(train.labels))
    while True:
        if attempt.lock.lost:  # then the checkpoint is another process's, too
            raise BenchmarkError("another process has taken this task over", where=str(attempt.folder), transient=True)
        _restrict_checkpoint(attempt, group, target=attempt)
        try:
            work = ExpertTrainings(lambda identity: _new_training(group[identity], train), list(group), keep)
            attempt.compute.num_parallel = len(group)
            return work, attempt.run_steps(work)
        except Diverged as error:
            _record_diverged(attempt, group, work, error)
            continue
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if len(group) == 1 or (attempt.folder / CHECKPOINT).exists() or not out_of_memory(error):
                raise
        attempt.compute.halve("num_parallel", 1)  # outside of `except`, where the error keeps tensors alive
        for identity in list(group)[attempt.compute.num_parallel :]:
            group[identity].log("postponed: memory ran out")
            group.pop(identity).release()


def _record_diverged(attempt: Attempt, group: Group, work: ExpertTrainings, error: Diverged) -> None:
    """Give the experts that diverged their records. Raises Diverged if the task's own is among them.

    In that case a companion takes the checkpoint over first, as the task's record will remove it.
    """
    own, share = attempt.task["identity"], _share_of(error.run_result, work)

    def commit(companion: Attempt) -> Outcome:
        return companion.commit(Status.DIVERGED, {}, share, error.steps, str(error))

    for identity in work.diverged():
        if identity != own:
            _finish_companion(attempt, group, identity, commit)
    if own in work.diverged():
        remaining = {
            identity: other for identity, other in group.items() if other is not attempt and not other.lock.lost
        }
        if remaining and not attempt.lock.lost:
            _restrict_checkpoint(attempt, remaining, target=next(iter(remaining.values())))
        raise Diverged(str(error), share, error.steps) from error


def _restrict_checkpoint(attempt: Attempt, group: Mapping[str, Attempt], target: Attempt) -> None:
    """Write the part of the attempt's checkpoint with these experts, and their share of the seconds, to the target."""
    path = attempt.folder / CHECKPOINT
    if not path.exists():
        return
    state = load_tree(path)
    experts = state["work"]["experts"]
    if target is not attempt or experts.keys() != group.keys():
        state["work"]["experts"] = {identity: experts[identity] for identity in group}
        state["seconds"] *= len(group) / len(experts)
        state["owner"] = target.checkpoint_owner()
        save_tree(target.folder / CHECKPOINT, state)


def _finish_companion(attempt: Attempt, group: Group, identity: str, finish: Callable[[Attempt], Outcome]) -> None:
    """Finish a companion, report its outcome, and release its lock; its errors do not concern the others."""
    companion = group[identity]
    outcome = None if companion.lock.lost else companion.catch_errors(lambda: finish(companion))
    group.pop(identity)
    if outcome is not None:
        attempt.runtime.on_companion_end(identity, outcome)
    companion.release()


def _share_of(run_result: RunResult, work: ExpertTrainings) -> RunResult:
    """The run result with each expert's share of the seconds."""
    return replace(run_result, seconds=run_result.seconds / len(work.trainings))


def _save_expert(attempt: Attempt, work: ExpertTrainings, run_result: RunResult, train: Split) -> Outcome:
    identity = attempt.task["identity"]
    training = work.trainings[identity]
    path = attempt.folder / "experts.safetensors"
    attempt.checksums[path.name] = save_tensors(path, work.tensors(identity), {"expert": dict(attempt.resolved)})
    train_accuracy = accuracy(training.network, train, attempt.compute, training.normalize)
    return attempt.commit(Status.OK, {"train_accuracy": train_accuracy}, run_result, work.total_steps)


def _new_training(attempt: Attempt, train: Split) -> Training:
    """The training of the task's expert.

    Its seeds hash the dataset's fingerprint, the architecture, the seed of the expert pool and the expert's index. The
    recipe is not hashed, so that experts of two recipes start from the same weights.
    """
    resolved = attempt.resolved
    values = resolved["dataset"]["fingerprint"], resolved["architecture"], resolved["expert_seed"], resolved["index"]
    recipe = expert_recipe(resolved["recipe"], len(train.labels))
    return attempt.training(Role.EXPERT, values, train.images, train.labels, recipe)
