"""Normalization of pixels with a mean and a standard deviation for each channel, and its inverse."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.datasets.base import Constants


class Normalizer:
    """(x − mean) / std of each channel, and its inverse, for images (..., ch, H, W)."""

    def __init__(self, constants: Constants, device: torch.device) -> None:
        self.mean = torch.tensor(constants.mean, device=device).view(-1, 1, 1)
        self.std = torch.tensor(constants.std, device=device).view(-1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def inverse(self, images: Tensor) -> Tensor:
        return images * self.std + self.mean


def to_float(images: Tensor) -> Tensor:
    """uint8 images to float32 in [0, 1]; float images are returned as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images
