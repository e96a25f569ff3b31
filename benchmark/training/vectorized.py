"""Training several networks on the same images in lockstep: one pass and one optimizer step for all of them.

A GPU is mostly idle while one network trains on ten or a hundred small images. So the weights of k networks are
stacked, and torch.vmap maps a pass over them, which turns k small convolutions into one grouped convolution. Each
network has the weights, batches, augmentation and mixing that it would have alone, and equal results up to rounding.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.compute.engine import Compute
from benchmark.networks.base import BlockNetwork
from benchmark.training.trainer import Batches, Training, next_batches
from methods.base import Tree
from methods.momentum import train_weights

# The most pixels in the mini-batches of all networks that train at once: 20 networks with 100 images of 32×32
# each. Like CHUNK_PIXELS it depends on the images alone; a ConvNet holds about 2 KiB a pixel until its backward pass.
PARALLEL_PIXELS = 2**21


def choose_num_parallel(compute: Compute, count: int, example: BlockNetwork, batch: int, size: Sequence[int]) -> None:
    """Decide how many of `count` networks train at once, if it is still open: in groups of equal size, if possible.

    example: one of the networks; batch: the number of images (…, H, W) in a mini-batch of one. Networks with batch norm
    train one after the other, because their running statistics cannot be stacked.
    """
    if example.depends_on_batch:
        compute.num_parallel = 1
    if not compute.num_parallel:
        most = max(1, PARALLEL_PIXELS // (batch * math.prod(size[-2:])))
        compute.num_parallel = math.ceil(count / math.ceil(count / most))


class VectorizedTraining:
    """Trainings on the same images, with equally many steps done, that continue in lockstep.

    Each `Training` shares its weights and momentum with this one, so that its own state stays valid.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        first = trainings[0]
        if first.network.depends_on_batch:
            raise ValueError("networks with batch norm cannot train in lockstep")
        self.trainings, self.recipe, self.compute = trainings, first.recipe, first.compute
        self.networks: list[BlockNetwork] = [training.network for training in trainings]
        self.total_steps, self.done = first.total_steps, first.done
        self.losses = [math.nan] * len(trainings)  # of each network, at the last step
        self._next_batches: Batches | None = None  # drawn already, while the device was busy
        buffers = [training.momentum() for training in trainings]
        self.weights = _stack_weights(self.networks)
        self.momentum = {
            name: torch.stack([own.get(name, torch.zeros_like(weight[0])) for own in buffers])
            for name, weight in self.weights.items()
        }
        for index, training in enumerate(trainings):
            training.set_momentum({name: momentum[index] for name, momentum in self.momentum.items()})

    def step(self) -> dict[str, float]:
        """One optimizer step of each network on its next mini-batch. Returns the mean of their losses as `loss`."""
        if self.recipe.resets_at(self.done):
            for momentum in self.momentum.values():
                momentum.zero_()
        batch = self._next_batches or next_batches(self.trainings)
        gradients, losses = self.compute.parallel_gradients(
            self.networks[0], self.weights, batch.images, batch.labels, batch.partner_labels, batch.label_weights
        )
        train_weights(
            list(self.weights.values()),
            [gradients[name] for name in self.weights],
            list(self.momentum.values()) if self.recipe.momentum else None,  # zeros, as torch.optim.SGD's at its start
            lr=self.recipe.lr_at(self.done),
            mu=self.recipe.momentum,
            decay=self.recipe.weight_decay,
        )
        self._set_done(self.done + 1)
        if self.done < self.total_steps:  # drawn while the device computes this step, before its losses are read
            self._next_batches = next_batches(self.trainings)
        self.losses = losses.tolist()
        return {"loss": statistics.fmean(self.losses)}

    def _set_done(self, done: int) -> None:
        self.done, self._next_batches = done, None
        for training in self.trainings:
            training.done = done

    def state_dict(self) -> Tree:
        return {"weights": self.weights, "momentum": self.momentum, "done": self.done}

    @torch.no_grad()
    def load_state_dict(self, state: Tree) -> None:
        for name in self.weights:
            self.weights[name].copy_(state["weights"][name])
            self.momentum[name].copy_(state["momentum"][name])
        self._set_done(int(state["done"]))


def _stack_weights(networks: Sequence[BlockNetwork]) -> dict[str, Tensor]:
    """The networks' weights by name, (k, …); each network's own weights become views of them."""
    weights: dict[str, Tensor] = {}
    for name, _ in networks[0].named_parameters():
        own = [network.get_parameter(name) for network in networks]
        weights[name] = torch.stack([parameter.detach() for parameter in own])
        for parameter, view in zip(own, weights[name], strict=True):
            parameter.data = view
    return weights
