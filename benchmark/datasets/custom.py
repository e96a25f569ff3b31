"""Datasets that a person points at: a folder of parquet files or of class folders, with or without a dataset.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.datasets.base import Content, Dataset, Progress, expanded, statistics, told
from benchmark.datasets.builtin import KNOWN
from benchmark.datasets.cache import cache_file, listing, remembered
from benchmark.datasets.dataset_yaml import FILE, describe
from benchmark.datasets.readers import image_folder
from benchmark.datasets.readers.image_folder import ClassFolders
from benchmark.utils.errors import BenchmarkError, unknown

if TYPE_CHECKING:
    from benchmark.datasets.readers.parquet import Parquet

_WANTED = "wanted: train.parquet and test.parquet, or class folders as in train/cat/1.png and test/cat/2.png"


def load_folder(entry: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """The dataset in the folder `entry`, decoded once and cached under data_root/cache. Raises BenchmarkError."""
    folder = existing(entry)
    cure = "mend or remove what is named: a link to nothing, or something that you may not read"
    with told(f"cannot read {folder}", where=f"datasets, {entry}", next=cure):
        return _load(folder, data_root, progress)


def _load(folder: Path, data_root: Path, progress: Progress | None) -> Dataset:
    said = describe(folder)
    layout = layout_of(folder, said.size)
    state = [*listing(folder, layout.files()), ("size", said.size or 0, 0)]
    path = cache_file(data_root, said.name, folder, state)
    content, mark = remembered(path, f"{layout.kind} in {folder}", lambda: layout.read(progress), str(folder))
    if said.like:
        _fits(content, said.like, folder)
    constants = KNOWN[said.like].constants if said.like else statistics(content.train.images, where=str(folder))
    return Dataset(
        name=said.name,
        title=said.name,
        like=said.like,
        published_as=said.like or said.name,
        train=content.train,
        test=content.test,
        classes=content.classes,
        constants=constants,
        flip=said.flip,
        fingerprint=mark,
        source=content.source,
    )


def existing(entry: str) -> Path:
    """The folder that an entry of `datasets`, no known name, stands for. Raises BenchmarkError when there is none."""
    where = f"datasets, {entry}"
    with told(f"'{entry}' cannot be looked at", where=where, next="check the path, and the rights of its folders"):
        return _existing(entry, where)


def _existing(entry: str, where: str) -> Path:
    separated = os.sep in entry or bool(os.altsep and os.altsep in entry)
    if not (separated or entry.startswith((".", "~")) or (entry != "" and Path(entry).is_dir())):
        error = unknown("dataset", entry, KNOWN, where="datasets")
        raise BenchmarkError(error.what, where=error.where, next=f"{error.next}; or the path of a folder, as ./{entry}")
    folder = expanded(entry, where=where).resolve()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise BenchmarkError(f"{folder} is a file", where=where, next=f"give the folder it lies in: {folder.parent}")
    above = next((parent for parent in folder.parents if parent.is_dir()), folder)
    raise BenchmarkError(f"there is no folder {folder}", where=where, next=f"check the path: {above} is there")


def layout_of(folder: Path, side: int | None) -> ClassFolders | Parquet:
    """How a dataset lies in a folder; `side`: what its images are resized to. Raises BenchmarkError when none does."""
    from benchmark.datasets.readers.parquet import (
        Parquet,  # pyarrow takes a while to load, and most runs need none of it
    )

    _not_tiny(folder)
    parquet = Parquet.find(folder, side)
    if parquet and (folder / "train").is_dir():
        raise BenchmarkError(
            f"{folder} holds both {parquet.train[0].name} and a train folder: which one is the dataset?",
            where=str(folder),
            next="move one of them into a folder of its own",
        )
    layout = parquet or ClassFolders.find(folder, side)
    if layout is None:
        raise _wrong_level(folder)
    return layout


def _not_tiny(folder: Path) -> None:
    """Raise BenchmarkError for TinyImageNet as its zip unpacks, whose labels are in a list."""
    if (folder / "wnids.txt").is_file() and any(folder.glob("train/*/images")):
        root = folder.parent
        place = "" if folder.name == "tiny-imagenet-200" else f" (rename or link it to {root / 'tiny-imagenet-200'})"
        raise BenchmarkError(
            f"{folder} is TinyImageNet as published, which is known by name",
            where=f"datasets, {folder}",
            next=f"use tinyimagenet with data_root={root}{place}",
        )


def _wrong_level(folder: Path) -> BenchmarkError:
    """The error for a folder without a dataset in it: says where one is, when it is one level up or down."""
    if folder.name in ("train", *image_folder.TEST_NAMES) and (folder.parent / "train").is_dir():
        what, cure = f"{folder} is one split of a dataset", f"give the folder above it: {folder.parent}"
        return BenchmarkError(what, where=str(folder), next=cure)
    inside = sorted(child for child in folder.iterdir() if child.is_dir())
    for child in inside:
        if (child / "train").is_dir() or any(child.glob("train*.parquet")):
            return BenchmarkError(f"{folder} holds no dataset itself", where=str(folder), next=f"perhaps {child}")
    if any(image_folder.holds_images(child) for child in inside):
        what = f"{folder} holds class folders, but not divided into train and test"
    elif image_folder.holds_images(folder):
        what = f"{folder} holds images, but neither splits nor classes"
    else:
        what = f"{folder} holds no dataset"
    return BenchmarkError(what, where=str(folder), next=_WANTED)


def _fits(content: Content, like: str, folder: Path) -> None:
    """Raise BenchmarkError unless class count and image shape are those of the dataset it is said to be like."""
    known = KNOWN[like]
    if len(content.classes) == known.num_classes and content.image_shape == known.image_shape:
        return
    have, want = (
        f"{classes} classes of {'x'.join(str(side) for side in shape)} images"
        for classes, shape in ((len(content.classes), content.image_shape), (known.num_classes, known.image_shape))
    )
    raise BenchmarkError(
        f"{folder.name} has {have}, but {like} has {want}: its settings and published numbers cannot apply",
        where=f"{folder / FILE}, like: {like}",
        next="remove `like`: constants are then computed from the training images",
    )
