"""The pixel scale inferred from real images, learned ones and noise in every scale."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from benchmark.datasets import Constants, Split
from benchmark.datasets.base import channel_statistics
from benchmark.external_sets.convert import resolve_pixel_scale
from benchmark.external_sets.pixel_scale import PixelScale, infer_pixel_scale
from benchmark.external_sets.read import read_external_set
from benchmark.utils.errors import BenchmarkError
from external_set_files import digits

SIDE = 16


@cache
def photographs() -> tuple[Split, Constants]:
    """Patches of two photographs, (N, 3, 16, 16): real images in colour."""
    whole = [torch.tensor(image) for image in load_sample_images().images]
    patches = [image.unfold(0, SIDE, 8).unfold(1, SIDE, 8).flatten(0, 1) for image in whole]
    images = torch.cat(patches).contiguous()
    return Split(images, torch.zeros(len(images), dtype=torch.int64)), channel_statistics(images)


def real(name: str, seed: int, count: int = 100) -> tuple[Tensor, Constants]:
    """Random real images as float32 pixels, and what normalises their dataset."""
    split, constants = (digits().train, digits().constants) if name == "digits" else photographs()
    index = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count]
    return split.images[index].float() / 255, constants


def normalize(pixels: Tensor, constants: Constants) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (constants.mean, constants.std))
    return (pixels - mean) / std


def infer(values: Tensor, constants: Constants, *, whitened: bool) -> PixelScale:
    return infer_pixel_scale([values], constants, may_be_whitened=whitened, where="file")


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("name", ["digits", "photographs"])
@pytest.mark.parametrize(("seed", "count"), [(0, 10), (1, 100), (2, 100)])
@pytest.mark.parametrize("whitened", [True, False])
def test_real_images_are_recognized_in_every_scale(name: str, seed: int, count: int, whitened: bool) -> None:
    pixels, constants = real(name, seed, count)
    scales = {"raw": pixels, "bytes": pixels * 255, "normalized": normalize(pixels, constants)}
    for name, values in scales.items():
        scale = infer(values, constants, whitened=whitened)
        assert scale.name == name and scale.reason
        assert torch.allclose(scale.to_pixels(values), pixels, atol=1e-5)
    assert infer((pixels * 255).byte(), constants, whitened=whitened).name == "bytes"


@pytest.mark.parametrize("name", ["digits", "photographs"])
@pytest.mark.parametrize("learned", [0.1, 0.5, 1.0])
def test_learned_images_are_recognized_however_noisy(name: str, learned: float) -> None:
    pixels, constants = real(name, 3)
    values = normalize(pixels, constants)
    assert infer(values + learned * noise(values), constants, whitened=False).name == "normalized"
    raw = pixels + 0.4 * learned * torch.tensor(constants.std).view(-1, 1, 1) * noise(pixels)
    assert infer(raw, constants, whitened=False).name == "raw"


@pytest.mark.parametrize("strength", [1.0, 1.5, 2.0])
def test_noise_is_normalized_unless_it_may_be_whitened_and_then_ambiguous(strength: float) -> None:
    pixels, constants = real("photographs", 4)
    values = strength * noise(pixels)  # what DC starts from
    assert infer(values, constants, whitened=False).name == "normalized"
    with pytest.raises(BenchmarkError, match="normalized or whitened"):
        infer(values, constants, whitened=True)


def whiten(pixels: Tensor, split: Split) -> Tensor:
    """ZCA fitted on the split, by another way than `fit_whitening`."""
    flat = split.images.flatten(1).double() / 255
    values, vectors = torch.linalg.eigh(flat.T.cov())
    matrix = vectors @ torch.diag((values + 0.1).rsqrt()) @ vectors.T
    return ((pixels.flatten(1).double() - flat.mean(0)) @ matrix).float().view_as(pixels)


def test_whitened_photographs_are_recognized() -> None:
    split, constants = photographs()
    pixels, _ = real("photographs", 5)
    white = whiten(pixels, split)
    assert infer(white, constants, whitened=True).name == "whitened"
    with pytest.raises(BenchmarkError):
        infer(white, constants, whitened=False)


@pytest.mark.parametrize("change", ["to -1..1", "flat", "huge"])
def test_ambiguous_files_are_refused_with_the_way_out(change: str) -> None:
    pixels, constants = real("photographs", 6)
    values = {"to -1..1": 2 * pixels - 1, "flat": 0.1 * normalize(pixels, constants), "huge": 1e4 * noise(pixels)}
    with pytest.raises(BenchmarkError) as caught:
        infer(values[change], constants, whitened=True)
    assert "is ambiguous" in caught.value.what and "pixel_scale=normalized" in caught.value.next


@pytest.mark.parametrize("deviation", [0.59, 0.75, 0.77])
def test_a_learned_whitened_set_is_whitened_as_one_file_and_as_two(deviation: float, tmp_path: Path) -> None:
    """The deviations are those of three published sets: RFAD's at ipc 1 and 10, and DATM's."""
    split, constants = photographs()
    data = replace(digits(), train=split, constants=constants)
    pixels, labels = real("photographs", 5)[0], torch.arange(10).repeat(10)
    values = whiten(pixels, split)
    values = values / values.std() + 1.5 * noise(values)  # learned: 3 to 10 % of the variance in coarse blocks
    values = values * deviation / values.std()
    torch.save([values, labels], tmp_path / "list.pt")
    torch.save(values, tmp_path / "images.pt")
    torch.save(labels, tmp_path / "labels.pt")
    ways = ([tmp_path / "list.pt"], [tmp_path / "images.pt", tmp_path / "labels.pt"])
    for paths in ways:
        assert resolve_pixel_scale(read_external_set(paths, data), data, None, None).name == "whitened"
