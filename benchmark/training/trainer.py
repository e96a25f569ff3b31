"""Training one network on one set of images, a step at a time, so that it can be stopped anywhere and go on."""

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
from methods.base import Tree

Draw = Callable[[str, int], torch.Generator]  # (role, index) to a fresh generator


@dataclass(frozen=True)
class Recipe:
    """SGD on cross-entropy. Counts are optimiser steps: an epoch is ceil(images / batch) of them."""

    steps: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    lr_milestones: tuple[int, ...]  # steps taken before lr is multiplied by gamma
    lr_gamma: float
    reset_optimizer: bool  # whether a drop makes a new optimiser, forgetting its momentum
    augment: str  # strategy, parameters drawn for each sample
    cutmix: float  # probability for each batch

    def seen(self, images: int) -> int:
        """How many images a training on so many is shown in all, an image counted as often as it is shown."""
        return self.steps * min(self.batch, images)

    def rate(self, done: int) -> float:
        """The learning rate of the step after so many."""
        passed: int = sum(done >= drop for drop in self.lr_milestones)
        return self.lr * self.lr_gamma**passed

    def forgets(self, done: int) -> bool:
        """Whether the step after so many begins without momentum."""
        return self.reset_optimizer and done in self.lr_milestones


def epochs_to_steps(images: int, batch: int, epochs: int) -> int:
    """Optimiser steps of so many passes over so many images, last partial batch kept."""
    return epochs * math.ceil(images / batch)


class Training:
    """One network learning from (N, ch, H, W) images, uint8 or float32 pixels, on the device they lie on."""

    def __init__(
        self,
        network: BlockNetwork,
        images: Tensor,
        labels: Tensor,
        recipe: Recipe,
        compute: Compute,
        normalize: Normalizer,
        draw: Draw,
        *,
        flip: bool = True,
    ) -> None:
        self.network, self.images, self.labels = network.train(), images, labels
        self.recipe, self.compute, self.normalize, self.draw = recipe, compute, normalize, draw
        self.total_steps, self.done = recipe.steps, 0
        self.losses = [math.nan]  # at the last step: of this network, as an ensemble has several
        strategy = augment.parse(recipe.augment)
        self.strategy = strategy if flip else strategy.without("flip")
        self.optimizer = torch.optim.SGD(
            network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self._order: tuple[int, Tensor] | None = None
        # Where batch norm sees one pixel a channel, a batch of one image has no variance, and torch refuses it.
        self._borrows = network.smallest_batch > 1 and len(labels) % recipe.batch == 1

    @property
    def networks(self) -> list[BlockNetwork]:
        """As of an ensemble: of one."""
        return [self.network]

    @property
    def batch(self) -> int:
        """Images of a mini-batch; the last one of an epoch may have fewer."""
        return min(self.recipe.batch, len(self.labels))

    def step(self) -> dict[str, float]:
        """One optimiser step on the next mini-batch."""
        self._schedule()
        batch = next_batches([self])
        others, share = (None, 1.0) if batch.others is None else (batch.others[0], batch.shares[0])
        loss, _ = self.compute.training_loss(self.network, batch.images[0], batch.labels[0], others, share)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.losses = [loss.item()]
        return {"loss": self.losses[0]}

    def _schedule(self) -> None:
        if self.recipe.forgets(self.done):
            self.optimizer.state.clear()
        self.optimizer.param_groups[0]["lr"] = self.recipe.rate(self.done)

    def next_order(self) -> Tensor:
        """Indices of the next mini-batch (N,): every epoch is a fresh permutation."""
        count, batch = len(self.labels), self.recipe.batch
        epoch, place = divmod(self.done, math.ceil(count / batch))
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, torch.randperm(count, generator=self.draw("order", epoch))
        start, end = place * batch, (place + 1) * batch
        if self._borrows:  # the last batch would be one image: the batch before it leaves it another one
            start, end = (edge - (edge == count - 1) for edge in (start, end))
        return self._order[1][start:end]

    def next_box(self, count: int) -> cutmix.CutMixBox:
        """How the next mini-batch, of so many images, is mixed: a coin, and where it says so CutMix."""
        generator = self.draw("cutmix", self.done)
        if float(torch.rand((), generator=generator)) < self.recipe.cutmix:
            return cutmix.draw_box(count, self.images.shape[-2:], generator)
        return cutmix.no_box(count)

    def momentum(self) -> dict[str, Tensor]:
        """The optimiser's buffers by the names of their weights; before the first step there are none."""
        state, weights = self.optimizer.state, self.network.named_parameters()
        buffers = {name: state.get(weight, {}).get("momentum_buffer") for name, weight in weights}
        return {name: buffer for name, buffer in buffers.items() if buffer is not None}

    def keep_momentum(self, momentum: Mapping[str, Tensor]) -> None:
        """Have the optimiser go on with these buffers, themselves and not copies."""
        for name, weight in self.network.named_parameters():
            if name in momentum:
                self.optimizer.state[weight] = {"momentum_buffer": momentum[name]}

    def state_dict(self) -> Tree:
        return {"network": dict(self.network.state_dict()), "momentum": self.momentum(), "done": self.done}

    def load_state_dict(self, state: Tree) -> None:
        self.network.load_state_dict(state["network"])
        device = self.labels.device
        self.keep_momentum({name: buffer.to(device) for name, buffer in state["momentum"].items()})
        self.done = int(state["done"])


@dataclass(frozen=True)
class Batches:
    """Mini-batches of k trainings, normalised, augmented and mixed: (k, N, ch, H, W) with labels (k, N, …).

    others: where mixing is on, the labels of what was mixed in, like `labels`; shares: how much of each batch is not.
    """

    images: Tensor
    labels: Tensor
    others: Tensor | None
    shares: list[float]


@torch.no_grad()
def next_batches(trainings: Sequence[Training]) -> Batches:
    """The next mini-batch of each, all being equally far in learning the same images; each from its own draws."""
    one = trainings[0]
    orders = torch.stack([training.next_order() for training in trainings])  # (k, N)
    # As all that is drawn it is sent without waiting: a GPU need not come to a halt for it.
    chosen = orders.to(one.labels.device, non_blocking=True)
    labels, generators = one.labels[chosen], [training.draw("augment", training.done) for training in trainings]
    images = augment.augment_batches(one.normalize(to_float(one.images[chosen])), one.strategy, generators)
    if one.recipe.cutmix == 0:
        return Batches(images, labels, None, [1.0] * len(trainings))
    boxes = [training.next_box(chosen.shape[1]) for training in trainings]
    mixed, others, shares = cutmix.cutmix_batches(images, labels, boxes)
    return Batches(mixed, labels, others, shares)


def accuracy(network: BlockNetwork, split: Split, compute: Compute, normalize: Normalizer) -> float:
    """Fraction of the images classified right, in eval mode."""
    return sum(right_per_class(network, split, compute, normalize)) / len(split.labels)


def right_per_class(network: BlockNetwork, split: Split, compute: Compute, normalize: Normalizer) -> list[int]:
    """How many images of each class are classified right, in eval mode: C numbers."""
    training = network.training
    network.eval()
    right = torch.zeros(network.num_classes, dtype=torch.int64, device=compute.device)
    with torch.no_grad():
        at_once = compute.at_once(split.images.shape)
        for images, labels in zip(split.images.split(at_once), split.labels.split(at_once), strict=True):
            logits = compute.logits(network, normalize(to_float(images.to(compute.device))))
            labels = labels.to(compute.device)
            right += torch.bincount(labels[logits.argmax(1) == labels], minlength=len(right))
    network.train(training)
    return right.tolist()
