"""Training curve: accuracy on the withheld images along the training of evaluation networks on a finished set.

It shows how many optimizer steps a set needs, and whether networks become worse when they are trained for longer. The
networks are those of the set's evaluation, with their seeds, so that the last point is its validation accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from benchmark.analyses.base import Analysis, AnalysisCost, CondensedSet, decoded_images
from benchmark.analyses.curve import score_trainings
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from benchmark.training.protocols import from_resolved
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.schedules import log_spaced
from results.store.schema import Status

NUM_POINTS = 20  # steps at which networks are scored, besides the first


class TrainingCurveAnalysis(Analysis):
    """The accuracies of one evaluation's networks along their training on its set."""

    name = "training_curve"
    version = 1
    figure = "accuracy on withheld images against the optimizer steps of evaluation networks"

    def check(self, config: AnalyzeConfig) -> None:
        """Raise BenchmarkError if it is requested and no images are withheld."""
        if self.name in config.analyses and config.val_fraction == 0:
            raise BenchmarkError(
                "a training curve is scored on withheld training images, and none are withheld",
                where="analyses=[training_curve], val_fraction=0",
                next="choose the fraction to withhold: val_fraction=0.1",
            )

    def content(self, evaluation: Task) -> dict[str, Any]:
        """The content of its task, in place of an evaluation's `set`."""
        sets = [evaluation["resolved"]["set"]]
        return {"analysis": self.name, "version": self.version, "sets": sets, "experts": [], "points": NUM_POINTS}

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        (condensed,) = sets
        _, validation = attempt.splits()
        synthetic = condensed.load()
        new_training = partial(attempt.evaluation_training, *synthetic.decode(), attempt.set_recipe(synthetic))
        points, run_result, steps = score_trainings(attempt, new_training, validation)
        return attempt.commit(Status.OK, {"split": "validation", "points": points}, run_result, steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        (condense,) = sets
        resolved, images = task["resolved"], decoded_images(condense, outline.num_classes)
        recipe = from_resolved(resolved["protocol"]).recipe(condense["resolved"]["ipc"] * outline.num_classes, images)
        num_networks, num_points = resolved["num_eval"], len(log_spaced(recipe.steps, resolved["points"]))
        num_validation = sum(outline.train) - num_train
        return AnalysisCost(num_networks * recipe.steps, num_networks * num_points * num_validation, (recipe, images))

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        (identity,) = record["resolved"]["sets"]
        name, protocol = set_names.get(identity, identity), record["display"]["protocol"]
        means = {point["step"]: 100 * fmean(point["accuracies"]) for point in record["result"]["points"]}
        best, last = max(means, key=lambda step: means[step]), max(means)
        yield f"{name}, {protocol}: {means[last]:.1f} % after {last} steps, at most {means[best]:.1f} % after {best}"
