"""ConvNet: blocks of 3×3 convolution, norm, activation and 2×2 pooling, then one linear layer; named by its options.

From METHODS.md 3.1 (DatasetCondensation@53f63a6 networks.py, the same in IDC and DANCE).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from benchmark.networks.base import BlockNetwork, ImageShape, extra_padding, norm_layer, sequence
from benchmark.networks.fused_block import FusedBlock
from benchmark.networks.naming import ArchitectureSpec, number_option, word_option
from benchmark.utils.errors import BenchmarkError

GROUPS = 4  # of norm `gn`


@dataclass(frozen=True)
class ConvNetSpec(ArchitectureSpec):
    """A parsed ConvNet name. `width` counts channels, the same in every block."""

    norm: str = word_option("in", "bn", "ln", "gn", "none")
    width: int = number_option("w", 128)
    pooling: str = word_option("avg", "max", "nopool")
    activation: str = word_option("relu", "leaky", "swish", "sigmoid")

    SHOWN = "convnetDEPTH"

    @property
    def depth(self) -> int:
        return int(self.head.removeprefix("convnet"))

    @property
    def can_fuse(self) -> bool:
        """Whether its blocks can be FusedBlocks."""
        return (self.norm, self.activation, self.pooling) == ("in", "relu", "avg")

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        return ConvNet(self, image_shape, num_classes)

    def __post_init__(self) -> None:
        if self.norm == "gn" and self.width % GROUPS:
            raise BenchmarkError(
                f"norm gn splits the channels into {GROUPS} groups, which a width of {self.width} does not allow",
                where=self.name,
                next=f"take a width that {GROUPS} divides",
            )


class ConvNet(BlockNetwork):
    """The ConvNet of a spec for images (ch, H, W). The embedding is the last block's output, flattened C, H, W.

    Raises BenchmarkError when pooling would leave less than one pixel.
    """

    def __init__(self, spec: ConvNetSpec, image_shape: ImageShape, num_classes: int) -> None:
        channels, height, width = image_shape
        extra = extra_padding(image_shape)
        height, width = height + 2 * extra, width + 2 * extra
        _check_depth(spec, height, width)
        blocks = []
        for block in range(spec.depth):
            convolution = nn.Conv2d(channels, spec.width, 3, padding=1 if block else 1 + extra)
            norm, pooling = _norm(spec, height, width), _pooling(spec.pooling)
            container = FusedBlock if spec.can_fuse and height % 2 == width % 2 == 0 else nn.Sequential
            blocks.append(sequence(convolution, norm, _activation(spec.activation), pooling, container=container))
            channels = spec.width
            if pooling is not None:
                height, width = height // 2, width // 2
        super().__init__(blocks, channels * height * width, num_classes)


def _check_depth(spec: ConvNetSpec, height: int, width: int) -> None:
    largest = min(height, width).bit_length() - 1  # how often the shorter side can be halved
    if spec.pooling == "nopool" or spec.depth <= largest:
        return
    allowed = f"the largest depth is {largest}" if largest else "they cannot be pooled at all"
    raise BenchmarkError(
        f"{spec.name} is too deep for images of {height}×{width} pixels: {allowed}",
        where=spec.name,
        next=f"take convnet{largest}, or add nopool" if largest else "take larger images",
    )


def _norm(spec: ConvNetSpec, height: int, width: int) -> nn.Module | None:
    """The norm of a block whose activations are (spec.width, height, width) before pooling, affine, eps 1e-5."""
    if spec.norm == "ln":
        return nn.LayerNorm([spec.width, height, width])
    return nn.GroupNorm(GROUPS, spec.width) if spec.norm == "gn" else norm_layer(spec.norm, spec.width)


def _activation(name: str) -> nn.Module:
    """In place if the backward pass needs only the output; else autograd would store a copy of the input."""
    if name == "swish":
        return nn.SiLU()
    if name == "sigmoid":
        return nn.Sigmoid()
    return nn.LeakyReLU(0.01, inplace=True) if name == "leaky" else nn.ReLU(inplace=True)


def _pooling(name: str) -> nn.Module | None:
    if name == "nopool":
        return None
    return nn.MaxPool2d(2) if name == "max" else nn.AvgPool2d(2)
