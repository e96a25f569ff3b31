"""Experts: networks trained on the real training images, in lockstep if their recipe and images are the same.

`tasks.prepare` makes each training, and decides the seed of its initial weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark.networks.base import BlockNetwork
from benchmark.training.trainer import Recipe, Training, epochs_to_steps
from benchmark.training.vectorized import VectorizedTraining
from methods.base import Tree


class ExpertTrainings:
    """Trains experts in lockstep, by name, and keeps the weights that each started from."""

    training: Training | VectorizedTraining  # of all of them

    def __init__(self, new_training: Callable[[str], Training], names: Sequence[str]) -> None:
        self.trainings = {name: new_training(name) for name in names}
        self.initial = {name: copy_weights(training.network) for name, training in self.trainings.items()}
        self._vectorize()
        self.total_steps = self.training.total_steps

    def _vectorize(self) -> None:
        first, *others = self.trainings.values()
        self.training = VectorizedTraining([first, *others]) if others else first

    def step(self) -> dict[str, float]:
        """One optimizer step of each expert. Returns the mean of their losses as `loss`."""
        return self.training.step()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """One expert's parameters and running statistics, as `initial/PARAMETER` and `trained/PARAMETER`."""
        trained = copy_weights(self.trainings[name].network)
        parts = {"initial": self.initial[name], "trained": trained}
        return {f"{part}/{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}

    def diverged(self) -> list[str]:
        """The experts whose loss at the last step was not finite."""
        losses = zip(self.trainings, self.training.losses, strict=True)
        return [name for name, loss in losses if not math.isfinite(loss)]

    def state_dict(self) -> Tree:
        return {"experts": {name: training.state_dict() for name, training in self.trainings.items()}}

    def load_state_dict(self, state: Tree) -> None:
        """Restore the state of experts of the same names."""
        for name, training in self.trainings.items():
            training.load_state_dict(state["experts"][name])
        self._vectorize()


@torch.no_grad()
def copy_weights(network: BlockNetwork) -> dict[str, Tensor]:
    """Copies of the network's parameters and running statistics, by name."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def expert_recipe(recipe: Mapping[str, Any], num_images: int) -> Recipe:
    """The values of a methods.base.ExpertRecipe as a Recipe in optimizer steps.

    The learning rate is multiplied by lr_gamma after int(fraction · epochs) epochs for each fraction in lr_milestones.
    """
    steps_per_epoch = epochs_to_steps(num_images, recipe["batch"], 1)
    return Recipe(
        steps=recipe["epochs"] * steps_per_epoch,
        batch=recipe["batch"],
        lr=recipe["lr"],
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        lr_milestones=tuple(int(part * recipe["epochs"] + 1e-9) * steps_per_epoch for part in recipe["lr_milestones"]),
        lr_gamma=recipe["lr_gamma"],
        reset_optimizer=False,
        augment=recipe["augment"],
        cutmix=recipe["cutmix"],
    )
