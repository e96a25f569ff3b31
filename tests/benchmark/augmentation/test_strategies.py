"""Augmentation strategies: who shares a draw with whom, how often what is drawn, in which order it runs; CutMix."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.augmentation import strategies
from benchmark.augmentation.cutmix import cutmix
from benchmark.augmentation.operations import OPERATIONS
from benchmark.augmentation.strategies import augment_batch, draw_per_group, parse
from benchmark.utils.errors import BenchmarkError

DSA = parse("dsa:color_crop_cutout_flip_scale_rotate")
IDC = parse("idc:color_crop_cutout")
IDC_ALL = parse("idc:cutout_rotate_flip_crop_color_scale")
EVERY = (DSA, IDC, IDC_ALL, parse("idc:color_crop_flip_scale_rotate"), parse("dsa:crop"), parse("idc:flip"))
SHAPE = (3, 8, 8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


# --- what is drawn for whom ------------------------------------------------------------------------------------------


def drawn(transform: strategies.GroupTransform) -> list[list[tuple[str, tuple[float, ...]]]]:
    """Each group's list of (operation, parameters), in the order in which they run."""
    lists: list[list[tuple[str, tuple[float, ...]]]] = [[] for _ in range(transform.groups)]
    for step in transform.steps:
        groups = iter(step.order.tolist())
        for operation in step.operations:
            for column in operation.parameters.T:
                lists[next(groups)].append((operation.operation, tuple(column.tolist())))
    return lists


def apply_steps(image: Tensor, steps: list[tuple[str, tuple[float, ...]]]) -> Tensor:
    """What a list of steps does to one image (ch, H, W), by operations that have tests of their own."""
    image = image[None, None]
    for name, parameters in steps:
        image = OPERATIONS[name].apply(image, *(torch.tensor([value]) for value in parameters))
    return image[0, 0]


def test_dsa_draws_one_of_six_for_each_group():
    lists = drawn(draw_per_group(DSA, 6000, SHAPE, seeded(3)))
    assert all(len(steps) == 1 for steps in lists)
    names = [steps[0][0] for steps in lists]
    assert set(names) == set(DSA.operations)
    for name in DSA.operations:
        assert abs(names.count(name) - 1000) < 5 * math.sqrt(1000)
    follows = sum(a == b for a, b in itertools.pairwise(names))  # neighbours are independent
    assert abs(follows - 1000) < 5 * math.sqrt(1000)


def test_idc_runs_all_switches_and_one_geometric_operation_in_order():
    lists = drawn(draw_per_group(IDC_ALL, 3000, SHAPE, seeded(3)))
    orders = [tuple(name for name, _ in steps) for steps in lists]
    assert {order[:2] + order[3:] for order in orders} == {("flip", "color", "cutout")}
    geometric = [order[2] for order in orders]
    for name in ("crop", "scale", "rotate"):
        assert abs(geometric.count(name) - 1000) < 5 * math.sqrt(1000)
    short = drawn(draw_per_group(IDC, 50, SHAPE, seeded(3)))
    assert {tuple(name for name, _ in steps) for steps in short} == {("color", "crop", "cutout")}


@pytest.mark.parametrize("strategy", EVERY, ids=str)
def test_a_transform_does_to_each_group_what_it_drew(strategy):
    groups, n = 24, 2
    transform, images = draw_per_group(strategy, groups, SHAPE, seeded(5)), some_images(groups, n, *SHAPE)
    done = transform(images)
    lists = drawn(transform)
    assert len({tuple(steps) for steps in lists}) > 1
    for g in range(groups):
        for i in range(n):
            torch.testing.assert_close(done[g, i], apply_steps(images[g, i], lists[g]))


@pytest.mark.parametrize("strategy", EVERY, ids=str)
def test_real_and_synthetic_images_of_a_class_share_the_draw(strategy):
    transform = draw_per_group(strategy, 10, SHAPE, seeded(6))
    one = some_images(10, 1, *SHAPE)
    real, synthetic = transform(one.expand(-1, 7, -1, -1, -1)), transform(one.expand(-1, 2, -1, -1, -1))
    for i in range(7):
        torch.testing.assert_close(real[:, i], synthetic[:, i % 2])


def test_a_single_group_and_equal_draws_need_no_regrouping():
    transform = draw_per_group(DSA, 1, SHAPE, seeded(6))
    assert transform(some_images(1, 4, *SHAPE)).shape == (1, 4, *SHAPE)


def test_a_transform_refuses_images_it_was_not_drawn_for():
    transform = draw_per_group(DSA, 4, SHAPE, seeded(6))
    for shape in ((1, 2, 3, 8, 8), (4, 2, 3, 8, 9), (8, 3, 8, 8)):
        with pytest.raises(BenchmarkError, match="drawn for images"):
            transform(torch.zeros(shape))


@pytest.mark.parametrize("strategy", EVERY, ids=str)
def test_whole_transforms_have_right_gradients(strategy):
    transform = draw_per_group(strategy, 6, (3, 4, 4), seeded(4))
    images = some_images(6, 1, 3, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(transform, images, fast_mode=True)


# --- training a network -----------------------------------------------------------------------------------------------


def test_a_mini_batch_shares_its_candidate_but_not_its_parameters():
    """One image repeated: cut-out images have zeros, flipped ones none, and a batch never holds both kinds."""
    images = some_images(1, *SHAPE).expand(32, -1, -1, -1)
    strategy, generator, cut_batches = parse("dsa:cutout_flip"), seeded(8), 0
    for _ in range(300):
        done = augment_batch(images, strategy, generator)
        cut = (done == 0).flatten(1).any(1)
        assert cut.all() or not cut.any()
        cut_batches += int(cut.all())
        kinds = len(done.flatten(1).unique(dim=0))
        assert kinds > 2 if cut.all() else kinds == 2
    assert 110 < cut_batches < 190  # 150 expected, standard deviation 8.7


def test_dsa_candidates_of_mini_batches_are_equally_likely(monkeypatch):
    names: list[str] = []
    original = strategies.DrawnOperation.__call__
    monkeypatch.setattr(
        strategies.DrawnOperation, "__call__", lambda self, x: names.append(self.operation) or original(self, x)
    )
    generator, images = seeded(2), some_images(2, 1, 2, 2)
    for _ in range(3000):
        augment_batch(images, DSA, generator)
    assert len(names) == 3000
    for name in DSA.operations:
        assert abs(names.count(name) - 500) < 5 * math.sqrt(500)


@pytest.mark.parametrize("strategy", EVERY, ids=str)
def test_each_image_of_a_batch_has_its_own_parameters(strategy, monkeypatch):
    transforms = []
    original = strategies.GroupTransform.__call__
    monkeypatch.setattr(
        strategies.GroupTransform, "__call__", lambda self, x: transforms.append(self) or original(self, x)
    )
    images = some_images(16, *SHAPE)
    done = augment_batch(images, strategy, seeded(9))
    lists = drawn(transforms[0])
    assert done.shape == images.shape
    assert len({tuple(name for name, _ in steps) for steps in lists}) == 1
    for image, steps, result in zip(images, lists, done, strict=True):
        torch.testing.assert_close(result, apply_steps(image, steps))


# --- randomness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", EVERY, ids=str)
def test_the_generator_decides_everything(strategy):
    images, before = some_images(20, 2, *SHAPE), torch.get_rng_state()
    first, again, other = (draw_per_group(strategy, 20, SHAPE, seeded(s))(images) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    first, again, other = (augment_batch(images[:, 0], strategy, seeded(s)) for s in (1, 1, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("strategy", EVERY, ids=str)
def test_a_gpu_sees_the_same_draws(strategy):
    images = some_images(20, 2, 3, 32, 32)
    transform = draw_per_group(strategy, 20, (3, 32, 32), seeded(1))
    torch.testing.assert_close(transform(images.cuda()).cpu(), transform(images), rtol=1e-4, atol=1e-4)
    batch = augment_batch(images[:, 0].cuda(), strategy, seeded(1)).cpu()
    torch.testing.assert_close(batch, augment_batch(images[:, 0], strategy, seeded(1)), rtol=1e-4, atol=1e-4)
    mixed, _, labels, kept = cutmix(images[:, 0].cuda(), torch.arange(20).cuda(), seeded(1))
    on_cpu = cutmix(images[:, 0], torch.arange(20), seeded(1))
    assert torch.equal(mixed.cpu(), on_cpu[0]) and torch.equal(labels.cpu(), on_cpu[2]) and kept == on_cpu[3]


# --- strategies as text -----------------------------------------------------------------------------------------------


def test_strategies_parse_and_print():
    assert (DSA.family, DSA.operations) == ("dsa", ("color", "crop", "cutout", "flip", "scale", "rotate"))
    assert (IDC.family, IDC.operations) == ("idc", ("color", "crop", "cutout"))
    assert all(parse(str(strategy)) == strategy for strategy in EVERY)
    assert str(DSA.without("flip")) == "dsa:color_crop_cutout_scale_rotate"
    assert IDC.without("flip") == IDC
    assert str(parse("idc:flip").without("flip")) == "none"


@pytest.mark.parametrize(
    "strategy", [parse("none"), parse("idc:flip").without("flip"), parse("dsa:crop").without("crop")]
)
def test_none_changes_nothing(strategy):
    images = some_images(3, 2, *SHAPE)
    assert torch.equal(draw_per_group(strategy, 3, SHAPE, seeded())(images), images)
    assert torch.equal(augment_batch(images[:, 0], strategy, seeded()), images[:, 0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dsa:color_crp", "no augmentation 'crp'. Did you mean 'crop'"),
        ("dsa:color_colour", "Did you mean 'color'"),
        ("dsaa:color", "no augmentation family 'dsaa'. Did you mean 'dsa'"),
        ("dsa_color_crop", "no augmentation strategy 'dsa_color_crop'"),
        ("color_crop_cutout", "Did you mean 'idc:color_crop_cutout'"),
        ("none:crop", "no augmentation family 'none'"),
        ("dsa:", "lists no operation"),
        ("idc:crop__flip", "no augmentation ''"),
        ("dsa:crop_crop", "at most once"),
        ("", "no augmentation strategy"),
    ],
)
def test_a_wrong_strategy_is_explained(text, says):
    with pytest.raises(BenchmarkError) as caught:
        parse(text)
    assert says in caught.value.what and "crop" in caught.value.next and caught.value.where == text


def test_taking_off_what_does_not_exist_is_an_error():
    with pytest.raises(BenchmarkError, match="Did you mean 'flip'"):
        DSA.without("flipp")


# --- CutMix -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_cutmix_equals_a_loop_over_pixels(seed):
    height, width = 9, 12
    images, labels = some_images(5, 3, height, width), torch.tensor([3, 1, 4, 1, 5])
    before = images.clone()
    mixed, labels_a, labels_b, kept = cutmix(images, labels, seeded(seed))
    generator = seeded(seed)
    lam = torch.rand((), dtype=torch.float64, generator=generator).item()
    row, column = (int(torch.randint(side, (), generator=generator)) for side in (height, width))
    partner = torch.randperm(5, generator=generator).tolist()
    half_h, half_w = int(height * math.sqrt(1 - lam)) // 2, int(width * math.sqrt(1 - lam)) // 2
    expected, area = images.clone(), 0
    for r in range(height):
        for c in range(width):
            if row - half_h <= r < row + half_h and column - half_w <= c < column + half_w:
                area += 1
                for i in range(5):
                    expected[i, :, r, c] = images[partner[i], :, r, c]
    assert torch.equal(mixed, expected) and torch.equal(images, before)
    assert torch.equal(labels_a, labels) and labels_b.tolist() == [labels[p].item() for p in partner]
    assert kept == pytest.approx(1 - area / (height * width), abs=1e-12)


def test_cutmix_weights_follow_their_law():
    """Against an independent simulation of METHODS.md 7.2; and every permutation of three images comes up."""
    side, rng, generator, simulated = 16, np.random.default_rng(0), seeded(1), []
    for lam, row, column in zip(
        rng.random(20_000), rng.integers(side, size=20_000), rng.integers(side, size=20_000), strict=True
    ):
        half = int(side * math.sqrt(1 - lam)) // 2
        height, width = (min(c + half, side) - max(c - half, 0) for c in (row, column))
        simulated.append(1 - height * width / side**2)
    images, labels = torch.zeros(3, 1, side, side), torch.arange(3)
    drawn_ = [cutmix(images, labels, generator) for _ in range(4000)]
    ours = np.array([kept for *_, kept in drawn_])
    assert abs(ours.mean() - np.mean(simulated)) < 4 * ours.std() / math.sqrt(4000)
    for share in (0.25, 0.5, 0.75):
        assert np.quantile(ours, share) == pytest.approx(np.quantile(simulated, share), abs=0.03)
    assert len({tuple(labels_b.tolist()) for _, _, labels_b, _ in drawn_}) == 6
