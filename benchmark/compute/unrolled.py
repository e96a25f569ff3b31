"""Gradients through training: plain gradient steps that are differentiable in their images and their step size.

The graph of all steps holds every activation twice. Where that is too much, the N steps are cut into segments of about
√N, whose first weights are kept: the backward pass computes the steps of a segment again, except those of the last
one, and there is one segment's graph at a time. The gradients are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from methods.base import Network

# Of unrolled steps, at once. With 32×32 images in ConvNet-3 their graph takes 2 to 5 GiB on a CPU; a GPU has four times
# as many.
UNROLLED_PIXELS = {"cpu": 2**19, "cuda": 2**21}
# (weights, images of some steps, labels of these, step size, whether a graph is kept) to the weights after them
Segment = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor], Tensor, bool], list[Tensor]]


def unroll(
    steps: Segment,
    weights: Sequence[Tensor],
    images: Sequence[Tensor],
    labels: Sequence[Tensor],
    lr: Tensor,
    most_pixels: int,
) -> list[Tensor]:
    """The weights after `steps` on all images, differentiable once in images and lr; weights are constants.

    most_pixels: of how many pixels there may be a graph at once; of √N of the N steps there is one in any case.
    """
    *lengths, last = _segment_lengths(len(images), most_pixels // images[0][:, 0].numel())
    before = len(images) - last
    if lengths:
        weights = _Unrolled.apply(steps, lengths, list(labels[:before]), lr, before, *images[:before], *weights)
    else:
        weights = [weight.detach().requires_grad_() for weight in weights]
    return steps(weights, images[before:], labels[before:], lr, True)


def gradient_steps(network: Network, autocast: Callable[[], Any]) -> Segment:
    """w ← w − lr·∇CE(f_w(x), y) for each of the images x (n, ch, H, W) and labels y (n,) in turn."""
    module = cast(nn.Module, network)
    names = [name for name, _ in module.named_parameters()]

    def steps(
        weights: Sequence[Tensor], images: Sequence[Tensor], labels: Sequence[Tensor], lr: Tensor, keep_graph: bool
    ) -> list[Tensor]:
        for batch, of_batch in zip(images, labels, strict=True):
            if not keep_graph:
                weights = [weight.detach().requires_grad_() for weight in weights]
            with autocast():
                logits = functional_call(module, dict(zip(names, weights, strict=True)), (batch,)).float()
            loss = F.cross_entropy(logits, of_batch)
            gradients = torch.autograd.grad(loss, list(weights), create_graph=keep_graph)
            weights = [weight - lr * gradient for weight, gradient in zip(weights, gradients, strict=True)]
        return list(weights)

    return steps


def _segment_lengths(count: int, most: int) -> list[int]:
    """`count` steps in segments of about √count each, or of `most` if that is more."""
    size = max(math.isqrt(max(1, count - 1)) + 1, most)
    return [min(size, count - start) for start in range(0, count, size)]


class _Unrolled(torch.autograd.Function):
    """Steps forward without a graph; segment by segment with one backward."""

    @staticmethod
    def forward(
        ctx: Any, steps: Segment, lengths: list[int], labels: list[Tensor], lr: Tensor, count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        images, weights = tensors[:count], [weight.detach() for weight in tensors[count:]]
        starts: list[list[Tensor]] = []
        first = 0
        for length in lengths:
            starts.append(weights)
            part = slice(first, first + length)
            with torch.enable_grad():
                constant = [batch.detach() for batch in images[part]]
                weights = [w.detach() for w in steps(weights, constant, labels[part], lr.detach(), False)]
            first += length
        ctx.steps, ctx.lengths, ctx.labels, ctx.starts = steps, lengths, labels, starts
        ctx.save_for_backward(lr, *images)
        return tuple(weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        lr, *images = ctx.saved_tensors
        gradients: list[Tensor | None] = [None] * len(images)
        of_lr, of_weights = torch.zeros_like(lr), list(upstream)
        last = len(images)
        for length, start in zip(reversed(ctx.lengths), reversed(ctx.starts), strict=True):
            part = slice(last - length, last)
            with torch.enable_grad():
                leaves = [batch.detach().requires_grad_() for batch in images[part]]
                weights = [weight.detach().requires_grad_() for weight in start]
                step_size = lr.detach().requires_grad_()
                end = ctx.steps(weights, leaves, ctx.labels[part], step_size, True)
                parts = torch.autograd.grad(end, [step_size, *leaves, *weights], of_weights)
            of_lr = of_lr + parts[0]
            gradients[part] = parts[1 : 1 + length]
            of_weights = list(parts[1 + length :])
            last -= length
        return None, None, None, of_lr, None, *gradients, *[None] * len(of_weights)
