"""What every registered method must keep: a method is tested by being registered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark import networks
from benchmark.condensation.problem import ConcreteProblem
from benchmark.condensation.synthetic_set import learned_lr
from benchmark.utils import seeding
from benchmark.utils.tensor_files import load_tree, save_tree
from methods import registry
from methods.base import Condenser, MethodError
from methods.coreset import FeatureConfig, Herding

Make = Callable[..., ConcreteProblem]
METHODS = registry.names()


def begin(name: str, problem: ConcreteProblem, **changes: Any) -> Condenser:
    method = registry.get(name)
    config = method.Config.tiny()
    return method(problem, type(config)(**{f.name: getattr(config, f.name) for f in fields(config)} | changes))


def finish(method: Condenser, done: int = 0) -> Condenser:
    for _ in range(done, method.total_steps):
        losses = method.step()
        assert losses and all(isinstance(value, float) for value in losses.values())
    return method


@pytest.mark.parametrize("name", METHODS)
def test_card_and_settings_are_complete(name: str) -> None:
    method = registry.get(name)
    card = method.card
    assert card.name == name and card.title and card.version >= 1
    assert card.family in ("coreset", "gradient matching", "trajectory matching", "distribution matching")
    assert is_dataclass(method.Config) and method.Config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for spec in fields(method.Config):
        assert spec.metadata.get("meaning") and spec.metadata.get("source"), f"{name}.{spec.name} has no source"


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_bytes_and_a_set_of_the_right_shape(name: str, make_problem: Make) -> None:
    before = torch.get_rng_state()
    first, second = (finish(begin(name, make_problem())).synthetic() for _ in range(2))
    assert torch.equal(before, torch.get_rng_state()), "a global generator was touched"
    assert first.images.shape == (8, 3, 8, 8) and first.images.dtype == torch.float32
    assert first.images.isfinite().all() and not first.images.requires_grad
    assert first.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(first.images, second.images)
    assert (learned_lr(first.training) is not None) == registry.get(name).card.learns_lr
    other = finish(begin(name, make_problem(seed=1))).synthetic()
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize("name", METHODS)
def test_going_on_from_a_checkpoint_gives_the_same_bytes(name: str, make_problem: Make, tmp_path: Any) -> None:
    whole = finish(begin(name, make_problem()))
    stopped = begin(name, make_problem())
    for done in range(whole.total_steps + 1):  # anywhere: what a method keeps may differ from step to step
        save_tree(tmp_path / f"{done}.safetensors", stopped.state_dict())
        resumed = begin(name, make_problem())
        resumed.load_state_dict(load_tree(tmp_path / f"{done}.safetensors"))
        finish(resumed, done)
        assert torch.equal(whole.synthetic().images, resumed.synthetic().images), done
        if done < whole.total_steps:
            stopped.step()


def leaves(tree: Any) -> Iterator[Any]:
    for value in tree.values():
        yield from leaves(value) if isinstance(value, dict) else [value]


@pytest.mark.parametrize("name", METHODS)
def test_state_is_plain_and_nothing_aliases(name: str, make_problem: Make) -> None:
    method = begin(name, make_problem())
    state, seen = method.state_dict(), set()
    for value in leaves(state):
        if isinstance(value, Tensor):
            assert value.data_ptr() not in seen
            seen.add(value.data_ptr())
        else:
            json.dumps(value)
    synthetic = finish(method).synthetic()
    kept = synthetic.images.clone()
    if method.total_steps:
        method.step()  # a set that was handed out does not change any more
        assert torch.equal(kept, synthetic.images)


@pytest.mark.parametrize("name", METHODS)
def test_factor_stores_ipc_images_and_decodes_more(name: str, make_problem: Make) -> None:
    if "factor" not in {spec.name for spec in fields(registry.get(name).Config)}:
        pytest.skip("has no factor")
    synthetic = finish(begin(name, make_problem(), factor=2)).synthetic()
    images, labels = synthetic.decode()
    assert synthetic.images.shape[0] == 8 and images.shape[0] == labels.shape[0] == 32


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 12)])
def test_grey_and_odd_sizes(name: str, shape: tuple[int, int, int], make_problem: Make) -> None:
    assert finish(begin(name, make_problem(shape=shape))).synthetic().images.shape == (8, *shape)


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
