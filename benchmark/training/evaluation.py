"""Evaluation: fresh networks are trained on one set, and each is scored once, after its last step."""

from __future__ import annotations

import math
from collections.abc import Callable

from benchmark.compute.engine import Compute
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer
from benchmark.training.trainer import Training, right_per_class
from benchmark.training.vectorized import VectorizedTraining, choose_num_parallel
from methods.base import Tree


def seed_values(fingerprint: str, architecture: str, seed: int, index: int) -> tuple[str, str, int, int]:
    """What the seeds of an evaluation network hash besides the role, from the dataset's fingerprint on.

    Neither method nor protocol is among them, so that all sets and snapshots are scored with the same initial weights.
    seed: the condensation seed. index: of the network.
    """
    return fingerprint, architecture, seed, index


class Evaluation:
    """Trains `num_networks` networks, in groups of `compute.num_parallel`, and scores each once after its last step.

    new_training: the index of a network to its training. test, validation: the splits to score on; validation may be
    empty. Scores are in the order of the networks.
    """

    training: Training | VectorizedTraining  # of the current group
    total_steps: int

    def __init__(
        self,
        new_training: Callable[[int], Training],
        num_networks: int,
        test: Split,
        validation: Split,
        compute: Compute,
        normalize: Normalizer,
    ) -> None:
        self.new_training, self.num_networks, self.test, self.validation = new_training, num_networks, test, validation
        self.compute, self.normalize = compute, normalize
        self.right: list[list[int]] = []  # of each scored network: the test images of each class it classifies right
        self.validation_right: list[list[int]] = []  # the same on the validation split; empty without one
        self._start_group(0)
        self.steps_per_network = self.training.total_steps

    @property
    def accuracies(self) -> list[float]:
        """The test accuracy of each scored network: fractions in [0, 1]."""
        return [sum(right) / len(self.test.labels) for right in self.right]

    @property
    def validation_accuracies(self) -> list[float]:
        """The validation accuracy of each scored network: fractions in [0, 1]; empty without a validation split."""
        return [sum(right) / len(self.validation.labels) for right in self.validation_right]

    def _start_group(self, first: int) -> None:
        """Make the trainings of the group whose first network has this index."""
        training = self.new_training(first)
        choose_num_parallel(self.compute, self.num_networks, training.network, training.batch, training.images.shape)
        self.training, self._group_size = training, min(self.compute.num_parallel, self.num_networks - first)
        if self._group_size > 1:
            others = [self.new_training(index) for index in range(first + 1, first + self._group_size)]
            self.training = VectorizedTraining([training, *others])
        self.total_steps = math.ceil(self.num_networks / self.compute.num_parallel) * training.total_steps

    def step(self) -> dict[str, float]:
        """One optimizer step of the current group. Returns its mean loss as `loss`."""
        is_first = self.training.done == 0 and not self.right
        losses = self.compute.within_memory("num_parallel", 1, self._first_step) if is_first else self.training.step()
        if self.training.done == self.steps_per_network:
            for network in self.training.networks:
                self.right.append(right_per_class(network, self.test, self.compute, self.normalize))
                if len(self.validation.labels):
                    right = right_per_class(network, self.validation, self.compute, self.normalize)
                    self.validation_right.append(right)
            if len(self.right) < self.num_networks:
                self._start_group(len(self.right))
        return losses

    def _first_step(self) -> dict[str, float]:
        """The first step of the task, the only one after which groups may become smaller, if memory has run out."""
        if self._group_size > self.compute.num_parallel:
            self._start_group(0)
        return self.training.step()

    def state_dict(self) -> Tree:
        return {"right": self.right, "validation_right": self.validation_right, "training": self.training.state_dict()}

    def load_state_dict(self, state: Tree) -> None:
        self.right, self.validation_right = list(state["right"]), list(state["validation_right"])
        index = min(len(self.right), self.num_networks - 1)  # of the next network, or of the last if all are scored
        self._start_group(index - index % self.compute.num_parallel)
        self.training.load_state_dict(state["training"])


class SequentialTrainings:
    """Trainings of equal length, one after the other. The current one can be inspected until the next one starts."""

    def __init__(self, new_training: Callable[[int], Training], count: int) -> None:
        self.new_training, self.index = new_training, 0
        self.training = new_training(0)
        self.steps_per_network = self.training.total_steps
        self.total_steps = count * self.steps_per_network

    def step(self) -> dict[str, float]:
        """One optimizer step of the current training, or the first step of the next one."""
        if self.training.done == self.steps_per_network:
            self.index += 1
            self.training = self.new_training(self.index)
        return self.training.step()

    def state_dict(self) -> Tree:
        return {"index": self.index, "training": self.training.state_dict()}

    def load_state_dict(self, state: Tree) -> None:
        self.index = int(state["index"])
        self.training = self.new_training(self.index)
        self.training.load_state_dict(state["training"])
