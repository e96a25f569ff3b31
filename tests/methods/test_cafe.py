"""CAFE's step against its formula in plain loops with autograd over everything; its stops and caps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.condensation.problem import ConcreteProblem
from methods import registry
from methods.cafe import CAFE, CAFEConfig, CAFEDSAConfig, SiameseCAFE, discrimination, feature_gaps, monitored, span

Make = Callable[..., ConcreteProblem]
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
SMALL: dict[str, Any] = {"iterations": 2, "batch_real": 5, "lr_img": 0.002, "window": 2, "batch_accuracy": 6}


# --- losses -----------------------------------------------------------------------------------------------------------


def test_the_last_block_has_weight_one_the_embedding_two_and_the_others_a_tenth() -> None:
    def features(value: float) -> list[Tensor]:
        return [torch.full((2, 3, 4, 4), value), torch.full((2, 3, 2, 2), value), torch.full((2, 5), value)]

    gaps = feature_gaps(features(1.0), features(3.0), 0.1)
    assert gaps.tolist() == pytest.approx([4 * (0.1 * 48 + 12 + 2 * 5)] * 2)
    assert feature_gaps([torch.ones(2, 5)], [torch.zeros(2, 5)], 0.1).tolist() == [10, 10]  # one block without pooling


def test_class_means_classify_real_features_by_their_products() -> None:
    embeddings, labels = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0, 1, 1])
    expected = [-math.log(math.e / (math.e + 1)), -math.log(math.e**2 / (math.e**2 + 1)),
                -math.log(math.e / (math.e + 1)), math.log(2)]  # fmt: skip
    assert float(discrimination(embeddings, labels, torch.eye(2))) == pytest.approx(sum(expected))


# --- monitoring -------------------------------------------------------------------------------------------------------


def test_the_monitored_value_keeps_a_part_of_the_last_one() -> None:
    """By the public code's accumulator: it adds each class's accuracy, then divides by the number of classes."""
    accuracies, accumulator, expected = [0.5, 0.5, 0.5, 0.2], 0.0, []
    for accuracy in accuracies:
        for _ in range(10):
            accumulator += accuracy
        accumulator /= 10
        expected.append(accumulator)
    assert monitored(accuracies, 10) == pytest.approx(expected)
    assert monitored(accuracies, 10) == pytest.approx([0.5, 0.55, 0.555, 0.2555])
    assert monitored([0.3, 0.3], 2) == pytest.approx([0.3, 0.45]) and monitored([], 10) == []


def test_a_span_is_of_the_last_window_and_compares_with_nothing_before_there_is_one() -> None:
    assert span([0.1, 0.9, 0.5, 0.6], 3) == pytest.approx(0.4) and span([0.1, 0.9], 2) == pytest.approx(0.8)
    assert not span([0.5, 0.5], 3) < 1 and not span([0.1, 0.9], 3) > 0


class Scripted(CAFE):
    """Measures given accuracies: after steps on the images those of `outer`, after epochs those of `inner`."""

    def __init__(self, problem: ConcreteProblem, config: CAFEConfig, outer: list[float], inner: list[float]) -> None:
        super().__init__(problem, config)
        self.outer, self.inner, self.asked = iter(outer), iter(inner), list[str]()

    def _match(self, network: Any) -> dict[str, float]:
        self.values: Iterator[float] = self.outer
        self.asked.append("image")
        return super()._match(network)

    def _train(self, network: Any, most: int) -> int:
        self.values = self.inner
        return super()._train(network, most)

    def _accuracy(self, network: Any) -> float:
        if self.values is self.inner:
            self.asked.append("epoch")
        return next(self.values)


def rounds(asked: list[str]) -> list[int]:
    """The epochs that followed each step on the images."""
    return [len(part.split()) for part in " ".join(asked).split("image")[1:]]


def test_loops_leave_once_a_full_window_spans_less_or_more_than_its_threshold(make_problem: Make) -> None:
    """λ₁ = 0.04 and λ₂ = 0.03 on monitored values; with four classes a value keeps a quarter of the last one."""
    config = CAFEConfig(**SMALL | {"window": 3, "batch_real": 2})
    outer = [0.20, 0.30, 0.30, 0.30, 0.30]
    values = monitored(outer, 4)
    spans = [max(values[k : k + 3]) - min(values[k : k + 3]) for k in range(3)]
    assert spans[1] > 0.04 > spans[2]  # it leaves after the fifth step
    still, moving = [0.0, 0.0, 0.0, 0.0, 0.1], [0.0, 0.02, 0.05]
    method = Scripted(make_problem(), config, outer, [*still, *moving, *moving, *moving])
    losses = method.step()
    assert rounds(method.asked) == [5, 3, 3, 3, 0]  # none after the step on which the outer loop is left
    assert (method.image_steps, method.network_epochs, losses["caps hit"]) == (5, 14, 0.0)


@pytest.mark.parametrize(
    ("caps", "expected"),
    [({"max_image_steps": 3, "max_network_epochs": 90}, [2, 2, 0]),
     ({"max_image_steps": 9, "max_network_epochs": 5}, [2, 2, 1, 0]),  # the images take their step at last
     ({"max_image_steps": 1, "max_network_epochs": 90}, [0])],
)  # fmt: skip
def test_a_cap_ends_a_network_and_is_counted(make_problem: Make, caps: dict[str, int], expected: list[int]) -> None:
    changing = [0.0, 0.9] * 20
    method = Scripted(make_problem(), CAFEConfig(**SMALL, **caps), changing, changing)
    assert method.step()["caps hit"] == 1 and rounds(method.asked) == expected
    assert method.step()["caps hit"] == 2 == method.caps
    resumed = CAFE(make_problem(), method.config)
    resumed.load_state_dict(method.state_dict())
    assert (resumed.caps, resumed.image_steps, resumed.network_epochs) == (2, 2 * len(expected), 2 * sum(expected))


def test_an_accuracy_is_the_mean_of_classes_and_every_measurement_draws_anew(make_problem: Make) -> None:
    problem = make_problem()
    method, network = CAFE(problem, CAFEConfig(**SMALL)), problem.new_network(0)
    method.image_steps, method.network_epochs = 2, 5
    real = (problem.real.sample(6, problem.generator("images for accuracy", 7)) - MEAN) / STD
    each = [float((network(real[c]).argmax(1) == c).float().mean()) for c in range(4)]
    assert method._accuracy(network) == pytest.approx(sum(each) / 4)


# --- steps ------------------------------------------------------------------------------------------------------------


def forward(network: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """The output of every ReLU, and the flattened last pooling."""
    relus, x = [], images
    for block in network.blocks:
        for layer in block:
            x = layer(x).clone()
            relus += [x] if isinstance(layer, nn.ReLU) else []
    return relus, x.flatten(1)


def losses_by_hand(network: nn.Module, real: Tensor, synthetic: Tensor, weights: list[float]) -> tuple[Tensor, Tensor]:
    """The feature and the discrimination loss: of normalized (C, m, ch, H, W) and (C, n, ch, H, W), image by image."""
    gaps, centers, features = torch.zeros(()), [], []
    for of_real, of_synthetic in zip(real, synthetic, strict=True):
        (real_relus, real_last), (relus, last) = forward(network, of_real), forward(network, of_synthetic)
        pairs = [*zip(real_relus, relus, strict=True), (real_last, last)]
        for weight, (a, b) in zip(weights, pairs, strict=True):
            gaps = gaps + weight * ((a.mean(0) - b.mean(0)) ** 2).sum()
        centers.append(last.mean(0))
        features.append(real_last)
    entropies = torch.zeros(())
    for c, of_class in enumerate(features):
        for feature in of_class:
            logits = torch.stack([(feature * center).sum() for center in centers])
            entropies = entropies + F.cross_entropy(logits[None], torch.tensor([c]))
    return gaps, 0.01 * entropies


class ByHand:
    """The public loops: everything computed plainly, and accumulators that are divided but never reset in a loop."""

    def __init__(self, problem: ConcreteProblem, config: CAFEConfig, images: Tensor) -> None:
        self.problem, self.config, self.strategy = problem, config, config.augment or "none"
        self.leaf = images.clone().requires_grad_()
        self.optimizer = torch.optim.SGD([self.leaf], lr=config.lr_img, momentum=0.5)
        self.steps = self.epochs = self.caps = 0

    def iteration(self, it: int, weights: list[float]) -> None:
        config, network = self.config, self.problem.new_network(it)
        milestones = [share * config.iterations for share in (0.6, 0.8, 0.9)]
        self.optimizer.param_groups[0]["lr"] = config.lr_img * 0.5 ** sum(it >= milestone for milestone in milestones)
        window: list[float] = []
        first_epoch, first_step, value = self.epochs, self.steps, 0.0
        while True:
            self.image_step(network, weights)
            value = (value + self.sum_of_accuracies(network)) / self.problem.num_classes
            window = [*window, value][-config.window :]
            if len(window) == config.window and max(window) - min(window) < config.leave_below:
                return
            if (
                self.steps - first_step == config.max_image_steps
                or self.epochs - first_epoch == config.max_network_epochs
            ):
                self.caps += 1
                return
            self.train(network, first_epoch + config.max_network_epochs)

    def image_step(self, network: Any, weights: list[float]) -> None:
        transform = self.problem.augment(self.strategy, self.problem.generator("augmentation", self.steps))
        real = self.problem.real.sample(self.config.batch_real, self.problem.generator("real batch", self.steps))
        gaps, entropies = losses_by_hand(network, transform((real - MEAN) / STD), transform(self.leaf), weights)
        self.optimizer.zero_grad()
        (gaps + entropies).backward()
        self.optimizer.step()
        self.steps += 1

    def train(self, network: Any, last_epoch: int) -> None:
        flat, labels = self.leaf.detach().flatten(0, 1), torch.arange(4).repeat_interleave(self.leaf.shape[1])
        optimizer = torch.optim.SGD(network.requires_grad_().parameters(), lr=self.config.lr_net)
        window: list[float] = []
        value = 0.0
        while self.epochs < last_epoch:
            generator = self.problem.generator("inner loop", self.epochs)
            for batch in torch.randperm(len(flat), generator=generator).split(self.config.batch_train):
                optimizer.zero_grad()
                augmented = self.problem.augment_batch(self.strategy, flat[batch], generator)
                F.cross_entropy(network(augmented), labels[batch]).backward()
                optimizer.step()
            self.epochs += 1
            value = (value + self.sum_of_accuracies(network)) / self.problem.num_classes
            window = [*window, value][-self.config.window :]
            if len(window) == self.config.window and max(window) - min(window) > self.config.leave_above:
                break
        network.requires_grad_(False)

    @torch.no_grad()
    def sum_of_accuracies(self, network: Any) -> float:
        draw = self.problem.generator("images for accuracy", self.steps + self.epochs)
        real = (self.problem.real.sample(self.config.batch_accuracy, draw) - MEAN) / STD
        return sum(float((network(real[c]).argmax(1) == c).float().mean()) for c in range(4))


@pytest.mark.parametrize(
    ("architecture", "weights"),
    [("convnet2-w8", [0.1, 1, 2]), ("convnet3-w8", [0.1, 0.1, 1, 2]), ("convnet1-w8", [1, 2])],
)
@pytest.mark.parametrize("name", ["cafe", "cafe_dsa"])
def test_iterations_are_sgd_on_the_formula(
    make_problem: Make, name: str, architecture: str, weights: list[float]
) -> None:
    problem = make_problem(architecture=architecture, shape=(3, 16, 16))
    method_class, config_class = {"cafe": (CAFE, CAFEConfig), "cafe_dsa": (SiameseCAFE, CAFEDSAConfig)}[name]
    changes = {"iterations": 3, "window": 3, "leave_below": 0.103, "leave_above": 0.063, "max_image_steps": 7,
               "max_network_epochs": 14, "batch_train": 3, "lr_net": 0.05}  # fmt: skip
    config = config_class(**SMALL | changes)
    method = method_class(problem, config)
    plain = ByHand(problem, config, method.images)
    for it in range(3):
        method.step()
        plain.iteration(it, weights)
        counts = method.image_steps, method.network_epochs, method.caps
        assert counts == (plain.steps, plain.epochs, plain.caps)
    torch.testing.assert_close(method.images, plain.leaf.detach(), rtol=1e-3, atol=1e-4)


def test_losses_are_those_of_the_last_step_on_the_images(make_problem: Make) -> None:
    problem = make_problem()
    method = CAFE(problem, CAFEConfig(**SMALL | {"max_image_steps": 1}))
    real = (problem.real.sample(5, problem.generator("real batch", 0)) - MEAN) / STD
    gaps, entropies = losses_by_hand(problem.new_network(0), real, method.images, [0.1, 1, 2])
    losses = method.step()
    assert losses["features"] == pytest.approx(gaps.item(), rel=1e-4)
    assert losses["discrimination"] == pytest.approx(entropies.item(), rel=1e-4)


def test_few_classes_at_a_time_make_the_same_step(make_problem: Make) -> None:
    """The cross-entropies join all classes, however few of them go through at once."""
    images = []
    for graph in (1, 2**20):
        problem = make_problem()
        problem.compute = replace(problem.compute, graph=graph)
        for name in ("losses_by_class", "block_features", "mean_embedding"):
            setattr(problem, name, getattr(problem.compute, name))
        method = CAFE(problem, CAFEConfig(**SMALL | {"max_image_steps": 2, "max_network_epochs": 1}))
        method.step()
        images.append(method.images)
    torch.testing.assert_close(*images, rtol=1e-4, atol=1e-5)


def test_an_estimate_takes_a_part_of_the_fewest_rounds_that_a_step_can_have() -> None:
    short, times = CAFEConfig().short_step()
    assert (short.max_image_steps, short.max_network_epochs, times) == (2, 10, 9)  # ten steps, nine times ten epochs
    assert replace(short, max_image_steps=100, max_network_epochs=500) == CAFEConfig()
    assert CAFEConfig(max_network_epochs=35).short_step()[1] == 3.5 and CAFEDSAConfig().short_step()[1] == 9
    for at_most in ({"max_image_steps": 1}, {"max_image_steps": 2}, {"max_network_epochs": 10}):
        config = CAFEConfig(**at_most)
        assert config.short_step() == (config, 1)


# --- what it is registered with ---------------------------------------------------------------------------------------


def test_networks_with_batch_norm_are_unsupported() -> None:
    for name in ("cafe", "cafe_dsa"):
        method = registry.get(name)
        assert "without batch norm" in str(method.unsupported(method.Config(), depends_on_batch=True))
        assert method.unsupported(method.Config(), depends_on_batch=False) is None


def test_cells_that_the_public_code_runs_have_its_settings_and_the_others_ours() -> None:
    for dataset, provenance in (("cifar10", "code"), ("svhn", "code"), ("cifar100", "ours"), ("fashionmnist", "ours")):
        for ipc in (1, 10, 50):
            plain, augmented = (
                registry.resolve(name, dataset=dataset, ipc=ipc, preset="paper") for name in ("cafe", "cafe_dsa")
            )
            assert plain.config == CAFEConfig() and augmented.config == CAFEDSAConfig()
            of_caps = {plain.provenance[name].kind for name in ("max_image_steps", "max_network_epochs")}
            others = {plain.provenance[name].kind for name in ("lr_img", "leave_below", "window")}
            assert of_caps == {"ours"} and others == {provenance}
