"""Multi-formation: one stored image holds factor × factor small ones (IDC, ICML 2022; used by DANCE and IDM)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def tile_sizes(side: int, factor: int) -> list[int]:
    """Sides of the tiles along one axis: side // factor each, the first (side mod factor) tiles one pixel larger."""
    return [side // factor + (1 if i < side % factor else 0) for i in range(factor)]


def fitting_factors(height: int, width: int) -> list[int]:
    """The factors with which each small image has a pixel in each direction, from 1 to the shorter side.

    As tiles have equal sides, rounded up, others would leave the last ones with padding alone.
    """
    side = min(height, width)
    return [factor for factor in range(1, side + 1) if (factor - 1) * math.ceil(side / factor) < side]


def mosaic(images: Tensor, factor: int, downsample: str) -> Tensor:
    """(C, ipc·factor², ch, H, W) real images, shrunk into (C, ipc, ch, H, W) mosaics.

    The k-th block of ipc images fills tile k, row by row [DANCE@3f6b8b6, init "mix"]. `downsample` is `nearest`
    (DANCE: at factor 2 every second pixel) or `area` (the mean of the pixels that fall into one).
    """
    if factor == 1:
        return images
    classes, count, channels, height, width = images.shape
    ipc = count // factor**2
    out = images.new_empty(classes, ipc, channels, height, width)
    rows, columns = tile_sizes(height, factor), tile_sizes(width, factor)
    for i, h in enumerate(rows):
        for j, w in enumerate(columns):
            k = i * factor + j
            block = images[:, k * ipc : (k + 1) * ipc].flatten(0, 1)
            tile = F.interpolate(block, size=(h, w), mode=downsample)
            top, left = sum(rows[:i]), sum(columns[:j])
            out[..., top : top + h, left : left + w] = tile.unflatten(0, (classes, ipc))
    return out


def decode(images: Tensor, factor: int) -> Tensor:
    """(N, ch, H, W) stored images to the (factor²·N, ch, H, W) they hold, tile by tile, row by row. Differentiable.

    If factor does not divide a side, the image is padded with 0.5 at the right or bottom. Tiles are enlarged
    bilinearly (align_corners off) [DANCE@3f6b8b6, decode "single"].
    """
    if factor == 1:
        return images
    height, width = images.shape[-2:]
    h, w = math.ceil(height / factor), math.ceil(width / factor)
    padded = F.pad(images, (0, w * factor - width, 0, h * factor - height), value=0.5)
    tiles = [padded[..., i * h : (i + 1) * h, j * w : (j + 1) * w] for i in range(factor) for j in range(factor)]
    return F.interpolate(torch.cat(tiles), size=(height, width), mode="bilinear", align_corners=False)


def decode_classes(images: Tensor, factor: int) -> Tensor:
    """`decode` with classes as a batch dimension: (C, ipc, ch, H, W) to (C, factor²·ipc, ch, H, W)."""
    if factor == 1:
        return images
    classes = images.shape[0]
    tiles = decode(images.flatten(0, 1), factor).unflatten(0, (factor**2, classes, -1))
    by_class: Tensor = tiles.transpose(0, 1).flatten(1, 2)
    return by_class


def random_subset(decoded: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """(C, n, ch, H, W) to `limit` random images of each class, in random order; unchanged if there are no more."""
    classes, count = decoded.shape[:2]
    if count <= limit:
        return decoded
    subset = torch.stack([torch.randperm(count, generator=generator)[:limit] for _ in range(classes)])
    return decoded[torch.arange(classes, device=decoded.device)[:, None], subset.to(decoded.device)]
