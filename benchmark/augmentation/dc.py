"""DC's own augmentation: one operation for each image of a mini-batch on which a network is trained.

Images are normalized, (n, ch, H, W). Nothing is differentiable, and inputs are not written to. Everything is drawn
from a CPU generator, so that every device uses the same draws. Constants and formulas: METHODS.md 6.5, from
DatasetCondensation@53f63a6 utils.py, augment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

PAD = 4  # pixels around an image before it is cropped
SCALE = 0.2  # factors are in [1 − SCALE, 1 + SCALE)
ROTATE = 45  # whole degrees: −ROTATE, …, ROTATE − 1
NOISE = 0.001  # standard deviation, normalized pixels


def augment_each(images: Tensor, operations: Sequence[str], generator: Generator) -> Tensor:
    """Images (n, ch, H, W) to new ones: each undergoes one of the operations, all of them equally likely."""
    choice = torch.randint(len(operations), (len(images),), generator=generator)
    mean = images.mean((0, 2, 3))  # (ch,): of the whole mini-batch, before any operation
    augmented = images.clone()
    for index, name in enumerate(operations):
        members = (choice == index).nonzero().squeeze(1).to(images.device)
        if len(members):
            augmented[members] = OPERATIONS[name](images[members], mean, generator)
    return augmented


def crop(images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
    """Padded by the channels' mean, cropped at row and column offsets uniform in {0, …, 2·PAD − 1}.

    An offset of 2·PAD, the far corner, is never drawn, as in the reference.
    """
    rows, columns = torch.randint(2 * PAD, (2, len(images)), generator=generator).to(images.device)
    return crop_at(images, rows, columns, mean)


def crop_at(images: Tensor, rows: Tensor, columns: Tensor, mean: Tensor) -> Tensor:
    """The crop (H, W) at offsets `rows`, `columns` (n,) in {0, …, 2·PAD} of images padded by `mean` (ch,)."""
    count, channels, height, width = images.shape
    canvas = mean.view(1, channels, 1, 1).repeat(count, 1, height + 2 * PAD, width + 2 * PAD)
    canvas[..., PAD : PAD + height, PAD : PAD + width] = images
    windows = canvas.unfold(2, height, 1).unfold(3, width, 1)  # a view (n, ch, 2·PAD + 1, 2·PAD + 1, H, W)
    return windows[torch.arange(count, device=images.device), :, rows, columns]


def scale(images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
    """Each side resized by a factor of its own, U[1 − SCALE, 1 + SCALE), to whole pixels, rounded down."""
    factors = 1 - SCALE + 2 * SCALE * torch.rand(2, len(images), dtype=torch.float64, generator=generator)
    heights, widths = (int(side) * factor for side, factor in zip(images.shape[-2:], factors, strict=True))
    return resize(images, heights.long().to(images.device), widths.long().to(images.device))


def resize(images: Tensor, heights: Tensor, widths: Tensor) -> Tensor:
    """Resized by nearest neighbors to `heights` × `widths` (n,), padded by zeros, cropped to (H, W) around the center.

    Both centers are rounded down on a square canvas that holds the old and the new image.
    # differs: a new width is a fraction of the width (the reference takes the height; they differ if H ≠ W only).
    """
    count, _, height, width = images.shape
    canvas = torch.maximum(heights, widths).clamp(min=max(height, width))
    row, row_inside = _nearest(height, heights, canvas)
    column, column_inside = _nearest(width, widths, canvas)
    index = torch.arange(count, device=images.device)[:, None, None]
    resized = images.permute(0, 2, 3, 1)[index, row[:, :, None], column[:, None, :]]  # (n, H, W, ch)
    inside = row_inside[:, :, None] & column_inside[:, None, :]  # (n, H, W)
    return (resized * inside[..., None]).permute(0, 3, 1, 2).contiguous()


def _nearest(side: int, resized: Tensor, canvas: Tensor) -> tuple[Tensor, Tensor]:
    """For each pixel along a side, (n, side): the source pixel, and whether it lies inside the resized image."""
    position = torch.arange(side, device=resized.device) + ((canvas - side) // 2 - (canvas - resized) // 2)[:, None]
    # In float32, as PyTorch's nearest interpolation computes it: exact fractions would round differently at times.
    ratio = (torch.tensor(side, dtype=torch.float32, device=resized.device) / resized)[:, None]
    source = (position * ratio).floor().long().clamp(0, side - 1)
    return source, (position >= 0) & (position < resized[:, None])


def rotate(images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
    """Rotated by a whole number of degrees, uniform in {−ROTATE, …, ROTATE − 1}; the mean of `mean` outside."""
    angles = torch.randint(-ROTATE, ROTATE, (len(images),), generator=generator)
    return rotate_by(images, angles, float(mean.double().mean()))


def rotate_by(images: Tensor, angles: Tensor, fill: float) -> Tensor:
    """Images rotated by `angles` (n,) in degrees with cubic splines, cropped to (H, W) around the center.

    SciPy rotates one image at a time, on the CPU, on a canvas that holds all of it; all splines are filtered at once.
    """
    from scipy import ndimage  # loading it takes a while, and only dc:rotate needs it

    height, width = images.shape[-2:]
    splines = images.detach().double().cpu().numpy()
    for axis in (-2, -1):
        splines = ndimage.spline_filter1d(splines, order=3, axis=axis, mode="constant")
    rotated = np.empty(splines.shape, np.float32)
    for result, spline, angle in zip(rotated, splines, angles.tolist(), strict=True):
        whole = ndimage.rotate(spline, angle, axes=(-2, -1), order=3, cval=fill, prefilter=False)  # (ch, H', W')
        top, left = (whole.shape[-2] - height) // 2, (whole.shape[-1] - width) // 2
        result[:] = whole[:, top : top + height, left : left + width]
    return torch.from_numpy(rotated).to(images)


def noise(images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
    """Plus NOISE · N(0, 1), drawn for each value."""
    return images + NOISE * torch.randn(images.shape, generator=generator).to(images)


OPERATIONS = {"crop": crop, "scale": scale, "rotate": rotate, "noise": noise}
