"""External sets that are saved as image files: class folders and parquet, for a dataset whose classes are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.datasets import Dataset
from benchmark.datasets.readers.decoding import DecodedImages, decode
from benchmark.datasets.readers.image_folder import encoded_images, image_files, labels_of, visible_children
from benchmark.utils.errors import BenchmarkError

ImagesLabelsNotes = tuple[Tensor, Tensor, tuple[str, ...]]  # uint8 (N, ch, H, W), int64 (N,), notes for the user


def read_class_folders(folder: Path, dataset: Dataset) -> ImagesLabelsNotes:
    """The images of FOLDER/CLASS/*.png and the like. Raises BenchmarkError for another number of classes."""
    by_name = {child.name: image_files(child) for child in visible_children(folder) if child.is_dir()}
    names, notes = _order(list(by_name), dataset, f"{folder}")
    files = {name: by_name[name] for name in names}
    labels = labels_of(files)
    decoded = decode(encoded_images(folder, files), len(labels), "decoding the set")
    return _with_channels(decoded, dataset), torch.from_numpy(labels), notes


def read_parquet(files: Sequence[Path], dataset: Dataset) -> ImagesLabelsNotes:
    """The images of parquet files in the layout of the Hugging Face hub; class names, if they have any, decide."""
    from benchmark.datasets.readers.parquet import read_rows  # pyarrow is slow to import

    decoded, labels, names = read_rows(files)
    notes: tuple[str, ...] = ()
    if names:
        ordered, notes = _order(list(names), dataset, str(files[0]))
        if not notes:  # the same names, perhaps in another order
            labels = np.array([ordered.index(name) for name in names])[labels]
    return _with_channels(decoded, dataset), torch.from_numpy(labels), notes


def _order(names: list[str], dataset: Dataset, where: str) -> tuple[list[str], tuple[str, ...]]:
    """The names in the order of the dataset's classes; if the names differ, in natural order, and with a note."""
    if len(names) != dataset.num_classes:
        raise BenchmarkError(
            f"it has images of {len(names)} classes, {dataset.name} has {dataset.num_classes}",
            where=where,
            next="name the dataset it was made for: dataset=NAME",
        )
    if set(names) == set(dataset.classes):
        return list(dataset.classes), ()
    ordered = sorted(names, key=_natural_key)
    note = (
        f"its class names ({', '.join(ordered[:3])}, …) are not those of {dataset.name} "
        f"({', '.join(dataset.classes[:3])}, …): classes are taken in the order of their names"
    )
    return ordered, (note,)


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """class10 after class9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _with_channels(decoded: DecodedImages, dataset: Dataset) -> Tensor:
    """(N, ch, H, W) with the dataset's channels; colored images for a dataset of one channel keep three."""
    channels = 1 if dataset.image_shape[0] == 1 and decoded.gray else 3
    return torch.from_numpy(decoded.pixels[:, :channels])
