"""DANCE: dual-view distribution alignment (Zhang, Li, Lin, Ge and others, IJCAI 2024, arXiv:2406.01063).

Two views of the same set. Inner class: match mean embeddings as DM does, but on a 'mid encoder', an interpolation
between the initial and the trained weights of an expert, which represents all stages of training. Inter class:
calibration, so that the expert itself classifies the synthetic images. Stored images hold factor² small ones.

    for each iteration:
        pick an expert k; l ~ U(0, 1); θ_mid = l·θ_init + (1 − l)·θ_trained
        S ← clamp(S, 0, 1)
        for each class c: one SGD step on ‖ mean φ_mid(A_c(B_c)) − mean φ_mid(A_c(decode S_c)) ‖²
        for each class c: one SGD step on CE(f_trained(A'_c(decode S_c)), c)

All steps share one SGD with momentum; both views are `class_pass`es, equal to the loops above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import (
    Card,
    Draw,
    ExpertRecipe,
    MethodError,
    Network,
    Problem,
    Settings,
    choice,
    setting,
)
from methods.cutmix_experts import cutmix_experts
from methods.dm import embedding_gap
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import LearnedImages
from methods.momentum import class_pass
from methods.multi_formation import decode_classes, random_subset

ALIGNMENTS = ("mid", "random", "expert", "off")


@dataclass(frozen=True)
class DANCEConfig(Settings):
    iterations: int = setting(10_000, "iterations of both views", "--reproduce, niter")
    lr_img_per_ipc: float = setting(0.01, "SGD step on the images, pixels, times ipc", "--reproduce, lr_img = 0.01·ipc")
    momentum: float = setting(0.5, "of that SGD", "--reproduce, mom_img")
    batch_real: int = setting(128, "real images a class and step", "--reproduce, batch_real")
    batch_syn_max: int = setting(200, "decoded images of a class used at once, at most", "batch_syn_max")
    augment: str = setting("idc:color_crop_cutout", "shared augmentation of both views", "aug_type")
    factor: int = setting(2, "small images along each side of a stored one", "README --factor 2 (CIFAR-10, ipc 50)")
    init: str = choice(
        "random", INITS, "where the images start; public code: first", "ours: seeded, not the first ones"
    )
    downsample: str = choice("nearest", DOWNSAMPLING, "how real images are shrunk into a mosaic", "init mix")
    alignment: str = choice("mid", ALIGNMENTS, "matching network: mid, random (DM's view), expert, off", "ablation")
    calibration: bool = setting(True, "whether the expert calibrates", "--reproduce, iter_calib = 1")
    experts: int = setting(5, "experts drawn from", "num_premodel (20 are trained, 5 are drawn)")
    pretrain_epochs: int = setting(60, "epochs of an expert on the real images", "--reproduce, pt_epochs")
    pretrain_batch: int = setting(64, "images a step of an expert", "--reproduce")
    pretrain_lr: float = setting(0.01, "SGD step of an expert, momentum 0.9, weight decay 5e-4", "--reproduce")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "iterations",
            "batch_real",
            "batch_syn_max",
            "factor",
            "pretrain_epochs",
            "pretrain_batch",
        ):
            self.require(name, least=1)
        self.require("experts", least=1, below=1001)  # each is a task, and a plan lists all of them
        for name in ("lr_img_per_ipc", "pretrain_lr"):
            self.require(name, above=0)
        self.require("momentum", least=0, below=1)
        if self.alignment == "off" and not self.calibration:
            raise MethodError("alignment=off with calibration=off leaves nothing to learn", where="calibration")

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=2, batch_real=4, experts=2, pretrain_epochs=1, pretrain_batch=16)


class DANCE(LearnedImages):
    card = Card("dance", "DANCE", "distribution matching", "2406.01063", "IJCAI", 2024, native="dance")
    Config = DANCEConfig

    @classmethod
    def experts(cls, config: DANCEConfig) -> ExpertRecipe | None:
        if config.alignment in ("random", "off") and not config.calibration:
            return None
        return cutmix_experts(config)

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # as in the public code, for experts and tests as well

    @classmethod
    def unsupported(cls, config: DANCEConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return (
                "DANCE interpolates parameters only, so a network with batch norm has no mid encoder; use another norm"
            )
        return None

    def __init__(self, problem: Problem, config: DANCEConfig) -> None:
        self.config, self.lr = config, config.lr_img_per_ipc * problem.ipc
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, start, config.factor, config.iterations)  # pixels

    def step(self) -> dict[str, float]:
        generator = self.problem.generator(Draw.ENCODER, self.done)
        k = int(torch.randint(self.config.experts, (), generator=generator))
        weight = float(torch.rand((), generator=generator))  # of the initial weights: 0 is the expert
        self.images.clamp_(0, 1)  # here only: steps may leave [0, 1], and decoding takes the images as they are

        losses = {}
        if self.config.alignment != "off":
            losses["alignment"] = self._inner_class(self._matching_network(k, weight))
        if self.config.calibration:
            losses["calibration"] = self._inter_class(self.problem.experts[k].interpolate(0.0))
        self.done += 1
        return losses

    def _matching_network(self, k: int, weight: float) -> Network:
        if self.config.alignment == "random":
            return self.problem.new_network(self.done)
        return self.problem.experts[k].interpolate(weight if self.config.alignment == "mid" else 0.0)

    def _inner_class(self, network: Network) -> float:
        """Each class's step on the gap of mean embeddings; returns the sum of the gaps."""
        problem, config = self.problem, self.config
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        target = problem.mean_embedding(network, real)

        def gap(images: Tensor, target: Tensor) -> Tensor:
            return embedding_gap(target, problem.mean_embedding(network, images))

        def losses(images: Tensor) -> Tensor:
            decoded = augment(problem.normalize(self._decoded(images, Draw.SUBSET_ALIGNMENT)))
            return problem.losses_by_class(network, gap, decoded, target)

        return float(class_pass(self.images, self.momentum, losses, self.lr, config.momentum).sum())

    def _inter_class(self, expert: Network) -> float:
        """Each class's step on the expert's cross-entropy; returns the mean over classes."""
        problem, config = self.problem, self.config
        augment = problem.augment(config.augment, problem.generator(Draw.CALIBRATION_AUGMENTATION, self.done))

        def losses(images: Tensor) -> Tensor:
            decoded = augment(problem.normalize(self._decoded(images, Draw.SUBSET_CALIBRATION)))
            return problem.class_losses(expert, decoded)

        return float(class_pass(self.images, self.momentum, losses, self.lr, config.momentum).mean())

    def _decoded(self, images: Tensor, role: Draw) -> Tensor:
        """The decoded images of each class, or a random subset of batch_syn_max of them."""
        decoded = decode_classes(images, self.config.factor)
        return random_subset(decoded, self.config.batch_syn_max, self.problem.generator(role, self.done))
