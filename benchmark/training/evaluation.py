"""Evaluation: fresh networks trained on one set, each scored once after its last step."""

from __future__ import annotations

import math
from collections.abc import Callable

from benchmark.compute.engine import Compute
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer
from benchmark.training.trainer import Training, right_per_class
from benchmark.training.vectorized import VectorizedTraining, expect_networks
from methods.base import Tree


class Evaluation:
    """Several networks trained on one set, as many at once as `compute.together` says, and group after group.

    Each is scored once, after its last step; scores are in the order of the networks.
    """

    training: Training | VectorizedTraining  # of the networks that learn now
    total_steps: int

    def __init__(
        self,
        new_training: Callable[[int], Training],
        networks: int,
        test: Split,
        withheld: Split,
        compute: Compute,
        normalize: Normalizer,
    ) -> None:
        self.new_training, self.networks, self.test, self.withheld = new_training, networks, test, withheld
        self.compute, self.normalize = compute, normalize
        self.right: list[list[int]] = []  # of each network, the test images of each class that it classifies right
        self.validation_right: list[list[int]] = []  # the same of the withheld images; empty where there are none
        self._begin(0)
        self.steps_each = self.training.total_steps

    @property
    def accuracies(self) -> list[float]:
        """Of each network that is scored, on the test split: fractions."""
        return [sum(right) / len(self.test.labels) for right in self.right]

    @property
    def validation_accuracies(self) -> list[float]:
        """The same on the withheld images; empty where there are none."""
        return [sum(right) / len(self.withheld.labels) for right in self.validation_right]

    def _begin(self, place: int) -> None:
        """Make the group whose first network has this place."""
        first = self.new_training(place)
        expect_networks(self.compute, self.networks, first.network, first.batch, first.images.shape)
        self.training, self._size = first, min(self.compute.num_parallel, self.networks - place)
        if self._size > 1:
            others = [self.new_training(other) for other in range(place + 1, place + self._size)]
            self.training = VectorizedTraining([first, *others])
        self.total_steps = math.ceil(self.networks / self.compute.num_parallel) * first.total_steps

    def step(self) -> dict[str, float]:
        begins = self.training.done == 0 and not self.right
        losses = self.compute.within_memory("num_parallel", 1, self._first_step) if begins else self.training.step()
        if self.training.done == self.steps_each:
            for network in self.training.networks:
                self.right.append(right_per_class(network, self.test, self.compute, self.normalize))
                if len(self.withheld.labels):
                    right = right_per_class(network, self.withheld, self.compute, self.normalize)
                    self.validation_right.append(right)
            if len(self.right) < self.networks:
                self._begin(len(self.right))
        return losses

    def _first_step(self) -> dict[str, float]:
        """Of the task, the only one at which the groups may become smaller: where memory has just run out."""
        if self._size > self.compute.num_parallel:
            self._begin(0)
        return self.training.step()

    def state_dict(self) -> Tree:
        return {
            "right": self.right,
            "validation_right": self.validation_right,
            "training": self.training.state_dict(),
        }

    def load_state_dict(self, state: Tree) -> None:
        self.right, self.validation_right = list(state["right"]), list(state["validation_right"])
        place = min(len(self.right), self.networks - 1)  # of the last network, where all are scored
        self._begin(place - place % self.compute.num_parallel)
        self.training.load_state_dict(state["training"])


class Trainings:
    """Equally long trainings, one after the other; each stays to be looked at until the next one's first step."""

    def __init__(self, new_training: Callable[[int], Training], count: int) -> None:
        self.new_training, self.place = new_training, 0
        self.training = new_training(0)
        self.steps_each = self.training.total_steps
        self.total_steps = count * self.steps_each

    def step(self) -> dict[str, float]:
        if self.training.done == self.steps_each:
            self.place += 1
            self.training = self.new_training(self.place)
        return self.training.step()

    def state_dict(self) -> Tree:
        return {"place": self.place, "training": self.training.state_dict()}

    def load_state_dict(self, state: Tree) -> None:
        self.place = int(state["place"])
        self.training = self.new_training(self.place)
        self.training.load_state_dict(state["training"])
