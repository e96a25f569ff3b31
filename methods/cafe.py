"""CAFE: aligning features (Wang, Zhao, Peng, Zhu and others, CVPR 2022, arXiv:2203.01531), and CAFE+DSA.

Learn images whose mean features are those of the real ones after every block of a network, and whose class means
classify real features. How long each network is trained, and how many steps on the images it serves, depends on its
accuracy on real images:

    for each iteration:
        θ ← a fresh random initialization
        repeat:
            L = Σ_l w_l Σ_c ‖ mean F_l(B_c) − mean F_l(S_c) ‖²          B_c a real batch of class c
                + β·Σ_c Σ_{x in B_c} CE(⟨φ_θ(x), mean φ_θ(S_1)⟩, …, ⟨φ_θ(x), mean φ_θ(S_C)⟩; c)
            one step of SGD with momentum on S
            leave if the last accuracies of θ measured here span less than λ₁
            repeat: train θ on S for an epoch of plain SGD
            until the last accuracies of θ measured here span more than λ₂

F_l are the activations of block l before its pooling, with weight 0.1 for all blocks but the last; φ_θ, the pooled ones
of the last block, has twice the weight 1, as the public code matches it once as maps and once as a vector. CAFE+DSA
augments B_c and S_c alike, and the images that train θ.

Both loops may never end (a network whose accuracy stays where it is, say), so their rounds are capped for each network
(ours). The public code trains a network more after it has scored the images: 2,000 iterations make its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.base import Card, Draw, Network, Problem, Settings, Transform, Tree, choice, setting
from methods.class_groups import class_means
from methods.dc import train_epoch
from methods.initialization import DOWNSAMPLING, INITS, initial_images, labels_of, normalized_noise
from methods.learned_images import NormalizedImages
from methods.momentum import joint_step

EMBEDDING_WEIGHT = 2.0  # once as maps, once as a vector [distill.py --first_weight 1 and loss_output]
HALVED_AFTER = (0.6, 0.8, 0.9)  # parts of the iterations after which lr_img is halved: 1,200, 1,600, 1,800 of 2,000


@dataclass(frozen=True)
class CAFEConfig(Settings):
    iterations: int = setting(2000, "fresh networks, one after the other", "distill.py --Iteration")
    lr_img: float = setting(0.1, "SGD step on the images, normalized units, halved three times", "distill.py --lr_img")
    momentum: float = setting(0.5, "of that SGD", "distill.py")
    lr_net: float = setting(0.01, "plain SGD step of the network in training", "distill.py --lr_net")
    early_weight: float = setting(
        0.1, "of the gaps after all blocks but the last, whose weight is 1", "distill.py --fourth_weight, third_weight"
    )
    discrimination_weight: float = setting(0.01, "β, of the sum of cross-entropies", "distill.py --inner_weight")
    leave_below: float = setting(0.04, "λ₁: span of accuracies that ends the steps on the images", "--lambda_1")
    leave_above: float = setting(0.03, "λ₂: span of accuracies that ends the training between them", "--lambda_2")
    window: int = setting(10, "accuracies in a span", "distill.py")
    max_image_steps: int = setting(100, "steps on the images for a network at most", "ours")
    max_network_epochs: int = setting(500, "epochs of a network at most", "ours")
    batch_real: int = setting(256, "real images a class and step", "distill.py --batch_real")
    batch_train: int = setting(256, "images a step of the network in training", "distill.py --batch_train")
    batch_accuracy: int = setting(128, "real images a class for an accuracy", "distill.py")
    init: str = choice("noise", INITS, "where the images start; noise: N(0, 1), normalized", "distill.py --init noise")
    factor: int = setting(1, "small images along each side of a stored one", "not in CAFE: for like-for-like rows")
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "max_image_steps", "max_network_epochs", "batch_real", "batch_train",
                     "batch_accuracy", "factor"):  # fmt: skip
            self.require(name, least=1)
        self.require("window", least=2)
        for name in ("lr_img", "lr_net"):
            self.require(name, above=0)
        for name in ("early_weight", "discrimination_weight", "leave_below", "leave_above"):
            self.require(name, least=0)
        self.require("momentum", least=0, below=1)

    def short_step(self) -> tuple[Self, float]:
        """Two steps on the images with a window of epochs between them, of which there are `window` − 1 at least."""
        steps = min(self.window, self.max_image_steps)
        epochs = min(self.window * (steps - 1), self.max_network_epochs)
        if epochs <= self.window:
            return self, 1.0
        return replace(self, max_image_steps=2, max_network_epochs=self.window), epochs / self.window

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, lr_img=0.001, window=2, max_image_steps=3, max_network_epochs=4, batch_real=4)


@dataclass(frozen=True)
class CAFEDSAConfig(CAFEConfig):
    augment: str = setting(
        "dsa:color_crop_cutout_flip_scale_rotate", "augmentation, matching and training", "DSA's README"
    )


# --- losses -----------------------------------------------------------------------------------------------------------


def feature_gaps(real: Sequence[Tensor], synthetic: Sequence[Tensor], early_weight: float) -> Tensor:
    """Σ_l w_l ‖real_l − synthetic_l‖² of each class: class means (C, …) of each block, then embeddings (C, D), to (C,).

    Weights: early_weight for all blocks but the last, 1 for the last block, 2 for the embeddings [distill.py].
    """
    weights = [early_weight] * (len(real) - 2) + [1.0] * (len(real) > 1) + [EMBEDDING_WEIGHT]
    gaps = [(r - s).flatten(1).square().sum(1) for r, s in zip(real, synthetic, strict=True)]
    return torch.stack([weight * gap for weight, gap in zip(weights, gaps, strict=True)]).sum(0)


def batch_sum(activations: Tensor) -> Tensor:
    """(N, …) to (1, …)."""
    return torch.sum(activations, 0, keepdim=True)


def discrimination(embeddings: Tensor, labels: Tensor, means: Tensor) -> Tensor:
    """Σ of cross-entropies of real embeddings (N, D) whose logits are their products with the class means (C, D).

    labels: (N,), the classes of the embeddings.
    """
    return F.cross_entropy(embeddings @ means.T, labels, reduction="sum")


# --- accuracies -------------------------------------------------------------------------------------------------------


def monitored(accuracies: Sequence[float], classes: int) -> list[float]:
    """The values that the loops watch: v_t = a_t + v_{t−1} / C.

    The public code adds the accuracies of all classes to the last value before it divides by C, so with ten classes a
    value is about 1.11 times the accuracy, and the first ones rise. λ₁ and λ₂ are thresholds on these values.
    """
    values: list[float] = []
    for accuracy in accuracies:
        values.append(accuracy + (values[-1] if values else 0.0) / classes)
    return values


def span(values: Sequence[float], window: int) -> float:
    """The largest minus the smallest of the last `window` values; nan, which no threshold compares with, of fewer."""
    last = values[-window:]
    return max(last) - min(last) if len(last) == window else math.nan


class CAFE(NormalizedImages):
    """caps: networks so far that a cap ended."""

    card = Card("cafe", "CAFE", "distribution matching", "2203.01531", "CVPR", 2022, native="cafe")
    Config: ClassVar[type[Settings]] = CAFEConfig
    augment = "none"  # strategy for both batches in matching and for the network's training

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # utils.py get_dataset

    @classmethod
    def unsupported(cls, config: Any, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return "CAFE's real images go through the network in portions; take a network without batch norm"
        return None

    def __init__(self, problem: Problem, config: Any) -> None:
        self.config = config
        start = (
            normalized_noise(problem)
            if config.init == "noise"
            else problem.normalize(initial_images(problem, config.factor, config.init, config.downsample))
        )
        self.start(problem, start, config.factor, config.iterations)
        self.image_steps = self.network_epochs = self.caps = 0

    def step(self) -> dict[str, float]:
        """All steps on the images for one network; returns the losses of the last."""
        config, network = self.config, self.problem.new_network(self.done)
        accuracies: list[float] = []
        epochs = 0
        while True:
            losses = self._match(network)
            accuracies.append(self._accuracy(network))
            if self._span(accuracies) < config.leave_below:
                break
            if len(accuracies) == config.max_image_steps or epochs == config.max_network_epochs:
                self.caps += 1
                break
            epochs += self._train(network, config.max_network_epochs - epochs)
        self.done += 1
        return {**losses, "caps hit": float(self.caps)}

    def _match(self, network: Network) -> dict[str, float]:
        """One step of the images on L."""
        problem, config = self.problem, self.config
        augment = problem.augment(self.augment, problem.generator(Draw.AUGMENTATION, self.image_steps))
        target, embeddings, labels = self._real_features(network, augment)
        images = self.images.detach().requires_grad_()
        augmented = augment(self.decoded(images))
        # The cross-entropies join all classes. With their gradient by the class means, each class is on its own again.
        means = problem.mean_embedding(network, augmented.detach()).requires_grad_()
        entropies = config.discrimination_weight * discrimination(embeddings, labels, means)
        (by_means,) = torch.autograd.grad(entropies, means)

        def gaps(images: Tensor, by_mean: Tensor, *target: Tensor) -> Tensor:
            of_classes = partial(class_means, counts=[images.shape[1]] * len(images))
            *means, embeddings = problem.block_features(network, images.flatten(0, 1), of_classes, include_last=True)
            means.append(of_classes(embeddings))
            linear = (by_mean * means[-1]).sum(1)
            return feature_gaps(target, means, config.early_weight) + linear - linear.detach()

        loss = problem.losses_by_class(network, gaps, augmented, by_means, *target).sum()
        (gradient,) = torch.autograd.grad(loss, images)
        joint_step(self.images, self.momentum, gradient, self._lr_img(), config.momentum)
        self.image_steps += 1
        return {"features": loss.item(), "discrimination": entropies.item()}

    def _real_features(self, network: Network, augment: Transform) -> tuple[list[Tensor], Tensor, Tensor]:
        """Of a real batch the class means (C, …) after each block and of the embeddings; all embeddings (N, D); labels.

        Activations are summed chunk by chunk, so that those of few images are in memory at once.
        """
        problem, config = self.problem, self.config
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.image_steps), augment)
        sums, embeddings = list[list[Tensor]](), list[Tensor]()
        for c in range(len(real)):
            *of_class, embedding = problem.block_features(network, real[c : c + 1][0], batch_sum, include_last=True)
            sums.append([chunks.sum(0) for chunks in of_class])
            embeddings.append(embedding)
        means = [
            torch.stack([total / count for total, count in zip(of_block, real.counts, strict=True)])
            for of_block in zip(*sums, strict=True)
        ]
        means.append(torch.stack([embedding.mean(0) for embedding in embeddings]))
        counts = torch.tensor(real.counts, device=problem.device)
        return means, torch.cat(embeddings), torch.arange(len(counts), device=problem.device).repeat_interleave(counts)

    def _lr_img(self) -> float:
        passed = sum(self.done >= part * self.config.iterations for part in HALVED_AFTER)
        return float(self.config.lr_img / 2**passed)

    def _train(self, network: Network, most: int) -> int:
        """Train the network on the present images until its accuracy moves; returns the epochs, at most `most`."""
        problem, config = self.problem, self.config
        images = self.decoded(self.images).flatten(0, 1)
        labels = labels_of(problem).repeat_interleave(config.factor**2)
        accuracies: list[float] = []
        while len(accuracies) < most and not self._span(accuracies) > config.leave_above:
            train_epoch(
                problem, network, images, labels, self.network_epochs, self.augment,
                batch=config.batch_train, lr=config.lr_net,
            )  # fmt: skip
            self.network_epochs += 1
            accuracies.append(self._accuracy(network))
        return len(accuracies)

    def _accuracy(self, network: Network) -> float:
        """The mean accuracy of all classes on some real images of each, in 0..1."""
        problem = self.problem
        generator = problem.generator(Draw.ACCURACY, self.image_steps + self.network_epochs)
        real = problem.normalize(problem.real.sample(self.config.batch_accuracy, generator))
        logits = network.classify(problem.embed(network, real.flatten(0, 1)))
        labels = torch.arange(len(real), device=real.device).repeat_interleave(real.shape[1])
        return float((logits.argmax(1) == labels).float().mean())

    def _span(self, accuracies: Sequence[float]) -> float:
        return span(monitored(accuracies, self.problem.num_classes), self.config.window)

    def state_dict(self) -> Tree:
        counts = {"image_steps": self.image_steps, "network_epochs": self.network_epochs, "caps": self.caps}
        return super().state_dict() | counts

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        self.image_steps, self.network_epochs = int(state["image_steps"]), int(state["network_epochs"])
        self.caps = int(state["caps"])


class SiameseCAFE(CAFE):
    card = Card("cafe_dsa", "CAFE+DSA", "distribution matching", "2203.01531", "CVPR", 2022, native="dsa")
    Config = CAFEDSAConfig

    def __init__(self, problem: Problem, config: CAFEDSAConfig) -> None:
        super().__init__(problem, config)
        self.augment = config.augment
