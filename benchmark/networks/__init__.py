"""Networks by name: built for an image size, initialized from a given generator.

Importing this package loads no torch; the functions import the families of networks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from benchmark.networks.naming import ArchitectureSpec, parse

if TYPE_CHECKING:
    import torch

    from benchmark.networks.base import BlockNetwork

__all__ = ["build", "canonical", "default_architecture"]


@cache
def _families() -> tuple[type[ArchitectureSpec], ...]:
    from benchmark.networks.classic import AlexNetSpec, LeNetSpec, MLPSpec
    from benchmark.networks.convnet import ConvNetSpec
    from benchmark.networks.densenet import DenseNetSpec
    from benchmark.networks.resnet import ResNetSpec
    from benchmark.networks.vgg import VGGSpec

    return ConvNetSpec, MLPSpec, LeNetSpec, AlexNetSpec, VGGSpec, ResNetSpec, DenseNetSpec


def build(name: str, image_shape: tuple[int, int, int], num_classes: int, generator: torch.Generator) -> BlockNetwork:
    """A freshly initialized network on the CPU, for normalized images (ch, H, W); equal generators, equal weights.

    Raises BenchmarkError for an unknown name and for one that does not fit the image size.
    """
    from benchmark.networks.base import materialize

    spec = parse(name, _families())
    return materialize(lambda: spec.build(image_shape, num_classes), generator)


def canonical(name: str) -> str:
    """The one spelling of a name that tasks are identified by. Raises BenchmarkError for an unknown name."""
    return parse(name, _families()).name


def default_architecture(image_shape: tuple[int, int, int]) -> str:
    """The architecture `auto`: the ConvNet of the depth that papers use at this resolution.

    Depth 3 up to 64 pixels, 5 at 128, 6 at 224 (METHODS.md 3.1, 13). Between and beyond these (ours): the deepest that
    leaves at least 3 pixels a side, as 224 pixels at depth 6 do; under 8 pixels the deepest that leaves one. `build`
    refuses images that are one pixel high or wide.
    """
    side = min(image_shape[1:])
    depth = (side // 3).bit_length() - 1 if side > 64 else min(3, side.bit_length() - 1)
    return f"convnet{max(depth, 1)}"
