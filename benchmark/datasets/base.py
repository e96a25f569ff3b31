"""What a dataset is: two splits of uint8 images, class names, normalisation constants, and a fingerprint of it all."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from benchmark.utils.errors import BenchmarkError

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, how many there are (0: unknown)

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

    def counts(self, num_classes: int) -> tuple[int, ...]:
        """Images of each class."""
        return tuple(torch.bincount(self.labels, minlength=num_classes).tolist())


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


class Source(Protocol):
    """Files of a dataset that are there, not read yet."""

    @property
    def kind(self) -> str:
        """What they are and where, in words."""
        ...

    def read(self, progress: Progress | None) -> Content:
        """Both splits. Raises BenchmarkError for what a person must put right."""
        ...


@dataclass(frozen=True)
class Finding:
    """What a look at a dataset's files found: `what` in words, and `next`, the cure, where something is wrong."""

    ok: bool
    what: str
    next: str = ""


@dataclass(frozen=True)
class Outline:
    """All that a plan must know of a dataset: everything but its images.

    name: as tables print it, with its split where there are several. title: as papers print it. reference: the known
    dataset whose settings and published numbers apply, or `name`. flip: may images be mirrored. train, test: images of
    each class. fingerprint: sha256 of pixels, labels and class names: equal images, equal fingerprint, whatever the
    folder's name. seen: False for a card whose images are not there; its fingerprint then stands for no images.
    """

    name: str
    title: str
    published_as: str
    constants: Constants
    flip: bool
    image_shape: tuple[int, int, int]  # (ch, H, W)
    train: tuple[int, ...]
    test: tuple[int, ...]
    fingerprint: str
    seen: bool = True

    @property
    def num_classes(self) -> int:
        return len(self.train)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as the referee uses it. like: the known dataset it was said to be like, or None."""

    name: str
    title: str
    like: str | None
    published_as: str
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
    def outline(self) -> Outline:
        train, test = (split.counts(self.num_classes) for split in (self.train, self.test))
        return Outline(
            self.name, self.title, self.published_as, self.constants, self.flip, self.image_shape, train, test,
            self.fingerprint,
        )  # fmt: skip


@contextmanager
def told(what: str, *, where: str, next: str = "") -> Iterator[None]:
    """Whatever the files or the system make a reader raise, as a BenchmarkError: `what`, and what was raised."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BenchmarkError(f"{what}: {reason}", where=where, next=next) from error


def expanded(path: str | Path, *, where: str = "data_root") -> Path:
    """A path with its ~ replaced. Raises BenchmarkError when that is the home of somebody who is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BenchmarkError(f"'{path}' is not a path: {error}", where=where) from error


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
    """A Split of contiguous uint8 (N, ch, H, W) and int64 (N,). Raises ValueError unless there are as many of both."""
    if len(images) != len(labels):
        raise ValueError(f"{len(images):,} images and {len(labels):,} labels")
    return Split(torch.as_tensor(images).contiguous(), torch.as_tensor(labels, dtype=torch.int64))
