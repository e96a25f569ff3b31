"""The passes through a network that are compiled as they stand: plain functions of a network and tensors."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from methods.base import ClassLosses, Network


def needs_graph(images: Tensor) -> bool:
    """Also while `by_class`'s losses are compiled, which are to be differentiated."""
    return images.requires_grad or torch.compiler.is_compiling()


def embed(network: Network, images: Tensor) -> Tensor:
    return network.embed(images).float()


def logits(network: Network, images: Tensor) -> Tensor:
    return network(images).float()


def entropy(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = network(images).float()
    return F.cross_entropy(logits, labels), logits


def summed_entropy(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = network(images).float()
    return F.cross_entropy(logits, labels, reduction="sum"), logits


def mixed_entropy(
    network: Network, images: Tensor, labels: Tensor, others: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    logits = network(images).float()
    return weight * F.cross_entropy(logits, labels) + (1 - weight) * F.cross_entropy(logits, others), logits


def parallel_gradients(
    network: Network,
    weights: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
    others: Tensor | None,
    shares: Tensor | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Of k networks like `network`: the gradient of each one's mean cross-entropy, as `weights`, and the losses (k,).

    weights (k, …), images (k, N, ch, H, W) and labels (k, N): the c-th network's at place c; others and shares (k,) as
    in `mixed_entropy`.
    """

    def entropy(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(cast(nn.Module, network), weights, (images,)).float()
        return F.cross_entropy(logits, labels)

    def mixed(weights: dict[str, Tensor], images: Tensor, labels: Tensor, others: Tensor, share: Tensor) -> Tensor:
        logits = functional_call(cast(nn.Module, network), weights, (images,)).float()
        return share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(logits, others)

    if others is None or shares is None:
        return vmap(grad_and_value(entropy))(weights, images, labels)
    return vmap(grad_and_value(mixed))(weights, images, labels, others, shares)


def class_losses(losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
    """(C,) losses that a method wrote: closures made anew in every step, which are compiled as one function's."""
    return losses(images, *constants)
