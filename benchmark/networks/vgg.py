"""VGG-11 as DC's family defines it, from METHODS.md 3.2 (DatasetCondensation@53f63a6 networks.py)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from benchmark.networks.base import BlockNetwork, ImageShape, extra_padding, norm_layer, require_side, sequence
from benchmark.networks.naming import ArchitectureSpec, number_option, word_option

BLOCKS = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of each block's convolutions, in multiples of the width


@dataclass(frozen=True)
class VGGSpec(ArchitectureSpec):
    """A parsed VGG name. `width`: channels of the first convolution; the last have eight times as many."""

    norm: str = word_option("in", "bn", "none")
    width: int = number_option("w", 64)

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        if not extra_padding(image_shape):
            require_side(self.name, image_shape, 32)  # five poolings
        return VGG(self, image_shape, num_classes)


class VGG(BlockNetwork):
    """Eight 3×3 convolutions with bias in five blocks, a max-pooling after each, one linear layer.

    The papers' images end in one pixel. The larger last maps of other images are averaged (ours), in the last block.
    """

    def __init__(self, spec: VGGSpec, image_shape: ImageShape, num_classes: int) -> None:
        channels, padding = image_shape[0], 1 + extra_padding(image_shape)
        blocks = []
        for multiples in BLOCKS:
            layers: list[nn.Module | None] = []
            for multiple in multiples:
                out = multiple * spec.width
                convolution = nn.Conv2d(channels, out, 3, padding=padding)
                layers += [convolution, norm_layer(spec.norm, out), nn.ReLU(inplace=True)]
                channels, padding = out, 1
            blocks.append(sequence(*layers, nn.MaxPool2d(2)))
        blocks[-1].append(nn.AdaptiveAvgPool2d(1))
        super().__init__(blocks, channels, num_classes)
