"""Interpolation: accuracy of DANCE's mid encoder between an expert and the weights it started from.

After the DANCE paper (arXiv:2406.01063), Figure 3b. For every expert and λ in 0, 0.1, …, 1:

    θ(λ) = λ · θ_initial + (1 − λ) · θ_trained        so that λ = 0 is the expert, and λ = 1 its initialisation

All parameters share one λ, and images are classified in eval mode. λ multiplies the initial weights, as in the paper's
figure and in its public code (DANCE@3f6b8b6), whose training draws it uniformly in [0, 1] for each iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.compute.engine import Compute
from benchmark.condensation.problem import TrainedExpert
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer
from benchmark.training.trainer import accuracy

LAMBDAS = tuple(k / 10 for k in range(11))


def pieces(
    experts: Sequence[TrainedExpert], split: Split, compute: Compute, normalize: Normalizer
) -> list[Callable[[], float]]:
    """One score for each λ and expert, λ by λ; experts may share a scratch network, as each is scored at once."""

    def score(expert: TrainedExpert, weight: float) -> float:
        expert.interpolate(weight)
        return accuracy(expert.scratch, split, compute, normalize)

    return [lambda e=expert, w=weight: score(e, w) for weight in LAMBDAS for expert in experts]  # type: ignore[misc]


def table(scores: Sequence[float], experts: int) -> list[list[float]]:
    """The scores of `pieces` as one row of `experts` accuracies for each λ."""
    return [list(scores[start : start + experts]) for start in range(0, len(scores), experts)]
