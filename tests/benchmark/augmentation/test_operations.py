"""Augmentation operations against plain loops over single pixels, and how their parameters are distributed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from benchmark.augmentation import operations

SHAPE = (3, 8, 8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


# --- one image at a time, in numpy, from METHODS.md 6.1 ---------------------------------------------------------------


def hand_color(x: np.ndarray, shift: float, saturation: float, contrast: float) -> np.ndarray:
    x = x + shift
    m = x.mean(0)
    x = np.stack([(channel - m) * saturation + m for channel in x])
    return (x - x.mean()) * contrast + x.mean()


def hand_crop(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    out = np.zeros_like(x)
    _, height, width = x.shape
    for r in range(height):
        for c in range(width):
            if 0 <= r + rows < height and 0 <= c + columns < width:
                out[:, r, c] = x[:, r + rows, c + columns]
    return out


def hand_cutout(x: np.ndarray, row: int, column: int) -> np.ndarray:
    out, (_, height, width) = x.copy(), x.shape
    k_h, k_w = int(0.5 * height + 0.5), int(0.5 * width + 0.5)
    for r in range(row - k_h // 2, row + k_h - k_h // 2):
        for c in range(column - k_w // 2, column + k_w - k_w // 2):
            if 0 <= r < height and 0 <= c < width:
                out[:, r, c] = 0
    return out


def hand_flip(x: np.ndarray, coin: float) -> np.ndarray:
    return x[:, :, ::-1] if coin else x


def hand_affine(x: np.ndarray, xx: float, xy: float, yx: float, yy: float) -> np.ndarray:
    """Output pixel at offset (u, v) from the centre samples the matrix times (u, v); zero everywhere outside."""
    _, height, width = x.shape
    v, u = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    places = [yx * u + yy * v + (height - 1) / 2, xx * u + xy * v + (width - 1) / 2]
    return np.stack([map_coordinates(channel, places, order=1, mode="grid-constant") for channel in x])


HAND = {
    "color": hand_color,
    "crop": hand_crop,
    "cutout": hand_cutout,
    "flip": hand_flip,
    "scale": hand_affine,
    "rotate": hand_affine,
}


def check(operation: str, images: Tensor, parameters: Tensor) -> None:
    """`operation` on (G, n, ch, H, W) equals its loop, and leaves its input as it was."""
    before = images.clone()
    done = operations.OPERATIONS[operation].apply(images, *parameters)
    assert torch.equal(images, before) and done.shape == images.shape and done.dtype == images.dtype
    for g, group in enumerate(images.double().numpy()):
        for i, image in enumerate(group):
            expected = HAND[operation](image, *(row[g].item() for row in parameters))
            np.testing.assert_allclose(done[g, i].numpy(), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 9), (3, 11, 11)])
@pytest.mark.parametrize(("groups", "n"), [(5, 3), (12, 1)], ids=["shared", "per-sample"])
@pytest.mark.parametrize("operation", HAND)
def test_operations_equal_plain_loops(operation, groups, n, shape):
    parameters = operations.OPERATIONS[operation].draw(groups, *shape[1:], seeded(1))
    check(operation, some_images(groups, n, *shape), parameters)


@pytest.mark.parametrize("operation", ["color", "crop", "cutout", "flip"])
def test_operations_on_oblong_images(operation):
    parameters = operations.OPERATIONS[operation].draw(20, 6, 11, seeded(2))
    check(operation, some_images(20, 2, 3, 6, 11), parameters)


def every_pair(first: int, behind: int) -> Tensor:
    places = torch.arange(first, behind)
    return torch.cartesian_prod(places, places).T


@pytest.mark.parametrize("side", [7, 8])
def test_crop_and_cutout_at_every_border(side):
    """All shifts and centres, those that push (almost) everything out included."""
    shifts, centres = every_pair(-side, side + 1), every_pair(0, side + 1)
    check("crop", some_images(shifts.shape[1], 1, 2, side, side), shifts)
    check("cutout", some_images(centres.shape[1], 1, 2, side, side), centres)


def test_neutral_parameters_change_nothing():
    images, one, zero = some_images(2, 2, *SHAPE), torch.ones(2), torch.zeros(2)
    torch.testing.assert_close(operations.color(images, zero, one, one), images)
    torch.testing.assert_close(operations.affine(images, one, zero, zero, one), images)
    assert torch.equal(operations.crop(images, zero.long(), zero.long()), images)
    assert torch.equal(operations.flip(images, zero.bool()), images)


def test_saturation_leaves_grey_images_alone():
    images, one = some_images(2, 2, 1, 8, 8), torch.ones(2)
    grey = [operations.color(images, one / 4, factor * one, one / 2) for factor in (0.0, 1.0, 1.9)]
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[1], grey[2])


@pytest.mark.parametrize("operation", ["color", "crop", "cutout", "flip", "scale", "rotate"])
def test_gradients_reach_the_images(operation):
    parameters = operations.OPERATIONS[operation].draw(2, 4, 4, seeded(4))
    images = some_images(2, 2, 3, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operations.OPERATIONS[operation].apply(x, *parameters), images)


# --- what is drawn, and how often -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "crop", "cutout"), [(28, 4, 14), (32, 4, 16), (64, 8, 32), (128, 16, 64), (224, 28, 112)]
)
def test_published_sizes(side, crop, cutout):
    assert operations.max_crop_shift(side) == crop
    assert operations.cutout_side(side) == cutout


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    """Within [low, high], both ends nearly reached, and each of ten bins about as full as the others."""
    assert low <= values.min() <= low + 0.01 * (high - low)
    assert high >= values.max() >= high - 0.01 * (high - low)
    bins = torch.histc(values.double(), 10, low, high)
    expected = len(values) / 10
    assert (bins - expected).abs().max() < 5 * math.sqrt(expected)


def assert_equally_often(values: Tensor, first: int, last: int) -> None:
    found, counts = values.unique(return_counts=True)
    assert found.tolist() == list(range(first, last + 1))
    expected = len(values) / len(found)
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected)


def assert_unrelated(one: Tensor, other: Tensor) -> None:
    assert abs(np.corrcoef(one.double().numpy(), other.double().numpy())[0, 1]) < 0.05


def draw(operation: str, height: int = 32, width: int = 32) -> Tensor:
    return operations.OPERATIONS[operation].draw(10_000, height, width, seeded(11))


def test_ranges_of_color_scale_and_rotate():
    for values, low, high in zip(draw("color"), (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True):
        assert_uniform(values, low, high)
    xx, xy, yx, yy = draw("scale")
    assert_uniform(xx, 1 / 1.2, 1.2)
    assert_uniform(yy, 1 / 1.2, 1.2)
    assert (xy == 0).all() and (yx == 0).all()
    assert_unrelated(xx, yy)
    xx, xy, yx, yy = draw("rotate")
    assert_uniform(torch.atan2(yx, xx).rad2deg(), -15.0, 15.0)
    torch.testing.assert_close(xx * yy - xy * yx, torch.ones(10_000))
    assert torch.equal(xx, yy) and torch.equal(xy, -yx)


@pytest.mark.parametrize(("side", "reach", "last_centre"), [(32, 4, 32), (28, 4, 28), (9, 1, 8), (8, 1, 8)])
def test_ranges_of_crop_cutout_and_flip(side, reach, last_centre):
    rows, columns = draw("crop", side, side)
    assert_equally_often(rows, -reach, reach)
    assert_equally_often(columns, -reach, reach)
    assert_unrelated(rows, columns)
    rows, columns = draw("cutout", side, side)
    assert_equally_often(rows, 0, last_centre)
    assert_equally_often(columns, 0, last_centre)
    assert_unrelated(rows, columns)
    assert_equally_often(draw("flip")[0].long(), 0, 1)
