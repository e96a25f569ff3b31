"""Several networks that learn the same images in lockstep: one pass, and one optimiser step, for all of them at once.

A GPU is idle most of the time while one network learns ten or a hundred small images. Weights are stacked, and a pass
is mapped over them (torch.vmap), so that k small convolutions become one grouped one. Every network has the weights,
the order, the augmentation and the mixing that it has when it learns alone, and ends up the same to rounding.
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

# Pixels of the mini-batches of all networks that learn at once, at most: 20 networks with 100 images of 32×32 each. Of
# the images alone, as are compute's CHUNK_PIXELS; ConvNets hold about 2 KiB a pixel until the backward pass.
PARALLEL_PIXELS = 2**21


def expect_networks(compute: Compute, networks: int, like: BlockNetwork, batch: int, size: Sequence[int]) -> None:
    """Decide how many of so many networks learn at once, unless it was said: equally many each time, if possible.

    like: one of them; batch: how many images (…, H, W) a mini-batch of one has. Networks with batch norm learn one
    after the other, as its running statistics cannot be stacked.
    """
    if like.depends_on_batch:
        compute.num_parallel = 1
    if not compute.num_parallel:
        most = max(1, PARALLEL_PIXELS // (batch * math.prod(size[-2:])))
        compute.num_parallel = math.ceil(networks / math.ceil(networks / most))


class VectorizedTraining:
    """Networks equally far in their trainings on the same images, which now learn together.

    Each training's own state stays true, and one that was taken up again is one of an ensemble like any other.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        first = trainings[0]
        if first.network.depends_on_batch:
            raise ValueError("networks with batch norm cannot learn in lockstep")
        self.trainings, self.recipe, self.compute = trainings, first.recipe, first.compute
        self.networks: list[BlockNetwork] = [training.network for training in trainings]
        self.total_steps, self.done = first.total_steps, first.done
        self.losses = [math.nan] * len(trainings)  # of each network, at the last step
        self._ahead: Batches | None = None  # the next mini-batches, where they are drawn already
        momentum = [training.momentum() for training in trainings]
        self.weights = _stacked(self.networks)
        self.momentum = {
            name: torch.stack([own.get(name, torch.zeros_like(weight[0])) for own in momentum])
            for name, weight in self.weights.items()
        }
        for place, training in enumerate(trainings):
            training.keep_momentum({name: momentum[place] for name, momentum in self.momentum.items()})

    def step(self) -> dict[str, float]:
        """One optimiser step of every network on its next mini-batch; the mean of their losses."""
        if self.recipe.forgets(self.done):
            for momentum in self.momentum.values():
                momentum.zero_()
        batch = self._ahead or next_batches(self.trainings)
        gradients, losses = self.compute.parallel_gradients(
            self.networks[0], self.weights, batch.images, batch.labels, batch.others, batch.shares
        )
        train_weights(
            list(self.weights.values()),
            [gradients[name] for name in self.weights],
            list(self.momentum.values()) if self.recipe.momentum else None,  # torch.optim.SGD's begins at zero, too
            lr=self.recipe.rate(self.done),
            mu=self.recipe.momentum,
            decay=self.recipe.weight_decay,
        )
        self._reach(self.done + 1)
        if self.done < self.total_steps:  # drawn while the device is at this step, whose losses are awaited
            self._ahead = next_batches(self.trainings)
        self.losses = losses.tolist()
        return {"loss": statistics.fmean(self.losses)}

    def _reach(self, done: int) -> None:
        self.done, self._ahead = done, None
        for training in self.trainings:
            training.done = done

    def state_dict(self) -> Tree:
        return {"weights": self.weights, "momentum": self.momentum, "done": self.done}

    @torch.no_grad()
    def load_state_dict(self, state: Tree) -> None:
        for name in self.weights:
            self.weights[name].copy_(state["weights"][name])
            self.momentum[name].copy_(state["momentum"][name])
        self._reach(int(state["done"]))


def _stacked(networks: Sequence[BlockNetwork]) -> dict[str, Tensor]:
    """The networks' weights by name (k, …); each network's own ones become views of these, and so follow them."""
    weights: dict[str, Tensor] = {}
    for name, _ in networks[0].named_parameters():
        own = [network.get_parameter(name) for network in networks]
        weights[name] = torch.stack([parameter.detach() for parameter in own])
        for parameter, shared in zip(own, weights[name], strict=True):
            parameter.data = shared
    return weights
