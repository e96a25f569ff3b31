"""MTT: matching training trajectories (Cazenavette, Wang, Torralba, Efros and Zhu, CVPR 2022, arXiv:2203.11932).

Experts are trained on the real images, slowly, and their weights are kept after each epoch. A student that starts from
an expert's weights and takes a few steps on the synthetic images should end where the expert is some epochs later:

    for each iteration:
        θ* ← an expert; t ← a random epoch below max_start_epoch
        θ ← θ*_t
        for k = 1 … syn_steps: θ ← θ − α·∇ CE(f_θ(A(batch of S)))
        L = ‖ θ − θ*_{t+M} ‖² / ‖ θ*_t − θ*_{t+M} ‖², with M = expert_epochs
        one step of SGD with momentum on S, and one on the step size α, with the gradients of L through all steps

The step size α is learned with the images and belongs to the set: its own paper trains networks on the set with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, ExpertRecipe, Problem, Settings, SyntheticSet, Tree, choice, setting
from methods.initialization import DOWNSAMPLING, INITS, initial_images, labels_of
from methods.learned_images import NormalizedImages
from methods.momentum import joint_step

LR_EXPERT, BATCH_EXPERT = 0.01, 256  # SGD without momentum, weight decay or schedule [buffer.py]
DSA = "dsa:color_crop_cutout_flip_scale_rotate"


@dataclass(frozen=True)
class MTTConfig(Settings):
    iterations: int = setting(5_000, "outer steps", "distill.py --Iteration")
    experts: int = setting(100, "expert trajectories", "buffer.py --num_experts")
    expert_epochs: int = setting(2, "epochs of the expert that a student should cover, M", "distill.py --expert_epochs")
    max_start_epoch: int = setting(20, "a student starts from an epoch below this one", "distill.py --max_start_epoch")
    syn_steps: int = setting(30, "steps of a student on the synthetic images", "distill.py --syn_steps")
    batch_syn: int = setting(0, "synthetic images a step of a student; 0: all", "distill.py --batch_syn")
    lr_img: float = setting(1000.0, "SGD step on the images, normalized units", "distill.py --lr_img")
    lr_lr: float = setting(1e-5, "SGD step on the step size α", "distill.py --lr_lr")
    lr_teacher: float = setting(0.01, "α at the start", "distill.py --lr_teacher")
    momentum: float = setting(0.5, "of both SGDs", "distill.py")
    zca: bool = setting(False, "whether networks see ZCA-whitened images", "distill.py, buffer.py --zca")
    augment: str = setting(
        DSA, "of a student's batches and of the experts' images", "distill.py, buffer.py --dsa_strategy"
    )
    init: str = choice("random", INITS, "where the images start", "distill.py --pix_init real")
    factor: int = setting(1, "small images along each side of a stored one", "not in MTT: for like-for-like rows")
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "experts", "expert_epochs", "max_start_epoch", "syn_steps", "factor"):
            self.require(name, least=1)
        self.require("batch_syn", least=0)
        for name in ("lr_img", "lr_teacher"):
            self.require(name, above=0)
        self.require("lr_lr", least=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=3, experts=2, expert_epochs=1, max_start_epoch=1, syn_steps=3, batch_syn=3, lr_img=1.0)


def trajectory_loss(student: Sequence[Tensor], start: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """‖θ − θ*_{t+M}‖² / ‖θ*_t − θ*_{t+M}‖² over all weights: 1 for a student that has not moved [eq. 2]."""

    def squared_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        return torch.stack([(a - b).square().sum() for a, b in zip(first, second, strict=True)]).sum()

    return squared_distance(student, target) / squared_distance(start, target)


class TrajectoryMatching(NormalizedImages):
    card = Card(
        *("mtt", "MTT", "trajectory matching", "2203.11932", "CVPR", 2022),
        native="mtt",
        learns_lr=True,
        networks=((32, "convnet3"), (64, "convnet4"), (128, "convnet5")),
    )
    Config = MTTConfig

    @classmethod
    def experts(cls, config: MTTConfig) -> ExpertRecipe:
        starts = range(config.max_start_epoch)
        kept = sorted({*starts, *(epoch + config.expert_epochs for epoch in starts)})
        return ExpertRecipe(
            count=config.experts,
            epochs=kept[-1],  # no epoch is trained that no student can end at
            batch=BATCH_EXPERT,
            lr=LR_EXPERT,
            momentum=0.0,
            weight_decay=0.0,
            lr_milestones=(),
            lr_gamma=1.0,
            augment=config.augment,
            cutmix=0.0,
            keep=tuple(epoch for epoch in kept if 0 < epoch < kept[-1]),  # the first and last are kept anyway
        )

    @classmethod
    def constants(cls, dataset: str) -> str:
        return "cifar10" if dataset == "cifar100" else dataset  # utils.py get_dataset

    @classmethod
    def whitens(cls, config: MTTConfig) -> bool:
        return config.zca

    @classmethod
    def unsupported(cls, config: MTTConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return "MTT matches parameters only, and batch norm also has running statistics; take another norm"
        return None

    def __init__(self, problem: Problem, config: MTTConfig) -> None:
        self.config = config
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, problem.normalize(start), config.factor, config.iterations)
        self.lr = torch.tensor(config.lr_teacher, device=problem.device)
        self.lr_momentum = torch.zeros_like(self.lr)
        self.student = problem.new_network(0)  # for its shape: its weights are never used

    def step(self) -> dict[str, float]:
        problem, config = self.problem, self.config
        generator = problem.generator(Draw.TRAJECTORY, self.done)
        expert = problem.experts[self._expert()]
        epoch = int(torch.randint(config.max_start_epoch, (), generator=generator))
        start, target = expert.weights(epoch), expert.weights(epoch + config.expert_epochs)

        images, lr = self.images.detach().requires_grad_(), self.lr.detach().requires_grad_()
        batches = [
            (problem.augment_batch(config.augment, decoded, generator), labels)
            for decoded, labels in self._batches(images, generator)
        ]
        student = problem.train_on(self.student, start, batches, lr)
        loss = trajectory_loss(student, start, target)
        gradient, lr_gradient = torch.autograd.grad(loss, (images, lr))
        joint_step(self.images, self.momentum, gradient, config.lr_img, config.momentum)
        joint_step(self.lr, self.lr_momentum, lr_gradient, config.lr_lr, config.momentum)
        self.done += 1
        return {"trajectory": loss.item(), "step size": float(self.lr)}

    def _expert(self) -> int:
        """The experts take turns, in a new random order each time."""
        count = self.config.experts
        order = torch.randperm(count, generator=self.problem.generator(Draw.EXPERT_ORDER, self.done // count))
        return int(order[self.done % count])

    def _batches(self, images: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Mini-batches of the decoded images (n, ch, H, W) with labels (n,), one for each step of the student.

        Each epoch over the images has a new order. An incomplete batch comes first, as in the public code.
        """
        decoded = self.decoded(images).flatten(0, 1)
        labels = labels_of(self.problem).repeat_interleave(self.factor**2)
        size = self.config.batch_syn or len(decoded)
        waiting: list[Tensor] = []
        for _ in range(self.config.syn_steps):
            if not waiting:
                waiting = list(torch.randperm(len(decoded), generator=generator).split(size))
            indices = waiting.pop().to(images.device)
            yield decoded[indices], labels[indices]

    def synthetic(self) -> SyntheticSet:
        synthetic = super().synthetic()
        return SyntheticSet(
            synthetic.images, synthetic.labels, synthetic.ipc, synthetic.factor, training={"lr": float(self.lr)}
        )

    def state_dict(self) -> Tree:
        return super().state_dict() | {"lr": self.lr, "lr_momentum": self.lr_momentum}

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        self.lr.copy_(state["lr"])
        self.lr_momentum.copy_(state["lr_momentum"])
