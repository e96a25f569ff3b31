"""Networks by name: built for an image size, initialised from a given generator."""

from __future__ import annotations

import torch

from benchmark.networks.base import Network, materialize
from benchmark.networks.classic import AlexNetSpec, LeNetSpec, MLPSpec
from benchmark.networks.convnet import ConvNetSpec
from benchmark.networks.densenet import DenseNetSpec
from benchmark.networks.naming import Spec, parse
from benchmark.networks.resnet import ResNetSpec
from benchmark.networks.vgg import VGGSpec

__all__ = ["FAMILIES", "Network", "build", "canonical", "default_architecture"]

FAMILIES: tuple[type[Spec], ...] = (ConvNetSpec, MLPSpec, LeNetSpec, AlexNetSpec, VGGSpec, ResNetSpec, DenseNetSpec)


def build(name: str, image_shape: tuple[int, int, int], num_classes: int, generator: torch.Generator) -> Network:
    """A freshly initialised network on the CPU, for normalised images (ch, H, W); equal generators, equal weights.

    Raises BenchmarkError for an unknown name and for one that does not fit the image size.
    """
    spec = parse(name, FAMILIES)
    return materialize(lambda: spec.build(image_shape, num_classes), generator)


def canonical(name: str) -> str:
    """The one spelling of a name that tasks are identified by. Raises BenchmarkError for an unknown name."""
    return parse(name, FAMILIES).name


def default_architecture(image_shape: tuple[int, int, int]) -> str:
    """What `auto` stands for: the ConvNet of the depth that papers use at this resolution.

    Depth 3 up to 64 pixels, 5 at 128, 6 at 224 (METHODS.md 3.1, 13). Between and beyond these (ours): the deepest that
    leaves at least 3 pixels a side, as 224 pixels at depth 6 do; under 8 pixels the deepest that leaves one. `build`
    refuses images that are one pixel high or wide.
    """
    side = min(image_shape[1:])
    depth = (side // 3).bit_length() - 1 if side > 64 else min(3, side.bit_length() - 1)
    return f"convnet{max(depth, 1)}"
