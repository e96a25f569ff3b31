"""Experts: networks trained on the real training images, several at once where they are alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark.networks.base import BlockNetwork
from benchmark.training.trainer import Recipe, Training
from benchmark.training.vectorized import VectorizedTraining
from methods.base import Tree


class ExpertTrainings:
    """Networks trained on the real training images, by name and in lockstep; the weights they started from are kept."""

    learning: Training | VectorizedTraining  # all of them

    def __init__(self, new_training: Callable[[str], Training], names: Sequence[str]) -> None:
        self.trainings = {name: new_training(name) for name in names}
        self.initial = {name: copy_weights(training.network) for name, training in self.trainings.items()}
        self._join()
        self.total_steps = self.learning.total_steps

    def _join(self) -> None:
        first, *others = self.trainings.values()
        self.learning = VectorizedTraining([first, *others]) if others else first

    def step(self) -> dict[str, float]:
        return self.learning.step()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """`initial/NAME` and `trained/NAME` of every parameter and running statistic of one."""
        trained = copy_weights(self.trainings[name].network)
        parts = {"initial": self.initial[name], "trained": trained}
        return {f"{part}/{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}

    def diverged(self) -> list[str]:
        """Those whose loss, at the last step, was not a finite number."""
        losses = zip(self.trainings, self.learning.losses, strict=True)
        return [name for name, loss in losses if not math.isfinite(loss)]

    def state_dict(self) -> Tree:
        return {"experts": {name: training.state_dict() for name, training in self.trainings.items()}}

    def load_state_dict(self, state: Tree) -> None:
        """Of the same names, or of a version that trained one expert at a time."""
        for name, training in self.trainings.items():
            training.load_state_dict(state["experts"][name] if "experts" in state else state)
        self._join()


@torch.no_grad()
def copy_weights(network: BlockNetwork) -> dict[str, Tensor]:
    """Parameters and running statistics by name, detached from the network."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def expert_recipe(recipe: Mapping[str, Any], images: int) -> Recipe:
    """An expert's recipe in optimiser steps; lr falls after int(fraction · epochs) epochs."""
    each = -(-images // recipe["batch"])
    return Recipe(
        steps=recipe["epochs"] * each,
        batch=recipe["batch"],
        lr=recipe["lr"],
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        lr_milestones=tuple(int(part * recipe["epochs"] + 1e-9) * each for part in recipe["lr_milestones"]),
        lr_gamma=recipe["lr_gamma"],
        reset_optimizer=False,
        augment=recipe["augment"],
        cutmix=recipe["cutmix"],
    )
