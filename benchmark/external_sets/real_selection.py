"""Sets of real images as indices: which training images a coreset or a mosaic is made of, without the images."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from benchmark.condensation.synthetic_set import check_card
from benchmark.datasets import Dataset
from benchmark.datasets.normalization import to_float
from benchmark.external_sets.validate import check_amount
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tensors, save_tensors
from methods.base import SyntheticSet
from methods.multi_formation import fitting_factors, mosaic, tile_sizes

_TOLERANCE = 1e-6  # of a pixel: shrinking differs in the last bits between processors


def save_selection(path: Path, synthetic: SyntheticSet, dataset: Dataset, downsample: str) -> str:
    """Write the indices of a set's images among the training images. Returns the file's SHA-256.

    Raises BenchmarkError if the set is not made of training images of the dataset.
    """
    card = {
        "ipc": synthetic.ipc,
        "factor": synthetic.factor,
        "downsample": downsample,
        "fingerprint": dataset.fingerprint,
        "made by": dict(synthetic.card),
    }
    tensors = {"indices": _find(synthetic, dataset, downsample).int(), "labels": synthetic.labels}
    return save_tensors(path, tensors, card)


def load_selection(path: Path, dataset: Dataset) -> SyntheticSet | None:
    """The set in a file of `save_selection`, its images taken from the dataset; None if it is another kind of file.

    Raises BenchmarkError if the dataset has other images than the one that the set was selected from.
    """
    tensors, card = load_tensors(path)
    if "indices" not in tensors:
        return None
    check_card(card, path)
    if card.get("fingerprint") != dataset.fingerprint:
        raise BenchmarkError(
            f"the set consists of real images, and those of {dataset.name} here are others",
            where=f"set={path.name}",
            next="name the dataset that it was selected from: dataset=NAME",
        )
    indices, factor, downsample = tensors["indices"], card["factor"], str(card.get("downsample"))
    fits = factor in fitting_factors(*dataset.image_shape[1:]) and downsample in ("area", "nearest")
    fits = fits and indices.dtype == torch.int32 and indices.shape == (dataset.num_classes, card["ipc"] * factor**2)
    if not fits or not 0 <= int(indices.min()) <= int(indices.max()) < len(dataset.train):
        raise BenchmarkError(
            f"{path.name} does not hold indices of training images as its card says",
            where=str(path),
            next="take a sound copy of the file",
        )
    check_amount(1, indices.numel() * math.prod(dataset.image_shape), str(path))
    real = to_float(dataset.train.images[indices.long()])  # (C, ipc·factor², ch, H, W)
    images = mosaic(real, factor, downsample).flatten(0, 1)
    return SyntheticSet(images, tensors["labels"], card["ipc"], factor, {}, card["made by"])


def _find(synthetic: SyntheticSet, dataset: Dataset, downsample: str) -> Tensor:
    """Indices (C, ipc·factor²) of training images whose `mosaic` is the set, in the order that `mosaic` takes."""
    by_class = synthetic.images.unflatten(0, (dataset.num_classes, synthetic.ipc))
    tiles = synthetic.factor**2
    found = []
    for label, stored in enumerate(by_class):
        members = torch.nonzero(dataset.train.labels == label).flatten()
        real = to_float(dataset.train.images[members])
        uniform = mosaic(real.repeat(tiles, 1, 1, 1)[None], synthetic.factor, downsample)[0]  # each of one image
        places = [_places(stored, uniform, tile, synthetic.factor) for tile in range(tiles)]
        found.append(members[torch.cat(places)])
    indices = torch.stack(found)
    again = mosaic(to_float(dataset.train.images[indices]), synthetic.factor, downsample).flatten(0, 1)
    if float((again - synthetic.images).abs().max()) > _TOLERANCE:
        raise BenchmarkError(
            f"a set of real images holds others than the training images of {dataset.name}",
            where=f"dataset {dataset.name}",
            next="collect with the data_root of the run that made it",
        )
    return indices


def _places(stored: Tensor, uniform: Tensor, tile: int, factor: int) -> Tensor:
    """For each stored image, the index of the uniform mosaic that is closest to it in one tile."""
    height, width = stored.shape[-2:]
    rows, columns = tile_sizes(height, factor), tile_sizes(width, factor)
    row, column = divmod(tile, factor)
    top, left = sum(rows[:row]), sum(columns[:column])
    window = (..., slice(top, top + rows[row]), slice(left, left + columns[column]))
    candidates = uniform[window].flatten(1)
    return torch.stack([(candidates - image.flatten()).abs().amax(1).argmin() for image in stored[window]])
