"""The analyses themselves, against plain loops over single images, in float64 where sums are long."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import networks
from benchmark.analyses import VERSIONS, curve, discrepancy, embedding, expert, interpolation
from benchmark.condensation.problem import TrainedExpert
from benchmark.config.schema import ANALYSES, LAYOUTS
from benchmark.datasets import Constants, Split, splits
from benchmark.datasets.normalization import Normalizer
from benchmark.networks.base import BlockNetwork
from benchmark.training.experts import copy_weights
from benchmark.utils import schedules, seeding
from parts import CPU, make_images
from results.store.schema import ANALYSES as RECORDED

SHAPE, CLASSES = (3, 8, 8), 3
CONSTANTS = Constants((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
NORMALIZE = Normalizer(CONSTANTS, CPU.device)


def network(name: str = "convnet2-w4", index: int = 0) -> BlockNetwork:
    return networks.build(name, SHAPE, CLASSES, seeding.generator("analyzed", index))


def one(image: Tensor) -> Tensor:
    """A single uint8 or float image as a network is to see it, (1, 3, 8, 8)."""
    pixels = image.double() / 255 if image.dtype == torch.uint8 else image.double()
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (CONSTANTS.mean, CONSTANTS.std))
    return ((pixels - mean) / std)[None]


def guess(net: BlockNetwork, image: Tensor) -> int:
    with torch.no_grad():
        return int(copy.deepcopy(net).double().eval()(one(image)).argmax())


def make_expert(name: str = "convnet2-w4", index: int = 0) -> TrainedExpert:
    scratch = network(name)
    return TrainedExpert(scratch, copy_weights(network(name, 10 + index)), copy_weights(network(name, 20 + index)))


def test_every_list_of_analyses_names_the_same_ones() -> None:
    assert set(VERSIONS) == set(ANALYSES) == set(RECORDED)
    assert set(LAYOUTS) == set(embedding.METHODS)


# --- at which steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "count", "steps"),
    [(10, 5, [0, 2, 4, 6, 8, 10]), (10, 4, [0, 3, 5, 8, 10]), (3, 10, [0, 1, 2, 3]), (0, 7, [0]), (7, 1, [0, 7])],
)
def test_snapshots_are_spread_evenly(total: int, count: int, steps: list[int]) -> None:
    assert schedules.evenly(total, count) == steps


def test_looks_are_spread_evenly_on_a_logarithmic_scale() -> None:
    assert schedules.logarithmically(1000, 3) == [0, 10, 100, 1000]
    assert schedules.logarithmically(5, 50) == [0, 1, 2, 3, 4, 5] and schedules.logarithmically(1, 4) == [0, 1]
    assert all(schedules.logarithmically(total, 12)[-1] == total for total in range(1, 3000))


def test_a_few_images_are_drawn_without_repetition() -> None:
    split = make_images(CLASSES, 10, SHAPE)
    few = splits.subsample(split, 7, seeding.generator("few"))
    places = [int((split.images == image).flatten(1).all(1).nonzero()) for image in few.images]
    assert len(few) == 7 and places == sorted(set(places)) and places != list(range(7))
    assert torch.equal(few.labels, split.labels[places])
    assert splits.subsample(split, 30, seeding.generator("few")) is split
    chosen = splits.sample_per_class(split.labels, 4, seeding.generator("few"))
    assert split.labels[chosen].tolist() == [c for c in range(CLASSES) for _ in range(4)] and len(set(chosen)) == 12
    assert len(splits.sample_per_class(split.labels, 99, seeding.generator("few"))) == 30


# --- discrepancy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convnet2-w4", "convnet2-bn-w4"])
def test_discrepancy_is_dms_loss_of_a_class_over_the_spread_within_classes(name: str) -> None:
    net = network(name).train()
    real = make_images(CLASSES, 9, SHAPE).select(torch.arange(23))  # classes of different sizes, chunks that mix them
    images = torch.rand(6, *SHAPE, generator=seeding.generator("set")) * 1.4 - 0.2
    synthetic = (images, torch.tensor([2, 0, 1, 1, 2, 0]))
    found = discrepancy.distances(
        discrepancy.moments(net, real.images, real.labels, CLASSES, CPU, NORMALIZE),
        discrepancy.moments(net, *synthetic, CLASSES, CPU, NORMALIZE),
    )
    assert net.training

    exact = copy.deepcopy(net).double().eval()
    gaps, spreads = [], []
    with torch.no_grad():
        for c in range(CLASSES):
            ours = [exact.embed(one(x))[0] for x, y in zip(*synthetic, strict=True) if y == c]
            theirs = [exact.embed(one(x))[0] for x, y in zip(real.images, real.labels, strict=True) if y == c]
            centre = sum(theirs) / len(theirs)
            gaps.append(sum((a - b) ** 2 for a, b in zip(sum(ours) / len(ours), centre, strict=True)))
            spreads.append(sum(float((x - centre).square().sum()) for x in theirs) / len(theirs))
    mean = float(sum(gaps) / CLASSES)
    assert found["mean_distance"] == pytest.approx(mean, rel=1e-4)
    assert found["relative_distance"] == pytest.approx(mean / (sum(spreads) / CLASSES), rel=1e-4)


def test_real_images_are_at_no_distance_from_themselves_and_one_image_has_no_spread() -> None:
    images, labels = make_images(CLASSES, 1, SHAPE).images, torch.arange(CLASSES)
    alone = discrepancy.moments(network(), images, labels, CLASSES, CPU, NORMALIZE)
    found = discrepancy.distances(alone, alone)
    assert found["mean_distance"] == 0 and alone.spread < 1e-6
    flat = discrepancy.Moments(alone.means, 0.0)
    assert discrepancy.distances(flat, alone)["relative_distance"] is None


# --- experts ----------------------------------------------------------------------------------------------------------


def test_interpolation_is_the_accuracy_between_trained_and_initial_weights() -> None:
    experts, split = [make_expert(index=k) for k in range(2)], make_images(CLASSES, 7, SHAPE)
    scores = [piece() for piece in interpolation.pieces(experts, split, CPU, NORMALIZE)]
    found = interpolation.table(scores, len(experts))
    assert [len(row) for row in found] == [2] * 11 and interpolation.LAMBDAS[0] == 0 and interpolation.LAMBDAS[-1] == 1
    for weight, row in zip(interpolation.LAMBDAS, found, strict=True):
        for each, accuracy in zip(experts, row, strict=True):
            mixed = network()
            mixed.load_state_dict(
                {name: weight * each.initial[name] + (1 - weight) * each.trained[name] for name in each.trained}
            )
            right = sum(guess(mixed, image) == label for image, label in zip(split.images, split.labels, strict=True))
            assert accuracy == pytest.approx(right / len(split))
    assert len({accuracy for row in found for accuracy in row}) > 2, "networks that all say the same test nothing"


def test_experts_classify_synthetic_images_as_they_are() -> None:
    experts = [make_expert(index=k) for k in range(2)]
    images = torch.rand(12, *SHAPE, generator=seeding.generator("set")) * 1.6 - 0.3  # beyond 0..1, as sets may be
    labels = torch.arange(12) % CLASSES
    found = expert.score_all(experts, lambda: Split(images, labels), CPU, NORMALIZE)
    for each, accuracy in zip(experts, found, strict=True):
        trained = network()
        trained.load_state_dict(each.trained)
        assert accuracy == pytest.approx(sum(guess(trained, x) == y for x, y in zip(images, labels, strict=True)) / 12)


# --- embedding --------------------------------------------------------------------------------------------------------


def test_features_are_what_the_classifier_sees() -> None:
    net, images = network("convnet2-bn-w4"), make_images(CLASSES, 7, SHAPE).images
    found = embedding.features(net, images, CPU, NORMALIZE)
    exact = copy.deepcopy(net).double().eval()
    with torch.no_grad():
        expected = np.stack([exact.embed(one(image))[0].numpy() for image in images])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_pca_lays_sets_out_on_the_axes_of_the_real_images() -> None:
    draw = np.random.default_rng(0)
    real, made = draw.normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1], draw.normal(size=(8, 6)) + 2
    found = embedding.project(real, {"a": made, "b": real[:5]}, "pca", 0, 1)
    _, _, axes = np.linalg.svd(real - real.mean(0))
    for name, points in {"real": real, "a": made}.items():
        expected = (points - real.mean(0)) @ axes[:2].T
        np.testing.assert_allclose(np.abs(found[name]), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(found["b"], found["real"][:5])


def test_tsne_keeps_groups_together_and_gives_equal_points_for_equal_seeds() -> None:
    draw = np.random.default_rng(0)
    centres = 30 * draw.normal(size=(3, 60))
    real = np.concatenate([centre + draw.normal(size=(30, 60)) for centre in centres])
    made = centres + draw.normal(size=(3, 60))
    found = embedding.project(real, {"set": made}, "tsne", 7, 1)
    again = embedding.project(real, {"set": made}, "tsne", 7, 1)
    assert all(np.array_equal(found[name], again[name]) for name in found)
    means = found["real"].reshape(3, 30, 2).mean(1)
    nearest = np.linalg.norm(found["set"][:, None] - means[None], axis=2).argmin(1)
    assert nearest.tolist() == [0, 1, 2]
    few = embedding.project(real[:3], {"set": made[:1]}, "tsne", 7, 1)  # fewer points than the perplexity
    assert few["real"].shape == (3, 2) and np.isfinite(few["set"]).all()


def test_how_many_images_of_a_class_are_laid_out() -> None:
    assert [embedding.of_a_class(1000, classes) for classes in (2, 10, 100, 5000)] == [100, 100, 10, 1]
    assert embedding.plain(np.array([[1 / 3, -12345.678901]])) == [[0.333333, -12345.7]]


# --- curve ------------------------------------------------------------------------------------------------------------


def test_points_of_snapshots_take_the_scores_of_their_networks() -> None:
    snapshots = [{"step": 0, "seconds": 0.5}, {"step": 9, "seconds": 4.0}]
    assert curve.of_snapshots(snapshots, [0.1, 0.2, 0.3, 0.4], 2) == [
        {"step": 0, "seconds": 0.5, "accuracies": [0.1, 0.2]}, {"step": 9, "seconds": 4.0, "accuracies": [0.3, 0.4]},
    ]  # fmt: skip


def test_points_along_trainings_count_each_networks_own_seconds() -> None:
    looks = [  # two networks of 10 steps each; the second one is slower
        {"step": 3, "seconds": 1.0, "accuracy": 0.3}, {"step": 10, "seconds": 4.0, "accuracy": 0.8},
        {"step": 13, "seconds": 7.0, "accuracy": 0.5}, {"step": 20, "seconds": 14.0, "accuracy": 0.9},
    ]  # fmt: skip
    assert curve.of_trainings([0.1, 0.2], looks, 10) == [
        {"step": 0, "seconds": 0.0, "accuracies": [0.1, 0.2]}, {"step": 3, "seconds": 2.0, "accuracies": [0.3, 0.5]},
        {"step": 10, "seconds": 7.0, "accuracies": [0.8, 0.9]},
    ]  # fmt: skip
