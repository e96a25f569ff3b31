"""DC and DSA against the papers' formulas, worked out class by class with plain autograd and torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from helpers import CPU
from methods import dc, registry
from methods.dc import DCConfig, GradientMatching
from methods.dsa import DSAConfig, SiameseGradientMatching

Make = Callable[..., ConcreteProblem]
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)


# --- distances --------------------------------------------------------------------------------------------------------


def gradients(seed: int, classes: int = 2) -> list[Tensor]:
    """Of a convolution, its bias, a layer norm and a linear layer."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(classes, *shape, generator=draw) for shape in ((3, 2, 3, 3), (3,), (3, 4, 4), (5, 6))]


def test_layerwise_sums_over_output_units_and_leaves_vectors_out() -> None:
    real, synthetic = gradients(0), gradients(1)
    for c, found in enumerate(dc.layerwise(real, synthetic)):
        expected = 0.0
        for r, s in ((real[0], synthetic[0]), (real[2], synthetic[2]), (real[3], synthetic[3])):
            for row, other in zip(r[c].flatten(1).tolist(), s[c].flatten(1).tolist(), strict=True):
                norms = sum(x * x for x in row) ** 0.5 * sum(x * x for x in other) ** 0.5
                expected += 1 - sum(x * y for x, y in zip(row, other, strict=True)) / (norms + 1e-6)
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_cos_and_mse_take_every_parameter() -> None:
    real, synthetic = gradients(0), gradients(1)
    for c in range(2):
        a, b = (torch.cat([g[c].flatten() for g in each]) for each in (real, synthetic))
        assert dc.cos(real, synthetic)[c].item() == pytest.approx(1 - F.cosine_similarity(a, b, dim=0).item(), abs=1e-5)
        assert dc.mse(real, synthetic)[c].item() == pytest.approx(float(((a - b) ** 2).sum()), rel=1e-5)


@pytest.mark.parametrize("name", dc.DISTANCES)
def test_equal_gradients_are_at_no_distance(name: str) -> None:
    assert dc.DISTANCES[name](gradients(0), gradients(0)).tolist() == pytest.approx([0, 0], abs=1e-4)


# --- the method -------------------------------------------------------------------------------------------------------


def by_hand(method: Any, leaf: Tensor, network: Any, step: int) -> Tensor:
    """Σ_c D_c: one class after the other, real and synthetic gradients by plain autograd."""
    problem, config = method.problem, method.config
    augment = problem.augment(config.augment or "none", problem.generator("augmentation", step))
    real = augment((problem.real.sample(config.batch_real, problem.generator("real batch", step)) - MEAN) / STD)
    synthetic = augment(leaf)
    weights = [weight.requires_grad_() for weight in network.parameters()]
    total = torch.zeros(())
    for c in range(problem.num_classes):
        loss = F.cross_entropy(network(real[c]), torch.full((real.shape[1],), c))
        target = torch.autograd.grad(loss, weights)
        loss = F.cross_entropy(network(synthetic[c]), torch.full((leaf.shape[1],), c))
        found = torch.autograd.grad(loss, weights, create_graph=True)
        for r, s in zip(target, found, strict=True):
            if config.distance == "mse":
                total = total + ((r - s) ** 2).sum()
            elif r.ndim > 1:
                r, s = r.flatten(1), s.flatten(1)
                total = total + (1 - (r * s).sum(1) / (r.norm(dim=1) * s.norm(dim=1) + 1e-6)).sum()
    return total


def train_by_hand(method: Any, leaf: Tensor, network: Any, step: int) -> None:
    """`inner_loop` epochs of torch.optim.SGD on the images, class by class in memory, shuffled."""
    problem, config = method.problem, method.config
    images = leaf.detach().flatten(0, 1)
    labels = torch.arange(problem.num_classes).repeat_interleave(leaf.shape[1])
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr_net)
    network.train()
    for epoch in range(config.inner_loop):
        draw = problem.generator("inner loop", step * config.inner_loop + epoch)
        order = torch.randperm(len(images), generator=draw)
        for start in range(0, len(images), config.batch_train):
            chosen = order[start : start + config.batch_train]
            seen = problem.augment_batch(config.augment or "none", images[chosen], draw)
            optimizer.zero_grad()
            F.cross_entropy(network(seen), labels[chosen]).backward()
            optimizer.step()


@pytest.mark.parametrize("distance", ["layerwise", "mse"])
@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_it_is_the_algorithm_of_the_paper(name: str, distance: str, make_problem: Make) -> None:
    settings: dict[str, Any] = {"iterations": 2, "outer_loop": 2, "inner_loop": 2, "batch_real": 5, "batch_train": 6}
    problem = make_problem()
    method: Any
    if name == "dc":
        method = GradientMatching(problem, DCConfig(**settings, distance=distance, lr_img=0.2))
    else:
        method = SiameseGradientMatching(problem, DSAConfig(**settings, distance=distance, lr_img=0.2))
    leaf = method.images.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.2, momentum=0.5)
    for step in range(4):
        if step % 2 == 0:
            network = problem.new_network(step // 2).requires_grad_(True)  # type: ignore[attr-defined]
        loss = by_hand(method, leaf, network, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 2 == 0:
            train_by_hand(method, leaf, network, step)
        assert method.step()["matching"] == pytest.approx(loss.item(), rel=1e-4)
    torch.testing.assert_close(method.images, leaf.detach(), rtol=1e-3, atol=1e-4)


def test_dc_starts_from_normalized_noise_and_dsa_from_the_random_subset(make_problem: Make) -> None:
    noise = GradientMatching(make_problem(classes=10, ipc=8), DCConfig()).images
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    subset = registry.get("random")(make_problem(), registry.get("random").Config()).synthetic().images
    start = SiameseGradientMatching(make_problem(), DSAConfig()).synthetic().images
    torch.testing.assert_close(start, subset, rtol=0, atol=1e-6)


def test_at_ipc_1_the_network_is_never_trained(make_problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner, *_ = dc.loops(1)
    method = GradientMatching(make_problem(ipc=1), DCConfig(iterations=3, outer_loop=outer, inner_loop=inner))
    monkeypatch.setattr(method, "_train", lambda: pytest.fail("trained"))
    assert method.total_steps == 3
    for _ in range(3):
        method.step()


def test_batch_norm_statistics_are_taken_from_real_images_and_then_frozen(make_problem: Make) -> None:
    problem = make_problem(architecture="convnet2-w8-bn", each=20)
    method = GradientMatching(problem, DCConfig(iterations=1, outer_loop=2, inner_loop=1, batch_real=4))
    network: Any = problem.new_network(0)
    some = problem.real.sample(16, problem.generator("images for batch norm", 0))
    network.train()
    with torch.no_grad():
        network(((some - MEAN) / STD).flatten(0, 1))
    network.eval()
    loss = by_hand(method, method.images, network, 0)
    assert method.step()["matching"] == pytest.approx(loss.item(), rel=1e-4)
    assert method.network.training  # type: ignore[attr-defined]  # and the images then move the running statistics


def test_classes_in_groups_give_the_same_step(make_problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    num_parallel, apart = (GradientMatching(make_problem(), DCConfig(iterations=1, batch_real=4)) for _ in range(2))
    expected = num_parallel.step()["matching"]
    monkeypatch.setattr(CPU, "graph", 1)
    assert apart.step()["matching"] == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(apart.images, num_parallel.images, rtol=1e-4, atol=1e-5)


def test_mosaics_are_matched_and_trained_on_as_the_images_they_hold(make_problem: Make) -> None:
    config = DSAConfig(iterations=1, outer_loop=2, inner_loop=1, batch_real=4, factor=2)
    method = SiameseGradientMatching(make_problem(), config)
    assert method.decoded(method.images).shape == (4, 8, 3, 8, 8)
    plain = SiameseGradientMatching(make_problem(), replace(config, factor=1))
    assert method.step()["matching"] != pytest.approx(plain.step()["matching"])


# --- loops by ipc -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ipc", "expected"), [(1, (1, 1)), (10, (10, 50)), (20, (20, 25)), (30, (30, 20)), (40, (40, 15)), (50, (50, 10))]
)
def test_loops_of_the_code(ipc: int, expected: tuple[int, int]) -> None:
    assert dc.loops(ipc)[:2] == expected and dc.loops(ipc)[3] == "code"


def test_other_ipcs_lie_between_their_neighbors_and_say_whose_they_are() -> None:
    for ipc in (2, 5, 15, 25, 75):
        outer, inner, source, provenance = dc.loops(ipc)
        below, above = max(i for i in dc.LOOPS if i < ipc), min(i for i in dc.LOOPS if i > ipc)
        ends = sorted((dc.LOOPS[below][1], dc.LOOPS[above][1]))
        assert outer == ipc and ends[0] <= inner <= ends[1] and provenance == "ours" and str(below) in source
    assert dc.loops(200)[:2] == dc.LOOPS[100]


def test_resolved_settings_carry_the_loops_their_source_and_a_note() -> None:
    for name in ("dc", "dsa"):
        found = registry.resolve(name, dataset="cifar10", ipc=10, preset="paper")
        assert (found.config.outer_loop, found.config.inner_loop) == (10, 50)  # type: ignore[attr-defined]
        assert "get_loops" in found.provenance["inner_loop"].source and found.weakest_provenance == "code", (
            found.provenance
        )
        interpolate = registry.resolve(name, dataset="cifar10", ipc=15, preset="paper")
        assert interpolate.config.outer_loop == 15 and any("outer_loop=15" in note for note in interpolate.notes)  # type: ignore[attr-defined]
        asked = registry.resolve(name, dataset="cifar10", ipc=10, preset="paper", overrides={"inner_loop": 3})
        assert asked.config.inner_loop == 3 and asked.changed == ("inner_loop",)  # type: ignore[attr-defined]
