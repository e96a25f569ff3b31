"""DenseNet-121 for small images, as IDC's family evaluates on CIFAR.

From METHODS.md 3.3 (Efficient-Dataset-Condensation@ceac95a models/densenet_cifar.py): no pooling in the stem, batch
norm only, PyTorch's initial weights. That code pools 4×4 at the end, which is the whole map for 32×32 images; here the
pooling is over the whole map for any size. As the stem does not downsample, large images are slow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.networks.base import BlockNetwork, ImageShape, require_side
from benchmark.networks.naming import ArchitectureSpec, number_option, word_option

LAYERS = (6, 12, 24, 16)  # of each dense block


@dataclass(frozen=True)
class DenseNetSpec(ArchitectureSpec):
    """A parsed DenseNet name. `growth`: channels that each layer adds; the stem has twice as many."""

    growth: int = number_option("g", 12, always_spelled=True)
    norm: str = word_option("bn", always_spelled=True)

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        require_side(self.name, image_shape, 8)  # three poolings
        return DenseNet(self, image_shape, num_classes)


class DenseNet(BlockNetwork):
    """A stem and four dense blocks; three end in a transition, the last in a norm and ReLU; then one pooling."""

    def __init__(self, spec: DenseNetSpec, image_shape: ImageShape, num_classes: int) -> None:
        growth, channels = spec.growth, 2 * spec.growth
        blocks: list[nn.Module] = [nn.Conv2d(image_shape[0], channels, 3, padding=1, bias=False)]
        for index, count in enumerate(LAYERS, start=1):
            layers: list[nn.Module] = [DenseLayer(channels + k * growth, growth) for k in range(count)]
            channels += count * growth
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            if index < len(LAYERS):  # the transition halves channels and pixels
                layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
                channels //= 2
            blocks.append(nn.Sequential(*layers))
        blocks.append(nn.AdaptiveAvgPool2d(1))
        super().__init__(blocks, channels, num_classes)
        self.smallest_batch = 2 if math.prod(side // 8 for side in image_shape[1:]) == 1 else 1


class DenseLayer(nn.Module):
    """Norm, ReLU, 1×1 convolution to four times the growth, norm, ReLU, 3×3 convolution; concatenated to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.new = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images, self.new(images)], 1)
