"""IDM: improved distribution matching (Zhao, Li, Qin and Yu, CVPR 2023, arXiv:2307.09742).

DM with three changes. Partition and expansion: a stored image is a mosaic of four small ones, cut out and enlarged at
each use. Embeddings come from a queue of networks that are being trained on real images, so that all stages of training
occur. A cross-entropy on the synthetic images is added, weighted by the accuracy of the network.

    queue ← a few fresh networks
    for each iteration:
        every generate_interval iterations: append a fresh network to the queue; if it is full, drop the oldest
        θ ← a network drawn from the queue; a ← its running accuracy on real images, in percent
        for each class c: one SGD step on ‖ mean φ_θ(A_c(B_c)) − mean φ_θ(A_c(expand S_c)) ‖²
                                          + weight · a · CE(f_θ(A_c(expand S_c)), c)
        draw two networks of the queue; train each for some steps on real images

All class steps share one SGD with momentum: a `class_pass`, equal to the loop above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from methods.base import Card, Draw, Network, Problem, Settings, Tree, choice, setting
from methods.dm import embedding_gap
from methods.initialization import DOWNSAMPLING, INITS, initial_images
from methods.learned_images import NormalizedImages
from methods.momentum import class_pass, train_weights

LR_NET, MOMENTUM_NET, DECAY_NET = 0.01, 0.9, 5e-4  # of the networks in training [command.txt]
FIRST = 3  # networks in the queue before the first iteration, which adds one more
TRAINED = 2  # networks trained in each iteration [--fetch_net_num]


@dataclass(frozen=True)
class IDMConfig(Settings):
    iterations: int = setting(20_000, "iterations", "command.txt --Iteration")
    lr_img: float = setting(0.2, "SGD step on the images, normalized units", "command.txt --lr_img")
    momentum: float = setting(0.5, "of that SGD", "IDM_cifar10.py")
    batch_real: int = setting(256, "real images a class and step", "command.txt --batch_real")
    ce_weight: float = setting(0.5, "of the cross-entropy, times the accuracy in percent", "command.txt --ce_weight")
    accuracy_window: int = setting(100, "iterations after which accuracies are reset", "command.txt --eval_interval")
    queue: int = setting(100, "networks in the queue at most", "command.txt --net_num")
    generate_interval: int = setting(30, "iterations between fresh networks", "command.txt --net_generate_interval")
    train_steps: int = setting(10, "steps of a network drawn for training", "command.txt --model_train_steps")
    batch_train: int = setting(256, "real images a step of a network", "command.txt --trained_bs")
    augment: str = setting("dsa:color_crop_cutout_flip_scale_rotate", "shared augmentation", "command.txt")
    factor: int = setting(2, "small images along each side of a stored one", "command.txt --aug: partition in 2 × 2")
    init: str = choice("random", INITS, "where the images start", "command.txt --init real")
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic", "bilinear by half: the mean of 4"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "batch_real", "accuracy_window", "queue", "generate_interval", "batch_train"):
            self.require(name, least=1)
        for name in ("train_steps", "ce_weight"):
            self.require(name, least=0)
        self.require("factor", least=1)
        self.require("lr_img", above=0)
        self.require("momentum", least=0, below=1)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=4, batch_real=4, accuracy_window=3, queue=4, generate_interval=2, train_steps=2, factor=1)


@dataclass
class Trainee:
    """A network of the queue, the momentum of its SGD, and how many real images it classified right, of how many."""

    network: Network
    momentum: list[Tensor] = field(init=False)
    right: int = 0
    seen: int = 0

    def __post_init__(self) -> None:
        self.momentum = [torch.zeros_like(weight) for weight in self.network.parameters()]

    @property
    def accuracy(self) -> float:
        """In percent, on the images it was trained on since the last reset; 0 if there were none."""
        return 100 * self.right / self.seen if self.seen else 0.0


class ImprovedDistributionMatching(NormalizedImages):
    card = Card("idm", "IDM", "distribution matching", "2307.09742", "CVPR", 2023, native="dsa")
    Config = IDMConfig

    @classmethod
    def unsupported(cls, config: IDMConfig, *, depends_on_batch: bool) -> str | None:
        if depends_on_batch:
            return "IDM's code matches and trains networks without batch norm only; use another norm"
        return None

    def __init__(self, problem: Problem, config: IDMConfig) -> None:
        self.config = config
        start = initial_images(problem, config.factor, config.init, config.downsample)
        self.start(problem, problem.normalize(start), config.factor, config.iterations)
        self.trainees = [Trainee(problem.new_network(index)) for index in range(min(FIRST, config.queue))]

    def step(self) -> dict[str, float]:
        config, generator = self.config, self.problem.generator(Draw.QUEUE, self.done)
        if self.done and self.done % config.accuracy_window == 0:
            for trainee in self.trainees:
                trainee.right = trainee.seen = 0
        if self.done % config.generate_interval == 0:
            fresh = self.problem.new_network(FIRST + self.done // config.generate_interval)
            self.trainees = [*self.trainees, Trainee(fresh)][-config.queue :]

        trainee = self.trainees[int(torch.randint(len(self.trainees), (), generator=generator))]
        loss = self._match(trainee)
        for index in torch.randperm(len(self.trainees), generator=generator)[:TRAINED].tolist():
            self._train(self.trainees[index], generator)
        self.done += 1
        return {"loss": loss, "accuracy of the network": trainee.accuracy / 100}

    def _match(self, trainee: Trainee) -> float:
        """Each class's step; returns the sum of the losses."""
        problem, config, network = self.problem, self.config, trainee.network
        network.train(False)
        augment = problem.augment(config.augment, problem.generator(Draw.AUGMENTATION, self.done))
        real = problem.real_batch(config.batch_real, problem.generator(Draw.REAL_BATCH, self.done), augment)
        target = problem.mean_embedding(network, real)
        classes = torch.arange(problem.num_classes, device=problem.device)
        weights = torch.full_like(target[:, 0], config.ce_weight * trainee.accuracy)  # the same for each class

        def loss(images: Tensor, target: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
            embedding, entropy = problem.embedding_and_losses(network, images, labels)
            return embedding_gap(target, embedding) + weight * entropy

        def losses(images: Tensor) -> Tensor:
            return problem.losses_by_class(network, loss, augment(self.decoded(images)), target, classes, weights)

        return float(class_pass(self.images, self.momentum, losses, config.lr_img, config.momentum).sum())

    def _train(self, trainee: Trainee, generator: torch.Generator) -> None:
        """train_steps steps on real images without augmentation; counts right predictions before each step."""
        problem, network = self.problem, trainee.network
        network.train()
        right = torch.zeros((), dtype=torch.long, device=problem.device)
        for _ in range(self.config.train_steps):
            images, labels = problem.real.batch(self.config.batch_train, generator)
            gradients, logits = problem.training_gradients(network, problem.normalize(images), labels)
            train_weights(
                list(network.parameters()), gradients, trainee.momentum, lr=LR_NET, mu=MOMENTUM_NET, decay=DECAY_NET
            )
            right += (logits.argmax(1) == labels).sum()
            trainee.seen += len(labels)
        trainee.right += int(right)

    def state_dict(self) -> Tree:
        queue = {
            str(index): {
                "weights": dict(trainee.network.state_dict()),
                "momentum": {str(k): buffer for k, buffer in enumerate(trainee.momentum)},
                "right": trainee.right,
                "seen": trainee.seen,
            }
            for index, trainee in enumerate(self.trainees)
        }
        return super().state_dict() | {"queue": queue}

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        self.trainees = []
        for index in range(len(state["queue"])):
            saved = state["queue"][str(index)]
            trainee = Trainee(self.problem.new_network(0))  # for its shape: its weights are overwritten
            trainee.network.load_state_dict(saved["weights"])
            for k, buffer in enumerate(trainee.momentum):
                buffer.copy_(saved["momentum"][str(k)])
            trainee.right, trainee.seen = int(saved["right"]), int(saved["seen"])
            self.trainees.append(trainee)
