"""Datasets in a folder that the user names: tables or class folders, with or without a dataset.yaml."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.datasets.base import Dataset, DecodedSplits, Progress, channel_statistics, error_context
from benchmark.datasets.builtin import card_of, constants_of, names
from benchmark.datasets.cache import cache_file, file_states, load_or_decode
from benchmark.datasets.dataset_yaml import FILE, Description, read_description
from benchmark.datasets.readers.image_folder import ClassFolders, holds_images, visible_children
from benchmark.datasets.readers.split_names import TEST, TRAIN, VALIDATION, split_folder
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.paths import expand_user

if TYPE_CHECKING:
    from benchmark.datasets.readers.parquet import TableFiles

_MOST_FOLDERS = 200  # that are looked into for a dataset, on each level
_LAYOUTS = "wanted: train.parquet and test.parquet, or class folders as in train/cat/1.png and test/cat/2.png"


def load_folder(entry: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
    """The dataset in the folder `entry`, decoded once and cached (see `datasets.load`). Raises BenchmarkError."""
    folder = find_folder(entry)
    next = "repair or remove the file named here: it may be a link to nothing, or not readable by you"
    with error_context(f"cannot read {folder}", where=f"datasets, {entry}", next=next):
        return _load(folder, data_root, progress, cache)


def _load(folder: Path, data_root: Path, progress: Progress | None, cache: Path | None) -> Dataset:
    description = read_description(folder)
    files = find_files(folder, description)
    states = [*file_states(folder, files.files()), ("size", description.size or 0, 0)]
    states += [(f"column {name}", 0, 0) for name in (description.image, description.label) if name]
    path = cache_file(data_root, description.name, folder, states, cache)
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
        note=f"{description.name}: {files.note}" if files.note else "",
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


def find_files(folder: Path, description: Description) -> ClassFolders | TableFiles:
    """The dataset files in a folder, read as described. Raises BenchmarkError if there are none."""
    from benchmark.datasets.readers.parquet import TableFiles  # pyarrow is slow to import, and most runs need none
    from benchmark.datasets.readers.table_columns import ColumnNames

    _reject_tiny_imagenet(folder)
    tables = TableFiles.find(folder, description.size, ColumnNames(description.image, description.label))
    train = split_folder(folder, TRAIN)
    if tables and train and tables.train[0].parent != train:
        raise BenchmarkError(
            f"{folder} holds both {tables.train[0].name} and a {train.name} folder: which one is the dataset?",
            where=str(folder),
            next="move one of them into a folder of its own",
        )
    files = tables or ClassFolders.find(folder, description.size)
    if files is None:
        raise _no_dataset(folder)
    if isinstance(files, ClassFolders) and (description.image or description.label):
        raise BenchmarkError(
            f"{folder} holds class folders, which have no columns",
            where=str(folder / FILE),
            next="remove `image` and `label`",
        )
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
    """The error for a folder without a dataset; it names the datasets that it lies in or that lie in it, if any."""
    from benchmark.datasets.readers.parquet import saved_anew, tables_in

    if folder.name.lower() in (*TRAIN, *TEST, *VALIDATION) and split_folder(folder.parent, TRAIN):
        what, cure = f"{folder} is one split of a dataset", f"give the folder above it: {folder.parent}"
        return BenchmarkError(what, where=str(folder), next=cure)
    tables = tables_in(folder)
    if tables and (folder / "state.json").is_file():
        what = f"{folder} holds one split, as save_to_disk writes it, and no other"
        cure = saved_anew("load_from_disk", folder, ".train_test_split(0.2)")
        return BenchmarkError(what, where=str(folder), next=f"divide it: {cure}")
    if inside := _datasets_inside(folder):
        cure = f"perhaps {', or '.join(map(str, inside[:3]))}"
        return BenchmarkError(f"{folder} holds no dataset itself", where=str(folder), next=cure)
    if tables:
        what = f"{folder} holds {tables[0].name}, whose name is that of no split"
    elif any(holds_images(child) for child in visible_children(folder) if child.is_dir()):
        what = f"{folder} holds class folders, but not divided into train and test"
    elif holds_images(folder):
        what = f"{folder} holds images, but neither splits nor classes"
    else:
        what = f"{folder} holds no dataset"
    return BenchmarkError(what, where=str(folder), next=_LAYOUTS)


def _datasets_inside(folder: Path) -> list[Path]:
    """The folders with a training split, at most four levels down: as deep as the hub's cache has them."""
    from benchmark.datasets.readers.parquet import split_files

    level = [folder]
    for _ in range(4):
        with suppress(OSError):  # folders that may not be entered
            level = [child for parent in level for child in visible_children(parent) if child.is_dir()][:_MOST_FOLDERS]
            if found := [child for child in level if split_files(child, TRAIN) or split_folder(child, TRAIN)]:
                return found
    return []


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
