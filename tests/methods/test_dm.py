"""DM's step against the paper's formula, worked out with plain loops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from methods.dm import DistributionMatching, DMConfig, embedding_gap

Make = Callable[..., ConcreteProblem]


def test_embedding_gap_sums_over_dimensions() -> None:
    real, synthetic = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [3.0, 4.0]])
    assert embedding_gap(real, synthetic).tolist() == [5.0, 25.0]


def by_hand(problem: ConcreteProblem, images: Tensor, config: DMConfig, it: int) -> Tensor:
    """Σ_c ‖ mean φ(A_c(B_c)) − mean φ(A_c(S_c)) ‖², class by class and image by image."""
    network = problem.new_network(it)
    augment = problem.augment(config.augment, problem.generator("augmentation", it))
    real = problem.real.sample(config.batch_real, problem.generator("real batch", it))
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    seen_real, seen_synthetic = augment((real - mean) / std), augment(images)
    total = torch.zeros(())
    for c in range(problem.num_classes):
        mu = sum(network.embed(image[None])[0] for image in seen_real[c]) / len(seen_real[c])
        nu = sum(network.embed(image[None])[0] for image in seen_synthetic[c]) / len(seen_synthetic[c])
        total = total + ((mu - nu) ** 2).sum()
    return total


def test_two_steps_are_sgd_on_the_formula_in_normalized_units(make_problem: Make) -> None:
    problem, config = make_problem(), DMConfig(iterations=2, batch_real=5, lr_img=0.5)
    method = DistributionMatching(problem, config)
    leaf = method.images.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.5, momentum=0.5)
    for it in range(2):
        loss = by_hand(problem, leaf, config, it)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert method.step()["matching"] == pytest.approx(loss.item(), rel=1e-4)
    torch.testing.assert_close(method.images, leaf.detach(), rtol=1e-4, atol=1e-5)
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    exported = method.synthetic().images.unflatten(0, (4, 2))
    torch.testing.assert_close(exported, leaf.detach() * std + mean, rtol=1e-4, atol=1e-5)


def test_it_starts_from_the_images_of_the_random_subset(make_problem: Make) -> None:
    from methods.coreset import RandomConfig, RandomSubset

    start = DistributionMatching(make_problem(), DMConfig()).synthetic().images
    subset = RandomSubset(make_problem(), RandomConfig()).synthetic().images
    torch.testing.assert_close(start, subset, rtol=0, atol=1e-6)
    held = make_problem().real.images.float() / 255
    for image in subset:
        assert any(torch.equal(image, real) for real in held)


def test_a_network_with_batch_norm_sees_all_classes_at_once(make_problem: Make) -> None:
    problem = make_problem(architecture="convnet2-w8-bn")
    config = DMConfig(iterations=1, batch_real=5)
    method = DistributionMatching(problem, config)
    network = problem.new_network(0)
    augment = problem.augment(config.augment, problem.generator("augmentation", 0))
    real = augment(problem.normalize(problem.real.sample(5, problem.generator("real batch", 0))))
    images = augment(method.images)
    mu = network.embed(real.flatten(0, 1)).unflatten(0, (4, 5)).mean(1)
    nu = network.embed(images.flatten(0, 1)).unflatten(0, (4, 2)).mean(1)
    expected = float((mu - nu).square().sum())
    assert abs(method.step()["matching"] - expected) < 1e-4 * expected
