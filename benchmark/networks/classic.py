"""MLP, LeNet and AlexNet as DC's family has them, from METHODS.md 3.2 (DatasetCondensation@53f63a6 networks.py).

What they flatten grows with the image: only 32×32 images, and 28×28 grey ones widened to that, give the papers' sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from benchmark.networks.base import ImageShape, Network, norm_layer, require_side, sequence, widening
from benchmark.networks.naming import Spec, number, words


@dataclass(frozen=True)
class MLPSpec(Spec):
    """mlp."""

    HEADS = SHOWN = "mlp"
    EXAMPLES = ("mlp",)

    def build(self, image_shape: ImageShape, num_classes: int) -> Network:
        return MLP(image_shape, num_classes)


class MLP(Network):
    """Two hidden layers of 128. The embedding (ours; the reference has none) is the last hidden activations."""

    def __init__(self, image_shape: ImageShape, num_classes: int) -> None:
        hidden = [_hidden(math.prod(image_shape), 128), _hidden(128, 128)]
        super().__init__(hidden, 128, num_classes)


@dataclass(frozen=True)
class LeNetSpec(Spec):
    """lenet."""

    HEADS = SHOWN = "lenet"
    EXAMPLES = ("lenet",)

    def build(self, image_shape: ImageShape, num_classes: int) -> Network:
        require_side(self.name, image_shape, 16)  # two convolutions of 5×5 without padding, each before a pooling
        return LeNet(image_shape, num_classes)


class LeNet(Network):
    """Two 5×5 convolutions and two hidden layers, no norm. The embedding (ours) is the last hidden activations."""

    def __init__(self, image_shape: ImageShape, num_classes: int) -> None:
        channels, height, width = image_shape
        wider = widening(image_shape)
        left = [((side + 2 * wider - 4) // 2 - 4) // 2 for side in (height, width)]  # 5 of 32
        blocks = [
            sequence(nn.Conv2d(channels, 6, 5, padding=wider), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            sequence(nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            _hidden(16 * math.prod(left), 120),
            _hidden(120, 84),
        ]
        super().__init__(blocks, 84, num_classes)


@dataclass(frozen=True)
class AlexNetSpec(Spec):
    """A parsed AlexNet name. `width`: channels of the first convolution; those of the others keep their proportion."""

    norm: str = words("none", "bn", "in")
    width: int = number("w", 128)

    HEADS = SHOWN = "alexnet"
    EXAMPLES = ("alexnet",)

    def build(self, image_shape: ImageShape, num_classes: int) -> Network:
        require_side(self.name, image_shape, 8)  # three poolings
        return AlexNet(self, image_shape, num_classes)


class AlexNet(Network):
    """Five convolutions, three of them pooled, a norm before each ReLU if any, no dropout, one linear layer."""

    def __init__(self, spec: AlexNetSpec, image_shape: ImageShape, num_classes: int) -> None:
        channels, height, width = image_shape
        wider, middle = widening(image_shape), 3 * spec.width // 2
        layers = (  # channels, kernel, padding, pooled
            (spec.width, 5, 2 + wider, True),
            (middle, 5, 2, True),
            (2 * spec.width, 3, 1, False),
            (middle, 3, 1, False),
            (middle, 3, 1, True),
        )
        blocks = []
        for out, kernel, padding, pooled in layers:
            convolution = nn.Conv2d(channels, out, kernel, padding=padding)
            pooling = nn.MaxPool2d(2) if pooled else None
            blocks.append(sequence(convolution, norm_layer(spec.norm, out), nn.ReLU(inplace=True), pooling))
            channels = out
        left = [(side + 2 * wider) // 8 for side in (height, width)]  # 4 of 32
        super().__init__(blocks, channels * math.prod(left), num_classes)


def _hidden(inputs: int, outputs: int) -> nn.Sequential:
    """A hidden layer of whatever precedes it, flattened."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU(inplace=True))
