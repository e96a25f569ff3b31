"""Datasets in a folder that the user names: parquet files or class folders, with or without a dataset.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.datasets.base import Dataset, DecodedSplits, Progress, channel_statistics, error_context
from benchmark.datasets.builtin import card_of, constants_of, names
from benchmark.datasets.cache import cache_file, file_states, load_or_decode
from benchmark.datasets.dataset_yaml import FILE, read_description
from benchmark.datasets.readers import image_folder
from benchmark.datasets.readers.image_folder import ClassFolders
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.paths import expand_user

if TYPE_CHECKING:
    from benchmark.datasets.readers.parquet import ParquetFiles

_LAYOUTS = "wanted: train.parquet and test.parquet, or class folders as in train/cat/1.png and test/cat/2.png"


def load_folder(entry: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """The dataset in the folder `entry`, decoded once and cached under data_root/cache. Raises BenchmarkError."""
    folder = find_folder(entry)
    next = "repair or remove the file named here: it may be a link to nothing, or not readable by you"
    with error_context(f"cannot read {folder}", where=f"datasets, {entry}", next=next):
        return _load(folder, data_root, progress)


def _load(folder: Path, data_root: Path, progress: Progress | None) -> Dataset:
    description = read_description(folder)
    files = find_files(folder, description.size)
    states = [*file_states(folder, files.files()), ("size", description.size or 0, 0)]
    path = cache_file(data_root, description.name, folder, states)
    decoded, digest = load_or_decode(path, f"{files.kind} in {folder}", lambda: files.read(progress), str(folder))
    like = description.like
    if like:
        _require_alike(decoded, like, folder)
        constants = constants_of(like)
    else:
        constants = channel_statistics(decoded.train.images, where=str(folder))
    return Dataset(
        name=description.name,
        title=description.name,
        like=like,
        published_as=like or description.name,
        train=decoded.train,
        test=decoded.test,
        classes=decoded.classes,
        constants=constants,
        flip=description.flip,
        fingerprint=digest,
        source=decoded.source,
    )


def find_folder(entry: str) -> Path:
    """The folder that an entry of `datasets` names. Raises BenchmarkError if there is none."""
    where = f"datasets, {entry}"
    with error_context(f"cannot look at '{entry}'", where=where, next="check the path, and the rights of its folders"):
        return _find_folder(entry, where)


def _find_folder(entry: str, where: str) -> Path:
    separated = os.sep in entry or bool(os.altsep and os.altsep in entry)
    if not (separated or entry.startswith((".", "~")) or (entry != "" and Path(entry).is_dir())):
        error = unknown("dataset", entry, names(), where="datasets")
        raise BenchmarkError(error.what, where=error.where, next=f"{error.next}; or the path of a folder, as ./{entry}")
    folder = expand_user(entry, where=where).resolve()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise BenchmarkError(f"{folder} is a file", where=where, next=f"give the folder it lies in: {folder.parent}")
    nearest = next((parent for parent in folder.parents if parent.is_dir()), folder)
    raise BenchmarkError(f"there is no folder {folder}", where=where, next=f"check the path: {nearest} exists")


def find_files(folder: Path, side: int | None) -> ClassFolders | ParquetFiles:
    """The dataset files in a folder, whose images are resized to `side`. Raises BenchmarkError if there are none."""
    from benchmark.datasets.readers.parquet import ParquetFiles  # pyarrow is slow to import, and most runs need none

    _reject_tiny_imagenet(folder)
    parquet = ParquetFiles.find(folder, side)
    if parquet and (folder / "train").is_dir():
        raise BenchmarkError(
            f"{folder} holds both {parquet.train[0].name} and a train folder: which one is the dataset?",
            where=str(folder),
            next="move one of them into a folder of its own",
        )
    files = parquet or ClassFolders.find(folder, side)
    if files is None:
        raise _no_dataset(folder)
    return files


def _reject_tiny_imagenet(folder: Path) -> None:
    """Raise BenchmarkError for TinyImageNet as its zip unpacks, whose validation labels are in a list."""
    if (folder / "wnids.txt").is_file() and any(folder.glob("train/*/images")):
        root = folder.parent
        rename = "" if folder.name == "tiny-imagenet-200" else f" (rename or link it to {root / 'tiny-imagenet-200'})"
        raise BenchmarkError(
            f"{folder} is TinyImageNet as published, which is a built-in dataset",
            where=f"datasets, {folder}",
            next=f"use tinyimagenet with data_root={root}{rename}",
        )


def _no_dataset(folder: Path) -> BenchmarkError:
    """The error for a folder without a dataset; it names the dataset one level up or down, if there is one."""
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
    return BenchmarkError(what, where=str(folder), next=_LAYOUTS)


def _require_alike(decoded: DecodedSplits, like: str, folder: Path) -> None:
    """Raise BenchmarkError unless class count and image shape are those of the dataset named by `like`."""
    card = card_of(like)
    if len(decoded.classes) == card.num_classes and decoded.image_shape == card.image_shape:
        return
    have, want = (
        f"{classes} classes of {'x'.join(map(str, shape))} images"
        for classes, shape in ((len(decoded.classes), decoded.image_shape), (card.num_classes, card.image_shape))
    )
    raise BenchmarkError(
        f"{folder.name} has {have}, but {like} has {want}: its settings and published numbers cannot apply",
        where=f"{folder / FILE}, like: {like}",
        next="remove `like`: constants are then computed from the training images",
    )
