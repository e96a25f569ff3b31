"""The least time a piece of work can take here: its operations and bytes, and how fast this device is at either.

Operations: multiplications and additions of convolutions and matrix products, forward and backward, each counted as the
direct algorithm does it, padding included: one that skips padding, or Winograd's, may come in below. Bytes: what these
read and write, each input, weight and output once, in the precision they compute in; what lies between them (norms,
activations, pooling) could stay in registers, and counts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmark.compute.engine import Compute
from benchmark.utils.timing import Stopwatch, now

# Large enough that nothing but the arithmetic counts, and more memory than caches hold.
SIDE = {"cpu": 2048, "cuda": 8192}
COPIED = {"cpu": 2**28, "cuda": 2**30}  # bytes
LEAST_TRIES, LEAST_SECONDS = 3, 0.5  # of either

_CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten._convolution)
_BACKWARD = torch.ops.aten.convolution_backward


# --- what is asked of the device --------------------------------------------------------------------------------------


class Counter(TorchDispatchMode):
    """Counts the operations and bytes (see above) of all that is computed uncompiled while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations, self.moved = 0.0, 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        kind = getattr(func, "_overloadpacket", None)
        if kind in _CONVOLUTIONS:
            self._convolution(args, out)
        elif kind is _BACKWARD:
            self._backward(args, out)
        elif kind in flop_registry:  # matrix products, and attention
            self.operations += flop_registry[kind](*args, **(kwargs or {}), out_val=out)
            self.moved += size_of([*args, out])
        return out

    def _convolution(self, args: Sequence[Any], out: Tensor) -> None:
        images, weight, transposed = args[0], args[1], args[6]
        self.operations += _direct(images if transposed else out, weight)
        self.moved += size_of([images, weight, out])

    def _backward(self, args: Sequence[Any], out: Sequence[Tensor]) -> None:
        """The registry's own formula counts groups too often, in which `vmap` runs what differs by class."""
        gradient, images, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
        self.operations += (wanted[0] + wanted[1]) * _direct(images if transposed else gradient, weight)
        self.moved += size_of([gradient, weight if wanted[0] else None, images if wanted[1] else None, *out])


def _direct(each: Tensor, weight: Tensor) -> float:
    """Operations of a convolution: for each number of the smaller side, the weights of one channel of it."""
    return 2.0 * each.numel() * math.prod(weight.shape[1:])


def size_of(values: Iterable[Any]) -> float:
    """Bytes of those of the values that are tensors."""
    return float(sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor)))


# --- what the device can do -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peaks:
    """operations: a second, of a large matrix product; moved: bytes a second, read and written, of a large copy."""

    operations: float
    moved: float

    def seconds(self, operations: float, moved: float) -> float:
        """The least that so many operations and bytes take, either of which may hide behind the other."""
        return max(operations / self.operations, moved / self.moved)


@torch.no_grad()
def measure(compute: Compute) -> Peaks:
    """The peaks of the device in this precision, with these threads: the best of a few tries."""
    compute.activate()
    kind, dtype = compute.device.type, torch.bfloat16 if compute.precision == "bf16" else torch.float32
    a, b, out = (torch.rand(SIDE[kind], SIDE[kind], device=compute.device).to(dtype) for _ in range(3))
    product = _fastest(compute.device, lambda: torch.mm(a, b, out=out))
    source, target = (torch.ones(COPIED[kind], dtype=torch.uint8, device=compute.device) for _ in range(2))
    copy = _fastest(compute.device, lambda: target.copy_(source))
    return Peaks(2 * SIDE[kind] ** 3 / product, 2 * COPIED[kind] / copy)


def _fastest(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some tries, after one that warms up."""
    work()
    best, tries, begun = math.inf, 0, now(device)
    while tries < LEAST_TRIES or now(device) - begun < LEAST_SECONDS:
        watch = Stopwatch(device)
        with watch.running():
            work()
        best, tries = min(best, watch.seconds), tries + 1
    return best
