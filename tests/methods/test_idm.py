"""IDM against its algorithm, worked out with torch.optim, one class and one network after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from benchmark.condensation.problem import ConcreteProblem
from methods import idm, registry
from methods.idm import IDMConfig, ImprovedDistributionMatching

Make = Callable[..., ConcreteProblem]
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
CONFIG = IDMConfig(
    iterations=7,
    batch_real=5,
    lr_img=0.1,
    accuracy_window=3,
    queue=4,
    generate_interval=2,
    train_steps=2,
    batch_train=6,
    factor=2,
)


def enlarged(images: torch.Tensor) -> torch.Tensor:
    """(ipc, ch, 8, 8) normalized mosaics to the (4·ipc, ch, 8, 8) they hold; even sides need no padding."""
    quadrants = [images[..., i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
    return F.interpolate(torch.cat(quadrants), size=(8, 8), mode="bilinear", align_corners=False)


class ByHand:
    """The loop of the paper's code, with modules and optimizers of torch."""

    def __init__(self, problem: ConcreteProblem, start: torch.Tensor) -> None:
        self.problem, self.leaf = problem, start.clone().requires_grad_()
        self.optimizer = torch.optim.SGD([self.leaf], lr=CONFIG.lr_img, momentum=0.5)
        self.queue: list[dict[str, Any]] = []
        for index in range(3):
            self.push(index)

    def push(self, index: int) -> None:
        if len(self.queue) == CONFIG.queue:
            self.queue.pop(0)
        network: Any = self.problem.new_network(index)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=idm.DECAY_NET)
        self.queue.append({"network": network, "optimizer": optimizer, "right": 0, "seen": 0})

    def iterate(self, it: int) -> float:
        problem = self.problem
        if it > 0 and it % CONFIG.accuracy_window == 0:
            for one in self.queue:
                one["right"] = one["seen"] = 0
        if it % CONFIG.generate_interval == 0:
            self.push(3 + it // CONFIG.generate_interval)
        draw = problem.generator("queue of networks", it)
        one = self.queue[int(torch.randint(len(self.queue), (), generator=draw))]
        percent = 100 * one["right"] / one["seen"] if one["seen"] else 0.0
        augment = problem.augment(CONFIG.augment, problem.generator("augmentation", it))
        real = augment((problem.real.sample(CONFIG.batch_real, problem.generator("real batch", it)) - MEAN) / STD)
        total = 0.0
        network = one["network"].requires_grad_(False)
        for c in range(problem.num_classes):
            seen = augment(torch.stack([enlarged(images) for images in self.leaf]))[c]
            gap = (network.embed(real[c]).mean(0) - network.embed(seen).mean(0)).square().sum()
            loss = gap + CONFIG.ce_weight * percent * F.cross_entropy(network(seen), torch.full((len(seen),), c))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        for place in torch.randperm(len(self.queue), generator=draw)[:2].tolist():
            self.train(self.queue[place], draw)
        return total

    def train(self, one: dict[str, Any], draw: torch.Generator) -> None:
        network = one["network"].requires_grad_(True)
        for _ in range(CONFIG.train_steps):
            images, labels = self.problem.real.batch(CONFIG.batch_train, draw)
            logits = network((images - MEAN) / STD)
            one["optimizer"].zero_grad()
            F.cross_entropy(logits, labels).backward()
            one["optimizer"].step()
            one["right"] += int((logits.argmax(1) == labels).sum())
            one["seen"] += len(labels)


def test_networks_learn_with_the_constants_of_the_code() -> None:
    assert (idm.LR_NET, idm.MOMENTUM_NET, idm.DECAY_NET, idm.FIRST, idm.TRAINED) == (0.01, 0.9, 5e-4, 3, 2)


@pytest.mark.parametrize("decay", [5e-4, 5.0])  # the second so strong that few steps show it
def test_it_is_the_algorithm_of_the_paper(decay: float, make_problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idm, "DECAY_NET", decay)
    problem = make_problem()
    method = ImprovedDistributionMatching(problem, CONFIG)
    hand = ByHand(problem, method.images)
    for it in range(CONFIG.iterations):
        expected = hand.iterate(it)
        assert method.step()["loss"] == pytest.approx(expected, rel=1e-3), it
        assert [trainee.seen for trainee in method.trainees] == [one["seen"] for one in hand.queue]
        assert [trainee.right for trainee in method.trainees] == [one["right"] for one in hand.queue]
    torch.testing.assert_close(method.images, hand.leaf.detach(), rtol=1e-3, atol=1e-4)
    assert len(method.trainees) == CONFIG.queue


def test_the_entropy_counts_only_once_the_network_has_learned(make_problem: Make) -> None:
    """Before any network is trained the loss is DM's, whatever the weight; afterwards it is not."""
    changes = {"iterations": 2, "batch_real": 5, "factor": 1, "queue": 1, "generate_interval": 9, "train_steps": 3}
    light, heavy = (
        ImprovedDistributionMatching(make_problem(), IDMConfig(**changes, ce_weight=weight))  # type: ignore[arg-type]
        for weight in (0.0, 50.0)
    )
    assert light.step()["loss"] == heavy.step()["loss"]
    assert heavy.step()["loss"] > light.step()["loss"]


def test_it_starts_from_mosaics_of_means(make_problem: Make) -> None:
    start = ImprovedDistributionMatching(make_problem(), CONFIG).synthetic()
    mosaics = registry.get("random")(make_problem(), registry.get("random").Config(factor=2)).synthetic()  # type: ignore[call-arg]
    torch.testing.assert_close(start.images, mosaics.images, rtol=0, atol=1e-6)
    assert start.factor == 2 and start.decode()[0].shape[0] == 4 * len(start.images)


def test_batch_norm_is_declined() -> None:
    assert "batch norm" in (ImprovedDistributionMatching.unsupported(CONFIG, depends_on_batch=True) or "")
    assert ImprovedDistributionMatching.unsupported(CONFIG, depends_on_batch=False) is None
