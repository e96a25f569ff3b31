"""CutMix: a box of each image is replaced by that of another image, and labels are mixed in proportion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class CutMixBox:
    """The draw for a batch. rows, columns: first and one past the last. partner: whose pixels are pasted in (N,)."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    partner: Tensor

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


def cutmix(images: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    """CutMix, one box per batch: images (N, ch, H, W), labels (N, …) to (mixed, labels_a, labels_b, weight r).

    A box of share 1 − λ of the area, λ ~ U[0, 1), around a uniformly drawn pixel, clipped by the border, is pasted from
    a random permutation of the batch. r is the share of the image that is kept: loss = r·CE(out, labels_a) +
    (1 − r)·CE(out, labels_b). The caller decides whether to mix at all. [METHODS.md 7.2]
    """
    box = draw_box(len(images), images.shape[-2:], generator)
    mixed, partner_labels, (weight,) = cutmix_batches(images[None], labels[None], [box])
    return mixed[0], labels, partner_labels[0], weight


def draw_box(count: int, size: Sequence[int], generator: Generator) -> CutMixBox:
    """The box and the partners for a batch of `count` images of size (H, W)."""
    height, width = size
    ratio = math.sqrt(1 - torch.rand((), dtype=torch.float64, generator=generator).item())
    rows = _draw_interval(int(height * ratio), height, generator)
    columns = _draw_interval(int(width * ratio), width, generator)
    return CutMixBox(rows, columns, torch.randperm(count, generator=generator))


def _draw_interval(length: int, side: int, generator: Generator) -> tuple[int, int]:
    """First and one past the last index of a drawn center ± length // 2, clipped to the side."""
    center = int(torch.randint(side, (), generator=generator))
    return max(center - length // 2, 0), min(center + length // 2, side)


def no_box(count: int) -> CutMixBox:
    """The empty box, for a batch that is not mixed."""
    return CutMixBox((0, 0), (0, 0), torch.arange(count))


def cutmix_batches(images: Tensor, labels: Tensor, boxes: Sequence[CutMixBox]) -> tuple[Tensor, Tensor, list[float]]:
    """CutMix of k batches (k, N, ch, H, W), labels (k, N, …): mixed images, the partners' labels, and k weights r."""
    height, width = images.shape[-2:]
    weights = [1 - box.area / (height * width) for box in boxes]
    partner = torch.stack([box.partner for box in boxes]).to(images.device, non_blocking=True)  # (k, N)
    batch = torch.arange(len(boxes), device=images.device)[:, None]
    if not any(box.area for box in boxes):
        return images, labels[batch, partner], weights
    inside = torch.zeros(len(boxes), 1, 1, height, width, dtype=torch.bool)
    for mask, box in zip(inside, boxes, strict=True):
        mask[..., slice(*box.rows), slice(*box.columns)] = True
    mixed = torch.where(inside.to(images.device, non_blocking=True), images[batch, partner], images)
    return mixed, labels[batch, partner], weights
