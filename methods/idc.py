"""IDC: information-intensive dataset condensation (Kim et al., ICML 2022, arXiv:2205.14959), and IDC-I, its factor 1.

Gradient matching as in DC, with three changes. Multi-formation: a stored image is a mosaic of factor² small ones, cut
out and enlarged at each use. The network trains on real images, not on the synthetic ones, and only for a short while.
The distance between gradients is their squared or absolute difference, which keeps their length.

    for each iteration:
        θ ← a fresh random initialization; clamp S to [0, 1]
        for each inner step:
            for each class c: draw an augmentation A_c and a real batch B_c
                one SGD step on D(∇θ CE(f_θ(A_c(B_c)), c), ∇θ CE(f_θ(A_c(decode S_c)), c))
            train θ on train_images real images with CutMix          (not after the last inner step)

D sums over the weights of convolutions; other parameters are ignored. All class steps share one SGD with momentum: a
`class_pass`, equal to the loop above, as θ rests in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, ImagesByClass, Problem, Settings, Transform, Tree, choice, setting
from methods.dc import Gradients, cosine
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import LearnedImages
from methods.momentum import class_pass, train_weights
from methods.multi_formation import decode_classes, random_subset

MOMENTUM_NET, DECAY_NET = 0.9, 5e-4  # of the network in training [argument.py]
CONVOLUTION = 4  # dimensions of a convolution's weights


@dataclass(frozen=True)
class IDCConfig(Settings):
    iterations: int = setting(2000, "fresh networks, one after the other", "argument.py --reproduce, niter")
    inner_loop: int = setting(100, "steps on the images for each network", "argument.py --inner_loop")
    distance: str = choice("mse", ("mse", "l1", "l1_mean", "cos"), "between gradients", "--reproduce, metric")
    lr_img_per_ipc: float = setting(
        5e-4, "SGD step on the images, pixels, times ipc", "--reproduce, lr_img: 5e-3 · ipc / 10 at 32 pixels"
    )
    momentum: float = setting(0.5, "of that SGD", "argument.py --mom_img")
    batch_real: int = setting(64, "real images a class and step, and a step of the network", "argument.py --batch_real")
    batch_syn_max: int = setting(128, "decoded images of a class and step at most", "argument.py --batch_syn_max")
    augment: str = setting("idc:color_crop_cutout", "shared augmentation", "argument.py --aug_type")
    train_images: int = setting(2000, "real images on which the network trains after each step", "--reproduce, n_data")
    lr_net: float = setting(0.01, "SGD step of the network, momentum 0.9, weight decay 5e-4", "argument.py --lr")
    augment_net: str = setting("idc:color_crop", "augmentation in training the network", "condense.py: no cutout")
    cutmix: float = setting(0.5, "probability of CutMix for a batch of the network", "argument.py --mix_p")
    factor: int = setting(2, "small images along each side of a stored one", "README --factor 2")
    init: str = choice("first", INITS, "where the images start", "condense.py, init mix: first images")
    downsample: str = choice("nearest", DOWNSAMPLING, "how real images are shrunk into a mosaic", "condense.py")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "inner_loop", "batch_real", "batch_syn_max", "factor"):
            self.require(name, least=1)
        for name in ("lr_img_per_ipc", "lr_net"):
            self.require(name, above=0)
        self.require("train_images", least=0)
        self.require("momentum", least=0, below=1)
        self.require("cutmix", least=0, most=1)

    def scaled(self, fraction: float, floor: int = 1) -> Self:
        return super().scaled(fraction, math.ceil(floor / self.inner_loop))  # the floor is of steps on the images

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=2, inner_loop=2, batch_real=4, batch_syn_max=3, train_images=6, factor=1)


@dataclass(frozen=True)
class IDCIConfig(IDCConfig):
    factor: int = setting(1, "small images along each side of a stored one", "README, IDC-I: factor 1")


# --- distances between gradients: (C, *shape) a parameter, real and synthetic, to (C,) --------------------------------


def gradient_distance(real: Gradients, synthetic: Gradients, distance: str) -> Tensor:
    """Σ over the weights of convolutions of one of DISTANCES [condense.py matchloss]."""
    pairs = [(r, s) for r, s in zip(real, synthetic, strict=True) if r.ndim == 1 + CONVOLUTION]
    return torch.stack([DISTANCES[distance](r.flatten(2), s.flatten(2)) for r, s in pairs]).sum(0)


def mse(real: Tensor, synthetic: Tensor) -> Tensor:
    """Σ of squared differences: (C, units, weights of a unit) to (C,). Not a mean, whatever its name says."""
    return (real - synthetic).square().sum((1, 2))


def l1(real: Tensor, synthetic: Tensor) -> Tensor:
    """Σ of absolute differences: (C, units, weights of a unit) to (C,)."""
    return (real - synthetic).abs().sum((1, 2))


def l1_mean(real: Tensor, synthetic: Tensor) -> Tensor:
    """Σ over units of the mean absolute difference: (C, units, weights of a unit) to (C,)."""
    return (real - synthetic).abs().mean(2).sum(1)


def cos(real: Tensor, synthetic: Tensor) -> Tensor:
    """Σ over units of 1 − cos: (C, units, weights of a unit) to (C,)."""
    return (1 - cosine(real, synthetic)).sum(1)


DISTANCES = {"mse": mse, "l1": l1, "l1_mean": l1_mean, "cos": cos}


class IDC(LearnedImages):
    card = Card("idc", "IDC", "gradient matching", "2205.14959", "ICML", 2022, native="idc")
    Config = IDCConfig

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # as in the public code

    @classmethod
    def unsupported(cls, config: IDCConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return f"{cls.card.title} matches gradients in networks without batch norm only; use another norm"
        return None

    def __init__(self, problem: Problem, config: IDCConfig) -> None:
        self.config, self.lr = config, config.lr_img_per_ipc * problem.ipc
        start = self._initial_images(problem)
        self.start(problem, start, config.factor, config.iterations * config.inner_loop)  # pixels

    def _initial_images(self, problem: Problem) -> Tensor:
        """(C, ipc, ch, H, W) pixels."""
        return initial_images(problem, self.config.factor, self.config.init, self.config.downsample)

    def step(self) -> dict[str, float]:
        """One inner step."""
        iteration, inner = divmod(self.done, self.config.inner_loop)
        if inner == 0:
            self.images.clamp_(0, 1)  # here only: steps may leave [0, 1], and decoding takes the images as they are
            self.network = self.problem.new_network(iteration)
            self.network_momentum = [torch.zeros_like(weight) for weight in self.network.parameters()]
        loss = self._match()
        if inner < self.config.inner_loop - 1:
            self._train()
        self.done += 1
        return {"matching": loss}

    def _match(self) -> float:
        """Each class's step on D; returns the sum of the distances."""
        problem, config, network = self.problem, self.config, self.network
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        classes = torch.arange(problem.num_classes, device=problem.device)
        target = problem.class_gradients(network, self._real_batch(augment), classes)

        def gap(images: Tensor, labels: Tensor, *target: Tensor) -> Tensor:
            return gradient_distance(target, problem.class_gradients(network, images, labels), config.distance)

        def losses(images: Tensor) -> Tensor:
            decoded = decode_classes(images, config.factor)
            decoded = random_subset(decoded, config.batch_syn_max, problem.generator(Draw.SUBSET_ALIGNMENT, self.done))
            return problem.losses_by_class(network, gap, augment(problem.normalize(decoded)), classes, *target)

        return float(class_pass(self.images, self.momentum, losses, self.lr, config.momentum).sum())

    def _real_batch(self, augment: Transform) -> Tensor | ImagesByClass:
        """The real images of each class to match, normalized and augmented."""
        generator = self.problem.generator(Draw.REAL_BATCH, self.done)
        return self.problem.real_batch(self.config.batch_real, generator, augment)

    def _train(self) -> None:
        """Train the network on the next real images: whole batches until there are at least `train_images`."""
        problem, config = self.problem, self.config
        generator = problem.generator(Draw.NETWORK_TRAINING, self.done)
        count = math.ceil(config.train_images / config.batch_real) * config.batch_real
        images, labels = problem.real.batch(count, generator)
        weights = list(self.network.parameters())
        for batch, targets in zip(images.split(config.batch_real), labels.split(config.batch_real), strict=True):
            augmented = problem.augment_batch(config.augment_net, problem.normalize(batch), generator)
            mixed = problem.cutmix(augmented, targets, config.cutmix, generator)
            gradients, _ = problem.training_gradients(self.network, *mixed)
            train_weights(weights, gradients, self.network_momentum, lr=config.lr_net, mu=MOMENTUM_NET, decay=DECAY_NET)

    def state_dict(self) -> Tree:
        state = super().state_dict()
        if self.done % self.config.inner_loop == 0:  # the next step begins with a fresh network
            return state | {"network": {}, "network_momentum": {}}
        momentum = {str(index): buffer for index, buffer in enumerate(self.network_momentum)}
        return state | {"network": dict(self.network.state_dict()), "network_momentum": momentum}

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        if state["network"]:
            self.network = self.problem.new_network(self.done // self.config.inner_loop)
            self.network.load_state_dict(state["network"])
            buffers = state["network_momentum"]
            self.network_momentum = [
                buffers[str(index)].to(weight.device, copy=True)
                for index, weight in enumerate(self.network.parameters())
            ]


class IDCI(IDC):
    card = Card("idc_i", "IDC-I", "gradient matching", "2205.14959", "ICML", 2022, native="idc")
    Config = IDCIConfig
