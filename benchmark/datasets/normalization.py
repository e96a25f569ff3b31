"""What networks see of pixels: normalized by channel, or ZCA-whitened; and the inverse of each."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from benchmark.datasets.base import Constants, Split
from benchmark.utils.errors import BenchmarkError

ZCA = "zca"  # the space of a set that was condensed on whitened images (`SyntheticSet.training`)
EPS = 0.1  # added to the eigenvalues [mtt-distillation@50dccea utils.py get_dataset, kornia ZCAWhitening]
MAX_VALUES = 4096  # of an image to whiten: the decomposition takes their cube in operations
_CHUNK = 5000


class Normalizer(Protocol):
    """Maps images (..., ch, H, W) from pixels, 0..1 nominal, to what networks see, and back."""

    def __call__(self, images: Tensor) -> Tensor: ...

    def inverse(self, images: Tensor) -> Tensor: ...


class ChannelNormalizer:
    """(x − mean) / std of each channel, and its inverse."""

    def __init__(self, constants: Constants, device: torch.device) -> None:
        self.mean = torch.tensor(constants.mean, device=device).view(-1, 1, 1)
        self.std = torch.tensor(constants.std, device=device).view(-1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def inverse(self, images: Tensor) -> Tensor:
        return images * self.std + self.mean


class Whitener:
    """z = (x − μ)·U·(S + EPS)^(−1/2)·Uᵀ of images with D = ch·H·W values, and its inverse.

    mean (D,), values S (D,) and vectors U (D, D), the eigenvectors in its columns: of the covariance of real images.
    """

    def __init__(self, mean: Tensor, values: Tensor, vectors: Tensor) -> None:
        scale = (values + EPS).sqrt()
        self.mean, self.matrix, self.inverse_matrix = mean, (vectors / scale) @ vectors.T, (vectors * scale) @ vectors.T

    def __call__(self, images: Tensor) -> Tensor:
        return ((images.flatten(-3) - self.mean) @ self.matrix).view(images.shape)

    def inverse(self, images: Tensor) -> Tensor:
        return (images.flatten(-3) @ self.inverse_matrix + self.mean).view(images.shape)


def check_whitening(image_shape: tuple[int, int, int], where: str) -> None:
    """Raise BenchmarkError for images (ch, H, W) so large that the covariance cannot be decomposed."""
    channels, height, width = image_shape
    if channels * height * width > MAX_VALUES:
        raise BenchmarkError(
            f"images of {channels}x{height}x{width} are too large to be whitened: more than {MAX_VALUES:,} values each",
            where=where,
            next="take pixels or normalized images",
        )


def fit_whitening(train: Split) -> dict[str, Tensor]:
    """The arguments of `Whitener` for these uint8 images, float32; their covariance divides by N − 1."""
    flat = train.images.flatten(1)
    total = torch.zeros(flat.shape[1], dtype=torch.float64)
    for chunk in flat.split(_CHUNK):
        total += chunk.sum(0, dtype=torch.float64) / 255
    mean = total / len(flat)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in flat.split(_CHUNK):
        centered = chunk.float().div_(255).sub_(mean.float())
        covariance += (centered.T @ centered).double()
    values, vectors = torch.linalg.eigh(covariance / (len(flat) - 1))
    return {"mean": mean.float(), "values": values.clamp_min(0).float(), "vectors": vectors.float()}


def to_float(images: Tensor) -> Tensor:
    """uint8 images to float32 in [0, 1]; float images are returned as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images
