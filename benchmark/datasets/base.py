"""What a dataset is: two splits of uint8 images, class names, normalisation constants, and a fingerprint of it all."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import BenchmarkError

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, how many there are

_CHUNK = 1024  # images counted at a time: np.bincount widens its input to 8 bytes a pixel


@dataclass(frozen=True)
class Constants:
    """Mean and standard deviation of each channel, in pixel units (0..1)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """images: uint8 (N, ch, H, W); labels: int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> Self:
        """The images and labels at `indices` (int64), copied."""
        return type(self)(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Content:
    """What a reader finds: the splits and the class names, and where they come from in words."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    source: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as the referee uses it.

    like: the known dataset whose settings and published numbers apply, or None. flip: may images be mirrored.
    fingerprint: sha256 of pixels, labels and class names: equal images, equal fingerprint, whatever the folder's name.
    """

    name: str
    like: str | None
    train: Split
    test: Split
    classes: tuple[str, ...]
    constants: Constants
    flip: bool
    fingerprint: str
    source: str

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(ch, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def reference(self) -> str:
        """The dataset whose published settings and numbers apply."""
        return self.like or self.name


def fingerprint(content: Content) -> str:
    """sha256 in hex over the shapes, pixels and labels of both splits and the class names."""
    splits = (content.train, content.test)
    shapes = [list(split.images.shape) for split in splits]
    header = json.dumps({"shapes": shapes, "classes": list(content.classes)}, sort_keys=True)
    digest = hashlib.sha256(header.encode())
    for split in splits:
        digest.update(split.images.contiguous().numpy().data)
        digest.update(np.ascontiguousarray(split.labels.numpy().astype("<i8")).data)  # alike on every machine
    return digest.hexdigest()


def statistics(images: Tensor, *, where: str = "") -> Constants:
    """Mean and population standard deviation of pixel / 255 for each channel of uint8 (N, ch, H, W).

    Counted in integers, so the answer is the same on every machine. Raises BenchmarkError for a constant channel.
    """
    levels = np.arange(256, dtype=np.float64) / 255
    mean, std = [], []
    for channel in images.unbind(1):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(channel), _CHUNK):
            counts += np.bincount(channel[start : start + _CHUNK].numpy().ravel(), minlength=256)
        share = counts / counts.sum()
        mean.append(float(share @ levels))
        std.append(math.sqrt(float(share @ np.square(levels - mean[-1]))))
    if min(std) < 1e-6:
        raise BenchmarkError(
            f"all training pixels of channel {std.index(min(std))} have one value: the images cannot be normalised",
            where=where,
            next="look at the images: they may be blank, or cut down to their background",
        )
    return Constants(tuple(mean), tuple(std))


def to_split(images: np.ndarray | Tensor, labels: np.ndarray | Tensor | list[int]) -> Split:
    """A Split of contiguous uint8 (N, ch, H, W) and int64 (N,)."""
    return Split(torch.as_tensor(images).contiguous(), torch.as_tensor(labels, dtype=torch.int64))
