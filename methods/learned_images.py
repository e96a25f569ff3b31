"""What every method that learns its images by SGD with momentum shares: the images, their momentum, the step count."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Condenser, Problem, SyntheticSet, Tree
from methods.initialization import labels_of
from methods.multi_formation import decode_classes


class LearnedImages(Condenser):
    """images: (C, ipc, ch, H, W) in the units the method optimises in; momentum: SGD's buffer; done: steps taken."""

    def start(self, problem: Problem, images: Tensor, factor: int, total_steps: int) -> None:
        """Begin from copies of the given images."""
        self.problem, self.factor, self.total_steps, self.done = problem, factor, total_steps, 0
        self.images = images.detach().clone()
        self.momentum = torch.zeros_like(self.images)

    def pixels(self, images: Tensor) -> Tensor:
        """The optimised units in pixels: the same, unless a method optimises in others."""
        return images

    def synthetic(self) -> SyntheticSet:
        images = self.pixels(self.images).flatten(0, 1).clone()
        return SyntheticSet(images, labels_of(self.problem), self.problem.ipc, self.factor)

    def state_dict(self) -> Tree:
        return {"images": self.images, "momentum": self.momentum, "done": self.done}

    def load_state_dict(self, state: Tree) -> None:
        self.images.copy_(state["images"])
        self.momentum.copy_(state["momentum"])
        self.done = int(state["done"])


class NormalizedImages(LearnedImages):
    """Images optimised in normalised units and never clamped, as DC's family does: lr_img is of those units."""

    def pixels(self, images: Tensor) -> Tensor:
        return self.problem.denormalize(images)

    def decoded(self, images: Tensor) -> Tensor:
        """Normalised stored images (C, ipc, …) to the normalised images they hold; decoding pads in pixels."""
        if self.factor == 1:
            return images
        return self.problem.normalize(decode_classes(self.pixels(images), self.factor))
