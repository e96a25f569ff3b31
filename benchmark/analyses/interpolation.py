"""Interpolation: accuracy of DANCE's mid encoder between an expert and the weights it started from.

After the DANCE paper (arXiv:2406.01063), Figure 3b. For every expert and λ in 0, 0.1, …, 1:

    θ(λ) = λ · θ_initial + (1 − λ) · θ_trained        so that λ = 0 is the expert, and λ = 1 its initialization

All parameters share one λ, and images are classified in eval mode. λ multiplies the initial weights, as in the paper's
figure and in its public code (DANCE@3f6b8b6), whose training draws it uniformly in [0, 1] for each iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from benchmark import networks
from benchmark.analyses import base
from benchmark.analyses.base import AnalysisCost, CondensedSet, GroupAnalysis, SetGroup
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import TrainedExpert
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline, Split
from benchmark.datasets.normalization import Normalizer
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from benchmark.execution.work import IndependentSteps
from benchmark.training.trainer import accuracy
from results.store.schema import Status

LAMBDAS = tuple(k / 10 for k in range(11))


class InterpolationAnalysis(GroupAnalysis):
    """Accuracies between the initial and the trained weights of experts, on the validation images if there are any."""

    name = "interpolation"
    version = 1
    figure = "accuracy against λ, from the expert (0) to the weights it started from (1)"
    needs_experts = True
    uses_sets = False

    def unsupported(self, group: SetGroup) -> str:
        shape, num_classes = group.outline.image_shape, group.outline.num_classes
        if group.experts and networks.build(group.architecture, shape, num_classes, torch.Generator()).depends_on_batch:
            return "experts with batch norm cannot be interpolated"
        return super().unsupported(group)

    def content(self, group: SetGroup, config: AnalyzeConfig) -> dict[str, Any]:
        return group.expert_content()

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        train, validation = attempt.splits()
        split = base.scored_images(attempt, validation if len(validation) else train)
        experts = attempt.experts()
        work = IndependentSteps(scores(experts, split, attempt.compute, attempt.normalizer()))
        run_result = attempt.run_steps(work)
        result = {
            "lambdas": list(LAMBDAS),
            "split": "validation" if len(validation) else "train",
            "images": len(split),
            "accuracies": rows_of(work.results, len(experts)),
        }
        return attempt.commit(Status.OK, result, run_result, work.total_steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        steps = len(LAMBDAS) * len(task["resolved"]["experts"])
        num_validation = sum(outline.train) - num_train
        return AnalysisCost(steps, steps * min(num_validation or num_train, base.MAX_SCORED))

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        result = record["result"]
        middle = len(result["lambdas"]) // 2
        for index, note in ((0, " (the expert)"), (middle, ""), (-1, " (untrained)")):
            yield f"{100 * fmean(result['accuracies'][index]):.1f} % at λ = {result['lambdas'][index]:g}{note}"
        yield f"{result['images']:,} {result['split']} images, {len(result['accuracies'][0])} experts"


def scores(
    experts: Sequence[TrainedExpert], split: Split, compute: Compute, normalize: Normalizer
) -> list[Callable[[], float]]:
    """A function for each λ and expert, λ by λ, that returns the accuracy. Experts may share a scratch network."""

    def score(expert: TrainedExpert, weight: float) -> float:
        expert.interpolate(weight)
        return accuracy(expert.scratch, split, compute, normalize)

    return [lambda e=expert, w=weight: score(e, w) for weight in LAMBDAS for expert in experts]  # type: ignore[misc]


def rows_of(accuracies: Sequence[float], num_experts: int) -> list[list[float]]:
    """The results of `scores` as one row of `num_experts` accuracies for each λ."""
    return [list(accuracies[start : start + num_experts]) for start in range(0, len(accuracies), num_experts)]
