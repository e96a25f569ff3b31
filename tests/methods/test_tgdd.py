"""TGDD's iteration against the loops of the paper: one torch SGD, a step for each class on the sum of both terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from methods.base import Expert, MethodError, Network
from methods.dance import DANCE, DANCEConfig
from methods.multi_formation import decode_classes
from methods.tgdd import TGDD, TGDDConfig

Make = Callable[..., ConcreteProblem]


def config(**changes: Any) -> TGDDConfig:
    # A step large enough to leave [0, 1], so that the place of the clamp shows. The experts have four epochs.
    small = {
        "iterations": 4,
        "batch_real": 5,
        "experts": 2,
        "pretrain_epochs": 4,
        "lr_img_per_ipc": 0.2,
        "init": "random",
    }
    return TGDDConfig(**{**small, **changes})


def network_at(problem: ConcreteProblem, k: int, epoch: int) -> Network:
    network = problem.new_network(1)
    for parameter, weight in zip(network.parameters(), problem.experts[k].weights(epoch), strict=True):
        parameter.copy_(weight)
    return network


def drawn(problem: ConcreteProblem, settings: TGDDConfig, it: int) -> tuple[int, int, int]:
    """Which expert, and the epochs s and e."""
    draw = problem.generator("encoder", it)
    k, s = int(torch.randint(settings.experts, (), generator=draw)), int(torch.randint(5, (), generator=draw))
    end = min(s + settings.epoch_interval - 1, 4)
    return k, s, int(torch.randint(s, end + 1, (), generator=draw))


def published_as(problem: ConcreteProblem, settings: TGDDConfig, start: Tensor) -> Tensor:
    images = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([images], lr=settings.lr_img_per_ipc * problem.ipc, momentum=settings.momentum)
    for it in range(settings.iterations):
        k, s, e = drawn(problem, settings, it)
        early, late = network_at(problem, k, s), network_at(problem, k, e)
        images.data.clamp_(0, 1)
        augment = problem.augment(settings.augment, problem.generator("augmentation", it))
        real = augment(problem.normalize(problem.real.sample(5, problem.generator("real batch", it))))
        for c in range(problem.num_classes):
            seen = augment(problem.normalize(decode_classes(images, settings.factor)))[c]
            loss = ((early.embed(real[c]).mean(0) - early.embed(seen).mean(0)) ** 2).sum()
            loss = loss + settings.alpha * F.cross_entropy(late(seen), torch.full((len(seen),), c))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return images.detach()


@pytest.mark.parametrize(("factor", "alpha"), [(1, 1.0), (2, 1.0), (2, 0.3)])
def test_iterations_equal_the_loops_of_the_paper(factor: int, alpha: float, make_problem: Make) -> None:
    problem, settings = make_problem(), config(factor=factor, alpha=alpha, epoch_interval=2)
    method = TGDD(problem, settings)
    expected = published_as(problem, settings, method.images)
    for _ in range(settings.iterations):
        method.step()
    torch.testing.assert_close(method.images, expected, rtol=1e-4, atol=1e-5)


def test_epochs_are_drawn_from_the_whole_training_and_the_second_is_little_later(make_problem: Make) -> None:
    problem = make_problem()
    seen = set[tuple[int, int]]()

    class Seen:
        def __init__(self, expert: Expert) -> None:
            self.expert = expert

        def weights(self, epoch: int) -> list[Tensor]:
            epochs.append(epoch)
            return self.expert.weights(epoch)

    problem.experts = [Seen(expert) for expert in problem.experts]  # type: ignore[misc]
    method = TGDD(problem, config(iterations=150, epoch_interval=3))
    for method.done in range(150):
        epochs: list[int] = []
        method._load_networks()
        seen.add((epochs[0], epochs[1]))
    assert seen == {(s, e) for s in range(5) for e in range(s, min(s + 2, 4) + 1)}


def test_trained_weights_alone_and_no_cross_entropy_are_dm_on_experts(make_problem: Make) -> None:
    problem = make_problem()

    class Trained:
        def __init__(self, expert: Expert) -> None:
            self.interpolate, self.weights = expert.interpolate, lambda epoch: expert.weights(4)

    problem.experts = [Trained(expert) for expert in problem.experts]  # type: ignore[misc]
    shared = {"iterations": 3, "batch_real": 5, "experts": 2, "lr_img_per_ipc": 0.2}
    dm = DANCE(problem, DANCEConfig(alignment="expert", calibration=False, **shared))  # type: ignore[arg-type]
    method = TGDD(problem, config(alpha=0.0, factor=2))
    for _ in range(3):
        assert method.step()["matching"] == pytest.approx(dm.step()["alignment"], rel=1e-5)
    torch.testing.assert_close(method.images, dm.images)


def test_experts_keep_the_weights_of_every_epoch() -> None:
    assert TGDD.experts(config()).keep == (1, 2, 3) and TGDD.experts(config(pretrain_epochs=1)).keep == ()
    assert len(TGDD.experts(TGDDConfig()).keep) == 59


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"epoch_interval": 0}, {"pretrain_epochs": 0}, {"momentum": 1.0}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(MethodError, match=next(iter(wrong))):
        config(**wrong)


def test_batch_norm_is_refused() -> None:
    assert TGDD.unsupported(config(), depends_on_batch=True) and not TGDD.unsupported(config(), depends_on_batch=False)
