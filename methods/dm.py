"""DM: dataset condensation with distribution matching (Zhao and Bilen, WACV 2023, arXiv:2110.04181).

For many random untrained networks, match the mean embedding of each synthetic class to that of the real class, both
under one shared augmentation:

    for each iteration:
        θ ← a fresh random initialization
        for each class c, draw an augmentation A_c and a real batch B_c
        L = Σ_c ‖ mean φ_θ(A_c(B_c)) − mean φ_θ(A_c(S_c)) ‖²
        one step of SGD with momentum on S
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, Problem, Settings, choice, setting
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import NormalizedImages
from methods.momentum import joint_step


@dataclass(frozen=True)
class DMConfig(Settings):
    iterations: int = setting(20_000, "outer steps", "main_DM.py --Iteration")
    lr_img: float = setting(1.0, "SGD step on the images, normalized units", "main_DM.py --lr_img")
    momentum: float = setting(0.5, "of that SGD", "main_DM.py")
    batch_real: int = setting(256, "real images a class and step", "main_DM.py --batch_real")
    augment: str = setting("dsa:color_crop_cutout_flip_scale_rotate", "shared augmentation", "main_DM.py, README")
    init: str = choice("random", INITS, "where the images start", "README --init real")
    factor: int = setting(1, "small images along each side of a stored one", "not in DM: for like-for-like rows")
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "batch_real", "factor"):
            self.require(name, least=1)
        self.require("lr_img", above=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, batch_real=4)


def embedding_gap(real: Tensor, synthetic: Tensor) -> Tensor:
    """‖μ_c − ν_c‖² of each class over D dimensions: mean embeddings (C, D) and (C, D) to (C,) [DM eq. 5]."""
    return (real - synthetic).square().sum(-1)


class DistributionMatching(NormalizedImages):
    card = Card("dm", "DM", "distribution matching", "2110.04181", "WACV", 2023, native="dsa")
    Config = DMConfig

    def __init__(self, problem: Problem, config: DMConfig) -> None:
        self.config = config
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, problem.normalize(start), config.factor, config.iterations)

    def step(self) -> dict[str, float]:
        problem, config = self.problem, self.config
        network = problem.new_network(self.done)
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        target = problem.mean_embedding(network, real)

        def gap(images: Tensor, target: Tensor) -> Tensor:
            return embedding_gap(target, problem.mean_embedding(network, images))

        images = self.images.detach().requires_grad_()
        loss = problem.losses_by_class(network, gap, augment(self.decoded(images)), target).sum()
        (gradient,) = torch.autograd.grad(loss, images)
        joint_step(self.images, self.momentum, gradient, config.lr_img, config.momentum)
        self.done += 1
        return {"matching": loss.item()}
