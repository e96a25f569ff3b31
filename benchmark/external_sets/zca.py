"""The inverse of ZCA whitening as MTT's code fits it: whitened images back to pixels."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from benchmark.datasets import Split
from benchmark.utils.errors import BenchmarkError

EPS = 0.1  # added to the eigenvalues [mtt-distillation@50dccea utils.py get_dataset, kornia ZCAWhitening]
MAX_PIXELS = 4096  # of an image: the decomposition takes their cube in operations
_CHUNK = 5000


def check_size(image_shape: tuple[int, int, int]) -> None:
    """Raise BenchmarkError for images (ch, H, W) so large that the matrix cannot be decomposed."""
    channels, height, width = image_shape
    if channels * height * width > MAX_PIXELS:
        raise BenchmarkError(
            f"whitening of images of {channels}x{height}x{width} is not undone: its matrix would be too large",
            where="pixel_scale=whitened",
            next="give the set in pixels (MTT's code writes images_zca_*.pt, which are), or normalized",
        )


def unwhiten(images: Tensor, train: Split) -> Tensor:
    """Whitened (N, ch, H, W) to pixels, with mean and covariance of the raw 0..1 training images.

    z = (x - mean) U (S + EPS)^(-1/2) U', so x = z U (S + EPS)^(1/2) U' + mean, in float64.
    """
    mean, inverse = _fit(train)
    pixels: Tensor = images.flatten(1).double() @ inverse + mean
    return pixels.float().view_as(images)


@lru_cache(maxsize=1)
def _fit(train: Split) -> tuple[Tensor, Tensor]:
    """Mean (D,) and the symmetric matrix (D, D) that undoes the whitening."""
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
    return mean, (vectors * (values.clamp_min(0) + EPS).sqrt()) @ vectors.T
