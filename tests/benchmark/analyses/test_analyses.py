"""The computations of analyses, against plain loops over single images, in float64 where sums are long."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import analyses, networks
from benchmark.analyses import BUILT_IN, curve, discrepancy, embedding, expert, interpolation
from benchmark.condensation.contract import make_images
from benchmark.condensation.problem import TrainedExpert
from benchmark.datasets import Constants, Split, splits
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.networks.base import BlockNetwork
from benchmark.training.experts import copy_weights
from benchmark.utils import schedules, seeding
from helpers import CPU
from results.store.schema import ANALYSIS_RESULTS as RECORDED

SHAPE, CLASSES = (3, 8, 8), 3
CONSTANTS = Constants((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
NORMALIZE = ChannelNormalizer(CONSTANTS, CPU.device)


def network(name: str = "convnet2-w4", index: int = 0) -> BlockNetwork:
    return networks.build(name, SHAPE, CLASSES, seeding.generator("analyzed", index))


def normalized(image: Tensor) -> Tensor:
    """A single uint8 or float image, normalised, float64 (1, 3, 8, 8)."""
    pixels = image.double() / 255 if image.dtype == torch.uint8 else image.double()
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (CONSTANTS.mean, CONSTANTS.std))
    return ((pixels - mean) / std)[None]


def prediction(net: BlockNetwork, image: Tensor) -> int:
    with torch.no_grad():
        return int(copy.deepcopy(net).double().eval()(normalized(image)).argmax())


def make_expert(name: str = "convnet2-w4", index: int = 0) -> TrainedExpert:
    scratch = network(name)
    weights = [copy_weights(network(name, seed + index)) for seed in (10, 20)]
    return TrainedExpert(scratch, (0, 1), weights.__getitem__)


def test_every_list_of_analyses_names_the_same_ones() -> None:
    assert set(BUILT_IN) == {*analyses.names(), "best_on_test", "validation"} == set(RECORDED)
    assert all(analyses.get(name).name == name and analyses.get(name).version >= 1 for name in BUILT_IN)


# --- schedules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "count", "steps"),
    [(10, 5, [0, 2, 4, 6, 8, 10]), (10, 4, [0, 3, 5, 8, 10]), (3, 10, [0, 1, 2, 3]), (0, 7, [0]), (7, 1, [0, 7])],
)
def test_snapshots_are_spread_evenly(total: int, count: int, steps: list[int]) -> None:
    assert schedules.evenly_spaced(total, count) == steps


def test_other_steps_are_spread_evenly_on_a_logarithmic_scale() -> None:
    assert schedules.log_spaced(1000, 3) == [0, 10, 100, 1000]
    assert schedules.log_spaced(5, 50) == [0, 1, 2, 3, 4, 5] and schedules.log_spaced(1, 4) == [0, 1]
    assert all(schedules.log_spaced(total, 12)[-1] == total for total in range(1, 3000))


def test_a_few_images_are_drawn_without_repetition() -> None:
    split = make_images(CLASSES, 10, SHAPE)
    few = splits.subsample(split, 7, seeding.generator("few"))
    indices = [int((split.images == image).flatten(1).all(1).nonzero()) for image in few.images]
    assert len(few) == 7 and indices == sorted(set(indices)) and indices != list(range(7))
    assert torch.equal(few.labels, split.labels[indices])
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
    measured = discrepancy.distances(
        discrepancy.moments(net, real, CLASSES, CPU, NORMALIZE),
        discrepancy.moments(net, Split(*synthetic), CLASSES, CPU, NORMALIZE),
    )
    assert net.training

    exact = copy.deepcopy(net).double().eval()
    gaps, spreads = [], []
    with torch.no_grad():
        for c in range(CLASSES):
            ours = [exact.embed(normalized(x))[0] for x, y in zip(*synthetic, strict=True) if y == c]
            theirs = [exact.embed(normalized(x))[0] for x, y in zip(real.images, real.labels, strict=True) if y == c]
            centre = sum(theirs) / len(theirs)
            gaps.append(sum((a - b) ** 2 for a, b in zip(sum(ours) / len(ours), centre, strict=True)))
            spreads.append(sum(float((x - centre).square().sum()) for x in theirs) / len(theirs))
    mean = float(sum(gaps) / CLASSES)
    assert measured["mean_distance"] == pytest.approx(mean, rel=1e-4)
    assert measured["relative_distance"] == pytest.approx(mean / (sum(spreads) / CLASSES), rel=1e-4)


def test_real_images_are_at_no_distance_from_themselves_and_one_image_has_no_spread() -> None:
    images, labels = make_images(CLASSES, 1, SHAPE).images, torch.arange(CLASSES)
    alone = discrepancy.moments(network(), Split(images, labels), CLASSES, CPU, NORMALIZE)
    measured = discrepancy.distances(alone, alone)
    assert measured["mean_distance"] == 0 and alone.spread < 1e-6
    flat = discrepancy.Moments(alone.means, 0.0)
    assert discrepancy.distances(flat, alone)["relative_distance"] is None


# --- experts ----------------------------------------------------------------------------------------------------------


def test_interpolation_is_the_accuracy_between_trained_and_initial_weights() -> None:
    experts, split = [make_expert(index=k) for k in range(2)], make_images(CLASSES, 7, SHAPE)
    scores = [score() for score in interpolation.scores(experts, split, CPU, NORMALIZE)]
    rows = interpolation.rows_of(scores, len(experts))
    assert [len(row) for row in rows] == [2] * 11 and interpolation.LAMBDAS[0] == 0 and interpolation.LAMBDAS[-1] == 1
    for weight, row in zip(interpolation.LAMBDAS, rows, strict=True):
        for each, accuracy in zip(experts, row, strict=True):
            mixed = network()
            mixed.load_state_dict(
                {name: weight * each.initial[name] + (1 - weight) * each.trained[name] for name in each.trained}
            )
            right = sum(
                prediction(mixed, image) == label for image, label in zip(split.images, split.labels, strict=True)
            )
            assert accuracy == pytest.approx(right / len(split))
    assert len({accuracy for row in rows for accuracy in row}) > 2, "equal accuracies test nothing"


def test_experts_classify_synthetic_images_as_they_are() -> None:
    experts = [make_expert(index=k) for k in range(2)]
    images = torch.rand(12, *SHAPE, generator=seeding.generator("set")) * 1.6 - 0.3  # beyond 0..1, as sets may be
    labels = torch.arange(12) % CLASSES
    measured = expert.accuracies(experts, Split(images, labels), CPU, NORMALIZE)
    for each, accuracy in zip(experts, measured, strict=True):
        trained = network()
        trained.load_state_dict(each.trained)
        assert accuracy == pytest.approx(
            sum(prediction(trained, x) == y for x, y in zip(images, labels, strict=True)) / 12
        )


# --- embedding --------------------------------------------------------------------------------------------------------


def test_features_are_what_the_classifier_sees() -> None:
    net, images = network("convnet2-bn-w4"), make_images(CLASSES, 7, SHAPE).images
    features = embedding.features(net, images, CPU, NORMALIZE)
    exact = copy.deepcopy(net).double().eval()
    with torch.no_grad():
        expected = np.stack([exact.embed(normalized(image))[0].numpy() for image in images])
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_pca_projects_sets_on_the_axes_of_the_real_images() -> None:
    draw = np.random.default_rng(0)
    real, synthetic = draw.normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1], draw.normal(size=(8, 6)) + 2
    xy = embedding.project(real, {"a": synthetic, "b": real[:5]}, "pca", 0, 1)
    _, _, axes = np.linalg.svd(real - real.mean(0))
    for name, points in {"real": real, "a": synthetic}.items():
        expected = (points - real.mean(0)) @ axes[:2].T
        np.testing.assert_allclose(np.abs(xy[name]), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(xy["b"], xy["real"][:5])


def test_tsne_keeps_groups_together_and_gives_equal_points_for_equal_seeds() -> None:
    draw = np.random.default_rng(0)
    centres = 30 * draw.normal(size=(3, 60))
    real = np.concatenate([centre + draw.normal(size=(30, 60)) for centre in centres])
    synthetic = centres + draw.normal(size=(3, 60))
    xy = embedding.project(real, {"set": synthetic}, "tsne", 7, 1)
    again = embedding.project(real, {"set": synthetic}, "tsne", 7, 1)
    assert all(np.array_equal(xy[name], again[name]) for name in xy)
    means = xy["real"].reshape(3, 30, 2).mean(1)
    nearest = np.linalg.norm(xy["set"][:, None] - means[None], axis=2).argmin(1)
    assert nearest.tolist() == [0, 1, 2]
    few = embedding.project(real[:3], {"set": synthetic[:1]}, "tsne", 7, 1)  # fewer points than the perplexity
    assert few["real"].shape == (3, 2) and np.isfinite(few["set"]).all()


def test_how_many_images_of_a_class_are_shown() -> None:
    assert [embedding.num_per_class(1000, classes) for classes in (2, 10, 100, 5000)] == [100, 100, 10, 1]
    assert embedding.rounded(np.array([[1 / 3, -12345.678901]])) == [[0.333333, -12345.7]]


# --- curve ------------------------------------------------------------------------------------------------------------


def test_points_of_snapshots_take_the_scores_of_their_networks() -> None:
    snapshots = [{"step": 0, "seconds": 0.5}, {"step": 9, "seconds": 4.0}]
    assert curve.points_of_snapshots(snapshots, [0.1, 0.2, 0.3, 0.4], 2) == [
        {"step": 0, "seconds": 0.5, "accuracies": [0.1, 0.2]}, {"step": 9, "seconds": 4.0, "accuracies": [0.3, 0.4]},
    ]  # fmt: skip


def test_points_along_trainings_count_each_networks_own_seconds() -> None:
    scores = [  # two networks of 10 steps each; the second one is slower
        {"step": 3, "seconds": 1.0, "accuracy": 0.3}, {"step": 10, "seconds": 4.0, "accuracy": 0.8},
        {"step": 13, "seconds": 7.0, "accuracy": 0.5}, {"step": 20, "seconds": 14.0, "accuracy": 0.9},
    ]  # fmt: skip
    assert curve.points_of_trainings([0.1, 0.2], scores, 10) == [
        {"step": 0, "seconds": 0.0, "accuracies": [0.1, 0.2]}, {"step": 3, "seconds": 2.0, "accuracies": [0.3, 0.5]},
        {"step": 10, "seconds": 7.0, "accuracies": [0.8, 0.9]},
    ]  # fmt: skip
