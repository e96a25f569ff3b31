"""The passes through a network that are compiled as they stand: plain functions of a network and tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad

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


def loss_and_gradient(losses: ClassLosses, images: Tensor, *constants: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) losses and the gradient of their sum, in one graph that holds both directions of all derivatives."""

    def total(images: Tensor) -> tuple[Tensor, Tensor]:
        values = losses(images, *constants)
        return values.sum(), values

    gradient, values = grad(total, has_aux=True)(images)
    return values, gradient


def loss_and_gradient_plain(losses: ClassLosses, images: Tensor, *constants: Tensor) -> tuple[Tensor, Tensor]:
    """The same by autograd, whose memory is smaller where nothing is compiled."""
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        values = losses(leaf, *constants)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient
