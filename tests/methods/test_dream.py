"""DREAM's representatives against k-means worked out by hand, and when it clusters."""

from __future__ import annotations

from collections.abc import Callable
from warnings import catch_warnings, simplefilter

import pytest
import torch

from benchmark.condensation.problem import ConcreteProblem
from methods.base import MethodError
from methods.dream import DREAM, DREAMConfig, of_classes, representatives
from methods.multi_formation import mosaic

Make = Callable[..., ConcreteProblem]


def test_representatives_are_nearest_to_the_means_of_their_clusters() -> None:
    """Three groups far apart, so that every start ends in the same clusters unless two centroids share a group."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    points = torch.cat([center + torch.randn(7, 2, generator=generator) for center in centers])
    expected = {
        start + int((points[start : start + 7] - points[start : start + 7].mean(0)).norm(dim=1).argmin())
        for start in (0, 7, 14)
    }
    found = [set(representatives(points, 3, seed).tolist()) for seed in range(10)]
    assert expected in found
    for indices in found:
        if len({index // 7 for index in indices}) == 3:
            assert indices == expected
    assert representatives(points, 21, 0).sort().values.tolist() == list(range(21))
    with catch_warnings():
        simplefilter("error")
        assert representatives(torch.ones(5, 2), 3, 0).tolist() == [0, 0, 0]


def test_images_start_from_representatives_in_the_order_of_the_centroids(make_problem: Make) -> None:
    problem = make_problem()
    method = DREAM(problem, DREAMConfig(iterations=1, batch_real=4, factor=2, train_images=4))
    seeds = torch.randint(2**31, (problem.num_classes,), generator=problem.generator("clustering")).tolist()
    network, count = problem.new_network(0), 4 * problem.ipc
    for c, seed in enumerate(seeds):
        images = problem.real.of_class(c)
        features = problem.embed(network, images)  # of pixels that are not normalized
        expected = images[representatives(features, count, seed)]
        torch.testing.assert_close(method.images[c], mosaic(expected[None], 2, "nearest")[0])


def test_a_batch_serves_for_an_interval_and_follows_the_network(make_problem: Make) -> None:
    problem = make_problem()
    config = DREAMConfig(iterations=2, inner_loop=5, interval=2, batch_real=4, train_images=8, factor=1)
    method = DREAM(problem, config)
    batches = []
    for step in range(10):
        method.step()
        batches.append(method.selected.clone())
        if step % 5 % 2:
            assert torch.equal(batches[-1], batches[-2])
        assert torch.equal(method.real, of_classes(problem, method.selected))
    assert not torch.equal(batches[0], batches[2]) and not torch.equal(batches[4], batches[5])


def test_the_step_matches_the_representatives(make_problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, seen = make_problem(), []
    method = DREAM(problem, DREAMConfig(iterations=1, inner_loop=1, batch_real=4, factor=1))
    gradients = problem.class_gradients

    def spied(network, images, labels):  # type: ignore[no-untyped-def]
        seen.append(images.detach())
        return gradients(network, images, labels)

    monkeypatch.setattr(problem, "class_gradients", spied)
    method.step()
    augment = problem.augment("idc:color_crop_cutout", problem.generator("augmentation", 0))
    torch.testing.assert_close(seen[0], augment(problem.normalize(of_classes(problem, method.selected))))


def test_more_clusters_than_images_are_refused_in_one_line(make_problem: Make) -> None:
    problem = make_problem()
    smallest = min(problem.real.counts)
    with pytest.raises(MethodError, match=f"asks for {smallest + 1} real images of each class, .* has {smallest}"):
        DREAM(problem, DREAMConfig(iterations=1, batch_real=smallest + 1, factor=1)).step()
    with pytest.raises(MethodError, match="k-means asks for"):
        DREAM(make_problem(ipc=smallest), DREAMConfig(iterations=1, batch_real=4, factor=2))
