"""Instance norm, ReLU and 2×2 average pooling as one function with its own derivative, for compiled code on a CPU.

Convolutions on a CPU prefer the channels last, and compiled code of the three separate layers keeps converting images
between that layout and the usual one, above all in the backward pass. Here the channels are last throughout, and the
derivative takes two passes over the pixels. The result equals that of the layers up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FusedBlock(nn.Sequential):
    """Convolution, instance norm (affine), ReLU and 2×2 average pooling of images whose sides are then even."""

    def forward(self, images: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() or images.device.type != "cpu" or _transformed():
            plain: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
            return plain
        convolution, norm = self[0], self[1]
        pooled: Tensor = NormReluPool.apply(convolution(images), norm.weight, norm.bias, norm.eps)
        return pooled


def _transformed() -> bool:
    """Whether a transform of torch.func is active: in it, torch 2.14 refuses custom derivatives (vmap) or may silently
    ignore them (grad, of what needs no gradient outside)."""
    return bool(torch._C._functorch.maybe_current_level())


# Constant within a trace: torch.compiler.assume_constant_result says so, but loads the compiler, which takes a second.
_transformed._dynamo_marked_constant = True  # type: ignore[attr-defined]


class NormReluPool(torch.autograd.Function):
    """(N, C, h, w), weights γ and biases β (C,) and ε to the pooled (N, C, h/2, w/2).

    With μ and σ² the mean and variance of an image's channel over its pixels, and r = (σ² + ε)^(−1/2):
    x̂ = r·(x − μ), and the mean over 2×2 pixels of max(γ·x̂ + β, 0). Sums are in float32. It can be differentiated once.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).float()
        mean = pixels.mean((1, 2), keepdim=True)
        scale = torch.rsqrt((pixels - mean).square().mean((1, 2), keepdim=True) + eps)
        activations = torch.relu((pixels - mean) * (scale * weight) + bias)
        ctx.save_for_backward(images, weight, bias, mean, scale)
        # With the conversion last, code that torch 2.11 compiles has derivatives of zero.
        return _by_fours(activations).mean((2, 4)).to(images.dtype).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """With δ the derivative by γ·x̂ + β: γr·(δ − ⟨δ⟩ − x̂·⟨δ·x̂⟩) by x, Σ δ·x̂ by γ and Σ δ by β; ⟨·⟩ over pixels."""
        images, weight, bias, mean, scale = ctx.saved_tensors
        count = images.shape[2] * images.shape[3]
        m, r = mean[:, :, None, :, None], scale[:, :, None, :, None]  # broadcast over the pixels by fours
        normed = (_by_fours(images.permute(0, 2, 3, 1)).float() - m) * r
        spread = pooled.permute(0, 2, 3, 1).float()[:, :, None, :, None] / 4
        delta = torch.where(normed * weight + bias > 0, spread, 0.0)
        by_bias, by_weight = _over_pixels(delta), _over_pixels(delta * normed)
        by_pixels = weight * r * (delta - by_bias / count - normed * (by_weight / count))
        by_images = by_pixels.to(images.dtype).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return by_images, by_weight.sum((0, 1, 2, 3, 4)), by_bias.sum((0, 1, 2, 3, 4)), None


def _by_fours(pixels: Tensor) -> Tensor:
    """(N, h, w, C) to (N, h/2, 2, w/2, 2, C)."""
    pairs: Tensor = pixels.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
    return pairs


def _over_pixels(values: Tensor) -> Tensor:
    """The sum over all pixels of (N, h/2, 2, w/2, 2, C) as (N, 1, 1, 1, 1, C)."""
    total: Tensor = values.sum((1, 2, 3, 4), keepdim=True)
    return total
