"""DANCE's iteration against the reference's loops: one torch SGD, one step for each class and view, clamping once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from methods.dance import DANCE, DANCEConfig
from methods.errors import MethodError
from methods.multi_formation import decode

Make = Callable[..., ConcreteProblem]
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)


def config(**changes: Any) -> DANCEConfig:
    # A step large enough to leave [0, 1], so that the place of the clamp shows.
    return DANCEConfig(**{"iterations": 3, "batch_real": 5, "experts": 2, "lr_img_per_ipc": 0.2, **changes})


def decoded_class(images: Tensor, c: int, factor: int) -> Tensor:
    return decode(images[c], factor)


def published_as(problem: ConcreteProblem, settings: DANCEConfig, start: Tensor, iterations: int) -> Tensor:
    """The algorithm box, one class after the other (METHODS, DANCE's loop), drawing what the method draws."""
    images = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([images], lr=settings.lr_img_per_ipc * problem.ipc, momentum=settings.momentum)
    classes, factor = problem.num_classes, settings.factor

    def step(loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()

    for it in range(iterations):
        draw = problem.generator("encoder", it)
        k = int(torch.randint(settings.experts, (), generator=draw))
        weight = float(torch.rand((), generator=draw))
        weight = {"mid": weight, "expert": 0.0}.get(settings.alignment, weight)
        images.data.clamp_(0, 1)
        if settings.alignment != "off":
            network = (
                problem.new_network(it) if settings.alignment == "random" else problem.experts[k].interpolate(weight)
            )
            augment = problem.augment(settings.augment, problem.generator("augmentation", it))
            real = problem.real.sample(settings.batch_real, problem.generator("real batch", it))
            seen = augment((real - MEAN) / STD)
            for c in range(classes):
                mu = network.embed(seen[c]).mean(0)
                every = torch.stack([decoded_class(images, j, factor) for j in range(classes)])
                nu = network.embed(augment((every - MEAN) / STD)[c]).mean(0)
                step(((mu - nu) ** 2).sum())
        if settings.calibration:
            expert = problem.experts[k].interpolate(0.0)
            augment = problem.augment(settings.augment, problem.generator("augmentation of calibration", it))
            for c in range(classes):
                every = torch.stack([decoded_class(images, j, factor) for j in range(classes)])
                logits = expert(augment((every - MEAN) / STD)[c])
                step(F.cross_entropy(logits, torch.full((len(logits),), c)))
    return images.detach()


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(
    ("alignment", "calibration"),
    [("mid", True), ("mid", False), ("random", True), ("random", False), ("expert", True), ("off", True)],
)
def test_iterations_equal_the_loops_of_the_paper(
    alignment: str, calibration: bool, factor: int, make_problem: Make
) -> None:
    problem = make_problem()
    settings = config(alignment=alignment, calibration=calibration, factor=factor)
    method = DANCE(problem, settings)
    expected = published_as(problem, settings, method.images, 3)
    for _ in range(3):
        losses = method.step()
    assert ("alignment" in losses) == (alignment != "off") and ("calibration" in losses) == calibration
    torch.testing.assert_close(method.images, expected, rtol=1e-3, atol=1e-4)


def test_images_are_clamped_once_an_iteration_and_not_at_the_end(make_problem: Make) -> None:
    method = DANCE(make_problem(), config(lr_img_per_ipc=2.0))
    for _ in range(3):
        method.step()
    assert method.images.min() < 0 or method.images.max() > 1
    torch.testing.assert_close(method.synthetic().images, method.images.flatten(0, 1), rtol=0, atol=0)


def test_the_step_grows_with_ipc(make_problem: Make) -> None:
    assert DANCE(make_problem(ipc=1), config()).lr == pytest.approx(0.2)
    assert DANCE(make_problem(ipc=3), config()).lr == pytest.approx(0.6)


def test_a_large_decoded_class_is_sampled(make_problem: Make) -> None:
    problem = make_problem()
    method = DANCE(problem, config(factor=2, batch_syn_max=5))
    stored = torch.arange(4 * 2 * 4.0).view(4, 2, 1, 2, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    stored = stored.expand(4, 2, 3, 8, 8).contiguous()
    chosen = method._decoded(stored, "alignment")
    assert chosen.shape == (4, 5, 3, 8, 8)
    values = chosen[:, :, 0, 4, 4].tolist()
    assert all(len(set(row)) == 5 for row in values), "drawn without replacement"
    assert [[v // 8 for v in row] for row in values] == [[float(c)] * 5 for c in range(4)], "each from its own class"


def test_experts_are_asked_for_only_when_they_are_used() -> None:
    assert DANCE.experts(config()) is not None
    assert DANCE.experts(config(alignment="random")) is not None  # they calibrate
    assert DANCE.experts(config(alignment="random", calibration=False)) is None
    assert DANCE.experts(config(alignment="off")) is not None
    recipe = DANCE.experts(DANCEConfig())
    assert recipe is not None and (recipe.count, recipe.epochs, recipe.batch, recipe.cutmix) == (5, 60, 64, 0.5)
    with pytest.raises(MethodError, match="nothing to learn"):
        config(alignment="off", calibration=False)


def test_cifar100_is_condensed_with_the_constants_of_cifar10() -> None:
    assert DANCE.constants("cifar100") == "cifar10" and DANCE.constants("fashionmnist") == "fashionmnist"


def test_batch_norm_is_declined_with_a_reason() -> None:
    assert "batch norm" in (DANCE.unsupported(config(), depends_on_batch=True) or "")
    assert DANCE.unsupported(config(), depends_on_batch=False) is None
