"""Herding and k-center against their definitions, by exhaustion on small sets of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmark.condensation.problem import ConcreteProblem
from methods.coreset import FeatureConfig, Herding, KCenter, herding, k_center

Make = Callable[..., ConcreteProblem]


def features(seed: int, count: int = 30, dimensions: int = 5) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(5))
def test_herding_takes_whatever_brings_the_sum_nearest_to_so_many_means(seed: int) -> None:
    given = features(seed).numpy()
    mean, chosen = given.mean(0), []
    for k in range(1, 13):
        left = [i for i in range(len(given)) if i not in chosen]
        distances = [np.linalg.norm(k * mean - given[[*chosen, i]].sum(0)) for i in left]
        chosen.append(left[int(np.argmin(distances))])
    assert herding(torch.from_numpy(given), 12) == chosen


@pytest.mark.parametrize("seed", range(5))
def test_k_center_takes_the_farthest_from_all_chosen(seed: int) -> None:
    given = features(seed).numpy()
    chosen = [int(np.argmin(np.linalg.norm(given - given.mean(0), axis=1)))]
    for _ in range(11):
        gaps = [min(np.linalg.norm(given[i] - given[j]) for j in chosen) for i in range(len(given))]
        chosen.append(int(np.argmax(gaps)))
    assert k_center(torch.from_numpy(given), 12) == chosen


def test_at_one_image_both_take_the_one_nearest_to_the_mean() -> None:
    given = features(7)
    nearest = int((given - given.mean(0)).norm(dim=1).argmin())
    assert herding(given, 1) == k_center(given, 1) == [nearest]


@pytest.mark.parametrize("select", [herding, k_center])
def test_nothing_is_taken_twice_not_even_where_all_are_equal(select: Callable[[torch.Tensor, int], list[int]]) -> None:
    assert sorted(select(torch.ones(6, 3), 6)) == list(range(6))
    assert sorted(select(features(1, 9), 9)) == list(range(9))


@pytest.mark.parametrize("method", [Herding, KCenter])
def test_it_chooses_in_each_class_by_the_trained_network(method: type[Herding], make_problem: Make) -> None:
    problem = make_problem(experts=1)
    chosen = method(problem, FeatureConfig()).synthetic().images.unflatten(0, (4, 2))
    network = problem.experts[0].interpolate(0.0)
    for label in range(4):
        images = problem.real.of_class(label)
        with torch.no_grad():
            found = network.embed(problem.normalize(images))
        assert torch.equal(chosen[label], images[method.select(found, 2)])


def test_running_statistics_are_the_trained_networks(make_problem: Make) -> None:
    """With batch norm the features come from the expert's own statistics, not from a batch's."""
    problem = make_problem(experts=1, architecture="convnet2-w8-bn")
    expert = problem.experts[0]
    name = next(name for name in expert.trained if name.endswith("running_mean"))  # type: ignore[attr-defined]
    expert.trained[name] += 3  # type: ignore[attr-defined]
    network = expert.interpolate(0.0)
    assert torch.equal(dict(network.named_buffers())[name], expert.trained[name])  # type: ignore[attr-defined]
    Herding(problem, FeatureConfig())
    assert not network.training  # type: ignore[attr-defined]


def test_each_seed_has_a_network_of_its_own_and_both_methods_share_it() -> None:
    recipes = [method.experts(FeatureConfig()) for method in (Herding, KCenter)]
    assert recipes[0] == recipes[1] and recipes[0].per_seed and recipes[0].cutmix == 0
