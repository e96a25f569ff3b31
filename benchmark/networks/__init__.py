"""Networks by name: built for an image size, initialized from a given generator.

Importing this package loads no torch; the functions import the families of networks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from benchmark.networks import naming
from benchmark.networks.naming import ArchitectureSpec
from benchmark.utils.errors import BenchmarkError
from methods.plug_ins import PlugInGroup

if TYPE_CHECKING:
    import torch

    from benchmark.networks.base import BlockNetwork

__all__ = ["build", "canonical", "default_architecture"]


BUILT_IN = {  # heads of names, and the families that they belong to
    **{f"convnet{depth}": "benchmark.networks.convnet:ConvNetSpec" for depth in range(1, 100)},
    "mlp": "benchmark.networks.classic:MLPSpec",
    "lenet": "benchmark.networks.classic:LeNetSpec",
    "alexnet": "benchmark.networks.classic:AlexNetSpec",
    "vgg11": "benchmark.networks.vgg:VGGSpec",
    "resnet10": "benchmark.networks.resnet:ResNetSpec",
    "resnet18": "benchmark.networks.resnet:ResNetSpec",
    "densenet121": "benchmark.networks.densenet:DenseNetSpec",
}
PLUG_INS = PlugInGroup("architectures", {*BUILT_IN, "auto"}, BenchmarkError)


def parse(name: str) -> ArchitectureSpec:
    """The architecture of a name. Raises BenchmarkError, with the nearest name and the grammar, if there is none."""
    head, *texts = name.split("-")
    if head in BUILT_IN:
        return naming.parse(name, _built_in(head))
    if head not in PLUG_INS.points():
        known = ["-".join([other, *texts]) for other in BUILT_IN]
        known = [text for text in known if naming.exists(text, _built_in(text.partition("-")[0]))]
        grammars = [naming.grammar(other, _built_in(other)) for other in BUILT_IN]
        raise naming.unknown_architecture(
            name, [*known, *BUILT_IN, *PLUG_INS.points()], [*grammars, *PLUG_INS.points()]
        )
    family = PLUG_INS.load(head)
    if not (isinstance(family, type) and issubclass(family, ArchitectureSpec)):
        raise PLUG_INS.wrong(head, "is not a benchmark.networks.naming.ArchitectureSpec")
    return naming.parse(name, family)


def _built_in(head: str) -> type[ArchitectureSpec]:
    module, _, attribute = BUILT_IN[head].partition(":")
    family: type[ArchitectureSpec] = getattr(importlib.import_module(module), attribute)
    return family


def build(name: str, image_shape: tuple[int, int, int], num_classes: int, generator: torch.Generator) -> BlockNetwork:
    """A freshly initialized network on the CPU, for normalized images (ch, H, W); equal generators, equal weights.

    Raises BenchmarkError for an unknown name and for one that does not fit the image size.
    """
    from benchmark.networks.base import materialize

    spec = parse(name)
    return materialize(lambda: spec.build(image_shape, num_classes), generator)


def canonical(name: str) -> str:
    """The one spelling of a name that tasks are identified by. Raises BenchmarkError for an unknown name."""
    return parse(name).name


def default_architecture(image_shape: tuple[int, int, int]) -> str:
    """The architecture `auto`: the ConvNet of the depth that papers use at this resolution.

    Depth 3 up to 64 pixels, 5 at 128, 6 at 224 (METHODS.md 3.1, 13). Between and beyond these (ours): the deepest that
    leaves at least 3 pixels a side, as 224 pixels at depth 6 do; under 8 pixels the deepest that leaves one. `build`
    refuses images that are one pixel high or wide.
    """
    side = min(image_shape[1:])
    depth = (side // 3).bit_length() - 1 if side > 64 else min(3, side.bit_length() - 1)
    return f"convnet{max(depth, 1)}"
