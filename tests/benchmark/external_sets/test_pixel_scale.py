"""In which units pixels are: real images, learned ones and noise, in every unit; and whitening undone."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from benchmark.datasets import Constants, Split
from benchmark.datasets.base import statistics
from benchmark.external_sets import zca
from benchmark.external_sets.pixel_scale import tell
from benchmark.utils.errors import BenchmarkError
from released_files import digits

SIDE = 16


@cache
def photographs() -> tuple[Split, Constants]:
    """Patches of two photographs, (N, 3, 16, 16): real images in colour."""
    whole = [torch.tensor(image) for image in load_sample_images().images]
    patches = [image.unfold(0, SIDE, 8).unfold(1, SIDE, 8).flatten(0, 1) for image in whole]
    images = torch.cat(patches).contiguous()
    return Split(images, torch.zeros(len(images), dtype=torch.int64)), statistics(images)


def real(name: str, seed: int, count: int = 100) -> tuple[Tensor, Constants]:
    """Random real images as float32 pixels, and what normalises their dataset."""
    split, constants = (digits().train, digits().constants) if name == "digits" else photographs()
    index = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count]
    return split.images[index].float() / 255, constants


def normalize(pixels: Tensor, constants: Constants) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (constants.mean, constants.std))
    return (pixels - mean) / std


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("name", ["digits", "photographs"])
@pytest.mark.parametrize(("seed", "count"), [(0, 10), (1, 100), (2, 100)])
@pytest.mark.parametrize("white", [True, False])
def test_real_images_are_known_in_every_unit(name: str, seed: int, count: int, white: bool) -> None:
    pixels, constants = real(name, seed, count)
    forms = {"raw": pixels, "bytes": pixels * 255, "normalized": normalize(pixels, constants)}
    for units, values in forms.items():
        found = tell([values], constants, white=white, where="")
        assert found.name == units and found.reason
        assert torch.allclose(found.pixels(values), pixels, atol=1e-5)
    assert tell([(pixels * 255).byte()], constants, white=white, where="").name == "bytes"


@pytest.mark.parametrize("name", ["digits", "photographs"])
@pytest.mark.parametrize("learned", [0.1, 0.5, 1.0])
def test_learned_images_are_known_however_noisy(name: str, learned: float) -> None:
    pixels, constants = real(name, 3)
    values = normalize(pixels, constants)
    assert tell([values + learned * noise(values)], constants, white=False, where="").name == "normalized"
    raw = pixels + 0.4 * learned * torch.tensor(constants.std).view(-1, 1, 1) * noise(pixels)
    assert tell([raw], constants, white=False, where="").name == "raw"


@pytest.mark.parametrize("strength", [1.0, 1.5, 2.0])
def test_noise_is_normalised_where_whitened_sets_do_not_come_and_untold_where_they_do(strength: float) -> None:
    pixels, constants = real("photographs", 4)
    values = strength * noise(pixels)  # what DC starts from
    assert tell([values], constants, white=False, where="").name == "normalized"
    with pytest.raises(BenchmarkError, match="normalised or whitened"):
        tell([values], constants, white=True, where="")


def test_whitened_photographs_are_known_and_undone() -> None:
    split, constants = photographs()
    pixels, _ = real("photographs", 5)
    flat = split.images.flatten(1).double() / 255
    values, vectors = torch.linalg.eigh(flat.T.cov())
    matrix = vectors @ torch.diag((values + 0.1).rsqrt()) @ vectors.T
    white = ((pixels.flatten(1).double() - flat.mean(0)) @ matrix).float().view_as(pixels)
    assert torch.allclose(zca.unwhiten(white, split), pixels, atol=1e-4)
    assert torch.allclose(zca.whiten(pixels, split), white, atol=1e-4)
    assert tell([white], constants, white=True, where="").name == "whitened"
    with pytest.raises(BenchmarkError):
        tell([white], constants, white=False, where="")


@pytest.mark.parametrize("change", ["to -1..1", "flat", "huge"])
def test_what_statistics_do_not_tell_is_refused_with_the_way_out(change: str) -> None:
    pixels, constants = real("photographs", 6)
    values = {"to -1..1": 2 * pixels - 1, "flat": 0.1 * normalize(pixels, constants), "huge": 1e4 * noise(pixels)}
    with pytest.raises(BenchmarkError) as caught:
        tell([values[change]], constants, white=True, where="file")
    assert "cannot be told" in caught.value.what and "pixel_scale=normalised" in caught.value.next


def test_images_too_large_to_unwhiten_are_refused() -> None:
    zca.check_size((3, 32, 32))
    with pytest.raises(BenchmarkError, match="3x64x64"):
        zca.check_size((3, 64, 64))
