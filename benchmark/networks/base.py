"""The interface of every network here, and initial weights drawn without touching the global generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from benchmark.utils.errors import BenchmarkError

ImageShape = tuple[int, int, int]  # channels, height, width
Norm = nn.GroupNorm | nn.BatchNorm2d | nn.LayerNorm


class BlockNetwork(nn.Module):
    """Blocks, then one linear layer: images (N, ch, H, W), already normalized, to logits (N, C).

    Implements methods.base.Network. `embed` flattens the last block's output to `features` numbers per image. A final
    pooling over the whole map is a block of its own, except in VGG, where it is part of the last block.
    """

    depends_on_batch: bool  # True if an image's output depends on the rest of the batch (BatchNorm)
    smallest_batch: int = 1  # that it can be trained on: 2 where a batch norm sees one pixel per channel

    def __init__(self, blocks: Iterable[nn.Module], features: int, num_classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.classifier, self.num_classes = nn.Linear(features, num_classes), num_classes
        self.depends_on_batch = any(isinstance(layer, nn.BatchNorm2d) for layer in self.modules())

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """The classifier's input (N, D), equal to the last of `block_outputs(images)`, flattened."""
        output: Tensor = self.blocks(images)
        return output.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """`embed`'s (N, D) to logits (N, C)."""
        logits: Tensor = self.classifier(features)
        return logits

    def block_outputs(self, images: Tensor, *, pre_pool: bool = False, include_last: bool = False) -> Iterator[Tensor]:
        """The activations after each block, pooling included: (N, channels, h, w), or (N, D) of a linear layer.

        pre_pool: those of all blocks but the last before the pooling that ends them, if any does. include_last: if one
        ends the last block, the activations before it come, too, ahead of those after it.
        """
        *blocks, last = self.blocks
        for block in blocks:
            if pre_pool and _ends_in_pooling(block):
                images = _before_pooling(block, images)
                yield images
                images = block[-1](images)
            else:
                images = block(images)
                yield images
        if pre_pool and include_last and _ends_in_pooling(last):
            images = _before_pooling(last, images)
            yield images
            last = last[-1]
        yield last(images)


def _ends_in_pooling(block: nn.Module) -> TypeGuard[nn.Sequential]:
    return isinstance(block, nn.Sequential) and isinstance(block[-1], nn.AvgPool2d | nn.MaxPool2d)


def _before_pooling(block: nn.Sequential, images: Tensor) -> Tensor:
    """The output of all layers but the last, as plain layers: a fused block has no such activations."""
    for layer in block[:-1].children():
        images = layer(images)
    return images


# --- parts of several families ----------------------------------------------------------------------------------------


class FanOutConv2d(nn.Conv2d):
    """A convolution whose weights `initialize` draws from N(0, √(2 / (k·k·out_channels))), as IDC's ResNets do."""


def sequence(*layers: nn.Module | None, container: type[nn.Sequential] = nn.Sequential) -> nn.Sequential:
    """The layers one after the other, without those that are None."""
    return container(*(layer for layer in layers if layer is not None))


def norm_layer(norm: str, channels: int) -> nn.Module | None:
    """The norm `in`, `bn` or `none` (None) over `channels` channels, affine, eps 1e-5."""
    if norm == "bn":
        return nn.BatchNorm2d(channels)
    # "instance norm": not nn.InstanceNorm2d, whose default has no affine parameters
    return nn.GroupNorm(channels, channels) if norm == "in" else None


def extra_padding(image_shape: ImageShape) -> int:
    """Pixels that the first convolution of DC's networks adds to its padding on each side.

    2 for 28×28 gray images, which become 32×32 and get embeddings of CIFAR's size. # differs: the reference tests the
    channels alone, and also pads gray images of any other size.
    """
    return 2 if image_shape == (1, 28, 28) else 0


def require_side(name: str, image_shape: ImageShape, least: int, why: str = "") -> None:
    """Raise BenchmarkError unless images are `least` pixels high and wide."""
    _, height, width = image_shape
    if min(height, width) < least:
        raise BenchmarkError(
            f"{name} needs images of at least {least}×{least} pixels, and these have {height}×{width}{why}",
            where=name,
            next="take auto (the ConvNet for this size), mlp or resnet10-bn, which fit",
        )


# --- initial weights --------------------------------------------------------------------------------------------------


def materialize(make: Callable[[], BlockNetwork], generator: torch.Generator) -> BlockNetwork:
    """The network that `make` builds, on the CPU, its weights drawn from `generator` alone.

    It is built on the meta device, where PyTorch's own initialization draws nothing from the global generator.
    """
    with torch.device("meta"):
        network = make()
    for layer in network.modules():  # not by to_empty, which loads sympy: most of a second
        for name, weight in [*layer.named_parameters(recurse=False)]:
            empty = torch.empty(weight.shape, dtype=weight.dtype)
            setattr(layer, name, nn.Parameter(empty, requires_grad=weight.requires_grad))
        for name, buffer in [*layer.named_buffers(recurse=False)]:
            setattr(layer, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    initialize(network, generator)
    return network


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from each layer's distribution, in order of construction.

    Convolution and linear weights: Kaiming-uniform with a = √5; their biases: U(±1/√fan_in); norm weights 1, biases 0
    (METHODS.md 3.1): equal to what PyTorch would draw from a global generator in the same state. FanOutConv2d: normal.
    A layer with a method `initialize(generator)` draws its own. Raises TypeError for a layer of unknown distribution,
    rather than leave its memory uninitialized.
    """
    for layer in network.modules():
        if own := getattr(layer, "initialize", None):
            own(generator)
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            if isinstance(layer, FanOutConv2d):
                fan_out = layer.out_channels * math.prod(layer.kernel_size)
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / fan_out), generator=generator)
            else:
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())  # fan_in of a plain (ungrouped) layer
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, Norm):
            layer.reset_parameters()  # constants, and BatchNorm's running statistics: nothing is drawn
        elif any(True for _ in layer.parameters(recurse=False)) or any(True for _ in layer.buffers(recurse=False)):
            raise TypeError(f"no initialization known for {type(layer).__name__}")
