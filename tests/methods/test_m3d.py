"""M3D's kernels, discrepancy and step against the paper's formulas, worked out pair by pair."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from methods.dm import embedding_gap
from methods.m3d import M3D, M3DConfig, gaussian_kernel, squared_mmd
from methods.multi_formation import decode_classes

Make = Callable[..., ConcreteProblem]


def mmd_by_hand(real: Tensor, synthetic: Tensor) -> Tensor:
    """Squared discrepancy of one class, (m, D) and (n, D), with a loop over all pairs."""
    points = [*real, *synthetic]
    distances = [[((a - b) ** 2).sum() for b in points] for a in points]
    count = len(points)
    bandwidth = sum(float(value) for row in distances for value in row) / (count**2 - count)
    kernel = [[sum(torch.exp(-d / (bandwidth * 2.0**q)) for q in (-2, -1, 0, 1, 2)) for d in row] for row in distances]
    m = len(real)
    both = range(m), range(m, count)
    xx, xy, yy = (sum(kernel[i][j] for i in a for j in b) / (len(a) * len(b))
                  for a, b in ((both[0], both[0]), (both[0], both[1]), (both[1], both[1])))  # fmt: skip
    return xx - 2 * xy + yy


def test_the_discrepancy_is_that_of_all_pairs_with_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    real, synthetic = torch.randn(2, 5, 3, generator=generator), torch.randn(2, 4, 3, generator=generator)
    mine, by_hand = synthetic.clone().requires_grad_(), synthetic.clone().requires_grad_()
    values = squared_mmd(real, mine, "gaussian")
    expected = torch.stack([mmd_by_hand(real[c], by_hand[c]) for c in range(2)])
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5)
    (gradient,), (by_pairs,) = (torch.autograd.grad(v.sum(), x) for v, x in ((values, mine), (expected, by_hand)))
    torch.testing.assert_close(gradient, by_pairs)


def test_equal_points_have_the_largest_kernel_and_a_finite_gradient() -> None:
    points = torch.ones(1, 3, 2, requires_grad=True)
    kernel = gaussian_kernel(points)
    assert kernel.tolist() == [[[5.0] * 3] * 3]
    assert torch.autograd.grad(kernel.sum(), points)[0].isfinite().all()


def test_the_linear_kernel_is_dm_and_equal_samples_have_no_discrepancy() -> None:
    generator = torch.Generator().manual_seed(1)
    real, synthetic = torch.randn(3, 6, 4, generator=generator), torch.randn(3, 2, 4, generator=generator)
    torch.testing.assert_close(squared_mmd(real, synthetic, "linear"), embedding_gap(real.mean(1), synthetic.mean(1)))
    for kernel in ("gaussian", "polynomial", "linear"):
        torch.testing.assert_close(squared_mmd(real, real, kernel), torch.zeros(3), atol=1e-4, rtol=0)
    assert float(squared_mmd(real, real + 100, "gaussian").max()) <= 10


def test_iterations_share_a_network_and_each_class_takes_its_own_step(make_problem: Make) -> None:
    """Against SGD over all classes that is stepped once for each class, on images clamped once an iteration."""
    problem = make_problem()
    config = M3DConfig(iterations=3, network_interval=2, batch_real=5, lr_img_per_ipc=2.0, factor=2)
    method = M3D(problem, config)
    leaf = method.images.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=2.0 * problem.ipc, momentum=0.5)
    for it in range(3):
        network = problem.new_network(it // 2)
        leaf.data.clamp_(0, 1)
        augment = problem.augment(config.augment, problem.generator("augmentation", it))
        real = augment(problem.normalize(problem.real.sample(5, problem.generator("real batch", it))))
        total = 0.0
        for c in range(problem.num_classes):
            seen = augment(problem.normalize(decode_classes(leaf, 2)))[c]
            loss = mmd_by_hand(network.embed(real[c]), network.embed(seen))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        assert method.step()["discrepancy"] == pytest.approx(total, rel=1e-3)
        torch.testing.assert_close(method.images, leaf.detach(), rtol=1e-3, atol=1e-4)


def test_at_most_batch_syn_max_images_of_a_class_are_matched(make_problem: Make) -> None:
    few, all_images = (
        M3D(make_problem(), M3DConfig(iterations=1, batch_real=5, factor=2, batch_syn_max=limit)).step()["discrepancy"]
        for limit in (3, 8)
    )
    assert few != all_images and math.isfinite(few)


def test_batch_norm_is_refused() -> None:
    config = M3DConfig()
    assert M3D.unsupported(config, depends_on_batch=True) and not M3D.unsupported(config, depends_on_batch=False)
