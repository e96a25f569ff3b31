"""ConvNet: blocks of 3×3 convolution, norm, activation and 2×2 pooling, then one linear layer; named by its options.

From METHODS.md 3.1 (DatasetCondensation@53f63a6 networks.py, the same in IDC and DANCE).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.errors import BenchmarkError, unknown
from benchmark.networks.base import Network

NORMS = ("in", "bn", "ln", "gn", "none")
POOLINGS = ("avg", "max", "nopool")
ACTIVATIONS = ("relu", "leaky", "swish", "sigmoid")
GROUPS = 4  # of norm `gn`

GRAMMAR = (
    "an architecture is convnetDEPTH, then in any order, each after a dash: "
    "a norm (in, bn, ln, gn, none; default in), a width (w64, …; default w128), "
    "a pooling (avg, max, nopool; default avg), an activation (relu, leaky, swish, sigmoid; default relu)"
)


@dataclass(frozen=True)
class ConvNetSpec:
    """A parsed ConvNet name. `width` counts channels, the same in every block."""

    depth: int
    norm: str = "in"
    width: int = 128
    pooling: str = "avg"
    activation: str = "relu"

    @property
    def name(self) -> str:
        """The canonical spelling: defaults dropped, options in the order norm, width, pooling, activation."""
        default = ConvNetSpec(self.depth)
        parts = [f"convnet{self.depth}"]
        for option in ("norm", "width", "pooling", "activation"):
            value = getattr(self, option)
            if value != getattr(default, option):
                parts.append(f"w{value}" if option == "width" else value)
        return "-".join(parts)


def parse(name: str) -> ConvNetSpec:
    """The ConvNet a name stands for. Raises BenchmarkError, with the grammar in `next`, if it stands for none."""
    head, *options = name.split("-")
    depth = re.fullmatch(r"convnet([1-9][0-9]?)", head)
    if not depth:
        raise _no_architecture(name, [name.replace(head, f"convnet{d}", 1) for d in range(1, 7)])
    settings: dict[str, str | int] = {}
    for place, option in enumerate(options, start=1):
        field = _field_of(option)
        if field is None:
            others = (*NORMS, *POOLINGS, *ACTIVATIONS, "w32", "w64", "w256")
            raise _no_architecture(name, ["-".join([head, *options[: place - 1], o, *options[place:]]) for o in others])
        if field in settings:
            raise BenchmarkError(f"'{name}' gives its {field} twice", where=name, next=GRAMMAR)
        settings[field] = int(option[1:]) if field == "width" else option
    spec = ConvNetSpec(int(depth[1]), **settings)  # type: ignore[arg-type]  # each field got its own kind of value
    if spec.norm == "gn" and spec.width % GROUPS:
        raise BenchmarkError(
            f"norm gn splits the channels into {GROUPS} groups, which a width of {spec.width} does not allow",
            where=name,
            next=f"take a width that {GROUPS} divides",
        )
    return spec


def _field_of(option: str) -> str | None:
    """Which field of ConvNetSpec an option sets; None if it is no option."""
    for field, known in (("norm", NORMS), ("pooling", POOLINGS), ("activation", ACTIVATIONS)):
        if option in known:
            return field
    return "width" if re.fullmatch(r"w[1-9][0-9]{0,4}", option) else None


def _no_architecture(name: str, near: list[str]) -> BenchmarkError:
    error = unknown("architecture", name, near, where=name)
    error.next = GRAMMAR  # says more than a list of a few of the many names
    return error


class ConvNet(Network):
    """The ConvNet of a spec for images (ch, H, W). The embedding is the last block's output, flattened C, H, W.

    Raises BenchmarkError when pooling would leave less than one pixel.
    """

    def __init__(self, spec: ConvNetSpec, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.depends_on_batch = spec.norm == "bn"
        channels, height, width = image_shape
        # 28×28 grey images become 32×32, so that they get the same embedding as CIFAR's. Only theirs: the reference
        # tests the channels alone, and so would also widen grey images of any other size.
        first_padding = 3 if image_shape == (1, 28, 28) else 1
        height, width = height + 2 * first_padding - 2, width + 2 * first_padding - 2
        _check_depth(spec, height, width)
        blocks = []
        for block in range(spec.depth):
            convolution = nn.Conv2d(channels, spec.width, 3, padding=1 if block else first_padding)
            norm, pooling = _norm(spec, height, width), _pooling(spec.pooling)
            layers = (convolution, norm, _activation(spec.activation), pooling)
            blocks.append(nn.Sequential(*(layer for layer in layers if layer is not None)))
            channels = spec.width
            if pooling is not None:
                height, width = height // 2, width // 2
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels * height * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits

    def embed(self, images: Tensor) -> Tensor:
        last: Tensor = self.blocks(images)
        return last.flatten(1)

    def stages(self, images: Tensor) -> list[Tensor]:
        found = []
        for block in self.blocks:
            images = block(images)
            found.append(images)
        return found


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
    if spec.norm == "bn":
        return nn.BatchNorm2d(spec.width)
    if spec.norm == "ln":
        return nn.LayerNorm([spec.width, height, width])
    if spec.norm == "gn":
        return nn.GroupNorm(GROUPS, spec.width)
    # "instance norm": not nn.InstanceNorm2d, whose default has no affine parameters
    return nn.GroupNorm(spec.width, spec.width) if spec.norm == "in" else None


def _activation(name: str) -> nn.Module:
    """In place where the backward pass needs only the output; elsewhere autograd would keep a copy of the input."""
    if name == "swish":
        return nn.SiLU()
    if name == "sigmoid":
        return nn.Sigmoid()
    return nn.LeakyReLU(0.01, inplace=True) if name == "leaky" else nn.ReLU(inplace=True)


def _pooling(name: str) -> nn.Module | None:
    if name == "nopool":
        return None
    return nn.MaxPool2d(2) if name == "max" else nn.AvgPool2d(2)
