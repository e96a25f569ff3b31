"""The batched class pass against torch.optim.SGD stepping one class at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.momentum import class_pass, joint_step, train_weights


def losses_of(images: Tensor, target: Tensor) -> Tensor:
    """A non-linear loss of each class: (C, ipc, ch, H, W) to (C,)."""
    return ((images - target) ** 2 + torch.sin(3 * images)).flatten(1).sum(1)


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
def test_passes_equal_sgd_class_by_class_under_clamping(mu: float) -> None:
    draw = torch.Generator().manual_seed(3)
    start = torch.rand(6, 2, 1, 3, 3, generator=draw, dtype=torch.float64)
    targets = torch.rand(2, *start.shape, generator=draw, dtype=torch.float64)
    lr = 0.02

    published_as = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([published_as], lr=lr, momentum=mu)
    batched, momentum = start.clone(), torch.zeros_like(start)
    for _ in range(4):  # four iterations of two views, clamped at each iteration's start, as DANCE does
        published_as.data.clamp_(0, 1)
        batched.clamp_(0, 1)
        for target in targets:
            for c in range(len(start)):
                optimizer.zero_grad(set_to_none=False)
                losses_of(published_as, target)[c].backward()
                optimizer.step()
            class_pass(batched, momentum, lambda x, t=target: losses_of(x, t), lr, mu)
    torch.testing.assert_close(batched, published_as.detach(), rtol=1e-12, atol=1e-12)
    buffer = optimizer.state[published_as]["momentum_buffer"] if mu else momentum
    torch.testing.assert_close(momentum, buffer, rtol=1e-12, atol=1e-12)


def test_a_pass_is_not_a_joint_step() -> None:
    start = torch.rand(5, 1, 1, 2, 2, dtype=torch.float64)
    target = torch.zeros_like(start)
    passed, momentum = start.clone(), torch.zeros_like(start)
    class_pass(passed, momentum, lambda x: losses_of(x, target), 0.1, 0.5)
    joint = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses_of(joint, target).sum(), joint)
    stepped, buffer = start.clone(), torch.zeros_like(start)
    joint_step(stepped, buffer, gradient, 0.1, 0.5)
    assert (passed - stepped).abs().max() > 1e-3
    # Class 0 coasts for the four steps after its own: −lr·g·(1 + ½ + ¼ + ⅛ + 1/16).
    torch.testing.assert_close(passed[0] - start[0], -0.1 * gradient[0] * (2 - 2**-4))


def test_returned_losses_are_those_at_the_moment_of_each_step() -> None:
    start = torch.rand(3, 1, 1, 2, 2, dtype=torch.float64)
    momentum = torch.ones_like(start)
    target = torch.zeros_like(start)
    moved = start - 0.1 * torch.tensor([0.0, 0.5, 0.75], dtype=torch.float64).view(-1, 1, 1, 1, 1)
    losses = class_pass(start.clone(), momentum, lambda x: losses_of(x, target), 0.1, 0.5)
    torch.testing.assert_close(losses, losses_of(moved, target))


def test_joint_steps_equal_sgd() -> None:
    start = torch.rand(3, 2, 1, 2, 2, dtype=torch.float64)
    published_as = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([published_as], lr=0.3, momentum=0.5)
    images, momentum = start.clone(), torch.zeros_like(start)
    for _ in range(5):
        optimizer.zero_grad()
        losses_of(published_as, torch.zeros_like(start)).sum().backward()
        optimizer.step()
        leaf = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(losses_of(leaf, torch.zeros_like(start)).sum(), leaf)
        joint_step(images, momentum, gradient, 0.3, 0.5)
    torch.testing.assert_close(images, published_as.detach(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("mu", "decay"), [(0.0, 0.0), (0.9, 5e-4), (0.0, 5e-4)])
def test_weights_are_trained_as_by_torchs_sgd(mu: float, decay: float) -> None:
    draw = torch.Generator().manual_seed(0)
    ours = [torch.randn(3, 2, generator=draw), torch.randn(4, generator=draw)]
    theirs = [weight.clone().requires_grad_() for weight in ours]
    buffers = [torch.zeros_like(weight) for weight in ours] if mu else None
    optimizer = torch.optim.SGD(theirs, lr=0.1, momentum=mu, weight_decay=decay)
    for _ in range(4):
        gradients = [torch.randn(weight.shape, generator=draw) for weight in ours]
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
        train_weights(ours, gradients, buffers, lr=0.1, mu=mu, decay=decay)
    for weight, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(weight, other.detach())
