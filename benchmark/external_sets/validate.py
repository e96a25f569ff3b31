"""The checks of an external set before it is scored on a dataset: shape, labels, images of every class."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.datasets import Dataset
from benchmark.utils.errors import BenchmarkError
from results import formatting

ImagesAndLabels = tuple[Tensor, Tensor]

MAX_SETS = 1000  # in one file, each of which is a task
MAX_BYTES = 2**30  # of all sets of a file, inflated and as float32: twice TinyImageNet at 50 images per class
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_NUMBERS = (*_INTEGERS, torch.float16, torch.bfloat16, torch.float32, torch.float64)

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


def validate_set(images: Tensor, labels: Tensor, dataset: Dataset, *, where: str) -> ImagesAndLabels:
    """Values (N, ch, H, W) and int64 labels (N,), sorted by class, images of a class in their order.

    Raises BenchmarkError for another image shape, labels that are soft or out of range, classes that are missing, and
    values that are not finite.
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
    labels = _validate_labels(labels.detach(), len(images), dataset, where)
    if images.is_floating_point() and not bool(images.isfinite().all()):
        count = int((~images.isfinite()).flatten(1).any(1).sum())
        raise BenchmarkError(
            f"{count} of {len(images)} images hold values that are not finite numbers",
            where=where,
            next="such a set diverged, or its file is damaged",
        )
    order = torch.argsort(labels, stable=True)
    return images[order].contiguous(), labels[order].contiguous()


def mean_ipc(labels: Tensor, num_classes: int) -> int:
    """Images per class of labels (N,), rounded if the classes differ in size."""
    return max(1, round(len(labels) / num_classes))


def _validate_labels(labels: Tensor, count: int, dataset: Dataset, where: str) -> Tensor:
    """int64 (N,), some of each class; one-hot labels are hard ones. Raises BenchmarkError for others."""
    if labels.shape == (count, dataset.num_classes) and bool(
        ((labels != 0).sum(1) == 1).all() & (labels.sum(1) == 1).all()
    ):
        labels = labels.float().argmax(1)
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.ndim != 1:
        shape = "x".join(map(str, labels.shape))
        raise BenchmarkError(
            f"its labels are soft ({shape or 'one number'}); only hard labels, one class per image, can be scored",
            where=where,
            next="score a hard version of it, if that is what you want: labels.argmax(1)",
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
        what = f"it has images of {int((counts > 0).sum())} classes, {dataset.name} has {dataset.num_classes}"
        raise BenchmarkError(what, where=where, next=_OTHER_DATASET)
    return whole
