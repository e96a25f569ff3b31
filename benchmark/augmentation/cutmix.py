"""CutMix: a box of each image is replaced by that of another, and labels are mixed in proportion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from benchmark.augmentation.strategies import _clipped


@dataclass(frozen=True)
class Box:
    """What CutMix drew for a batch: rows and columns, where they begin and end, and whose pixels come in (N,)."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    partner: Tensor

    @property
    def pixels(self) -> int:
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


def cutmix(images: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    """CutMix, one box a batch: images (N, ch, H, W), labels (N, …) to (mixed, labels_a, labels_b, weight r).

    A box of share 1 − λ of the area, λ ~ U[0, 1), around a uniformly drawn pixel, clipped by the border, is pasted from
    a random permutation of the batch. r is the share of the image that was kept: loss = r·CE(out, labels_a) +
    (1 − r)·CE(out, labels_b). Whether to mix at all is the caller's coin. [METHODS.md 7.2]
    """
    box = draw_box(len(images), images.shape[-2:], generator)
    mixed, others, (kept,) = cutmix_batches(images[None], labels[None], [box])
    return mixed[0], labels, others[0], kept


def draw_box(count: int, size: Sequence[int], generator: Generator) -> Box:
    """The box and the partners of a batch of so many images of (H, W)."""
    height, width = size
    share = math.sqrt(1 - torch.rand((), dtype=torch.float64, generator=generator).item())
    rows = _clipped(int(height * share), height, generator)
    columns = _clipped(int(width * share), width, generator)
    return Box(rows, columns, torch.randperm(count, generator=generator))


def no_box(count: int) -> Box:
    """The box of a batch that is not mixed."""
    return Box((0, 0), (0, 0), torch.arange(count))


def cutmix_batches(images: Tensor, labels: Tensor, boxes: Sequence[Box]) -> tuple[Tensor, Tensor, list[float]]:
    """CutMix of k batches (k, N, ch, H, W), labels (k, N, …): mixed images, the partners' labels, and k shares."""
    height, width = images.shape[-2:]
    kept = [1 - box.pixels / (height * width) for box in boxes]
    partner = torch.stack([box.partner for box in boxes]).to(images.device, non_blocking=True)  # (k, N)
    batch = torch.arange(len(boxes), device=images.device)[:, None]
    if not any(box.pixels for box in boxes):
        return images, labels[batch, partner], kept
    inside = torch.zeros(len(boxes), 1, 1, height, width, dtype=torch.bool)
    for mask, box in zip(inside, boxes, strict=True):
        mask[..., slice(*box.rows), slice(*box.columns)] = True
    mixed = torch.where(inside.to(images.device, non_blocking=True), images[batch, partner], images)
    return mixed, labels[batch, partner], kept
