"""Base of the methods that learn images by SGD with momentum: it holds images, momentum and the number of steps."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Condenser, Problem, SyntheticSet, Tree
from methods.initialization import labels_of
from methods.multi_formation import decode_classes


class LearnedImages(Condenser):
    """images: (C, ipc, ch, H, W) in the units the method optimizes in; momentum: SGD's buffer; done: steps taken."""

    def start(self, problem: Problem, images: Tensor, factor: int, total_steps: int) -> None:
        """Start from a copy of these images."""
        self.problem, self.factor, self.total_steps, self.done = problem, factor, total_steps, 0
        self.images = images.detach().clone()
        self.momentum = torch.zeros_like(self.images)

    def pixels(self, images: Tensor) -> Tensor:
        """The optimized images in pixels; the same unless a subclass optimizes in other units."""
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
    """Images optimized in normalized units and never clamped, as in DC, DSA, DM and IDM: lr_img has those units."""

    def pixels(self, images: Tensor) -> Tensor:
        return self.problem.denormalize(images)

    def decoded(self, images: Tensor) -> Tensor:
        """Normalized stored images (C, ipc, …) to normalized images (C, factor²·ipc, …); decoding pads in pixels."""
        if self.factor == 1:
            return images
        return self.problem.normalize(decode_classes(self.pixels(images), self.factor))
