"""DSDM's terms against plain covariances, and its iteration against the loops of the paper with one torch SGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from methods.base import MethodError
from methods.dsdm import DSDM, DSDMConfig, covariance_gap
from methods.multi_formation import decode_classes

Make = Callable[..., ConcreteProblem]


def config(**changes: Any) -> DSDMConfig:
    # A step large enough to leave [0, 1], so that the place of the clamp shows; the moving average counts from step 2.
    small = {"iterations": 5, "history_start": 0.2, "history_weight": 50.0, "smoothing": 0.5, "batch_real": 5,
             "experts": 2, "lr_img_per_ipc": 0.05}  # fmt: skip
    return DSDMConfig(**{**small, **changes})


def embeddings(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("count", [2, 7, 40])
def test_products_of_images_give_the_gap_between_plain_covariances(count: int) -> None:
    real, synthetic = embeddings(3, 9, 30, seed=0), embeddings(3, count, 30, seed=1)
    mine, plain = synthetic.clone().requires_grad_(), synthetic.clone().requires_grad_()
    values = covariance_gap(real, mine)
    expected = torch.stack([((torch.cov(real[c].T) - torch.cov(plain[c].T)) ** 2).sum() for c in range(3)])
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=0)
    (gradient,), (by_covariance,) = (torch.autograd.grad(v.sum(), x) for v, x in ((values, mine), (expected, plain)))
    torch.testing.assert_close(gradient, by_covariance, rtol=1e-10, atol=1e-12)


def test_a_single_image_has_no_covariance_and_no_gradient() -> None:
    real, synthetic = embeddings(2, 9, 4, seed=0), embeddings(2, 1, 4, seed=1).requires_grad_()
    values = covariance_gap(real, synthetic)
    torch.testing.assert_close(values, torch.stack([(torch.cov(each.T) ** 2).sum() for each in real]))
    assert torch.equal(torch.autograd.grad(values.sum(), synthetic)[0], torch.zeros_like(synthetic))


def published_as(problem: ConcreteProblem, settings: DSDMConfig, start: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The images after all iterations, and the moving average of each class."""
    images = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([images], lr=settings.lr_img_per_ipc * problem.ipc, momentum=settings.momentum)
    history: list[Tensor] = []
    classes = range(problem.num_classes)

    def seen(augment: Any, c: int) -> Tensor:
        view: Tensor = augment(problem.normalize(decode_classes(images, settings.factor)))[c]
        return view

    for it in range(settings.iterations):
        k = int(torch.randint(settings.experts, (), generator=problem.generator("encoder", it)))
        network = problem.experts[k].interpolate(0.0)
        images.data.clamp_(0, 1)
        augment = problem.augment(settings.augment, problem.generator("augmentation", it))
        real = augment(problem.normalize(problem.real.sample(5, problem.generator("real batch", it))))
        for c in classes:
            x, y = network.embed(real[c]), network.embed(seen(augment, c))
            loss = ((x.mean(0) - y.mean(0)) ** 2).sum()
            d = y.shape[1]
            loss = loss + settings.covariance_weight / d * ((torch.cov(y.T) - torch.cov(x.T)) ** 2).sum()
            if it > settings.history_start * settings.iterations:
                loss = loss + settings.history_weight / d * ((y.mean(0) - history[c]) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        augment = problem.augment(settings.augment, problem.generator("history", it))
        with torch.no_grad():
            means = [network.embed(seen(augment, c)).mean(0) for c in classes]
        past = settings.smoothing
        history = [past * h + (1 - past) * mean for h, mean in zip(history, means, strict=True)] if it else means
    return images.detach(), history


@pytest.mark.parametrize(("factor", "weight"), [(1, 50.0), (2, 50.0), (2, 0.0)])
def test_iterations_equal_the_loops_of_the_paper(factor: int, weight: float, make_problem: Make) -> None:
    problem, settings = make_problem(), config(factor=factor, covariance_weight=weight)
    method = DSDM(problem, settings)
    expected, history = published_as(problem, settings, method.images)
    for _ in range(settings.iterations):
        method.step()
    torch.testing.assert_close(method.images, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(method.history, torch.stack(history), rtol=1e-3, atol=1e-4)


def test_the_moving_average_counts_after_its_share_of_the_iterations(make_problem: Make) -> None:
    def losses(**changes: Any) -> list[float]:
        method = DSDM(make_problem(), config(iterations=4, history_start=0.25, **changes))
        return [method.step()["matching"] for _ in range(4)]

    without, with_it = losses(history_weight=0.0), losses(history_weight=50.0)
    assert without[:2] == with_it[:2] and without[2] < with_it[2]
    settings = replace(DSDMConfig(), history_start=0.2).scaled(0.1)
    assert settings.iterations == 1000 and settings.history_start == 0.2  # a share: a shorter run has all terms


def test_one_image_of_a_class_can_be_learned(make_problem: Make) -> None:
    method = DSDM(make_problem(ipc=1), config(factor=1))
    start = method.images.clone()
    losses = [method.step()["matching"] for _ in range(5)]
    assert torch.tensor(losses).isfinite().all() and method.images.isfinite().all()
    assert not torch.equal(method.images, start)


@pytest.mark.parametrize("wrong", [{"covariance_weight": -1.0}, {"smoothing": 1.5}, {"history_start": -0.1}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(MethodError, match=next(iter(wrong))):
        config(**wrong)


def test_batch_norm_is_refused() -> None:
    assert DSDM.unsupported(config(), depends_on_batch=True) and not DSDM.unsupported(config(), depends_on_batch=False)
