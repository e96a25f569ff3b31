"""Curve: accuracy on the withheld images against the seconds that condensing had taken, an 'anytime' curve.

Each snapshot of a set is scored like the set itself: fresh networks with the seeds of the evaluation networks are
trained on it, so that the last point is the validation accuracy of the finished set's evaluation. For the whole
training set, networks are instead scored along their own training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from benchmark.analyses.base import Analysis, AnalysisCost, CondensedSet, decoded_images, snapshot_steps
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline, Split
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import RunResult, SnapshotSchedule
from benchmark.execution.runtime import Outcome, Task
from benchmark.training.evaluation import SequentialTrainings
from benchmark.training.protocols import from_resolved
from benchmark.training.trainer import Training, accuracy
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.schedules import log_spaced
from results.store.schema import WHOLE_SET, Status

CurvePoint = dict[str, Any]  # step; seconds, charged up to it; accuracies, one per network


class CurveAnalysis(Analysis):
    """The curve of one evaluation: of a set's snapshots, or along training on the whole set."""

    name = "curve"
    version = 1
    figure = "accuracy on withheld images against seconds of condensing"

    def check(self, config: AnalyzeConfig) -> None:
        """Raise BenchmarkError if curves are requested without a number of snapshots."""
        if self.name in config.analyses and config.snapshots is None:
            raise BenchmarkError(
                "a curve needs snapshots, and their number was not given",
                where="analyses=[curve]",
                next="choose it: snapshots=10 val_fraction=0.1",
            )
        if self.name in config.analyses and config.val_fraction == 0:
            raise BenchmarkError(
                "a curve is scored on withheld training images, and none are withheld",
                where="analyses=[curve], val_fraction=0",
                next="choose the fraction to withhold: val_fraction=0.1",
            )

    def content(self, evaluation: Task, points: int) -> dict[str, Any]:
        """The content of its task, in place of an evaluation's `set`. points: along training on the whole set."""
        identity = evaluation["resolved"]["set"]
        content = {"analysis": self.name, "version": self.version, "sets": [identity], "experts": []}
        return content | {"points": points} if identity == WHOLE_SET else content

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        train, validation = attempt.splits()
        if attempt.resolved["sets"] == [WHOLE_SET]:
            return self._run_whole(attempt, attempt.on_device(train), validation)
        (condensed,) = sets
        points, run_result, steps = score_snapshots(attempt, condensed, condensed.snapshots, validation)
        return attempt.commit(Status.OK, {"split": "validation", "points": points}, run_result, steps)

    def _run_whole(self, attempt: Attempt, train: Split, validation: Split) -> Outcome:
        new_training = partial(
            attempt.evaluation_training, train.images, train.labels, attempt.whole_recipe(len(train))
        )
        points, run_result, steps = score_trainings(attempt, new_training, validation)
        return attempt.commit(Status.OK, {"split": "validation", "points": points}, run_result, steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        resolved = task["resolved"]
        num_networks, protocol = resolved["num_eval"], from_resolved(resolved["protocol"])
        num_validation = sum(outline.train) - num_train
        if not sets:
            recipe = protocol.recipe_for_whole(num_train, resolved["whole"]["epochs"])
            points = len(log_spaced(recipe.steps, resolved["points"]))
            return AnalysisCost(
                num_networks * recipe.steps, num_networks * points * num_validation, (recipe, num_train)
            )
        (condense,) = sets
        return scoring_cost(task, condense, outline, len(snapshot_steps(condense)), num_validation)

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        points = record["result"]["points"]
        (identity,) = record["resolved"]["sets"]
        name, protocol = set_names.get(identity, identity), record["display"]["protocol"]
        accuracies = " → ".join(f"{100 * fmean(point['accuracies']):.1f}" for point in points)
        yield f"{name}, {protocol}: {accuracies} % in {points[-1]['seconds']:.1f} s"


def score_trainings(
    attempt: Attempt, new_training: Callable[[int], Training], split: Split
) -> tuple[list[CurvePoint], RunResult, int]:
    """Train the evaluation networks, and score them on the split before, along and after their training.

    The number of points besides the first is `points` of the task; their steps are spaced on a log scale. Returns the
    points, the result of running the steps, and their number. Raises as `run_steps` does.
    """
    num_networks = attempt.resolved["num_eval"]
    work = SequentialTrainings(new_training, num_networks)
    steps = [step for step in log_spaced(work.steps_per_network, attempt.resolved["points"]) if step]

    def score(step: int, seconds: float) -> dict[str, Any]:
        if step == 0:
            untrained = [_accuracy(attempt, new_training(index), split) for index in range(num_networks)]
            return {"untrained": untrained}
        return {"accuracy": _accuracy(attempt, work.training, split)}

    scored_at = {index * work.steps_per_network + step for index in range(num_networks) for step in steps}
    schedule = SnapshotSchedule(frozenset({0} | scored_at), score)
    run_result = attempt.run_steps(work, schedule=schedule)
    first, *others = schedule.taken
    return points_of_trainings(first["untrained"], others, work.steps_per_network), run_result, work.total_steps


def score_snapshots(
    attempt: Attempt, condensed: CondensedSet, snapshots: Sequence[Mapping[str, Any]], split: Split
) -> tuple[list[CurvePoint], RunResult, int]:
    """Train the evaluation networks on each of these snapshots, and score them on the split after their last epoch.

    Returns a point for each snapshot, the result of running the steps, and their number. Raises as `run_steps` does.
    """
    num_networks = attempt.resolved["num_eval"]

    def new_training(index: int) -> Training:
        synthetic = condensed.load(snapshots[index // num_networks]["step"])
        recipe = attempt.set_recipe(synthetic)
        return attempt.evaluation_training(*synthetic.decode(), recipe, index % num_networks)

    work = SequentialTrainings(new_training, num_networks * len(snapshots))
    ends = range(work.steps_per_network, work.total_steps + 1, work.steps_per_network)
    schedule = SnapshotSchedule(
        frozenset(ends), lambda step, seconds: {"accuracy": _accuracy(attempt, work.training, split)}
    )
    run_result = attempt.run_steps(work, schedule=schedule)
    points = points_of_snapshots(snapshots, [taken["accuracy"] for taken in schedule.taken], num_networks)
    return points, run_result, work.total_steps


def scoring_cost(task: Task, condense: Task, outline: Outline, snapshots: int, num_scored: int) -> AnalysisCost:
    """The cost of `score_snapshots`. snapshots: their number. num_scored: images of the split."""
    resolved = task["resolved"]
    images = decoded_images(condense, outline.num_classes)
    protocol = from_resolved(resolved["protocol"])
    recipe = protocol.recipe(condense["resolved"]["ipc"] * outline.num_classes, images)
    num_trainings = resolved["num_eval"] * snapshots
    return AnalysisCost(num_trainings * recipe.steps, num_trainings * num_scored, (recipe, images))


def _accuracy(attempt: Attempt, training: Training, split: Split) -> float:
    return accuracy(training.network, split, attempt.compute, training.normalize)


def points_of_snapshots(
    snapshots: Sequence[Mapping[str, Any]], accuracies: Sequence[float], num_networks: int
) -> list[CurvePoint]:
    """One point per snapshot. accuracies: of all networks of the first snapshot, then of the second, …"""
    return [
        {
            "step": snapshot["step"],
            "seconds": snapshot["seconds"],
            "accuracies": list(accuracies[index * num_networks : (index + 1) * num_networks]),
        }
        for index, snapshot in enumerate(snapshots)
    ]


def points_of_trainings(
    untrained: Sequence[float], scores: Sequence[Mapping[str, Any]], steps_per_network: int
) -> list[CurvePoint]:
    """Points along the training of networks that are trained one after the other.

    untrained: accuracies before the first step. scores: accuracy, step and charged seconds, counted through all
    trainings. The seconds of a point are the mean over the networks of those since the start of their own training.
    """
    start_seconds = {1: 0.0}  # of the training of each network, which are counted from 1
    accuracies: dict[int, list[float]] = {}
    seconds: dict[int, list[float]] = {}
    for score in sorted(scores, key=lambda score: score["step"]):
        network, step = -(-score["step"] // steps_per_network), (score["step"] - 1) % steps_per_network + 1
        accuracies.setdefault(step, []).append(score["accuracy"])
        seconds.setdefault(step, []).append(score["seconds"] - start_seconds[network])
        if step == steps_per_network:
            start_seconds[network + 1] = score["seconds"]
    first: CurvePoint = {"step": 0, "seconds": 0.0, "accuracies": list(untrained)}
    return [first] + [
        {"step": step, "seconds": sum(seconds[step]) / len(seconds[step]), "accuracies": accuracies[step]}
        for step in sorted(accuracies)
    ]
