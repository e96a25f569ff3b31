"""Sets that are given away as pictures: class folders and parquet files, for a dataset whose classes are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.datasets import Dataset
from benchmark.datasets.readers.decoding import Decoded, decode
from benchmark.datasets.readers.image_folder import children, encoded, holds_images, images_of
from benchmark.utils.errors import BenchmarkError

__all__ = ["class_folders", "holds_images", "parquet"]

Pictures = tuple[Tensor, Tensor, tuple[str, ...]]  # uint8 (N, ch, H, W), int64 (N,), notes


def class_folders(folder: Path, dataset: Dataset) -> Pictures:
    """The images of FOLDER/CLASS/*.png and the like. Raises BenchmarkError for another number of classes."""
    found = {child.name: images_of(child) for child in children(folder) if child.is_dir()}
    names, notes = _order(list(found), dataset, f"{folder}")
    split = {name: found[name] for name in names}
    total = sum(map(len, split.values()))
    labels = np.repeat(np.arange(len(split)), [len(paths) for paths in split.values()])
    return _fitted(decode(encoded(folder, split), total, "decoding the set"), dataset), torch.from_numpy(labels), notes


def parquet(files: Sequence[Path], dataset: Dataset) -> Pictures:
    """The images of parquet files as the Hugging Face hub has them; class names in them decide, where they are."""
    from benchmark.datasets.readers.parquet import read_rows  # pyarrow takes a while to load

    pixels, labels, names = read_rows(files)
    notes: tuple[str, ...] = ()
    if names:
        ordered, notes = _order(list(names), dataset, str(files[0]))
        if not notes:  # the same names, perhaps in another order
            labels = np.array([ordered.index(name) for name in names])[labels]
    return _fitted(pixels, dataset), torch.from_numpy(labels), notes


def _order(names: list[str], dataset: Dataset, where: str) -> tuple[list[str], tuple[str, ...]]:
    """The names in the order of the dataset's classes; by number and letter, with a note, where they are others."""
    if len(names) != dataset.num_classes:
        raise BenchmarkError(
            f"it has images of {len(names)} classes, {dataset.name} has {dataset.num_classes}",
            where=where,
            next="name the dataset it was made for: dataset=NAME",
        )
    if set(names) == set(dataset.classes):
        return list(dataset.classes), ()
    ordered = sorted(names, key=_natural)
    note = (
        f"its classes ({', '.join(ordered[:3])}, …) are not called as those of {dataset.name} "
        f"({', '.join(dataset.classes[:3])}, …): taken in the order of their names"
    )
    return ordered, (note,)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """class10 after class9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _fitted(decoded: Decoded, dataset: Dataset) -> Tensor:
    """(N, ch, H, W) with the dataset's channels; colours where it has one channel stay, and are refused later."""
    channels = 1 if dataset.image_shape[0] == 1 and decoded.grey else 3
    return torch.from_numpy(decoded.pixels[:, :channels])
