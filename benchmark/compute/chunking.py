"""Chunking: how many images, classes or networks go through at once, and halving that when memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmark.compute.allocator import out_of_memory
from benchmark.compute.compilation import COMPILER

# Pixels forwarded at once, without and with a graph. They depend on the device type alone, never on free memory or
# measured time, so that equal requests give equal bytes. On a CPU they are 32 and 16 images of 32×32, whose activations
# stay in its caches.
CHUNK_PIXELS = {"cpu": 2**15, "cuda": 2**20}
GRAPH_PIXELS = {"cpu": 2**14, "cuda": 2**18}
_UNITS = {"chunk": "pixels at once without a graph", "graph": "pixels at once with a graph",
          "num_parallel": "networks at once"}  # fmt: skip

Result = TypeVar("Result")


@dataclass
class ChunkSizes:
    """How much goes through a device at once. Each size is halved when memory runs out, `stepped_down` times in all.

    chunk, graph: pixels forwarded at once without and with a graph. num_parallel: evaluation networks or experts
    trained at once; 0 while it is not chosen yet (see `choose_num_parallel`), as initially on a GPU.
    """

    device: torch.device
    chunk: int = field(default=0, kw_only=True)
    graph: int = field(default=0, kw_only=True)
    num_parallel: int = field(default=0, kw_only=True)
    stepped_down: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        self.chunk = self.chunk or CHUNK_PIXELS[self.device.type]
        self.graph = self.graph or GRAPH_PIXELS[self.device.type]
        if self.device.type == "cpu":  # one network keeps all cores busy, and a second would evict it from the caches
            self.num_parallel = self.num_parallel or 1

    def images_at_once(self, shape: Sequence[int]) -> int:
        """How many images of shape (…, H, W) are forwarded at once without a graph; at least one."""
        return max(1, self.chunk // math.prod(shape[-2:]))

    def classes_at_once(self, images_per_class: int, size: Sequence[int]) -> int:
        """How many classes of `images_per_class` images are forwarded at once with a graph; at least one."""
        return max(1, self.graph // math.prod((images_per_class, *size)))

    def within_memory(self, name: str, least: int, run: Callable[[], Result]) -> Result:
        """run(), repeated with half the size called `name` while memory runs out and the size is above `least`.

        Raises the out-of-memory error at `least`, and every other error at once.
        """
        while True:
            try:
                return run()
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or getattr(self, name) <= least:
                    raise
            self.halve(name, least)  # outside of `except`, where the error would keep the computed tensors alive

    def halve(self, name: str, least: int) -> None:
        """Halve the size called `name`, down to `least`, and log it; called when memory has run out."""
        setattr(self, name, max(least, getattr(self, name) // 2))
        self.stepped_down += 1
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        COMPILER.log(f"memory ran out: from now on {getattr(self, name):,} {_UNITS[name]}")


# (images of some classes, their constants, whether a gradient is needed) to (losses (g,), gradient like the images)
LossesAndGradient = Callable[[Tensor, Sequence[Tensor], bool], tuple[Tensor, Tensor]]


class LossesInGroups(torch.autograd.Function):
    """Losses (C,) of groups of classes. Each group's gradient is taken at once, so that only one graph is in memory."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, constants: Sequence[Tensor], sizes: ChunkSizes, losses_and_gradient: LossesAndGradient
    ) -> Tensor:
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        start, needs_gradient = 0, ctx.needs_input_grad[0]

        def next_group() -> tuple[Tensor, Tensor]:
            group = slice(start, start + sizes.classes_at_once(images.shape[1], images.shape[-2:]))
            return losses_and_gradient(images[group], [constant[group] for constant in constants], needs_gradient)

        while start < len(images):
            values, gradient = sizes.within_memory("graph", images[0, :, 0].numel(), next_group)
            losses.append(values)
            gradients.append(gradient)
            start += len(values)
        if needs_gradient:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.view(-1, *[1] * (gradient.ndim - 1)), None, None, None
