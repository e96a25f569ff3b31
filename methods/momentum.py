"""SGD with momentum as plain functions: on the synthetic images, jointly or class by class, and on weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import record_function

OPTIMIZER_STEP = "optimizer step"  # the name that a profiler shows


@torch.no_grad()
def joint_step(images: Tensor, momentum: Tensor, gradient: Tensor, lr: float, mu: float) -> None:
    """b ← μ·b + g; x ← x − lr·b, in place (torch.optim.SGD without dampening, weight decay or Nesterov)."""
    with record_function(OPTIMIZER_STEP):
        momentum.mul_(mu).add_(gradient)
        images.sub_(momentum, alpha=lr)


def class_pass(
    images: Tensor, momentum: Tensor, class_losses: Callable[[Tensor], Tensor], lr: float, mu: float
) -> Tensor:
    """C optimizer steps, the c-th on the loss of class c alone, as one batched pass; returns the C losses.

    images, momentum: (C, ipc, ch, H, W), changed in place. class_losses: those images to (C,) losses, of which
    the c-th depends on the c-th class alone. The public code steps one SGD over all classes with the gradient of one
    class at a time; the others then still move by their decaying momentum b. Since no loss depends on the images of
    another class, a pass has a closed form: class c takes c steps without
    gradient, one with it, and C − 1 − c more without.
    """
    step = torch.arange(images.shape[0], device=images.device, dtype=images.dtype).view(-1, 1, 1, 1, 1)
    with torch.no_grad():
        steps_without_gradient(images, momentum, step, lr, mu)
    leaf = images.detach().requires_grad_()
    losses = class_losses(leaf)
    (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    with torch.no_grad():
        joint_step(images, momentum, gradient, lr, mu)
        steps_without_gradient(images, momentum, images.shape[0] - 1 - step, lr, mu)
    return losses.detach()


@torch.no_grad()
def steps_without_gradient(images: Tensor, momentum: Tensor, steps: Tensor, lr: float, mu: float) -> None:
    """`steps` optimizer steps without gradient, in place: x ← x − lr·b·(μ + … + μ^steps); b ← μ^steps·b, 0 ≤ μ < 1."""
    with record_function(OPTIMIZER_STEP):
        decay = mu**steps
        images.sub_(momentum * (lr * mu * (1 - decay) / (1 - mu)))
        momentum.mul_(decay)


@torch.no_grad()
def train_weights(
    weights: list[Tensor],
    gradients: list[Tensor],
    momentum: list[Tensor] | None = None,
    *,
    lr: float,
    mu: float = 0.0,
    decay: float = 0.0,
) -> None:
    """torch.optim.SGD on a network's weights, in place: g ← g + decay·w; b ← μ·b + g; w ← w − lr·b (no b: plain)."""
    with record_function(OPTIMIZER_STEP):
        directions = list(torch._foreach_add(gradients, weights, alpha=decay)) if decay else gradients
        if momentum is not None:
            torch._foreach_mul_(momentum, mu)
            torch._foreach_add_(momentum, directions)
            directions = momentum
        torch._foreach_add_(weights, directions, alpha=-lr)
