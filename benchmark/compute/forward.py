"""Passes through a network as plain functions of the network and tensors, so that each can be compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from methods.base import ClassLosses, Network


def needs_graph(images: Tensor) -> bool:
    """Whether a graph to the images must be kept: they require a gradient, or losses of them are being compiled."""
    return images.requires_grad or torch.compiler.is_compiling()


def embed(network: Network, images: Tensor) -> Tensor:
    """(N, ch, H, W) to embeddings (N, D), float32."""
    return network.embed(images).float()


def logits(network: Network, images: Tensor) -> Tensor:
    """(N, ch, H, W) to logits (N, C), float32."""
    return network(images).float()


def block_features(
    network: Network, images: Tensor, reduce: Callable[[Tensor], Tensor], *, include_last: bool
) -> tuple[Tensor, ...]:
    """(N, ch, H, W) to `reduce` of the blocks' activations before pooling, then the embeddings (N, D).

    include_last: not only of all blocks but the last.
    """
    features: list[Tensor] = []
    last: Tensor | None = None
    for output in network.block_outputs(images, pre_pool=True, include_last=include_last):
        if last is not None:
            features.append(reduce(last.float()))
        last = output
    assert last is not None, "a network has blocks"
    return *features, last.flatten(1).float()


def cross_entropy(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, ch, H, W) and labels (N,) to the mean cross-entropy () and the logits (N, C)."""
    logits = network(images).float()
    return F.cross_entropy(logits, labels), logits


def summed_cross_entropy(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, ch, H, W) and labels (N,) to the sum of the cross-entropies () and the logits (N, C)."""
    logits = network(images).float()
    return F.cross_entropy(logits, labels, reduction="sum"), logits


def mixed_cross_entropy(
    network: Network, images: Tensor, labels: Tensor, partner_labels: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """weight · CE(labels) + (1 − weight) · CE(partner_labels) of mixed images, and the logits (N, C)."""
    logits = network(images).float()
    return weight * F.cross_entropy(logits, labels) + (1 - weight) * F.cross_entropy(logits, partner_labels), logits


def parallel_gradients(
    network: Network,
    weights: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
    partner_labels: Tensor | None,
    label_weights: Tensor | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Gradients of k networks of one architecture, each of its own mean cross-entropy, and the k losses.

    network: one of them. weights: by name, (k, …); images (k, N, ch, H, W); labels and partner_labels (k, N) and
    label_weights (k,) as in `mixed_cross_entropy`, or None. Returns gradients shaped like `weights`, and losses (k,).
    """

    def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(cast(nn.Module, network), weights, (images,)).float()
        return F.cross_entropy(logits, labels)

    def mixed_loss(
        weights: dict[str, Tensor], images: Tensor, labels: Tensor, partner_labels: Tensor, weight: Tensor
    ) -> Tensor:
        logits = functional_call(cast(nn.Module, network), weights, (images,)).float()
        return weight * F.cross_entropy(logits, labels) + (1 - weight) * F.cross_entropy(logits, partner_labels)

    if partner_labels is None or label_weights is None:
        return vmap(grad_and_value(loss))(weights, images, labels)
    return vmap(grad_and_value(mixed_loss))(weights, images, labels, partner_labels, label_weights)


def class_losses(losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
    """losses(images, *constants) (C,): compiled as this one function, whatever closure a method makes in each step."""
    return losses(images, *constants)
