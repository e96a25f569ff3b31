"""What a dataset is: two splits of uint8 images, class names, normalization constants, and a fingerprint of them all.

A package that adds one needs nothing but this module: `DatasetCard` says how.

Importing this module loads no torch: commands read the cards of datasets before they need one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from benchmark.utils.errors import BenchmarkError

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[str, int, int], None]  # what is being done, how many items are done, and of how many (0: unknown)

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
        return tuple(self.labels.bincount(minlength=num_classes).tolist())


@dataclass(frozen=True, eq=False)
class DecodedSplits:
    """What a reader returns: both splits, the class names, and a description of where they come from."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    source: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(ch, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


class DatasetFiles(Protocol):
    """The files of a dataset, which exist but have not been read yet."""

    @property
    def kind(self) -> str:
        """A description of the files and where they are."""
        ...

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Decode both splits. Raises BenchmarkError for damaged or missing files."""
        ...


@dataclass(frozen=True)
class Finding:
    """One result of examining a dataset's files. `what` describes it; `next` says how to repair it if not `ok`."""

    ok: bool
    what: str
    next: str = ""


@dataclass(frozen=True)
class ClassCounts:
    """Images of each class: exactly `most`, or anything from `least` to `most` if the number is not known."""

    least: tuple[int, ...]
    most: tuple[int, ...]

    @property
    def total(self) -> int:
        """Images of all classes; the most there can be if the number is not known."""
        return sum(self.most)

    @property
    def exact(self) -> bool:
        return self.least == self.most

    def __str__(self) -> str:
        return f"{'' if self.exact else 'up to '}{self.total:,}"


def exactly(*counts: int) -> ClassCounts:
    return ClassCounts(counts, counts)


def balanced(count: int, classes: int) -> ClassCounts:
    """The same number of images in each class."""
    return exactly(*repeat(count, classes))


@dataclass(frozen=True)
class DatasetCard:
    """What is known of a dataset with a name before it is read.

    title: as papers print it. constants_source: which family of methods has these constants in its public code (DC's:
    DC, DSA, DM, IDM, DataDAM; IDC's: IDC, DREAM, MTT, CAFE, DANCE). image_shape: (ch, H, W). classes: in the order of
    the labels. reader: a module with `find`, and if need be `fetch` and `examine` (see `registry.Reader`). fingerprint:
    of the images that this project has read (`base.fingerprint`), None if it has not read them. split: which release,
    if there are several. download: size of the published files in bytes; 0 if nothing can be downloaded. citation: what
    papers cite for it, as entries of BibTeX, for the report's references.bib.

    Another package adds a dataset by an entry point `NAME = "MODULE:CARD"` in the group
    `condensation_benchmark.datasets`; its reader can be the same module.
    docs/extend/dataset.md has a complete one.
    """

    title: str
    constants: Constants
    constants_source: str
    image_shape: tuple[int, int, int]
    flip: bool
    train: ClassCounts
    test: ClassCounts
    classes: tuple[str, ...]
    reader: str
    source: str
    fingerprint: str | None = None
    split: str = ""
    download: int = 0
    embedded: bool = False  # part of a library: there are no files to fetch, and nothing to cache
    lossy: bool = False  # JPEG: decoders may differ in last bits, so another fingerprint is reported, not refused
    citation: str = ""

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def decoded_bytes(self) -> int:
        """Size of both splits as uint8, in memory and in the cache."""
        channels, height, width = self.image_shape
        return (self.train.total + self.test.total) * channels * height * width


@dataclass(frozen=True)
class Outline:
    """What a plan needs to know of a dataset: everything but its images.

    name: as tables print it, with its split where there are several. title: as papers print it. published_as: the
    built-in dataset whose settings and published numbers apply, or `name`. flip: may images be mirrored. train, test:
    images of each class. fingerprint: sha256 of pixels, labels and class names; equal images have equal fingerprints,
    whatever the folder's name. seen: False if it comes from a card and the images are not there; the fingerprint then
    identifies no images. note: on what was read, for the user; "" if there is nothing to say. imbalance: of a long tail
    that tasks give the training images (`splits.long_tail_counts`), 1 for none; `train` are the images before.
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
    note: str = ""
    imbalance: float = 1.0

    @property
    def num_classes(self) -> int:
        return len(self.train)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as tasks use it.

    like: the built-in dataset that its dataset.yaml names, or None. note: as in `Outline`.
    """

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
    note: str = ""

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
        return Outline(
            name=self.name,
            title=self.title,
            published_as=self.published_as,
            constants=self.constants,
            flip=self.flip,
            image_shape=self.image_shape,
            train=self.train.counts(self.num_classes),
            test=self.test.counts(self.num_classes),
            fingerprint=self.fingerprint,
            note=self.note,
        )


@contextmanager
def error_context(what: str, *, where: str, next: str = "") -> Iterator[None]:
    """Turn OSError and ValueError into a BenchmarkError that says `what` failed and why."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{what}: {one_line(error)}", where=where, next=next) from error


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or the name of its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def fingerprint(decoded: DecodedSplits) -> str:
    """sha256 in hex over the shapes, pixels and labels of both splits and the class names."""
    splits = (decoded.train, decoded.test)
    shapes = [list(split.images.shape) for split in splits]
    header = json.dumps({"shapes": shapes, "classes": list(decoded.classes)}, sort_keys=True)
    digest = hashlib.sha256(header.encode())
    for split in splits:
        digest.update(split.images.contiguous().numpy().data)
        digest.update(np.ascontiguousarray(split.labels.numpy().astype("<i8")).data)  # the same on every machine
    return digest.hexdigest()


def channel_statistics(images: Tensor, *, where: str = "") -> Constants:
    """Mean and population standard deviation of pixel / 255 for each channel of uint8 (N, ch, H, W).

    Counted in integers, so that the result is the same on every machine. Raises BenchmarkError for a constant channel.
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
            f"all training pixels of channel {std.index(min(std))} have one value: the images cannot be normalized",
            where=where,
            next="look at the images: they may be blank, or cropped to their background",
        )
    return Constants(tuple(mean), tuple(std))


def to_split(images: np.ndarray | Tensor, labels: np.ndarray | Tensor | list[int]) -> Split:
    """A Split of contiguous uint8 (N, ch, H, W) and int64 (N,). Raises ValueError if their numbers differ."""
    import torch

    if len(images) != len(labels):
        raise ValueError(f"{len(images):,} images and {len(labels):,} labels")
    return Split(torch.as_tensor(images).contiguous(), torch.as_tensor(labels, dtype=torch.int64))
