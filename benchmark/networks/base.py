"""What every network here can do, and how its first weights are drawn without touching the global generator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Norm = nn.GroupNorm | nn.BatchNorm2d | nn.LayerNorm


class Network(nn.Module, ABC):
    """Images (N, ch, H, W), already normalised, to logits (N, C); satisfies methods.base.Network."""

    depends_on_batch: bool  # True if an image's output depends on the images beside it (BatchNorm)

    @abstractmethod
    def stages(self, images: Tensor) -> list[Tensor]:
        """The activations after each block, pooling included: one (N, channels, h, w) a block."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """The flattened output of the last pooling: (N, D), equal to `stages(images)[-1].flatten(1)`."""


AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def materialise(make: Callable[[], AnyNetwork], generator: torch.Generator) -> AnyNetwork:
    """The network that `make` builds, on the CPU, its weights drawn from `generator` alone.

    It is built on the meta device, where PyTorch's own initialisation draws nothing from the global generator.
    """
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    initialise(network, generator)
    return network


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Overwrite all weights by PyTorch's default law, layer by layer in order of construction.

    Convolution and linear weights: Kaiming-uniform with a = √5; their biases: U(±1/√fan_in); norm weights 1, biases 0
    (METHODS.md 3.1). Equal to what PyTorch would draw from a global generator in the same state.
    Raises TypeError for a layer whose law is not known here, rather than leave its memory uninitialised.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())  # fan_in of a plain (ungrouped) layer
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, Norm):
            layer.reset_parameters()  # constants, and BatchNorm's running statistics: nothing is drawn
        elif any(True for _ in layer.parameters(recurse=False)) or any(True for _ in layer.buffers(recurse=False)):
            raise TypeError(f"no initialisation known for {type(layer).__name__}")
