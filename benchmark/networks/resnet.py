"""ResNet-10 and ResNet-18, strided or with average poolings (`-ap`), after DC's or IDC's code by image size.

Up to 32 pixels ResNet-18 is DC's: PyTorch's initial weights, and `-ap` flattens its last maps without pooling them.
ResNet-10, and ResNet-18 on larger images, are IDC's: normal initial weights, a stem by image size, and a pooling over
the whole map. IDC's ResNet-10 is half as wide on CIFAR, hence here on 32×32 images; on SVHN, which has that size too,
it is `resnet10-w64`. From METHODS.md 3.2 and 3.3, METHODS-2.md 8.1 (DatasetCondensation@53f63a6 networks.py,
Efficient-Dataset-Condensation@ceac95a models/resnet.py, resnet_ap.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.networks.base import BlockNetwork, FanOutConv2d, ImageShape, norm_layer, require_side, sequence
from benchmark.networks.naming import ArchitectureSpec, number_option, word_option

BLOCKS_PER_STAGE = {"resnet10": 1, "resnet18": 2}
DC_LARGEST = 32  # pixels of the shorter side, as below
UNPOOLED_LARGEST, SMALL_KERNEL_LARGEST = 64, 128  # sides up to which IDC's stem has no pooling, and no 7×7 kernel

Convolution = Callable[..., nn.Conv2d]


@dataclass(frozen=True)
class ResNetSpec(ArchitectureSpec):
    """A parsed ResNet name. `width`: channels of the first stage; None: the papers' for the image size."""

    norm: str = word_option("in", "bn")
    width: int | None = number_option("w", None)
    downsampling: str = word_option("stride", "ap")

    SHOWN = "resnet10|resnet18"

    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        return ResNet(self, image_shape, num_classes)


class ResNet(BlockNetwork):
    """A stem, four stages of basic blocks, each but the first halving the maps, and a pooling over the last maps."""

    def __init__(self, spec: ResNetSpec, image_shape: ImageShape, num_classes: int) -> None:
        last = _last_map(spec, image_shape)
        dc = spec.head == "resnet18" and min(image_shape[1:]) <= DC_LARGEST
        convolution: Convolution = nn.Conv2d if dc else FanOutConv2d
        planes = spec.width or (32 if spec.head == "resnet10" and image_shape[1:] == (32, 32) else 64)
        blocks: list[nn.Module] = [_stem(spec, image_shape, planes, convolution)]
        channels = planes
        for stage in range(4):
            stride, out = (2 if stage else 1), planes * 2**stage
            layers = []
            for _ in range(BLOCKS_PER_STAGE[spec.head]):
                layers.append(BasicBlock(channels, out, stride, spec, convolution))
                channels, stride = out, 1
            blocks.append(nn.Sequential(*layers))
        flat = dc and spec.downsampling == "ap"
        if not flat:
            blocks.append(nn.AdaptiveAvgPool2d(1))
        super().__init__(blocks, channels * (math.prod(last) if flat else 1), num_classes)
        self.smallest_batch = 2 if self.depends_on_batch and math.prod(last) == 1 else 1


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, which is a 1×1 convolution where the shape changes; none has a bias."""

    def __init__(self, channels: int, out: int, stride: int, spec: ResNetSpec, convolution: Convolution) -> None:
        super().__init__()
        pooled = spec.downsampling == "ap" and stride > 1
        pooling, step = (nn.AvgPool2d(stride), 1) if pooled else (None, stride)
        self.main = sequence(
            convolution(channels, out, 3, step, padding=1, bias=False),
            norm_layer(spec.norm, out),
            nn.ReLU(inplace=True),
            pooling,
            convolution(out, out, 3, padding=1, bias=False),
            norm_layer(spec.norm, out),
        )
        projection = convolution(channels, out, 1, step, bias=False)
        changes = stride > 1 or channels != out
        self.shortcut = sequence(projection, pooling, norm_layer(spec.norm, out)) if changes else nn.Sequential()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.activation(self.main(images) + self.shortcut(images))
        return output


def _stem(spec: ResNetSpec, image_shape: ImageShape, planes: int, convolution: Convolution) -> nn.Sequential:
    """A 3×3 convolution; above 64 pixels it is pooled, above 128 it is 7×7, strided or pooled by 4."""
    channels, side, averaged = image_shape[0], min(image_shape[1:]), spec.downsampling == "ap"
    kernel, stride = (7, 1 if averaged else 2) if side > SMALL_KERNEL_LARGEST else (3, 1)
    pooling: nn.Module | None = None
    if side > UNPOOLED_LARGEST:
        pooling = nn.AvgPool2d(4 if side > SMALL_KERNEL_LARGEST else 2) if averaged else nn.MaxPool2d(3, 2, padding=1)
    return sequence(
        convolution(channels, planes, kernel, stride, padding=kernel // 2, bias=False),
        norm_layer(spec.norm, planes),
        nn.ReLU(inplace=True),
        pooling,
    )


def _last_map(spec: ResNetSpec, image_shape: ImageShape) -> tuple[int, int]:
    """Height and width after the last stage if the stem does not pool; else a lower bound.

    Raises BenchmarkError if an average pooling leaves nothing, or an instance norm one pixel, which it would turn into
    a constant.
    """
    averaged, divisor = spec.downsampling == "ap", 8 if min(image_shape[1:]) <= UNPOOLED_LARGEST else 32
    if averaged:
        require_side(spec.name, image_shape, 8)
    sides = [side // divisor if averaged else -(-side // divisor) for side in image_shape[1:]]  # strides round up
    if spec.norm == "in" and math.prod(sides) == 1:
        require_side(spec.name, image_shape, 16 if averaged else 9, ", of which instance norm would see one at last")
    return sides[0], sides[1]
