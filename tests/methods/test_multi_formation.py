"""Mosaics and decoding against loops over pixels, and what goes wrong at the borders."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from methods.base import SyntheticSet
from methods.multi_formation import decode, decode_classes, mosaic, tile_sizes


def test_nearest_mosaic_at_factor_two_takes_every_second_pixel() -> None:
    images = torch.rand(3, 8, 2, 6, 6)  # 3 classes, ipc 2, factor² = 4 real images each
    made = mosaic(images, 2, "nearest")
    assert made.shape == (3, 2, 2, 6, 6)
    for c in range(3):
        for k in range(2):
            for tile, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
                expected = images[c, tile * 2 + k, :, ::2, ::2]
                assert torch.equal(made[c, k, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3], expected)


def test_area_mosaic_is_the_mean_of_two_by_two_pixels() -> None:
    images = torch.rand(1, 4, 1, 4, 4)
    made = mosaic(images, 2, "area")
    expected = images[0, 1, 0].reshape(2, 2, 2, 2).mean((1, 3))
    torch.testing.assert_close(made[0, 0, 0, :2, 2:], expected)


def test_uneven_tiles_fill_the_image() -> None:
    assert tile_sizes(28, 3) == [10, 9, 9]
    made = mosaic(torch.ones(1, 9, 1, 28, 28), 3, "nearest")
    assert torch.equal(made, torch.ones(1, 1, 1, 28, 28))


@pytest.mark.parametrize("side,factor", [(8, 2), (28, 3)])
def test_decode_cuts_tiles_and_enlarges_them(side: int, factor: int) -> None:
    images = torch.rand(5, 3, side, side)
    decoded = decode(images, factor)
    assert decoded.shape == (5 * factor**2, 3, side, side)
    tile = -(-side // factor)
    padded = torch.full((5, 3, tile * factor, tile * factor), 0.5)
    padded[..., :side, :side] = images
    for n, (i, j) in enumerate((i, j) for i in range(factor) for j in range(factor)):
        cut = padded[..., i * tile : (i + 1) * tile, j * tile : (j + 1) * tile]
        large = F.interpolate(cut, size=(side, side), mode="bilinear", align_corners=False)
        torch.testing.assert_close(decoded[n * 5 : (n + 1) * 5], large)


def test_decode_is_differentiable_and_classes_are_a_batch_dimension() -> None:
    images = torch.rand(3, 2, 1, 4, 4, requires_grad=True)
    decoded = decode_classes(images, 2)
    assert decoded.shape == (3, 8, 1, 4, 4)
    for c in range(3):
        torch.testing.assert_close(decoded[c], decode(images[c], 2))
    (gradient,) = torch.autograd.grad(decoded[1].sum(), images)
    assert gradient[1].abs().min() > 0 and gradient[0].abs().max() == 0


def test_a_set_decodes_with_its_labels() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 4, 4)
    decoded, labels = SyntheticSet(images, torch.tensor([0, 0, 1, 1]), ipc=2, factor=2).decode()
    assert decoded.shape[0] == labels.shape[0] == 16
    assert torch.equal(labels, (decoded[:, 0, 0, 0] >= 2).long())
