"""What a stranger's set must be, to be scored on a dataset: its shape, its labels, as many images of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.datasets import Dataset
from benchmark.utils.errors import BenchmarkError

Pair = tuple[Tensor, Tensor]


def checked(images: Tensor, labels: Tensor, dataset: Dataset, *, where: str) -> Pair:
    """Values (N, ch, H, W) and int64 labels (N,), class by class, images of a class in their order.

    Raises BenchmarkError for another image shape, labels that are soft or out of range, classes that lack or hold
    different numbers of images, and values that are not finite.
    """
    images = images.detach()
    if images.is_complex() or images.dtype == torch.bool or images.layout != torch.strided or images.is_quantized:
        raise BenchmarkError(f"images of type {images.dtype} cannot be read", where=where, next="save them as float32")
    if tuple(images.shape[1:]) != dataset.image_shape:
        have, want = ("x".join(map(str, shape)) for shape in (images.shape[1:], dataset.image_shape))
        last = images.shape[-1] == dataset.image_shape[0] and images.shape[-1] != dataset.image_shape[-1]
        raise BenchmarkError(
            f"its images are {have}, those of {dataset.name} {want}",
            where=where,
            next="put channels first: images.permute(0, 3, 1, 2)" if last else "name its dataset: dataset=NAME",
        )
    labels = _labels(labels.detach(), len(images), dataset, where)
    if images.is_floating_point() and not bool(images.isfinite().all()):
        bad = int((~images.isfinite()).flatten(1).any(1).sum())
        raise BenchmarkError(
            f"{bad} of {len(images)} images hold values that are not finite numbers",
            where=where,
            next="such a set diverged, or its file is damaged",
        )
    order = torch.argsort(labels, stable=True)
    return images[order].contiguous(), labels[order].contiguous()


def _labels(labels: Tensor, count: int, dataset: Dataset, where: str) -> Tensor:
    if labels.ndim != 1:
        shape = "x".join(map(str, labels.shape))
        raise BenchmarkError(
            f"its labels are soft ({shape}), and only hard ones, a class number each, can be scored",
            where=where,
            next="a hard version, if that is what you want to score: labels.argmax(1)",
        )
    if len(labels) != count or not count:
        raise BenchmarkError(
            f"it has {count} images and {len(labels)} labels", where=where, next="the file is incomplete, or no set"
        )
    whole = labels.long()
    if labels.is_floating_point() and not bool((whole == labels).all()):
        raise BenchmarkError(
            f"its labels are no whole numbers ({float(labels[whole != labels][0]):g})",
            where=where,
            next=f"labels are class numbers, 0..{dataset.num_classes - 1}",
        )
    low, high = int(whole.min()), int(whole.max())
    if low < 0 or high >= dataset.num_classes:
        raise BenchmarkError(
            f"its labels go from {low} to {high}, those of {dataset.name} from 0 to {dataset.num_classes - 1}",
            where=where,
            next="name the dataset it was made for: dataset=NAME",
        )
    counts = torch.bincount(whole, minlength=dataset.num_classes)
    if int(counts.min()) == 0:
        there = int((counts > 0).sum())
        raise BenchmarkError(
            f"it has images of {there} classes, {dataset.name} has {dataset.num_classes}",
            where=where,
            next="name the dataset it was made for: dataset=NAME",
        )
    if int(counts.min()) != int(counts.max()):
        raise BenchmarkError(
            f"its classes differ in size: {int(counts.min())} to {int(counts.max())} images. Only sets with as many "
            "images of every class can be scored",
            where=where,
            next="leave images away until all classes are alike",
        )
    return whole
