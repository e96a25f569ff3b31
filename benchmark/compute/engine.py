"""Precision, chunks, compilation and threads behind a few verbs: what a method or a protocol computes, not how."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call, grad, vmap

from benchmark.compute import forward as passes
from benchmark.compute.allocator import keep_memory, out_of_memory
from benchmark.compute.compilation import COMPILER
from benchmark.utils.errors import BenchmarkError, unknown
from methods.base import ByClass, ClassLosses, Network

PRECISIONS = ("fp32", "tf32", "bf16")
# Pixels of images forwarded at once, without a graph and with one: of the device and the images alone, never of free
# memory or measured time, so that equal requests give equal bytes. On a CPU 32 and 16 images of 32×32, whose
# activations stay in its caches.
CHUNK_PIXELS = {"cpu": 2**15, "cuda": 2**20}
GRAPH_PIXELS = {"cpu": 2**14, "cuda": 2**18}
# Pixels that a task forwards in all, from which it is worth compiling: 100,000 images of 32×32.
WORTH_COMPILING = 10**8
_STEPS_DOWN = {
    "chunk": "pixels at once without a graph", "graph": "pixels at once with a graph", "num_parallel": "networks at once",
}  # fmt: skip
MOST_WORKERS = 8  # unless asked for: each holds its own copy of torch and of the dataset

Answer = TypeVar("Answer")


@dataclass
class Compute:
    """How tasks compute. On a CPU, equal threads, chunk, graph and compilation give equal bytes.

    chunk, graph: pixels forwarded at once without and with a graph; halved where memory runs out, `stepped_down` times.
    compile: whether to compile; None while the rule has not been asked.
    together: evaluation networks trained at once, likewise halved; on a GPU 0 while the rule has not been asked.
    """

    device: torch.device
    precision: str
    threads: int
    chunk: int = 0
    graph: int = 0
    compile: bool | None = False
    num_parallel: int = 0
    stepped_down: int = 0

    def __post_init__(self) -> None:
        self.chunk = self.chunk or CHUNK_PIXELS[self.device.type]
        self.graph = self.graph or GRAPH_PIXELS[self.device.type]
        if self.device.type == "cpu":  # one network fills it, and others would only push it out of its caches
            self.num_parallel = self.num_parallel or 1

    @property
    def devices(self) -> int:
        """Over how many devices tasks are spread: all GPUs, unless one is named."""
        return torch.cuda.device_count() if self.device.type == "cuda" and self.device.index is None else 1

    def on(self, place: int) -> Compute:
        """How the worker at a place, counted from 0, computes: one process for each GPU, and round again."""
        if self.devices == 1:
            return self
        return replace(self, device=torch.device(self.device.type, place % self.devices))

    def activate(self) -> None:
        """Apply the process-wide part: threads, memory that is kept, and whether fp32 may be computed as TF32."""
        torch.set_num_threads(self.threads)
        keep_memory()
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def expect(self, images: int, size: Sequence[int]) -> None:
        """Decide whether to compile, unless it was said: a task is to forward so many images (…, H, W) in all."""
        if self.compile is None:
            self.compile = images * math.prod(size[-2:]) >= WORTH_COMPILING

    @property
    def compiled(self) -> bool:
        """Whether what can be compiled is."""
        return bool(self.compile) and not COMPILER.broken

    def autocast(self) -> AbstractContextManager[object]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # --- forward passes -----------------------------------------------------------------------------------------------

    def embed(self, network: Network, images: Tensor) -> Tensor:
        """Normalised (N, ch, H, W) to (N, D) in float32; without a graph, and in chunks, if the images need none."""
        return self._forward(passes.embed, network, images, whole=network.depends_on_batch)

    def logits(self, network: Network, images: Tensor, *, whole: bool = False) -> Tensor:
        """Normalised (N, ch, H, W) to (N, C) in float32, likewise; `whole` keeps a batch-dependent network's batch."""
        return self._forward(passes.logits, network, images, whole=whole)

    def mean_embedding(self, network: Network, images: ByClass) -> Tensor:
        """Normalised (C, n, ch, H, W) to (C, D); classes that need no graph are looked at one after the other."""
        if isinstance(images, Tensor) and passes.needs_graph(images):
            return self._mean_embedding(network, images)
        classes, count = len(images), images.shape[1]
        each = classes if network.depends_on_batch else max(1, self.at_once(images.shape) // count)
        parts = [self._mean_embedding(network, images[c : c + each]) for c in range(0, classes, each)]
        return torch.cat(parts)

    def _mean_embedding(self, network: Network, images: Tensor) -> Tensor:
        features: Tensor = self.embed(network, images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return features.mean(1)

    def class_losses(self, network: Network, images: Tensor) -> Tensor:
        """Normalised (C, n, ch, H, W) to (C,): mean cross-entropy of each class's images against their own class."""

        def losses(images: Tensor, labels: Tensor) -> Tensor:
            classes, count = images.shape[:2]
            logits = self.logits(network, images.flatten(0, 1), whole=network.depends_on_batch)
            found = F.cross_entropy(logits, labels.repeat_interleave(count), reduction="none")
            return found.view(classes, count).mean(1)

        return self.by_class(network, losses, images, torch.arange(len(images), device=images.device))

    def embedding_and_losses(self, network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised (C, n, ch, H, W) and labels (C,) to mean embeddings (C, D) and mean cross-entropies (C,)."""
        classes, count = images.shape[:2]
        features = self.embed(network, images.flatten(0, 1))
        with self.autocast():
            logits = network.classify(features).float()
        found = F.cross_entropy(logits, labels.repeat_interleave(count), reduction="none")
        return features.unflatten(0, (classes, count)).mean(1), found.view(classes, count).mean(1)

    def at_once(self, shape: Sequence[int]) -> int:
        """How many images of shape (…, H, W) are forwarded at once without a graph; at least one."""
        return max(1, self.chunk // math.prod(shape[-2:]))

    def _forward(self, function: Callable[[Network, Tensor], Tensor], network: Network, images: Tensor, *,
                 whole: bool) -> Tensor:  # fmt: skip
        """`function` of all images at once where a graph is needed or the batch must stay whole, else in chunks."""
        if passes.needs_graph(images):
            with self.autocast():
                return function(network, images)
        if whole:
            with self.autocast(), torch.no_grad():
                return self._call(function, network, images)
        return self.within_memory("chunk", images[0, 0].numel(), lambda: self._in_chunks(function, network, images))

    def _in_chunks(self, function: Callable[[Network, Tensor], Tensor], network: Network, images: Tensor) -> Tensor:
        at_once, count = self.at_once(images.shape), len(images)
        with self.autocast(), torch.no_grad():
            pieces = [*images.split(at_once)]
            if self.compiled and len(pieces) > 1 and count % at_once:  # all of one shape: compiled once
                pieces[-1] = F.pad(pieces[-1], (0, 0) * 3 + (0, at_once - count % at_once))
            return torch.cat([self._call(function, network, piece) for piece in pieces])[:count]

    def _call(self, function: Callable[..., Answer], *args: Any) -> Answer:
        return COMPILER.call(function, *args) if self.compile else function(*args)

    # --- gradients of networks ----------------------------------------------------------------------------------------

    def class_gradients(self, network: Network, images: ByClass, labels: Tensor) -> list[Tensor]:
        """Normalised (C, n, ch, H, W) and labels (C,) to the gradient of each class's mean cross-entropy.

        One tensor (C, *shape) a parameter. With a graph to the images if they require one: then all classes at once
        (vmap), as few images leave the device idle; else class by class and in chunks.
        """
        if isinstance(images, Tensor) and passes.needs_graph(images):
            module = cast(nn.Module, network)

            def entropy(weights: dict[str, Tensor], images: Tensor, label: Tensor) -> Tensor:
                with self.autocast():
                    logits = functional_call(module, weights, (images,)).float()
                return F.cross_entropy(logits, label.expand(len(images)))

            held = {name: weight.detach() for name, weight in module.named_parameters()}
            return list(vmap(grad(entropy), in_dims=(None, 0, 0))(held, images, labels).values())
        with _learning(network) as weights:
            found = [self._gradients_of(network, weights, images[c : c + 1][0], labels[c]) for c in range(len(images))]
        return [torch.stack(each) for each in zip(*found, strict=True)]

    def _gradients_of(
        self, network: Network, weights: list[Tensor], images: Tensor, label: Tensor
    ) -> tuple[Tensor, ...]:
        """The gradient of one class's mean cross-entropy, from sums over chunks of its images (n, ch, H, W)."""

        def in_chunks() -> tuple[Tensor, ...]:
            total: tuple[Tensor, ...] = ()
            for piece in images.split(self.at_once(images.shape)):
                with torch.enable_grad(), self.autocast():
                    loss, _ = self._call(passes.summed_entropy, network, piece, label.expand(len(piece)))
                part = torch.autograd.grad(loss, weights)
                total = torch._foreach_add(total, part) if total else part
            return torch._foreach_div(total, len(images))

        return self.within_memory("chunk", images[0, 0].numel(), in_chunks)

    @torch.no_grad()
    def calibrate_batchnorm(self, network: Network, images: Tensor) -> None:
        """One forward pass in train mode for batch norm's running statistics, then those in use."""
        network.train()
        with self.autocast():
            network(images)
        network.train(False)

    def training_gradients(self, network: Network, images: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """The gradients of a mini-batch's mean cross-entropy, in the order of `parameters`, and its logits."""
        with _learning(network) as weights:
            loss, logits = self.training_loss(network, images, labels)
            return list(torch.autograd.grad(loss, weights)), logits.detach()

    def training_loss(
        self, network: Network, images: Tensor, labels: Tensor, others: Tensor | None = None, weight: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """A mini-batch's mean cross-entropy, to be differentiated, and its logits: (N, ch, H, W), (N,) to (), (N, C).

        With `others`: weight · CE(labels) + (1 − weight) · CE(others), as mixed images have two labels.
        """
        with self.autocast():
            if others is None:
                return self._call(passes.entropy, network, images, labels)
            share = torch.tensor(weight).to(images.device, non_blocking=True)
            return self._call(passes.mixed_entropy, network, images, labels, others, share)

    def parallel_gradients(
        self, network: Network, weights: dict[str, Tensor], images: Tensor, labels: Tensor,
        others: Tensor | None, shares: list[float],
    ) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
        """Of k networks like this one, trained at once: as `passes.gradients_together` has it."""
        share = None if others is None else torch.tensor(shares).to(images.device, non_blocking=True)
        with self.autocast():
            return self._call(passes.parallel_gradients, network, weights, images, labels, others, share)

    # --- losses of synthetic images -----------------------------------------------------------------------------------

    def by_class(self, network: Network, losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
        """losses(images, *constants) to (C,), a few classes at a time: within memory, and on a CPU within its caches.

        images: (C, n, ch, H, W); constants: (C, …). The c-th loss must depend on the c-th of each alone. What differs
        from step to step and is no image belongs into `constants`, a network's weights apart: numbers that `losses`
        finds elsewhere are compiled in. A network whose output depends on the batch always sees all classes.
        """
        if network.depends_on_batch or torch.compiler.is_compiling():  # within other losses: nothing is left to group
            return losses(images, *constants)
        found: Tensor = _InGroups.apply(images, losses, constants, self)
        return found

    def classes_at_once(self, each: int, size: Sequence[int]) -> int:
        """How many classes of so many images of (H, W) `by_class` takes at a time; at least one."""
        return max(1, self.graph // math.prod((each, *size)))

    def loss_and_gradient(
        self, losses: ClassLosses, images: Tensor, constants: Sequence[Tensor], wanted: bool
    ) -> tuple[Tensor, Tensor]:
        """Some classes' losses (g,) and their gradient, like the images (g, n, ch, H, W); nothing if not `wanted`."""
        if not wanted:
            with torch.no_grad():
                return losses(images, *constants), images.new_empty(0)
        leaf = images.detach().requires_grad_()

        def with_gradient(values: Tensor) -> tuple[Tensor, Tensor]:
            return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

        with torch.enable_grad():
            if not self.compile:
                return with_gradient(losses(leaf, *constants))
            found: tuple[Tensor, Tensor] = COMPILER.call(
                passes.class_losses, losses, leaf, *constants, inner=losses, then=with_gradient
            )
            return found

    # --- memory -------------------------------------------------------------------------------------------------------

    def within_memory(self, name: str, least: int, attempt: Callable[[], Answer]) -> Answer:
        """attempt(), again with half of what `name` allows where memory runs out, down to `least` of it at once."""
        while True:
            try:
                return attempt()
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or getattr(self, name) <= least:
                    raise
            self.step_down(name, least)  # here, where the error no longer holds what was computed

    def step_down(self, name: str, least: int) -> None:
        """Allow half of what `name` allows now, and say so; memory has run out."""
        setattr(self, name, max(least, getattr(self, name) // 2))
        self.stepped_down += 1
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        COMPILER.say(f"memory ran out: from now on {getattr(self, name):,} {_STEPS_DOWN[name]}")


@contextlib.contextmanager
def _learning(network: Network) -> Iterator[list[Tensor]]:
    """The network's weights, which need gradients while inside."""
    weights = list(network.parameters())
    for weight in weights:
        weight.requires_grad_()
    try:
        yield weights
    finally:
        for weight in weights:
            weight.requires_grad_(False)


class _InGroups(torch.autograd.Function):
    """Losses of groups of classes; each group's gradient is taken at once, so that one graph is held at a time."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, losses: ClassLosses, constants: Sequence[Tensor], compute: Compute) -> Tensor:
        found: list[Tensor] = []
        gradients: list[Tensor] = []
        done, wanted = 0, ctx.needs_input_grad[0]

        def next_group() -> tuple[Tensor, Tensor]:
            part = slice(done, done + compute.classes_at_once(images.shape[1], images.shape[-2:]))
            return compute.loss_and_gradient(losses, images[part], [constant[part] for constant in constants], wanted)

        while done < len(images):
            values, gradient = compute.within_memory("graph", images[0, :, 0].numel(), next_group)
            found.append(values)
            gradients.append(gradient)
            done += len(values)
        if wanted:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.view(-1, *[1] * (gradient.ndim - 1)), None, None, None


def choose_compute(
    device: str, precision: str, threads: int | None, workers: int | None, compile: bool | None = None
) -> tuple[Compute, int]:
    """How each task computes, and how many run at once. Raises BenchmarkError for what cannot be had."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS, where=f"precision={precision}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise unknown("device", device, ["auto", "cpu", "cuda", "cuda:0"], where=f"device={device}") from error
    if chosen.type not in CHUNK_PIXELS:
        raise unknown("device", device, ["auto", "cpu", "cuda", "cuda:0"], where=f"device={device}")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise BenchmarkError(
            "CUDA was asked for, but torch sees no CUDA device", where=f"device={device}", next="use device=cpu"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise BenchmarkError(
            f"there is no device {device}; torch sees {torch.cuda.device_count()}", where=f"device={device}"
        )
    for name, value in (("threads", threads), ("workers", workers)):
        if value is not None and value < 1:
            raise BenchmarkError(f"{name} must be at least 1, got {value}", where=f"{name}={value}")
    found = Compute(chosen, precision, 1, compile=compile)
    threads, workers = _share_cores(found, threads, workers)
    return replace(found, threads=threads), workers


def _share_cores(compute: Compute, threads: int | None, workers: int | None) -> tuple[int, int]:
    """Threads of each task and tasks at once: one on each GPU.

    On a CPU as many as there are cores: on small images a second task gains far more than a second thread.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is None:
        on_cpu = min(MOST_WORKERS, max(1, cores // (threads or 1)))
        workers = compute.devices if compute.device.type == "cuda" else on_cpu
    return threads or max(1, cores // workers), workers
