"""The augmentation operations of both families: how parameters are drawn, and how they apply to groups of images.

Images are normalized, (G, n, ch, H, W); every parameter is (G,), shared by the n images of its group. Condensing
groups by class; training a network puts each image in a group of its own. Everything is differentiable with respect
to the images and vectorized over G and n. Constants and formulas: METHODS.md 6.1, shared by DatasetCondensation@53f63a6
utils.py and DANCE@3f6b8b6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

BRIGHTNESS = 1.0  # width of the shift's range around 0, normalized pixels
SATURATION = 2.0  # largest factor
CONTRAST = 0.5  # the factor is in [CONTRAST, 1 + CONTRAST)
CROP = 0.125  # largest shift, as a fraction of the side
CUTOUT = 0.5  # side of the box, as a fraction of the image's side
SCALE = 1.2  # factors are in [1 / SCALE, SCALE)
ROTATE = 15.0  # largest angle, degrees


def max_crop_shift(side: int) -> int:
    """The largest shift along a side, in pixels: 4 for sides of 28 and 32, 8 for 64."""
    return math.floor(CROP * side + 0.5)


def cutout_side(side: int) -> int:
    """The length of the box along a side, in pixels: 14 for sides of 28, 16 for 32."""
    return math.floor(CUTOUT * side + 0.5)


# --- drawing: count groups of (H, W) to parameters (P, count), on the CPU, so that every device uses the same ---------


def draw_color(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """Rows: shift in [−0.5, 0.5) normalized pixels, saturation factor in [0, 2), contrast factor in [0.5, 1.5)."""
    u = torch.rand(3, count, generator=generator)
    return torch.stack([(u[0] - 0.5) * BRIGHTNESS, u[1] * SATURATION, u[2] + CONTRAST])


def draw_crop(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """Rows: whole shifts of rows and of columns, uniform in {−s, …, s} (int64)."""
    shifts = (max_crop_shift(height), max_crop_shift(width))
    return torch.stack([torch.randint(-most, most + 1, (count,), generator=generator) for most in shifts])


def draw_cutout(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """Rows: center row and column of the box, uniform in {0, …, side − (k mod 2)} (int64)."""
    ends = [side + 1 - cutout_side(side) % 2 for side in (height, width)]
    return torch.stack([torch.randint(0, end, (count,), generator=generator) for end in ends])


def draw_flip(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """One row: a fair coin (bool)."""
    return torch.rand(1, count, generator=generator) < 0.5


def draw_scale(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """The matrix diag(s_x, s_y) as rows xx, xy, yx, yy; the factors are independent, U[1/1.2, 1.2)."""
    x, y = torch.rand(2, count, generator=generator) * (SCALE - 1 / SCALE) + 1 / SCALE
    zero = torch.zeros(count)
    return torch.stack([x, zero, zero, y])


def draw_rotate(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """The matrix [[cos θ, −sin θ], [sin θ, cos θ]] as rows xx, xy, yx, yy; θ ~ U[−15°, 15°)."""
    angle = (torch.rand(count, generator=generator) - 0.5) * math.radians(2 * ROTATE)
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()])


# --- applying: images (G, n, ch, H, W) and parameters (G,) to new images; the inputs are never written to -------------


def color(images: Tensor, shift: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast, in one pass over the images.

    Brightness adds `shift` b. Saturation s spreads each pixel around its mean over channels p, contrast c each image
    around its mean m. As b moves both means and s moves neither, together: c·s·x + c·(1 − s)·p + (1 − c)·m + b.
    Neutral values (0, 1, 1) skip an operation. Saturation is a no-op on images with one channel.
    """
    shift, contrast = _per_group(shift, images), _per_group(contrast, images)
    pixel_mean = images.mean(2, keepdim=True)  # (G, n, 1, H, W)
    mean = pixel_mean.mean((2, 3, 4), keepdim=True)  # (G, n, 1, 1, 1)
    rest = (1 - contrast) * mean + shift
    if images.shape[2] == 1:
        return torch.addcmul(rest, images, contrast)
    saturation = _per_group(saturation, images)
    return torch.addcmul(torch.addcmul(rest, pixel_mean, contrast * (1 - saturation)), images, contrast * saturation)


def crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[r, c] = in[r + rows, c + columns], zero outside: equal to padding by zeros and cropping."""
    groups, height, width = images.shape[0], *images.shape[-2:]
    row = torch.arange(height, device=images.device) + rows[:, None]  # (G, H)
    column = torch.arange(width, device=images.device) + columns[:, None]  # (G, W)
    inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]
    source = row.clamp(0, height - 1)[:, :, None] * width + column.clamp(0, width - 1)[:, None, :]
    pixels = images.reshape(groups, -1, height * width)  # (G, n·ch, H·W)
    moved = pixels.gather(2, source.flatten(1)[:, None].expand_as(pixels))
    return moved.mul_(inside.flatten(1)[:, None]).view(images.shape)  # in place: autograd has not saved `moved`


def cutout(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Zero (the dataset's mean) in a k_H × k_W box that starts k // 2 before its center, clipped by the border."""
    height, width = images.shape[-2:]
    row = _in_box(rows, height)[:, None, None, :, None]  # (G, 1, 1, H, 1)
    column = _in_box(columns, width)[:, None, None, None, :]  # (G, 1, 1, 1, W)
    return images * ~(row & column)


def flip(images: Tensor, coin: Tensor) -> Tensor:
    """Mirrored horizontally in the groups whose coin is True."""
    return torch.where(_per_group(coin, images), images.flip(-1), images)


def affine(images: Tensor, xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor) -> Tensor:
    """Sample each image bilinearly at the matrix times the output pixel's offset from the center; zeros outside.

    Offsets are in half sides, so rotations keep their angle on square images only, as in the reference.
    """
    groups, _, _, height, width = images.shape
    x, y = _offsets(width, images), _offsets(height, images)[:, None]
    xx, xy, yx, yy = (entry.to(images.dtype)[:, None, None] for entry in (xx, xy, yx, yy))
    # not F.affine_grid: its matrix product is rounded to 10 bits where TF32 is on
    grid = torch.stack([xx * x + xy * y, yx * x + yy * y], dim=-1)  # (G, H, W, 2)
    folded = images.reshape(groups, -1, height, width)  # images of a group share the grid, like channels
    return F.grid_sample(folded, grid, align_corners=False).view(images.shape)


def _per_group(parameter: Tensor, images: Tensor) -> Tensor:
    """(G,) to (G, 1, 1, 1, 1), in the images' dtype unless it is a coin."""
    value = parameter if parameter.dtype == torch.bool else parameter.to(images.dtype)
    return value[:, None, None, None, None]


def _in_box(centers: Tensor, side: int) -> Tensor:
    """(G,) centers to (G, side): whether each row (or column) is in the box."""
    length = cutout_side(side)
    first = (centers - length // 2)[:, None]
    index = torch.arange(side, device=centers.device)
    return (index >= first) & (index < first + length)


def _offsets(side: int, like: Tensor) -> Tensor:
    """Pixel centers along a side, as offsets from the middle in half sides: −1 + 1/side … 1 − 1/side."""
    return (torch.arange(side, device=like.device, dtype=like.dtype) * 2 + 1) / side - 1


class Operation(NamedTuple):
    """How its parameters (P, count) are drawn and applied to images; `apply` takes the P rows one by one."""

    draw: Callable[[int, int, int, Generator], Tensor]
    apply: Callable[..., Tensor]


OPERATIONS = {
    "color": Operation(draw_color, color),
    "crop": Operation(draw_crop, crop),
    "cutout": Operation(draw_cutout, cutout),
    "flip": Operation(draw_flip, flip),
    "scale": Operation(draw_scale, affine),
    "rotate": Operation(draw_rotate, affine),
}
