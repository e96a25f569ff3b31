"""Checkpoints, synthetic sets and what a problem hands out: bit for bit, in the units that are promised."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import ConcreteProblem, RealImages
from benchmark.condensation.synthetic_set import load_set, save_set
from benchmark.datasets import Constants
from benchmark.datasets.normalization import Normalizer
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tree, save_tree
from methods.base import SyntheticSet
from methods.dance import DANCE, DANCEConfig
from methods.dm import DistributionMatching, DMConfig, embedding_gap
from parts import CPU, make_images

Make = Callable[..., ConcreteProblem]


# --- trees ------------------------------------------------------------------------------------------------------------


def same(left: Any, right: Any) -> bool:
    """Equal types, shapes and bits, all the way down."""
    if isinstance(left, Tensor):
        raw = [x.contiguous().flatten().view(torch.uint8) for x in (left, right)]
        return left.dtype == right.dtype and left.shape == right.shape and torch.equal(*raw)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"empty": {}, "deeper": {"empty": {}, "beside": {"a": torch.ones(2)}}},
        {"odd": torch.tensor([float("nan"), -0.0, 1e-45, float("-inf")]), "none": torch.zeros(0, 3)},
        {"one": torch.tensor(7), "yes": torch.tensor([True, False])},
        {"kinds": {str(kind): torch.ones(3).to(kind) for kind in (torch.bfloat16, torch.float64, torch.int64)}},
        {"strided": torch.arange(12.0).view(3, 4).t(), "a.b": torch.ones(1), "a": {"b": torch.zeros(1), "c": 1}},
        {"values": {"text": "é/", "none": None, "list": [1, 0.1 + 0.2, "x", []], "big": 2**60, "flag": True}},
    ],
)  # fmt: skip
def test_a_tree_comes_back_as_it_was(tree: dict[str, Any], tmp_path: Path) -> None:
    save_tree(tmp_path / "tree.safetensors", tree)
    assert same(tree, load_tree(tmp_path / "tree.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["tree.safetensors"]


def test_a_file_that_cannot_be_written_says_so_and_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="could not be written"):
        save_tree(tmp_path / "absent" / "tree.safetensors", {"a": 1})
    path = tmp_path / "tree.safetensors"
    save_tree(path, {"a": 1})
    with pytest.raises(TypeError):
        save_tree(path, {"a": object()})
    assert load_tree(path) == {"a": 1} and len(list(tmp_path.iterdir())) == 1


# --- sets -------------------------------------------------------------------------------------------------------------


def a_set() -> SyntheticSet:
    images = torch.randn(4, 1, 3, 3, generator=seeding.generator("a set"))
    card = {"method": "dm", "resolved": {"z": 1, "a": [1, 2.5]}, "dataset": "x"}
    return SyntheticSet(images, torch.tensor([0, 0, 1, 1]), 2, 1, {"lr": 0.1, "beta": None}, card)


def test_a_set_comes_back_as_it_was(tmp_path: Path) -> None:
    digest = save_set(tmp_path / "set.safetensors", a_set())
    back = load_set(tmp_path / "set.safetensors")
    assert all(same(getattr(a_set(), name), getattr(back, name)) for name in ("images", "labels", "ipc", "factor"))
    assert (back.training, back.card) == (a_set().training, a_set().card)
    assert digest == hashlib.sha256((tmp_path / "set.safetensors").read_bytes()).hexdigest()


def test_equal_sets_are_equal_bytes_in_every_process(tmp_path: Path) -> None:
    program = "import sys, pathlib, test_files as t; t.save_set(pathlib.Path(sys.argv[1]), t.a_set())"
    paths = [tmp_path / name for name in ("1", "2")]
    started = []
    for path in paths:
        folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
        found = os.pathsep.join(filter(None, [folders, os.environ.get("PYTHONPATH", "")]))
        env = os.environ | {"PYTHONHASHSEED": path.name, "PYTHONPATH": found}
        started.append(subprocess.Popen([sys.executable, "-c", program, str(path)], env=env))
    assert [process.wait(timeout=100) for process in started] == [0, 0]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def other_card(card: object) -> bytes:
    tensors = {"images": torch.zeros(2, 1, 3, 3), "labels": torch.zeros(2, dtype=torch.int64)}
    return safetensors.torch.save(tensors, metadata={"card": json.dumps(card)})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a set",
        b"\x80\x02}q\x00.",
        safetensors.torch.save({"images": torch.zeros(2, 1, 3, 3)}),
        safetensors.torch.save({"images": torch.zeros(2, 1, 3, 3)}, metadata={"card": "{not json"}),
        other_card({"ipc": 1}),
        other_card({"ipc": 1, "factor": 1}),
        other_card(["ipc", "factor"]),
    ],
    ids=["empty", "text", "pickle", "no card", "broken card", "no factor", "no training", "list"],
)
def test_what_is_no_set_of_ours_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"foreign\.safetensors"):
        load_set(path)


def test_a_set_cut_short_at_any_place_is_refused_and_a_missing_one_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    save_set(path, a_set())
    whole = path.read_bytes()
    for length in (4, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BenchmarkError, match="damaged"):
            load_set(path)
    path.unlink()
    with pytest.raises(BenchmarkError, match="no file set"):
        load_set(path)


# --- real images ------------------------------------------------------------------------------------------------------


@pytest.fixture
def numbered() -> RealImages:
    """Classes of 4, 6 and 9 images, shuffled; each image is filled with its own number in the dataset."""
    split = make_images(3, 9, (1, 2, 2))
    kept = torch.cat([torch.nonzero(split.labels == c).flatten()[:n] for c, n in enumerate((4, 6, 9))]).sort().values
    split = split.select(kept)
    split.images[:] = torch.arange(len(kept), dtype=torch.uint8).view(-1, 1, 1, 1)
    return RealImages(split, 3, CPU.device)


def numbers(images: Tensor) -> Tensor:
    return (images[..., 0, 0, 0] * 255).round().long()


def test_sample_draws_each_class_uniformly_without_replacement(numbered: RealImages) -> None:
    drawn = torch.stack([numbers(numbered.sample(3, seeding.generator("draw", at))) for at in range(900)])
    assert drawn.shape == (900, 3, 3) and numbered.counts == [4, 6, 9]
    for label, count in enumerate(numbered.counts):
        mine = drawn[:, label]
        assert all(len(set(row)) == 3 for row in mine.tolist())
        members, found = mine.flatten().unique(return_counts=True)
        assert torch.equal(members, torch.nonzero(numbered.labels == label).flatten())
        expected = 900 * 3 / count
        assert float(((found - expected) ** 2 / expected).sum()) < 25, "chi-square with at most 8 degrees of freedom"


def test_sample_gives_as_many_as_the_smallest_class_has(numbered: RealImages) -> None:
    for asked, got in ((1, 1), (4, 4), (5, 4), (256, 4)):
        assert numbered.sample(asked, seeding.generator("draw")).shape == (3, got, 1, 2, 2)


def test_batch_draws_from_all_images_without_replacement(numbered: RealImages) -> None:
    found = torch.zeros(19)
    for at in range(600):
        images, labels = numbered.batch(5, seeding.generator("batch", at))
        assert images.dtype == torch.float32 and len(set(numbers(images).tolist())) == 5
        assert torch.equal(labels, numbered.labels[numbers(images)])
        found[numbers(images)] += 1
    expected = 600 * 5 / 19
    assert float(((found - expected) ** 2 / expected).sum()) < 45, "chi-square with 18 degrees of freedom"
    assert len(numbered.batch(99, seeding.generator("batch"))[1]) == 19


def test_of_class_keeps_the_order_of_the_dataset_and_pixels_are_fractions(numbered: RealImages) -> None:
    for label in range(3):
        assert torch.equal(numbers(numbered.of_class(label)), torch.nonzero(numbered.labels == label).flatten())
    assert float(numbered.of_class(0).max()) <= 18 / 255 + 1e-7


def test_normalising_and_its_inverse() -> None:
    normalize = Normalizer(Constants((0.4, 0.5, 0.6), (0.2, 0.25, 0.5)), CPU.device)
    pixels = torch.rand(5, 2, 3, 4, 4, generator=seeding.generator("pixels"))
    assert torch.allclose(normalize(pixels)[:, :, 1], (pixels[:, :, 1] - 0.5) / 0.25)
    torch.testing.assert_close(normalize.inverse(normalize(pixels)), pixels, rtol=0, atol=1e-6)
    assert normalize(torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)).abs().max() < 1e-6


# --- the unit that a learning rate is in ------------------------------------------------------------------------------


def moved(method: Any) -> tuple[Tensor, Tensor]:
    """Pixels before one step, and how far it moves them."""
    before = method.synthetic().images
    method.step()
    return before.unflatten(0, (4, 2)), (method.synthetic().images - before).unflatten(0, (4, 2))


def pixel_gradient(problem: ConcreteProblem, pixels: Tensor, config: DMConfig | DANCEConfig) -> Tensor:
    network = problem.new_network(0)
    augment = problem.augment(config.augment, problem.generator("augmentation", 0))
    real = problem.real.sample(config.batch_real, problem.generator("real batch", 0))
    target = problem.mean_embedding(network, augment(problem.normalize(real)))
    leaf = pixels.clone().requires_grad_()
    loss = embedding_gap(target, problem.mean_embedding(network, augment(problem.normalize(leaf)))).sum()
    return torch.autograd.grad(loss, leaf)[0]


def test_the_same_rate_moves_pixels_std_squared_times_as_far_in_normalised_units(make_problem: Make) -> None:
    augment, std = "dsa:color_crop", torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    dm = DMConfig(iterations=1, lr_img=0.01, momentum=0.0, batch_real=5, augment=augment)
    before, step = moved(DistributionMatching(make_problem(), dm))
    gradient = pixel_gradient(make_problem(), before, dm)
    torch.testing.assert_close(step, -0.01 * std**2 * gradient, rtol=1e-3, atol=1e-6)

    dance = DANCEConfig(iterations=1, lr_img_per_ipc=0.005, momentum=0.0, batch_real=5, augment=augment, factor=1,
                        alignment="random", calibration=False)  # fmt: skip
    before, step = moved(DANCE(make_problem(), dance))
    gradient = pixel_gradient(make_problem(), before, dance)
    torch.testing.assert_close(step, -0.005 * 2 * gradient, rtol=1e-3, atol=1e-6)
    assert float(gradient.abs().max()) > 1e-2, "a step of nothing proves nothing"


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["tf32", "fp32"])
def test_tf32_is_on_only_where_asked_for_whatever_was_before(first: str) -> None:
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    try:
        for precision in (first, "bf16", "tf32", "fp32", "tf32", "bf16"):
            Compute(torch.device("cpu"), precision, threads=2).activate()
            assert [flag.allow_tf32 for flag in flags] == [precision == "tf32"] * 2
            assert torch.get_num_threads() == 2
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value
        torch.set_num_threads(1)


def test_bf16_computes_coarsely_and_answers_in_float32() -> None:
    network = networks.build("convnet2-w8", (3, 8, 8), 4, seeding.generator("network"))
    images = torch.randn(5, 3, 8, 8, generator=seeding.generator("images"))
    exact, coarse = (Compute(torch.device("cpu"), p, 1).embed(network, images) for p in ("fp32", "bf16"))
    assert exact.dtype == coarse.dtype == torch.float32
    assert torch.equal(exact, network.embed(images))
    assert not torch.equal(exact, coarse) and torch.allclose(exact, coarse, rtol=0.1, atol=0.1)


def test_chunks_change_no_answer_and_batch_norm_is_never_cut() -> None:
    images = torch.randn(10, 3, 8, 8, generator=seeding.generator("images"))
    small = Compute(torch.device("cpu"), "fp32", 1, chunk=3 * 8 * 8)
    for name in ("convnet2-w8", "convnet2-w8-bn"):
        network = networks.build(name, (3, 8, 8), 4, seeding.generator("network")).requires_grad_(False)
        torch.testing.assert_close(small.embed(network, images), network.embed(images), rtol=1e-4, atol=1e-5)
