"""Experts: networks trained on the real training images, in lockstep if their recipe and images are the same.

`tasks.prepare` makes each training, and decides the seed of its initial weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from benchmark.networks.base import BlockNetwork
from benchmark.training.trainer import Recipe, Training, epochs_to_steps
from benchmark.training.vectorized import VectorizedTraining
from benchmark.utils.tensor_files import load_names, load_tensors
from methods.base import Tree

INITIAL, TRAINED = "initial", "trained"  # before the names of an expert's tensors in its file
_AFTER = "epoch"  # the same, with the number of an epoch between them


class ExpertTrainings:
    """Trains experts in lockstep, by name, and keeps the weights that each started from.

    keep: steps after which the weights are kept as well, and the epochs that end there. They are part of the state.
    """

    training: Training | VectorizedTraining  # of all of them

    def __init__(
        self,
        new_training: Callable[[str], Training],
        names: Sequence[str],
        keep: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.keep = keep
        self.trainings = {name: new_training(name) for name in names}
        self.initial = {name: copy_weights(training.network) for name, training in self.trainings.items()}
        self.kept: dict[str, dict[str, dict[str, Tensor]]] = {name: {} for name in names}
        self._vectorize()
        self.total_steps = self.training.total_steps

    def _vectorize(self) -> None:
        first, *others = self.trainings.values()
        self.training = VectorizedTraining([first, *others]) if others else first

    def step(self) -> dict[str, float]:
        """One optimizer step of each expert. Returns the mean of their losses as `loss`."""
        losses = self.training.step()
        if (epoch := self.keep.get(self.training.done)) is not None:
            for name, training in self.trainings.items():  # on the CPU: all of them would fill a GPU's memory
                self.kept[name][f"{_AFTER}{epoch}"] = to_cpu(copy_weights(training.network))
        return losses

    def tensors(self, name: str) -> dict[str, Tensor]:
        """One expert's parameters and running statistics: `initial/NAME`, `trained/NAME`, and `epochN/NAME` if kept."""
        trained = copy_weights(self.trainings[name].network)
        parts = {INITIAL: self.initial[name], **self.kept[name], TRAINED: trained}
        return {f"{part}/{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}

    def diverged(self) -> list[str]:
        """The experts whose loss at the last step was not finite."""
        losses = zip(self.trainings, self.training.losses, strict=True)
        return [name for name, loss in losses if not math.isfinite(loss)]

    def state_dict(self) -> Tree:
        states = {name: training.state_dict() for name, training in self.trainings.items()}
        return {"experts": {name: {**state, "kept": self.kept[name]} for name, state in states.items()}}

    def load_state_dict(self, state: Tree) -> None:
        """Restore the state of experts of the same names."""
        for name, training in self.trainings.items():
            training.load_state_dict(state["experts"][name])
            self.kept[name] = {part: to_cpu(weights) for part, weights in state["experts"][name]["kept"].items()}
        self._vectorize()


@torch.no_grad()
def copy_weights(network: BlockNetwork) -> dict[str, Tensor]:
    """Copies of the network's parameters and running statistics, by name."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def to_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in the memory of the CPU."""
    return {name: tensor.cpu() for name, tensor in weights.items()}


class ExpertFile:
    """An expert on disk, from which the weights of one epoch are read at a time.

    epochs: those that it holds, in order: 0, the initialization, first, and the last one trained. Raises BenchmarkError
    if the file is missing, foreign or damaged.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device = path, device
        names, card = load_names(path)
        between = {name.partition("/")[0] for name in names} - {INITIAL, TRAINED}
        last = int(card["expert"]["recipe"]["epochs"])
        self.epochs = [0, *sorted(int(part.removeprefix(_AFTER)) for part in between), last]

    def read(self, epoch: int) -> dict[str, Tensor]:
        """Parameters and running statistics after one of the epochs, by name, on the device. Raises BenchmarkError."""
        part = {0: INITIAL, self.epochs[-1]: TRAINED}.get(epoch, f"{_AFTER}{epoch}")
        return load_tensors(self.path, self.device, f"{part}/")[0]


def kept_steps(recipe: Mapping[str, Any], num_images: int) -> dict[int, int]:
    """The optimizer steps after which a methods.base.ExpertRecipe keeps the weights, and the epochs that end there."""
    return {epochs_to_steps(num_images, recipe["batch"], epoch): epoch for epoch in recipe["keep"]}


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
