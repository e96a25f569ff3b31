"""MLP, LeNet and AlexNet as DC's family defines them, from METHODS.md 3.2 (DatasetCondensation@53f63a6 networks.py).

What they flatten grows with the image: only 32×32 images, and 28×28 gray ones padded to that, give the papers' sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from benchmark.networks.base import BlockNetwork, ImageShape, extra_padding, norm_layer, require_side, sequence
from benchmark.networks.naming import ArchitectureSpec, number_option, word_option


@dataclass(frozen=True)
class MLPSpec(ArchitectureSpec):
    """The MLP, which has no options."""

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        return MLP(image_shape, num_classes)


class MLP(BlockNetwork):
    """Two hidden layers of 128. The embedding (ours; the reference has none) is the last hidden activations."""

    def __init__(self, image_shape: ImageShape, num_classes: int) -> None:
        hidden = [_hidden(math.prod(image_shape), 128), _hidden(128, 128)]
        super().__init__(hidden, 128, num_classes)


@dataclass(frozen=True)
class LeNetSpec(ArchitectureSpec):
    """The LeNet, which has no options."""

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        require_side(self.name, image_shape, 16)  # two convolutions of 5×5 without padding, each before a pooling
        return LeNet(image_shape, num_classes)


class LeNet(BlockNetwork):
    """Two 5×5 convolutions and two hidden layers, no norm. The embedding (ours) is the last hidden activations."""

    def __init__(self, image_shape: ImageShape, num_classes: int) -> None:
        channels, height, width = image_shape
        padding = extra_padding(image_shape)
        sides = [((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width)]  # 5 for 32
        blocks = [
            sequence(nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            sequence(nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            _hidden(16 * math.prod(sides), 120),
            _hidden(120, 84),
        ]
        super().__init__(blocks, 84, num_classes)


@dataclass(frozen=True)
class AlexNetSpec(ArchitectureSpec):
    """A parsed AlexNet name. `width`: channels of the first convolution; the others scale with it."""

    norm: str = word_option("none", "bn", "in")
    width: int = number_option("w", 128)

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        require_side(self.name, image_shape, 8)  # three poolings
        return AlexNet(self, image_shape, num_classes)


class AlexNet(BlockNetwork):
    """Five convolutions, three of them pooled, an optional norm before each ReLU, no dropout, one linear layer."""

    def __init__(self, spec: AlexNetSpec, image_shape: ImageShape, num_classes: int) -> None:
        channels, height, width = image_shape
        padding, middle = extra_padding(image_shape), 3 * spec.width // 2
        layers = (  # channels, kernel, padding, pooled
            (spec.width, 5, 2 + padding, True),
            (middle, 5, 2, True),
            (2 * spec.width, 3, 1, False),
            (middle, 3, 1, False),
            (middle, 3, 1, True),
        )
        blocks = []
        for out, kernel, own_padding, pooled in layers:
            convolution = nn.Conv2d(channels, out, kernel, padding=own_padding)
            pooling = nn.MaxPool2d(2) if pooled else None
            blocks.append(sequence(convolution, norm_layer(spec.norm, out), nn.ReLU(inplace=True), pooling))
            channels = out
        sides = [(side + 2 * padding) // 8 for side in (height, width)]  # 4 for 32
        super().__init__(blocks, channels * math.prod(sides), num_classes)


def _hidden(inputs: int, outputs: int) -> nn.Sequential:
    """A hidden layer over its flattened input."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU(inplace=True))
