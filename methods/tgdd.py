"""TGDD: trajectory guided dataset distillation (Ran, Pu, Liu, Bi and Xiao, AAAI 2026, arXiv:2512.02469).

Experts are trained on the real images, and their weights are kept after each epoch. Mean embeddings are matched as in
DM, in an expert at a random epoch, so that all stages of its training count; and the same expert, at this epoch or a
few later, must classify the synthetic images, which keeps classes apart. Stored images are mosaics, as in IDC.

    for each iteration:
        θ ← an expert; s ← a random epoch of 0 … E; e ← a random epoch of s … min(s + epoch_interval − 1, E)
        clamp S to [0, 1]
        for each class c: draw an augmentation A_c and a real batch B_c
            one SGD step on ‖ mean φ_s(A_c(B_c)) − mean φ_s(A_c(decode S_c)) ‖² + α·CE(f_e(A_c(decode S_c)), c)

All class steps share one SGD with momentum: a `class_pass`, equal to the loop above. φ_s and f_e have the weights θ_s
and θ_e; E is the number of epochs of an expert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, ExpertRecipe, Problem, Settings, choice, setting
from methods.cutmix_experts import cutmix_experts
from methods.dm import embedding_gap
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import LearnedImages
from methods.momentum import class_pass
from methods.multi_formation import decode_classes, random_subset


@dataclass(frozen=True)
class TGDDConfig(Settings):
    iterations: int = setting(10_000, "outer steps", "reproduce_condense.py, niter")
    alpha: float = setting(1.0, "weight of the cross-entropy", "arg_condense.py --alpha")
    epoch_interval: int = setting(7, "epochs from which e is drawn, s the first", "arg_condense.py --epoch_interval")
    lr_img_per_ipc: float = setting(0.01, "SGD step on the images, pixels, times ipc", "reproduce_condense.py, lr_img")
    momentum: float = setting(0.5, "of that SGD", "arg_condense.py --mom_img")
    batch_real: int = setting(128, "real images a class and step", "arg_condense.py --batch_real")
    batch_syn_max: int = setting(200, "decoded images of a class and step at most", "arg_condense.py --batch_syn_max")
    augment: str = setting("idc:color_crop_cutout", "shared augmentation", "arg_condense.py --aug_type")
    factor: int = setting(2, "small images along each side of a stored one", "ours: DANCE's, on whose code it is built")
    init: str = choice("first", INITS, "where the images start", "TGDD.py, init mix: first images")
    downsample: str = choice("nearest", DOWNSAMPLING, "how real images are shrunk into a mosaic", "TGDD.py, init mix")
    experts: int = setting(5, "experts drawn from", "arg_condense.py --num_premodel")
    pretrain_epochs: int = setting(60, "epochs of an expert on the real images, E", "reproduce_pretrain.py")
    pretrain_batch: int = setting(64, "images a step of an expert", "arg_pretrain.py --batch_real")
    pretrain_lr: float = setting(0.01, "SGD step of an expert, momentum 0.9, weight decay 5e-4", "arg_pretrain.py --lr")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "epoch_interval", "batch_real", "batch_syn_max", "factor", "pretrain_batch"):
            self.require(name, least=1)
        self.require("experts", least=1, below=1001)  # each is a task, and a plan lists all of them
        self.require("pretrain_epochs", least=1, below=1001)  # the weights of each are stored
        for name in ("lr_img_per_ipc", "pretrain_lr"):
            self.require(name, above=0)
        self.require("alpha", least=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, batch_real=4, batch_syn_max=3, factor=1, experts=2, pretrain_epochs=4,
                   pretrain_batch=16)  # fmt: skip


class TGDD(LearnedImages):
    card = Card("tgdd", "TGDD", "distribution matching", "2512.02469", "AAAI", 2026, native="dance")
    Config = TGDDConfig

    @classmethod
    def experts(cls, config: TGDDConfig) -> ExpertRecipe:
        between = range(1, config.pretrain_epochs)  # the first and last are kept anyway
        return cutmix_experts(config, keep=tuple(between))

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # as in the public code, for experts and tests as well

    @classmethod
    def unsupported(cls, config: TGDDConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return "TGDD passes the images of one class at a time, which batch norm mixes; take another norm"
        return None

    def __init__(self, problem: Problem, config: TGDDConfig) -> None:
        self.config, self.lr = config, config.lr_img_per_ipc * problem.ipc
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, start, config.factor, config.iterations)  # pixels
        self.matching, self.constraining = problem.new_network(0), problem.new_network(0)  # whose weights are replaced

    def step(self) -> dict[str, float]:
        problem, config, matching, constraining = self.problem, self.config, self.matching, self.constraining
        self._load_networks()
        self.images.clamp_(0, 1)  # here only: a step may leave [0, 1], and decoding takes the images as they are
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        target = problem.mean_embedding(matching, real)

        def gap(images: Tensor, target: Tensor) -> Tensor:
            return embedding_gap(target, problem.mean_embedding(matching, images))

        def losses(images: Tensor) -> Tensor:
            decoded = decode_classes(images, config.factor)
            decoded = random_subset(decoded, config.batch_syn_max, problem.generator(Draw.SUBSET_ALIGNMENT, self.done))
            seen = augment(problem.normalize(decoded))
            constraint = problem.class_losses(constraining, seen)
            return problem.losses_by_class(matching, gap, seen, target) + config.alpha * constraint

        loss = class_pass(self.images, self.momentum, losses, self.lr, config.momentum).sum()
        self.done += 1
        return {"matching": float(loss)}

    def _load_networks(self) -> None:
        """Give both networks the weights of one expert, after the epochs s and e. They are read from disk."""
        generator, last = self.problem.generator(Draw.ENCODER, self.done), self.config.pretrain_epochs
        expert = self.problem.experts[int(torch.randint(self.config.experts, (), generator=generator))]
        first = int(torch.randint(last + 1, (), generator=generator))
        end = min(first + self.config.epoch_interval - 1, last)
        second = int(torch.randint(first, end + 1, (), generator=generator))
        for network, epoch in ((self.matching, first), (self.constraining, second)):
            torch._foreach_copy_(list(network.parameters()), expert.weights(epoch))
