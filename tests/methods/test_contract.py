"""What every registered method must keep: a method is tested by being registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from benchmark import networks
from benchmark.condensation.contract import CHECKS
from benchmark.condensation.problem import ConcreteProblem
from benchmark.utils import seeding
from methods import registry
from methods.base import MethodError
from methods.coreset import FeatureConfig, Herding

Make = Callable[..., ConcreteProblem]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", registry.names())
def test_methods_keep_the_contract(name: str, check: Callable[[str], None]) -> None:
    check(name)


def test_experts_are_interpolated_from_initial_to_trained(make_problem: Make) -> None:
    problem = make_problem(experts=1)
    expert = problem.experts[0]
    names = [name for name, _ in networks.build("convnet2-w8", (3, 8, 8), 4, seeding.generator("x")).named_parameters()]
    for weight in (0.0, 0.3, 1.0):
        got = dict(expert.interpolate(weight).named_parameters())  # type: ignore[attr-defined]
        for name in names:
            expected = weight * expert.initial[name] + (1 - weight) * expert.trained[name]  # type: ignore[attr-defined]
            torch.testing.assert_close(got[name].data, expected)


def test_weights_of_an_epoch_are_fresh_copies_in_the_order_of_the_parameters(make_problem: Make) -> None:
    problem = make_problem(experts=1)
    expert, network = problem.experts[0], problem.new_network(0)
    for epoch, weight in ((0, 1.0), (1, 0.75), (4, 0.0)):
        weights = expert.weights(epoch)
        assert all(tensor.dtype == torch.float32 and not tensor.requires_grad for tensor in weights)
        for got, expected in zip(weights, expert.interpolate(weight).parameters(), strict=True):
            torch.testing.assert_close(got, expected)
        assert [tensor.shape for tensor in weights] == [parameter.shape for parameter in network.parameters()]
        before = [tensor.clone() for tensor in weights]
        for tensor in weights:
            tensor.zero_()
        assert all(map(torch.equal, expert.weights(epoch), before)), "a copy that is written to changes no expert"
    with pytest.raises(MethodError, match="no weights after epoch 5; they have those after 0, 1, 2, 3, 4"):
        expert.weights(5)


def test_a_recipe_keeps_epochs_between_the_first_and_the_last() -> None:
    recipe = Herding.experts(FeatureConfig(pretrain_epochs=4))
    assert recipe.keep == () and replace(recipe, keep=(1, 3)).keep == (1, 3)
    for keep in ((0, 1), (1, 4), (2, 1), (1, 1), (-1,)):
        with pytest.raises(MethodError, match="between the first and the last of 4"):
            replace(recipe, keep=keep)
