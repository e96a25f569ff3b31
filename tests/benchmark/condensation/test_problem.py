"""The problem that a method is given: which real images it draws, and the units of its images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.condensation.contract import make_images
from benchmark.condensation.problem import ConcreteProblem, DeviceImages
from benchmark.datasets import Constants
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.utils import seeding
from helpers import CPU
from methods.dance import DANCE, DANCEConfig
from methods.dm import DistributionMatching, DMConfig, embedding_gap

Make = Callable[..., ConcreteProblem]


@pytest.fixture
def numbered() -> DeviceImages:
    """Classes of 4, 6 and 9 images, shuffled; each image is filled with its own number in the dataset."""
    split = make_images(3, 9, (1, 2, 2))
    kept = torch.cat([torch.nonzero(split.labels == c).flatten()[:n] for c, n in enumerate((4, 6, 9))]).sort().values
    split = split.select(kept)
    split.images[:] = torch.arange(len(kept), dtype=torch.uint8).view(-1, 1, 1, 1)
    return DeviceImages(split, 3, CPU.device)


def numbers(images: Tensor) -> Tensor:
    return (images[..., 0, 0, 0] * 255).round().long()


def test_sample_draws_each_class_uniformly_without_replacement(numbered: DeviceImages) -> None:
    drawn = torch.stack([numbers(numbered.sample(3, seeding.generator("draw", at))) for at in range(900)])
    assert drawn.shape == (900, 3, 3) and numbered.counts == [4, 6, 9]
    for label, count in enumerate(numbered.counts):
        mine = drawn[:, label]
        assert all(len(set(row)) == 3 for row in mine.tolist())
        members, counts = mine.flatten().unique(return_counts=True)
        assert torch.equal(members, torch.nonzero(numbered.labels == label).flatten())
        expected = 900 * 3 / count
        assert float(((counts - expected) ** 2 / expected).sum()) < 25, "chi-square with at most 8 degrees of freedom"


def test_sample_gives_as_many_as_the_smallest_class_has(numbered: DeviceImages) -> None:
    for count, expected in ((1, 1), (4, 4), (5, 4), (256, 4)):
        assert numbered.sample(count, seeding.generator("draw")).shape == (3, expected, 1, 2, 2)


def test_batch_draws_from_all_images_without_replacement(numbered: DeviceImages) -> None:
    counts = torch.zeros(19)
    for at in range(600):
        images, labels = numbered.batch(5, seeding.generator("batch", at))
        assert images.dtype == torch.float32 and len(set(numbers(images).tolist())) == 5
        assert torch.equal(labels, numbered.labels[numbers(images)])
        counts[numbers(images)] += 1
    expected = 600 * 5 / 19
    assert float(((counts - expected) ** 2 / expected).sum()) < 45, "chi-square with 18 degrees of freedom"
    assert len(numbered.batch(99, seeding.generator("batch"))[1]) == 19


def test_of_class_keeps_the_order_of_the_dataset_and_pixels_are_fractions(numbered: DeviceImages) -> None:
    for label in range(3):
        assert torch.equal(numbers(numbered.of_class(label)), torch.nonzero(numbered.labels == label).flatten())
    assert float(numbered.of_class(0).max()) <= 18 / 255 + 1e-7


def test_normalising_and_its_inverse() -> None:
    normalize = ChannelNormalizer(Constants((0.4, 0.5, 0.6), (0.2, 0.25, 0.5)), CPU.device)
    pixels = torch.rand(5, 2, 3, 4, 4, generator=seeding.generator("pixels"))
    assert torch.allclose(normalize(pixels)[:, :, 1], (pixels[:, :, 1] - 0.5) / 0.25)
    torch.testing.assert_close(normalize.inverse(normalize(pixels)), pixels, rtol=0, atol=1e-6)
    assert normalize(torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)).abs().max() < 1e-6


# --- the unit that a learning rate is in ------------------------------------------------------------------------------


def step_of(method: Any) -> tuple[Tensor, Tensor]:
    """Pixels before one step, and how far it moves them."""
    before = method.synthetic().images
    method.step()
    return before.unflatten(0, (4, 2)), (method.synthetic().images - before).unflatten(0, (4, 2))


def pixel_gradient(problem: ConcreteProblem, pixels: Tensor, config: DMConfig | DANCEConfig) -> Tensor:
    network = problem.new_network(0)
    augment = problem.augment(config.augment, problem.generator("augmentation", 0))
    real = problem.real.sample(config.batch_real, problem.generator("real batch", 0))
    target = problem.mean_embedding(network, augment(problem.normalize(real)))
    leaf = pixels.clone().requires_grad_()
    loss = embedding_gap(target, problem.mean_embedding(network, augment(problem.normalize(leaf)))).sum()
    return torch.autograd.grad(loss, leaf)[0]


def test_a_learning_rate_moves_pixels_std_squared_times_as_far_in_normalised_units(make_problem: Make) -> None:
    augment, std = "dsa:color_crop", torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    dm = DMConfig(iterations=1, lr_img=0.01, momentum=0.0, batch_real=5, augment=augment)
    before, step = step_of(DistributionMatching(make_problem(), dm))
    gradient = pixel_gradient(make_problem(), before, dm)
    torch.testing.assert_close(step, -0.01 * std**2 * gradient, rtol=1e-3, atol=1e-6)

    dance = DANCEConfig(iterations=1, lr_img_per_ipc=0.005, momentum=0.0, batch_real=5, augment=augment, factor=1,
                        alignment="random", calibration=False)  # fmt: skip
    before, step = step_of(DANCE(make_problem(), dance))
    gradient = pixel_gradient(make_problem(), before, dance)
    torch.testing.assert_close(step, -0.005 * 2 * gradient, rtol=1e-3, atol=1e-6)
    assert float(gradient.abs().max()) > 1e-2, "a step of nothing proves nothing"
