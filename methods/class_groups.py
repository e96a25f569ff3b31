"""Classes with different numbers of images: which go together as one tensor, and means of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods.base import ImagesByClass


def of_one_count(counts: Sequence[int], most: int | None = None) -> list[slice]:
    """Slices of neighboring classes with equally many images, in order; of at most `most` images, or one class."""
    slices: list[slice] = []
    for label, count in enumerate(counts):
        first = slices[-1].start if slices else label
        if slices and counts[first] == count and (most is None or (label + 1 - first) * count <= most):
            slices[-1] = slice(first, label + 1)
        else:
            slices.append(slice(label, label + 1))
    return slices


def one_batch(images: ImagesByClass) -> Tensor:
    """All images, (N, ch, H, W), class by class."""
    return torch.cat([images[classes].flatten(0, 1) for classes in of_one_count(images.counts)])


def class_means(features: Tensor, counts: Sequence[int]) -> Tensor:
    """The mean of each class: features (N, …), class by class, and the number of each to (C, …)."""
    groups = of_one_count(counts)
    parts = features.split([sum(counts[classes]) for classes in groups])
    shapes = [(classes.stop - classes.start, counts[classes.start]) for classes in groups]
    return torch.cat([part.unflatten(0, shape).mean(1) for part, shape in zip(parts, shapes, strict=True)])
