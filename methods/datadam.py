"""DataDAM: attention matching (Sajedi, Khaki, Amjadian, Liu, Lawryshyn and Plataniotis, ICCV 2023, arXiv:2310.00093).

As DM, for many random untrained networks, but besides mean embeddings it matches mean attention maps: where in an image
the activations of each block are large.

    for each iteration:
        θ ← a fresh random initialization
        for each class c, draw an augmentation A_c and a real batch B_c
        for the activations F_l before the pooling of each block l but the last:
            a_l(x) = vec Σ_channels |F_l(x)|^p, divided by its L2 norm
        L = 100·Σ_c [ Σ_l ‖ mean a_l(A_c(B_c)) − mean a_l(A_c(S_c)) ‖²
                      + λ·‖ mean φ_θ(A_c(B_c)) − mean φ_θ(A_c(S_c)) ‖² ]
        one step of SGD with momentum on S

Its code takes networks with batch norm, in training mode: the real images of all classes are one batch, the synthetic
images another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.base import Card, Draw, ImagesByClass, Network, Problem, Settings, choice, setting
from methods.class_groups import class_means, one_batch
from methods.dm import embedding_gap
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import NormalizedImages
from methods.momentum import joint_step

WEIGHT = 100.0  # of the whole loss [main_DataDAM.py]


@dataclass(frozen=True)
class DataDAMConfig(Settings):
    iterations: int = setting(8_000, "outer steps", "HPTable.png")
    lr_img: float = setting(1.0, "SGD step on the images, normalized units", "HPTable.png: 1 up to ipc 50, else 10")
    momentum: float = setting(0.5, "of that SGD", "HPTable.png")
    power: float = setting(4.0, "p, of activations in an attention map", "paper and HPTable.png; the code has 1")
    task_balance: float = setting(0.01, "λ, of the gap of mean embeddings", "HPTable.png: 0.01, high resolution 0.02")
    batch_real: int = setting(64, "real images a class and step", "main_DataDAM.py --batch_real")
    augment: str = setting("dsa:color_crop_cutout_flip_scale_rotate", "shared augmentation", "main_DataDAM.py")
    init: str = choice("random", INITS, "where the images start", "main_DataDAM.py --init real")
    factor: int = setting(1, "small images along each side of a stored one", "not in DataDAM: for like-for-like rows")
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "batch_real", "factor"):
            self.require(name, least=1)
        for name in ("lr_img", "power"):
            self.require(name, above=0)
        self.require("task_balance", least=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def by_ipc(cls, ipc: int) -> dict[str, tuple[float, str, str]]:
        return {"lr_img": (10.0 if ipc > 50 else 1.0, "DataDistillation/DataDAM@0f6ea09, img/HPTable.png", "code")}

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, batch_real=4)


def attention_maps(activations: Tensor, power: float) -> Tensor:
    """vec Σ_channels |F|^p with L2 norm 1: activations (N, channels, h, w) to (N, h·w) [eq. 2]."""
    return F.normalize(activations.abs().pow(power).sum(1).flatten(1), dim=1)


def mean_features(
    problem: Problem, network: Network, images: Tensor, counts: Sequence[int], power: float
) -> list[Tensor]:
    """Normalized (N, ch, H, W), class by class, to the class means of the attention maps (C, h·w) of each block but the
    last, then of the embeddings (C, D). counts: images of each class."""
    features = problem.block_features(network, images, partial(attention_maps, power=power))
    return [class_means(feature, counts) for feature in features]


class DataDAM(NormalizedImages):
    card = Card(
        *("datadam", "DataDAM", "distribution matching", "2310.00093", "ICCV", 2023),
        native="datadam",
        networks=((32, "convnet3-bn"), (64, "convnet4-bn"), (128, "convnet6-bn")),
    )
    Config = DataDAMConfig

    def __init__(self, problem: Problem, config: DataDAMConfig) -> None:
        self.config = config
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, problem.normalize(start), config.factor, config.iterations)

    def step(self) -> dict[str, float]:
        problem, config = self.problem, self.config
        network = problem.new_network(self.done)
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        targets = self._real_features(network, real)

        def gaps(images: Tensor, *targets: Tensor) -> Tensor:
            counts = [images.shape[1]] * len(images)
            features = mean_features(problem, network, images.flatten(0, 1), counts, config.power)
            *maps, embedding = map(embedding_gap, targets, features)
            return WEIGHT * (torch.stack([*maps, config.task_balance * embedding]).sum(0))

        images = self.images.detach().requires_grad_()
        loss = problem.losses_by_class(network, gaps, augment(self.decoded(images)), *targets).sum()
        (gradient,) = torch.autograd.grad(loss, images)
        joint_step(self.images, self.momentum, gradient, config.lr_img, config.momentum)
        self.done += 1
        return {"matching": loss.item()}

    def _real_features(self, network: Network, real: ImagesByClass) -> list[Tensor]:
        """Class means of the real batch: of all classes at once if batch norm must see them, else class by class."""
        power = self.config.power
        if network.depends_on_batch:
            return mean_features(self.problem, network, one_batch(real), real.counts, power)
        parts = [
            mean_features(self.problem, network, real[c : c + 1][0], [count], power)
            for c, count in enumerate(real.counts)
        ]
        return [torch.cat(of_feature) for of_feature in zip(*parts, strict=True)]
