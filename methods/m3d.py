"""M3D: minimizing the maximum mean discrepancy (Zhang, Li, Wang, Zeng and Ge, AAAI 2024, arXiv:2312.15927).

DM matches mean embeddings. M3D embeds the embeddings once more, in the space of a kernel, where equal means make all
moments equal: it minimizes the squared maximum mean discrepancy of each class. Stored images are mosaics, as in IDC,
and each random network serves several iterations.

    for each iteration:
        every `network_interval` iterations: φ ← a fresh random initialization
        clamp S to [0, 1]
        for each class c: draw an augmentation A_c and a real batch B_c
            X, Y ← φ(A_c(B_c)), φ(A_c(decode S_c))
            one SGD step on MMD²(X, Y) = mean k(X, X) − 2·mean k(X, Y) + mean k(Y, Y)

All class steps share one SGD with momentum: a `class_pass`, equal to the loop above. The Gaussian kernel is a sum of
five, k(z, z') = Σ_q exp(−‖z − z'‖² / (2^q·b)), q = −2, …, 2, with b the mean squared distance within X ∪ Y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, Problem, Settings, choice, setting
from methods.class_groups import of_one_count
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import LearnedImages
from methods.momentum import class_pass
from methods.multi_formation import decode_classes, random_subset

OCTAVES = (-2, -1, 0, 1, 2)  # log2 of the bandwidths of the Gaussian kernels, over the mean squared distance


@dataclass(frozen=True)
class M3DConfig(Settings):
    iterations: int = setting(10_000, "outer steps", "DIDD-ASU@183ac9b, yaml files")
    network_interval: int = setting(5, "iterations between fresh networks", "condense_m3d.py --ipm")
    kernel: str = choice("gaussian", ("gaussian", "linear", "polynomial"), "of the discrepancy", "paper")
    lr_img_per_ipc: float = setting(
        1.0, "SGD step on the images, pixel units, times ipc", "DIDD-ASU@183ac9b, yaml files"
    )
    momentum: float = setting(0.5, "of that SGD", "condense_m3d.py")
    batch_real: int = setting(128, "real images a class and step", "condense_m3d.py --batch_real")
    batch_syn_max: int = setting(200, "decoded images a class and step at most", "condense_m3d.py")
    augment: str = setting("idc:color_crop_cutout", "shared augmentation", "condense_m3d.py --aug_type")
    factor: int = setting(2, "small images along each side of a stored one", "condense_m3d.py --factor")
    init: str = choice("first", INITS, "where the images start", "condense_m3d.py, init mix")
    downsample: str = choice("nearest", DOWNSAMPLING, "how real images are shrunk into a mosaic", "IDC's code")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "network_interval", "batch_real", "batch_syn_max", "factor"):
            self.require(name, least=1)
        self.require("lr_img_per_ipc", above=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, network_interval=2, batch_real=4, batch_syn_max=3, factor=1)


# --- kernels: squared distances or products of embeddings -------------------------------------------------------------


def gaussian_kernel(embeddings: Tensor) -> Tensor:
    """Σ_q exp(−‖z_i − z_j‖² / (2^q·b)), q in OCTAVES: (C, N, D) to (C, N, N), each entry in [0, 5].

    b is the mean of the N² − N squared distances, without a gradient: else larger distances alone would lower the loss.
    """
    norms = embeddings.square().sum(-1)
    products = embeddings @ embeddings.transpose(1, 2)
    distances = (norms[:, :, None] + norms[:, None, :] - 2 * products).clamp_min(0)
    distances = distances * (1 - torch.eye(distances.shape[1], device=distances.device))  # exactly 0 to itself
    count = distances.shape[1]
    bandwidth = distances.detach().sum((1, 2), keepdim=True) / (count**2 - count)
    scaled = distances / bandwidth.clamp_min(torch.finfo(distances.dtype).eps)
    kernels = [torch.exp(-scaled / 2.0**octave) for octave in OCTAVES]
    return torch.stack(kernels).sum(0)


def linear_kernel(embeddings: Tensor) -> Tensor:
    """⟨z_i, z_j⟩: (C, N, D) to (C, N, N). The discrepancy is then DM's gap of mean embeddings."""
    return embeddings @ embeddings.transpose(1, 2)


def polynomial_kernel(embeddings: Tensor) -> Tensor:
    """(⟨z_i, z_j⟩ + 1)²: (C, N, D) to (C, N, N)."""
    return (linear_kernel(embeddings) + 1).square()


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": gaussian_kernel,
    "linear": linear_kernel,
    "polynomial": polynomial_kernel,
}


def squared_mmd(real: Tensor, synthetic: Tensor, kernel: str) -> Tensor:
    """Squared maximum mean discrepancy of each class, biased: real (C, m, D) and synthetic (C, n, D) to (C,).

    mean k(X, X) − 2·mean k(X, Y) + mean k(Y, Y), with the diagonals; at most 10 with the Gaussian kernel.
    """
    values = KERNELS[kernel](torch.cat([real, synthetic], 1))
    m = real.shape[1]
    within_real, within_synthetic = values[:, :m, :m].mean((1, 2)), values[:, m:, m:].mean((1, 2))
    return within_real - 2 * values[:, :m, m:].mean((1, 2)) + within_synthetic


class M3D(LearnedImages):
    card = Card("m3d", "M3D", "distribution matching", "2312.15927", "AAAI", 2024, native="dance")
    Config = M3DConfig

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # as in IDC's code, on which it is built

    @classmethod
    def unsupported(cls, config: M3DConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return "M3D passes real and synthetic images of a class as one batch; take a network without batch norm"
        return None

    def __init__(self, problem: Problem, config: M3DConfig) -> None:
        self.config, self.lr = config, config.lr_img_per_ipc * problem.ipc
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, start, config.factor, config.iterations)  # pixels

    def step(self) -> dict[str, float]:
        problem, config = self.problem, self.config
        network = problem.new_network(self.done // config.network_interval)
        self.images.clamp_(0, 1)  # here only: a step may leave [0, 1], and decoding takes the images as they are
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        embeddings = [problem.embed(network, real[c : c + 1][0]) for c in range(problem.num_classes)]  # (m_c, D) each
        targets = [(g, torch.stack(embeddings[g])) for g in of_one_count(real.counts)]

        def discrepancy(images: Tensor, target: Tensor) -> Tensor:
            embeddings = problem.embed(network, images.flatten(0, 1)).unflatten(0, images.shape[:2])
            return squared_mmd(target, embeddings, config.kernel)

        def losses(images: Tensor) -> Tensor:
            decoded = decode_classes(images, config.factor)
            decoded = random_subset(decoded, config.batch_syn_max, problem.generator(Draw.SUBSET_ALIGNMENT, self.done))
            seen = augment(problem.normalize(decoded))
            return torch.cat([problem.losses_by_class(network, discrepancy, seen[g], target) for g, target in targets])

        loss = class_pass(self.images, self.momentum, losses, self.lr, config.momentum).sum()
        self.done += 1
        return {"discrepancy": float(loss)}
