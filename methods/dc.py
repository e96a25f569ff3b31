"""DC: dataset condensation with gradient matching (Zhao, Mopuri and Bilen, ICLR 2021, arXiv:2006.05929).

Learn images that give a network the same gradients as real ones, at each stage of its training on those images:

    for each iteration:
        θ ← a fresh random initialization
        for each outer step:
            L = Σ_c D(∇θ CE(f_θ(B_c), c), ∇θ CE(f_θ(S_c), c))     B_c a real batch of class c
            one step of SGD with momentum on S
            train θ on S for some epochs of plain SGD               (not after the last outer step)

D sums 1 − cosine over layers and output units. The paper's algorithm box steps class by class; the public code sums
over classes first, and so does this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from methods.base import Card, Draw, Network, Problem, Settings, Tree, choice, setting
from methods.initialization import DOWNSAMPLING, INITS, initial_images, labels_of, normalized_noise
from methods.learned_images import NormalizedImages
from methods.momentum import joint_step, train_weights

# ipc to (outer steps, epochs of training between them).
LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10), 100: (100, 2)}
_CODE, _AUTHOR = "VICO-UoE/DatasetCondensation@53f63a6, utils.py get_loops", "its author, issue 2: for ipc 100 (DSA)"
NORM_IMAGES = 16  # real images of each class on which batch norm computes its statistics before they are frozen


def loops(ipc: int) -> tuple[int, int, str, str]:
    """(outer steps, epochs between them, source, provenance) for an ipc; those not in LOOPS are interpolated ("ours").

    The outer steps are as many as images a class. The epochs are interpolated linearly in log ipc and log epochs,
    since the product of both falls slowly in the table; beyond the table they are those of its last entry.
    """
    if ipc in LOOPS:
        source, provenance = (_AUTHOR, "author") if ipc == 100 else (_CODE, "code")
        return *LOOPS[ipc], source, provenance
    below = max((i for i in LOOPS if i < ipc), default=1)
    above = min((i for i in LOOPS if i > ipc), default=below)
    share = 0.0 if above == below else math.log(ipc / below) / math.log(above / below)
    epochs = math.exp((1 - share) * math.log(LOOPS[below][1]) + share * math.log(LOOPS[above][1]))
    neighbors = f"between ipc {below} and {above}" if above > below else f"as at ipc {below}"
    return min(ipc, max(LOOPS)), max(1, round(epochs)), f"ours: {neighbors} of get_loops", "ours"


@dataclass(frozen=True)
class GradientConfig(Settings):
    """The settings that DC and DSA share."""

    iterations: int = setting(1000, "fresh networks, one after the other", "main.py --Iteration")
    outer_loop: int = setting(10, "steps on the images for each network; by ipc", "utils.py get_loops, ipc 10")
    inner_loop: int = setting(50, "epochs of the network on the images between them; by ipc", "get_loops, ipc 10")
    lr_img: float = setting(0.1, "SGD step on the images, normalized units (0.01 for an MLP)", "main.py --lr_img")
    momentum: float = setting(0.5, "of that SGD", "main.py")
    lr_net: float = setting(0.01, "plain SGD step of the network in training", "main.py --lr_net")
    batch_real: int = setting(256, "real images a class and step", "main.py --batch_real")
    batch_train: int = setting(256, "images a step of the network in training", "main.py --batch_train")
    distance: str = choice("layerwise", ("layerwise", "cos", "mse"), "between gradients", "main.py --dis_metric ours")
    factor: int = setting(1, "small images along each side of a stored one", "not in the paper: for like-for-like rows")
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "outer_loop", "inner_loop", "batch_real", "batch_train", "factor"):
            self.require(name, least=1)
        for name in ("lr_img", "lr_net"):
            self.require(name, above=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def by_ipc(cls, ipc: int) -> Mapping[str, tuple[Any, str, str]]:
        outer, inner, source, provenance = loops(ipc)
        return {"outer_loop": (outer, source, provenance), "inner_loop": (inner, source, provenance)}

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=2, outer_loop=2, inner_loop=2, batch_real=4)


@dataclass(frozen=True)
class DCConfig(GradientConfig):
    init: str = choice("noise", INITS, "where the images start; noise: N(0, 1), normalized", "main.py --init noise")


# --- distances between gradients: (C, *shape) a parameter, real and synthetic, to (C,) --------------------------------

Gradients = Sequence[Tensor]
EPS = 1e-6  # added to the product of the norms


def layerwise(real: Gradients, synthetic: Gradients) -> Tensor:
    """Σ over weights and their output units of 1 − cos(real, synthetic) [DC eq. 10; utils.py distance_wb].

    A unit's row holds all its incoming weights. Parameters of one dimension (biases, norms) are ignored.
    """
    pairs = [(r.flatten(2), s.flatten(2)) for r, s in zip(real, synthetic, strict=True) if r.ndim > 2]
    return torch.stack([(1 - cosine(r, s)).sum(1) for r, s in pairs]).sum(0)


def cos(real: Gradients, synthetic: Gradients) -> Tensor:
    """1 − cos of the gradients of all parameters as one vector [main.py --dis_metric cos]."""
    return 1 - cosine(*(torch.cat([g.flatten(1) for g in gradients], 1) for gradients in (real, synthetic)))


def mse(real: Gradients, synthetic: Gradients) -> Tensor:
    """Σ of squared differences over all parameters [main.py --dis_metric mse]."""
    return torch.stack([(r - s).flatten(1).square().sum(1) for r, s in zip(real, synthetic, strict=True)]).sum(0)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity over the last dimension: (…, D) and (…, D) to (…)."""
    product: Tensor = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + EPS)
    return product


DISTANCES = {"layerwise": layerwise, "cos": cos, "mse": mse}


# --- training on synthetic images, also of CAFE -----------------------------------------------------------------------


def train_epoch(
    problem: Problem,
    network: Network,
    images: Tensor,
    labels: Tensor,
    epoch: int,
    augment: str,
    *,
    batch: int,
    lr: float,
) -> None:
    """An epoch of plain SGD on normalized images (N, ch, H, W) with labels (N,), an incomplete batch last.

    epoch: its number in the whole run, for its random numbers. augment: a strategy, drawn for each image.
    """
    generator = problem.generator(Draw.INNER_LOOP, epoch)
    weights = list(network.parameters())
    for indices in torch.randperm(len(images), generator=generator).to(problem.device).split(batch):
        augmented = problem.augment_batch(augment, images[indices], generator)
        gradients, _ = problem.training_gradients(network, augmented, labels[indices])
        train_weights(weights, gradients, lr=lr)


class GradientMatching(NormalizedImages):
    card = Card("dc", "DC", "gradient matching", "2006.05929", "ICLR", 2021, native="dc")
    Config: ClassVar[type[Settings]] = DCConfig
    augment = "none"  # strategy for both batches in matching and for the network's training

    def __init__(self, problem: Problem, config: Any) -> None:
        self.config = config
        start = (
            normalized_noise(problem)
            if config.init == "noise"
            else problem.normalize(initial_images(problem, config.factor, config.init, config.downsample))
        )
        self.start(problem, start, config.factor, config.iterations * config.outer_loop)

    def step(self) -> dict[str, float]:
        """One outer step."""
        iteration, outer = divmod(self.done, self.config.outer_loop)
        if outer == 0:
            self.network = self.problem.new_network(iteration)
        loss = self._match()
        if outer < self.config.outer_loop - 1:
            self._train()
        self.done += 1
        return {"matching": loss}

    def _match(self) -> float:
        """One step of the images on Σ_c D; returns that loss."""
        problem, config, network = self.problem, self.config, self.network
        if network.depends_on_batch:
            norm_images = problem.real.sample(NORM_IMAGES, problem.generator(Draw.NORM_IMAGES, self.done))
            problem.calibrate_batchnorm(network, problem.normalize(norm_images).flatten(0, 1))
        augment = problem.augment(self.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        classes = torch.arange(problem.num_classes, device=problem.device)
        target = problem.class_gradients(network, real, classes)

        def gap(images: Tensor, labels: Tensor, *target: Tensor) -> Tensor:
            return DISTANCES[config.distance](target, problem.class_gradients(network, images, labels))

        images = self.images.detach().requires_grad_()
        loss = problem.losses_by_class(network, gap, augment(self.decoded(images)), classes, *target).sum()
        (gradient,) = torch.autograd.grad(loss, images)
        joint_step(self.images, self.momentum, gradient, config.lr_img, config.momentum)
        return loss.item()

    def _train(self) -> None:
        """Train the network on the present synthetic images."""
        problem, config = self.problem, self.config
        images = self.decoded(self.images).flatten(0, 1)
        labels = labels_of(problem).repeat_interleave(config.factor**2)
        self.network.train()
        for epoch in range(self.done * config.inner_loop, (self.done + 1) * config.inner_loop):
            train_epoch(
                problem, self.network, images, labels, epoch, self.augment, batch=config.batch_train, lr=config.lr_net
            )

    def state_dict(self) -> Tree:
        in_training = self.done % self.config.outer_loop != 0  # else the next step begins with a fresh network
        return super().state_dict() | {"network": dict(self.network.state_dict()) if in_training else {}}

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        if state["network"]:
            self.network = self.problem.new_network(self.done // self.config.outer_loop)
            self.network.load_state_dict(state["network"])
