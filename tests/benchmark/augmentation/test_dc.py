"""DC's augmentation against direct calls of SciPy and PyTorch, one image at a time, and what is drawn how often."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage, stats
from torch import Tensor

from benchmark.augmentation import dc
from benchmark.augmentation.strategies import augment_batch, draw_per_group, parse
from benchmark.utils.errors import BenchmarkError

MNIST, NORM = parse("dc:crop_scale_rotate"), parse("dc:crop_noise")
ALL = parse("dc:crop_scale_rotate_noise")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed)) + 0.3


# --- one image (ch, H, W), from METHODS.md 6.5 ------------------------------------------------------------------------


def hand_crop(image: Tensor, mean: Tensor, row: int, column: int) -> Tensor:
    _, height, width = image.shape
    padded = torch.stack([F.pad(plane, (4, 4, 4, 4), value=float(m)) for plane, m in zip(image, mean, strict=True)])
    return padded[:, row : row + height, column : column + width]


def hand_scale(image: Tensor, height: int, width: int) -> Tensor:
    channels, side, _ = image.shape
    m = max(height, width, side)
    canvas = torch.zeros(channels, m, m)
    top, left, cut = int((m - height) / 2), int((m - width) / 2), int((m - side) / 2)
    canvas[:, top : top + height, left : left + width] = F.interpolate(image[None], (height, width))[0]
    return canvas[:, cut : cut + side, cut : cut + side]


def hand_rotate(image: Tensor, angle: int, fill: float) -> Tensor:
    _, height, width = image.shape
    run_result = ndimage.rotate(image.numpy(), angle, axes=(-2, -1), cval=fill)  # order 3, enlarging: SciPy's defaults
    top, left = (int((big - small) / 2) for big, small in zip(run_result.shape[-2:], (height, width), strict=True))
    return torch.tensor(run_result[:, top : top + height, left : left + width])


def drawn_parameters(results: Tensor, candidates: dict[tuple[int, ...], Tensor]) -> list[tuple[int, ...]]:
    """For each result, the parameters of the only candidate that it equals."""
    keys, stacked = list(candidates), torch.stack(list(candidates.values())).flatten(1)
    near = torch.cdist(results.flatten(1).double(), stacked.double()) < 1e-3
    assert (near.sum(1) == 1).all(), "a result is none of what could have been drawn, or not a unique one"
    return [keys[int(place)] for place in near.int().argmax(1)]


def assert_equally_often(values: list[int], expected: range) -> None:
    counts = np.array([values.count(value) for value in expected])
    assert counts.sum() == len(values), f"{sorted(set(values))} go beyond {expected}"
    assert stats.chisquare(counts).pvalue > 1e-4


# --- the operations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 9, 9), (1, 6, 11)])
def test_crop_pads_with_the_means_of_the_batch_and_draws_offsets_from_0_to_7(shape: tuple[int, int, int]) -> None:
    image, mean = some_images(*shape), torch.tensor([0.2, -1.5, 3.0])[: shape[0]]
    possible = {(r, c): hand_crop(image, mean, r, c) for r in range(9) for c in range(9)}
    drawn = drawn_parameters(dc.crop(image.expand(4000, -1, -1, -1), mean, seeded()), possible)
    rows, columns = map(list, zip(*drawn, strict=True))
    assert_equally_often(rows, range(8))
    assert_equally_often(columns, range(8))
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.06


@pytest.mark.parametrize("side", [8, 28, 32, 64])
def test_every_size_is_resized_as_pytorch_does_it(side: int) -> None:
    sizes = range(int(0.8 * side), int(1.2 * side) + 1)
    pairs = [(h, w) for h in sizes for w in (sizes if side < 30 else {sizes[0], h, side, sizes[-2], sizes[-1]})]
    images = some_images(len(pairs), 2, side, side)
    heights, widths = torch.tensor(pairs).T
    done = dc.resize(images, heights, widths)
    for image, result, (h, w) in zip(images, done, pairs, strict=True):
        assert torch.equal(result, hand_scale(image, h, w)), (h, w)


def test_scale_draws_both_sides_from_all_their_sizes() -> None:
    side, image = 10, some_images(2, 10, 10)
    possible = {(h, w): hand_scale(image, h, w) for h in range(7, 14) for w in range(7, 14)}
    drawn = drawn_parameters(dc.scale(image.expand(4000, -1, -1, -1), torch.zeros(2), seeded(1)), possible)
    for sizes in zip(*drawn, strict=True):
        assert_equally_often(list(sizes), range(int(0.8 * side), int(1.2 * side)))  # each a tenth of a side wide
    assert abs(np.corrcoef(np.array(drawn).T)[0, 1]) < 0.06


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 9), (2, 7, 12)])
def test_rotate_is_scipys(shape: tuple[int, int, int]) -> None:
    angles = torch.tensor([-45, -44, -30, -1, 0, 1, 13, 44])
    images = some_images(len(angles), *shape)
    done = dc.rotate_by(images, angles, 0.7)
    assert done.dtype == torch.float32
    for image, result, angle in zip(images, done, angles.tolist(), strict=True):
        torch.testing.assert_close(result, hand_rotate(image, angle, 0.7), rtol=1e-5, atol=1e-5)


def test_rotate_draws_whole_angles_and_fills_with_the_mean_of_the_means() -> None:
    image, mean = some_images(2, 8, 8), torch.tensor([1.0, -0.5])
    possible = {(angle,): hand_rotate(image, angle, 0.25) for angle in range(-46, 47)}
    drawn = drawn_parameters(dc.rotate(image.expand(4500, -1, -1, -1), mean, seeded(2)), possible)
    assert_equally_often([angle for (angle,) in drawn], range(-45, 45))


def test_noise_is_normal_and_a_thousandth_wide() -> None:
    images = torch.zeros(40, 3, 10, 10)
    added = dc.noise(images, torch.zeros(3), seeded(3)).numpy().ravel()
    assert stats.kstest(added / 0.001, "norm").pvalue > 1e-4
    assert len(np.unique(added)) > 11_900  # no two values share their noise


# --- one operation for each image -------------------------------------------------------------------------------------


def markers(images: Tensor) -> dict[str, Callable[[Tensor, Tensor], bool]]:
    """Whether an image came out of that operation, recognized by what only it leaves behind."""
    mean = images.mean((0, 2, 3))
    scaled = [(h, w) for h in range(22, 34) for w in range(22, 34)]

    def is_crop(image: Tensor, result: Tensor) -> bool:
        return any(torch.allclose(result, hand_crop(image, mean, r, c)) for r in range(8) for c in range(8))

    def is_scale(image: Tensor, result: Tensor) -> bool:
        return any(torch.equal(result, hand_scale(image, h, w)) for h, w in scaled)

    def is_rotate(image: Tensor, result: Tensor) -> bool:
        fill = float(mean.mean())
        return any(torch.allclose(result, hand_rotate(image, a, fill), atol=1e-4) for a in range(-45, 45))

    def is_noise(image: Tensor, result: Tensor) -> bool:
        return 0 < float((result - image).abs().max()) < 0.01

    return {"crop": is_crop, "scale": is_scale, "rotate": is_rotate, "noise": is_noise}


def test_each_image_of_a_batch_undergoes_exactly_one_operation_with_the_means_of_the_whole_batch() -> None:
    images = some_images(60, 3, 28, 28) + torch.tensor([0.0, 1.0, -3.0]).view(3, 1, 1)
    done, tests = augment_batch(images, ALL, seeded(4)), markers(images)
    kinds = []
    for image, result in zip(images, done, strict=True):
        if torch.equal(image, result):
            continue  # a crop at (4, 4) or a whole turn of nought: either is possible, and changes nothing
        (kind,) = (name for name, came_out in tests.items() if came_out(image, result))
        kinds.append(kind)
    assert set(kinds) == set(ALL.operations) and len(kinds) > 50


@pytest.mark.parametrize("strategy", [MNIST, NORM, ALL], ids=str)
def test_operations_are_equally_likely_for_each_image_independently(
    strategy: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations that stamp their place in the list show which one each image got."""
    names = strategy.operations  # type: ignore[attr-defined]
    for place, name in enumerate(names):
        stamp = lambda images, mean, generator, place=place: torch.full_like(images, place)  # noqa: E731
        monkeypatch.setitem(dc.OPERATIONS, name, stamp)
    generator, images = seeded(5), torch.full((64, 1, 1, 1), -1.0)
    drawn = torch.stack([augment_batch(images, strategy, generator).flatten() for _ in range(100)]).long()  # type: ignore[arg-type]
    assert_equally_often(drawn.flatten().tolist(), range(len(names)))
    same = float((drawn[:, 1:] == drawn[:, :-1]).float().mean())
    assert abs(same - 1 / len(names)) < 5 * math.sqrt(0.25 / 6300)


@pytest.mark.parametrize("strategy", [MNIST, NORM, ALL], ids=str)
def test_the_generator_decides_everything_and_the_images_stay(strategy: object) -> None:
    images, before = some_images(20, 3, 12, 12), torch.get_rng_state()
    kept, numpys = images.clone(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    first, again, other = (augment_batch(images, strategy, seeded(s)) for s in (1, 1, 2))  # type: ignore[arg-type]
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == images.shape and first.dtype == images.dtype and first.is_contiguous()
    assert torch.equal(images, kept) and first.data_ptr() != images.data_ptr()
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # type: ignore[index]  # noqa: NPY002


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_a_gpu_sees_the_same_draws(shape: tuple[int, int, int]) -> None:
    images = some_images(60, *shape)
    done = augment_batch(images.cuda(), ALL, seeded(1))
    assert done.is_cuda
    torch.testing.assert_close(done.cpu(), augment_batch(images, ALL, seeded(1)), rtol=1e-5, atol=1e-5)


# --- as text, and where it may be used --------------------------------------------------------------------------------


def test_the_family_parses_prints_and_has_operations_of_its_own() -> None:
    assert str(ALL) == "dc:crop_scale_rotate_noise" and parse(str(ALL)) == ALL
    assert ALL.without("flip") == ALL and str(ALL.without("noise")) == str(MNIST)
    assert torch.equal(augment_batch(torch.ones(2, 1, 4, 4), parse("dc:noise").without("noise"), seeded()),
                       torch.ones(2, 1, 4, 4))  # fmt: skip
    with pytest.raises(BenchmarkError, match=r"no augmentation 'nose'\. Did you mean 'noise'"):
        parse("dc:crop_nose")
    for text in ("dc:crop_flip", "dsa:crop_noise", "idc:noise"):
        with pytest.raises(BenchmarkError, match="no augmentation"):
            parse(text)


def test_it_is_refused_for_condensing() -> None:
    with pytest.raises(BenchmarkError, match="training networks only") as caught:
        draw_per_group(MNIST, 10, (1, 28, 28), seeded())
    assert "dsa" in caught.value.next
