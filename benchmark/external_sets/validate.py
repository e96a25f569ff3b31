"""The checks of an external set before it is scored on a dataset: shape, labels, images of every class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.datasets import Dataset
from benchmark.utils.errors import BenchmarkError
from results import formatting


class ImagesAndLabels(NamedTuple):
    """Values (N, ch, H, W) and labels (N,) of a set.

    soft: None, or logits: (N, C), or (N·factor², C) of each decoded image, tile by tile.
    """

    images: Tensor
    labels: Tensor
    soft: Tensor | None = None


MAX_SETS = 1000  # in one file, each of which is a task
MAX_BYTES = 2**30  # of all sets of a file, inflated and as float32: twice TinyImageNet at 50 images per class
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_NUMBERS = (*_INTEGERS, torch.float16, torch.bfloat16, torch.float32, torch.float64)

SUM_TOLERANCE = 0.01  # of probabilities, which may be stored in half precision
LEAST_PROBABILITY = 1e-8  # whose logarithm is taken for one that is 0
_DIVERGED = "such a set diverged, or its file is damaged"
_OTHER_DATASET = "name the dataset it was made for: dataset=NAME"


def check_amount(sets: int, values: int, where: str) -> None:
    """Raise BenchmarkError for more sets, or more pixel values in them, than are read."""
    if sets > MAX_SETS:
        what = f"it holds {sets:,} sets; at most {MAX_SETS:,} are read"
        raise BenchmarkError(what, where=where, next="save those that you want to score in a file of their own")
    if 4 * values > MAX_BYTES:
        raise BenchmarkError(
            f"its images have {formatting.size(4 * values)} as float32; at most {formatting.size(MAX_BYTES)} are read",
            where=where,
            next="check that the file holds a synthetic set; save several sets in files of their own",
        )


def validate_set(
    images: Tensor, labels: Tensor, dataset: Dataset, soft: Tensor | None = None, *, where: str
) -> ImagesAndLabels:
    """Values (N, ch, H, W) and int64 labels (N,), sorted by class, images of a class in their order.

    labels: classes (N,), or soft ones (N, C): probabilities, whose clamped logarithms are taken, or logits. An image
    with soft labels is of the class with the largest. soft: logits beside labels that are classes.
    Raises BenchmarkError for another image shape, labels of other classes, classes that are missing, probabilities that
    do not sum to one, and values that are not finite.
    """
    for name, tensor, known in (("images", images, _NUMBERS), ("labels", labels, (*_NUMBERS, torch.bool))):
        if tensor.is_nested or tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in known:
            kind = "without values" if tensor.is_meta else f"of type {str(tensor.dtype).removeprefix('torch.')}"
            kind = kind if tensor.layout == torch.strided and not tensor.is_nested else "that are not dense"
            raise BenchmarkError(
                f"{name} {kind} cannot be read", where=where, next="save dense tensors of float32 and int64"
            )
    images = images.detach()
    if images.ndim != 4:
        shape = "x".join(map(str, images.shape)) or "one number"
        raise BenchmarkError(f"its images are of shape {shape}", where=where, next="wanted: (N, ch, H, W)")
    if tuple(images.shape[1:]) != dataset.image_shape:
        have, want = ("x".join(map(str, shape)) for shape in (images.shape[1:], dataset.image_shape))
        channels = dataset.image_shape[0]
        channels_last = images.shape[-1] == channels != dataset.image_shape[-1]
        raise BenchmarkError(
            f"its images are {have}, those of {dataset.name} {want}",
            where=where,
            next="put channels first: images.permute(0, 3, 1, 2)" if channels_last else _OTHER_DATASET,
        )
    if soft is None:
        labels, soft = _split_labels(labels.detach(), len(images), dataset.num_classes, where)
    labels = _validate_labels(labels.detach(), len(images), dataset, where)
    if images.is_floating_point() and not bool(images.isfinite().all()):
        count = int((~images.isfinite()).flatten(1).any(1).sum())
        raise BenchmarkError(
            f"{count} of {len(images)} images hold values that are not finite numbers",
            where=where,
            next=_DIVERGED,
        )
    order = torch.argsort(labels, stable=True)
    if soft is not None:
        _check_logits(soft, len(images), dataset.num_classes, where)
        soft = soft.float().unflatten(0, (-1, len(images)))[:, order].flatten(0, 1)
    return ImagesAndLabels(images[order].contiguous(), labels[order].contiguous(), soft)


def mean_ipc(labels: Tensor, num_classes: int) -> int:
    """Images per class of labels (N,), rounded if the classes differ in size."""
    return max(1, round(len(labels) / num_classes))


def _split_labels(labels: Tensor, count: int, num_classes: int, where: str) -> tuple[Tensor, Tensor | None]:
    """Labels as classes, and float32 logits (N, C) if they are soft; one-hot labels are classes."""
    if labels.shape != (count, num_classes) or not count:
        return labels, None
    values = labels.float()
    classes = values.argmax(1)
    if bool(((values != 0).sum(1) == 1).all() & (values.sum(1) == 1).all()):
        return classes, None
    if not bool(values.isfinite().all()):
        raise BenchmarkError("its soft labels hold values that are not finite numbers", where=where, next=_DIVERGED)
    if float(values.min()) < 0 or float(values.max()) > 1:
        return classes, values
    sums = values.sum(1)
    worst = int((sums - 1).abs().argmax())
    if abs(float(sums[worst]) - 1) > SUM_TOLERANCE:
        raise BenchmarkError(
            f"its soft labels are from 0 to 1, but those of image {worst} sum to {float(sums[worst]):.3g}",
            where=where,
            next="save probabilities that sum to 1, or logits",
        )
    return classes, values.clamp_min(LEAST_PROBABILITY).log()


def _check_logits(soft: Tensor, count: int, num_classes: int, where: str) -> None:
    """Raise BenchmarkError unless each image, or each of its tiles, has a finite logit for every class."""
    dense = soft.layout == torch.strided and not soft.is_nested and not soft.is_meta and soft.is_floating_point()
    fits = dense and soft.ndim == 2 and soft.shape[1] == num_classes and len(soft) and len(soft) % count == 0
    if not (fits and bool(soft.float().isfinite().all())):
        shape = "x".join(map(str, soft.shape))
        raise BenchmarkError(
            f"its soft labels are no finite logits of {count} images and {num_classes} classes ({shape})",
            where=where,
            next="take a sound copy of the file",
        )


def _validate_labels(labels: Tensor, count: int, dataset: Dataset, where: str) -> Tensor:
    """int64 (N,), some of each class. Raises BenchmarkError for others."""
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.ndim != 1:
        shape = "x".join(map(str, labels.shape))
        raise BenchmarkError(
            f"its labels are of shape {shape or 'one number'}; {dataset.name} has {dataset.num_classes} classes",
            where=where,
            next=f"wanted: classes (N,), or soft labels (N, {dataset.num_classes})",
        )
    if len(labels) != count or not count:
        what = f"it has {count} images and {len(labels)} labels"
        raise BenchmarkError(what, where=where, next="the file is incomplete, or no set")
    whole = labels.long()
    if labels.is_floating_point() and not bool((whole == labels).all()):
        raise BenchmarkError(
            f"its labels are no whole numbers ({float(labels[whole != labels][0]):g})",
            where=where,
            next=f"labels are class numbers, 0..{dataset.num_classes - 1}",
        )
    low, high = int(whole.min()), int(whole.max())
    if low < 0 or high >= dataset.num_classes:
        what = f"its labels go from {low} to {high}, those of {dataset.name} from 0 to {dataset.num_classes - 1}"
        raise BenchmarkError(what, where=where, next=_OTHER_DATASET)
    counts = torch.bincount(whole, minlength=dataset.num_classes)
    if int(counts.min()) == 0:
        present = int((counts > 0).sum())
        of = f"{present} class{'es' if present > 1 else ''}"
        what = f"it has images of {of}, {dataset.name} has {dataset.num_classes}"
        raise BenchmarkError(what, where=where, next=_OTHER_DATASET)
    return whole
