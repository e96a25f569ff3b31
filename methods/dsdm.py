"""DSDM: diversified semantic distribution matching (Li, Zhou, Gu, Li and Wang, MM 2024, doi:10.1145/3664647.3680900).

DM matches the mean embeddings of each class. DSDM matches their covariances as well, so that the synthetic images are
as diverse as the real ones, and does so in experts, trained on the real images. As these differ, the means of the
synthetic images are also drawn to their own moving average over all experts so far. Stored images are mosaics, as in
IDC.

    for each iteration:
        φ ← a random expert; clamp S to [0, 1]
        for each class c: draw an augmentation A_c and a real batch B_c; X, Y ← φ(A_c(B_c)), φ(A_c(decode S_c))
            one SGD step on ‖ mean X − mean Y ‖² + (covariance_weight / d)·‖ cov X − cov Y ‖²
                            + (history_weight / d)·‖ mean Y − h_c ‖²          (the last not in the first iterations)
        for each class c: draw an augmentation A'_c; h_c ← smoothing·h_c + (1 − smoothing)·mean φ(A'_c(decode S_c))

All class steps share one SGD with momentum: a `class_pass`, equal to the loop above, as h rests in between. Embeddings
have d dimensions; h begins with the first means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, ExpertRecipe, Network, Problem, Settings, Transform, Tree, choice, setting
from methods.class_groups import of_one_count
from methods.cutmix_experts import cutmix_experts
from methods.dm import embedding_gap
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import LearnedImages
from methods.momentum import class_pass
from methods.multi_formation import decode_classes, random_subset


@dataclass(frozen=True)
class DSDMConfig(Settings):
    iterations: int = setting(10_000, "outer steps", "reproduce.py, niter")
    covariance_weight: float = setting(50.0, "of the gap between covariances, over d", "argument.py --cov_weight")
    history_weight: float = setting(0.2, "of the gap to the moving average, over d", "argument.py --h_p_weight")
    history_start: float = setting(
        0.2, "share of the iterations after which that gap counts", "argument.py --smooth_iter 2000 of --niter 10000"
    )
    smoothing: float = setting(0.99, "weight of the past in the moving average", "argument.py --smooth_factor")
    lr_img_per_ipc: float = setting(
        0.01, "SGD step on the images, pixels, times ipc", "reproduce.py, argument.py: 0.1 · ipc / 10 at 32 pixels"
    )
    momentum: float = setting(0.5, "of that SGD", "argument.py --mom_img")
    batch_real: int = setting(256, "real images a class and step", "argument.py --batch_real")
    batch_syn_max: int = setting(256, "decoded images of a class and step at most", "argument.py --batch_syn_max")
    augment: str = setting("idc:color_crop_cutout", "shared augmentation", "argument.py --aug_type")
    factor: int = setting(2, "small images along each side of a stored one", "README -f 2")
    init: str = choice("first", INITS, "where the images start", "DSDM.py, init mix: first images")
    downsample: str = choice("nearest", DOWNSAMPLING, "how real images are shrunk into a mosaic", "DSDM.py, init mix")
    experts: int = setting(10, "experts drawn from", "argument.py --pretrained_model_number")
    pretrain_epochs: int = setting(20, "epochs of an expert on the real images", "argument.py --pretrained_epochs")
    pretrain_batch: int = setting(256, "images a step of an expert", "pre_train_model.py, batch_real")
    pretrain_lr: float = setting(0.01, "SGD step of an expert, momentum 0.9, weight decay 5e-4", "argument.py --lr")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "batch_real", "batch_syn_max", "factor", "pretrain_epochs", "pretrain_batch"):
            self.require(name, least=1)
        self.require("experts", least=1, below=1001)  # each is a task, and a plan lists all of them
        for name in ("lr_img_per_ipc", "pretrain_lr"):
            self.require(name, above=0)
        for name in ("covariance_weight", "history_weight"):
            self.require(name, least=0)
        for name in ("history_start", "smoothing"):
            self.require(name, least=0, most=1)
        self.require("momentum", least=0, below=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, history_start=0.0, batch_real=4, batch_syn_max=3, factor=1, experts=2,
                   pretrain_epochs=1, pretrain_batch=16)  # fmt: skip


def covariance_gap(real: Tensor, synthetic: Tensor) -> Tensor:
    """‖Σ_X − Σ_Y‖² of each class: embeddings (C, m, D) and (C, n, D) to (C,), the sum over D² squared differences.

    Σ_X = XᵀX with centered rows over √(m − 1), so ⟨Σ_X, Σ_Y⟩ = ‖XYᵀ‖²: products of images, (m, n), in place of
    (D, D), which are larger and slower. The covariance of a single image is 0.
    """
    x, y = (each - each.mean(1, keepdim=True) for each in (real, synthetic))
    x, y = (each / max(each.shape[1] - 1, 1) ** 0.5 for each in (x, y))

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.transpose(1, 2)).square().sum((1, 2))

    return product(x, x) - 2 * product(x, y) + product(y, y)


class DSDM(LearnedImages):
    card = Card("dsdm", "DSDM", "distribution matching", "10.1145/3664647.3680900", "MM", 2024, native="dance")
    Config = DSDMConfig

    @classmethod
    def experts(cls, config: DSDMConfig) -> ExpertRecipe:
        return cutmix_experts(config, lr_milestones=(), lr_gamma=1.0)

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # as in the public code, for experts and tests as well

    @classmethod
    def unsupported(cls, config: DSDMConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return "DSDM passes the images of one class at a time, which batch norm mixes; take another norm"
        return None

    def __init__(self, problem: Problem, config: DSDMConfig) -> None:
        self.config, self.lr = config, config.lr_img_per_ipc * problem.ipc
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, start, config.factor, config.iterations)  # pixels
        self.history = self.images.new_zeros(0)  # h: (C, D) after the first iteration

    def step(self) -> dict[str, float]:
        problem, config = self.problem, self.config
        k = int(torch.randint(config.experts, (), generator=problem.generator(Draw.ENCODER, self.done)))
        network = problem.experts[k].interpolate(0.0)
        self.images.clamp_(0, 1)  # here only: a step may leave [0, 1], and decoding takes the images as they are
        loss = self._match(network)
        self._remember(network)
        self.done += 1
        return {"matching": loss}

    def _match(self, network: Network) -> float:
        """Each class's step; returns the sum of the losses."""
        problem, config = self.problem, self.config
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        embeddings = [problem.embed(network, real[c : c + 1][0]) for c in range(problem.num_classes)]  # (m_c, D) each
        targets = [(group, torch.stack(embeddings[group])) for group in of_one_count(real.counts)]
        begun = self.done > config.history_start * config.iterations
        means = torch.stack([of_class.mean(0) for of_class in embeddings])
        history = self.history if self.done else means  # of weight 0 in the first iteration
        weight = means.new_full((len(means),), config.history_weight * begun)

        def gaps(images: Tensor, target: Tensor, history: Tensor, weight: Tensor) -> Tensor:
            embeddings: Tensor = problem.embed(network, images.flatten(0, 1)).unflatten(0, images.shape[:2])
            means = embeddings.mean(1)
            second = config.covariance_weight * covariance_gap(target, embeddings)
            past = weight * embedding_gap(history, means)
            return embedding_gap(target.mean(1), means) + (second + past) / means.shape[1]

        def losses(images: Tensor) -> Tensor:
            seen = self._seen(images, augment, problem.generator(Draw.SUBSET_ALIGNMENT, self.done))
            return torch.cat(
                [
                    problem.losses_by_class(network, gaps, seen[group], target, history[group], weight[group])
                    for group, target in targets
                ]
            )

        return float(class_pass(self.images, self.momentum, losses, self.lr, config.momentum).sum())

    def _remember(self, network: Network) -> None:
        """Move h towards the mean embeddings of the synthetic images."""
        generator = self.problem.generator(Draw.HISTORY, self.done)
        augment = self.problem.augment(self.config.augment, generator)
        means = self.problem.mean_embedding(network, self._seen(self.images, augment, generator))
        self.history = torch.lerp(means, self.history, self.config.smoothing) if self.done else means

    def _seen(self, images: Tensor, augment: Transform, generator: torch.Generator) -> Tensor:
        """What a network sees of the images: decoded, at most batch_syn_max of each class, and augmented."""
        decoded = random_subset(decode_classes(images, self.config.factor), self.config.batch_syn_max, generator)
        return augment(self.problem.normalize(decoded))

    def state_dict(self) -> Tree:
        return super().state_dict() | {"history": self.history}

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        self.history = state["history"].to(self.images.device, copy=True)
