"""Training one network on one set of images, step by step, so that it can stop and resume between any two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.augmentation import cutmix
from benchmark.augmentation import strategies as augment
from benchmark.compute.engine import Compute
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.networks.base import BlockNetwork
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from methods.base import Tree
from methods.momentum import train_weights

NewGenerator = Callable[[str, int], torch.Generator]  # (draw, epoch or step) to a new generator


@dataclass(frozen=True)
class Recipe:
    """SGD on cross-entropy. Counts are optimizer steps: an epoch has ceil(images / batch) of them."""

    steps: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    lr_milestones: tuple[int, ...]  # steps after which lr is multiplied by lr_gamma
    lr_gamma: float
    reset_optimizer: bool  # whether the momentum is reset at each milestone
    augment: str  # strategy; its parameters are drawn for each sample
    cutmix: float  # probability for each batch

    def samples_seen(self, num_images: int) -> int:
        """How many images a training on `num_images` shows to the network in all, repetitions included."""
        return self.steps * min(self.batch, num_images)

    def lr_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        num_passed: int = sum(step >= milestone for milestone in self.lr_milestones)
        return self.lr * self.lr_gamma**num_passed

    def resets_at(self, step: int) -> bool:
        """Whether the momentum is reset before a step, counted from 0."""
        return self.reset_optimizer and step in self.lr_milestones


def epochs_to_steps(num_images: int, batch: int, epochs: int) -> int:
    """Optimizer steps of `epochs` epochs; the last, smaller batch of an epoch counts."""
    return epochs * math.ceil(num_images / batch)


class Training:
    """Training of one network on images (N, ch, H, W), uint8 or float32 pixels, on the device that holds them.

    new_generator: a new generator for one use, at an epoch or a step. flip: whether images may be mirrored.
    """

    def __init__(
        self,
        network: BlockNetwork,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        compute: Compute,
        normalize: Normalizer,
        new_generator: NewGenerator,
        *,
        flip: bool = True,
    ) -> None:
        self.network, self.images, self.labels = network.train(), images, labels
        self.recipe, self.compute, self.normalize, self.new_generator = recipe, compute, normalize, new_generator
        self.total_steps, self.done = recipe.steps, 0
        self.losses = [math.nan]  # of the last step; a list, as in VectorizedTraining
        strategy = augment.parse(recipe.augment)
        self.strategy = strategy if flip else strategy.without("flip")
        self._momentum: dict[str, Tensor] = {}  # by the names of the weights; empty before the first step
        self._order: tuple[int, Tensor] | None = None  # the epoch, and its permutation of the images
        # Where batch norm sees one pixel per channel, a batch of one image has no variance, and torch refuses it.
        self._avoids_single_image = network.smallest_batch > 1 and len(labels) % recipe.batch == 1

    @property
    def networks(self) -> list[BlockNetwork]:
        """The network in a list, as in VectorizedTraining."""
        return [self.network]

    @property
    def batch(self) -> int:
        """Images of a mini-batch; the last one of an epoch may have fewer."""
        return min(self.recipe.batch, len(self.labels))

    def step(self) -> dict[str, float]:
        """One optimizer step on the next mini-batch. Returns its mean cross-entropy as `loss`."""
        if self.recipe.resets_at(self.done):
            self._momentum = {}
        batch = next_batches([self])
        images, labels = batch.images[0], batch.labels[0]
        partner_labels = None if batch.partner_labels is None else batch.partner_labels[0]
        loss, _ = self.compute.training_loss(self.network, images, labels, partner_labels, batch.label_weights[0])
        weights = dict(self.network.named_parameters())
        gradients = torch.autograd.grad(loss, [*weights.values()])
        if self.recipe.momentum and not self._momentum:
            self._momentum = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        train_weights(
            [*weights.values()],
            [*gradients],
            [*self._momentum.values()] or None,
            lr=self.recipe.lr_at(self.done),
            mu=self.recipe.momentum,
            decay=self.recipe.weight_decay,
        )
        self.done += 1
        self.losses = [loss.item()]
        return {"loss": self.losses[0]}

    def next_indices(self) -> Tensor:
        """Indices (N,) of the next mini-batch; each epoch is a new permutation of the images."""
        count, batch = len(self.labels), self.recipe.batch
        epoch, index = divmod(self.done, math.ceil(count / batch))
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, torch.randperm(count, generator=self.new_generator("order", epoch))
        start, end = index * batch, (index + 1) * batch
        if self._avoids_single_image:  # the last batch would be one image: it takes another from the batch before it
            start, end = (edge - (edge == count - 1) for edge in (start, end))
        return self._order[1][start:end]

    def next_box(self, count: int) -> cutmix.CutMixBox:
        """The CutMix box of the next mini-batch of `count` images; an empty one with probability 1 − recipe.cutmix."""
        generator = self.new_generator("cutmix", self.done)
        if float(torch.rand((), generator=generator)) < self.recipe.cutmix:
            return cutmix.draw_box(count, self.images.shape[-2:], generator)
        return cutmix.no_box(count)

    def momentum(self) -> dict[str, Tensor]:
        """The momentum buffers by the names of their weights; empty before the first step."""
        return dict(self._momentum)

    def set_momentum(self, momentum: Mapping[str, Tensor]) -> None:
        """Use these tensors as momentum buffers, without copying them."""
        self._momentum = {name: momentum[name] for name, _ in self.network.named_parameters() if name in momentum}

    def state_dict(self) -> Tree:
        return {"network": dict(self.network.state_dict()), "momentum": self.momentum(), "done": self.done}

    def load_state_dict(self, state: Tree) -> None:
        self.network.load_state_dict(state["network"])
        device = self.labels.device
        self.set_momentum({name: buffer.to(device) for name, buffer in state["momentum"].items()})
        self.done = int(state["done"])


def seeded_training(
    role: Role,
    values: Sequence[int | str],
    new_network: Callable[[torch.Generator], BlockNetwork],
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    compute: Compute,
    normalize: Normalizer,
    *,
    flip: bool,
) -> Training:
    """The training of a new network. The seeds of its weights and draws hash the role and these values."""

    def new_generator(draw: str, at: int) -> torch.Generator:
        return seeding.generator(role, *values, draw, at)

    network = new_network(new_generator("weights", 0))
    return Training(network, images, labels, recipe, compute, normalize, new_generator, flip=flip)


@dataclass(frozen=True)
class Batches:
    """Mini-batches of k trainings, normalized, augmented and mixed: images (k, N, ch, H, W) and labels (k, N).

    partner_labels: with CutMix, the labels (k, N) of the pasted boxes; None without. label_weights: of each batch, the
    weight of `labels` in the loss; partner_labels have the rest.
    """

    images: Tensor
    labels: Tensor
    partner_labels: Tensor | None
    label_weights: list[float]


@torch.no_grad()
def next_batches(trainings: Sequence[Training]) -> Batches:
    """The next mini-batch of each training. All train on the same images and have done equally many steps."""
    first = trainings[0]
    order = torch.stack([training.next_indices() for training in trainings])  # (k, N)
    # Sent without waiting, like every other draw, so that a GPU never stands still for it.
    indices = order.to(first.labels.device, non_blocking=True)
    labels = first.labels[indices]
    generators = [training.new_generator("augment", training.done) for training in trainings]
    images = augment.augment_batches(first.normalize(to_float(first.images[indices])), first.strategy, generators)
    if first.recipe.cutmix == 0:
        return Batches(images, labels, None, [1.0] * len(trainings))
    boxes = [training.next_box(indices.shape[1]) for training in trainings]
    images, partner_labels, label_weights = cutmix.cutmix_batches(images, labels, boxes)
    return Batches(images, labels, partner_labels, label_weights)


def accuracy(network: BlockNetwork, split: Split, compute: Compute, normalize: Normalizer) -> float:
    """The fraction of a split's images that the network classifies right, in eval mode."""
    return sum(right_per_class(network, split, compute, normalize)) / len(split.labels)


def right_per_class(network: BlockNetwork, split: Split, compute: Compute, normalize: Normalizer) -> list[int]:
    """How many images of each class the network classifies right, in eval mode: C numbers."""
    training = network.training
    network.eval()
    right = torch.zeros(network.num_classes, dtype=torch.int64, device=compute.device)
    with torch.no_grad():
        chunk = compute.images_at_once(split.images.shape)
        for images, labels in zip(split.images.split(chunk), split.labels.split(chunk), strict=True):
            logits = compute.logits(network, normalize(to_float(images.to(compute.device))))
            labels = labels.to(compute.device)
            right += torch.bincount(labels[logits.argmax(1) == labels], minlength=len(right))
    network.train(training)
    return right.tolist()
