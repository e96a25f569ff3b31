"""Compute: forward passes, losses and gradients as methods and protocols need them, whatever the device.

Precision, threads, chunking and compilation are handled here: a method or a protocol says what is computed, not how.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmark.compute import forward
from benchmark.compute.allocator import keep_freed_memory
from benchmark.compute.chunking import CHUNK_PIXELS, ChunkSizes, LossesInGroups, Result
from benchmark.compute.compilation import COMPILER
from benchmark.compute.unrolled import UNROLLED_PIXELS, gradient_steps, unroll
from benchmark.utils.errors import BenchmarkError, unknown
from methods.base import ClassLosses, ImagesByClass, Network
from methods.class_groups import class_means, of_one_count, one_batch

PRECISIONS = ("fp32", "tf32", "bf16")
WORTH_COMPILING = 10**8  # pixels that a task must forward in all before it is compiled: 100,000 images of 32×32
MOST_THREADS, MOST_WORKERS = 256, 1024  # torch ends in a segmentation fault with very many threads
MAX_DEFAULT_WORKERS = 8  # each worker process holds its own copy of torch and of the dataset


@dataclass
class Compute(ChunkSizes):
    """How a task computes. On a CPU, equal threads, chunk sizes and compilation give equal bytes.

    compile: whether to compile; None until `choose_compile` has decided.
    """

    precision: str
    threads: int
    compile: bool | None = field(default=False, kw_only=True)

    @property
    def num_devices(self) -> int:
        """The number of devices that tasks are spread over: all GPUs, unless one is named."""
        return torch.cuda.device_count() if self.device.type == "cuda" and self.device.index is None else 1

    def for_worker(self, index: int) -> Compute:
        """A copy for the worker process of this index (from 0): workers take the GPUs in turn."""
        if self.num_devices == 1:
            return self
        return replace(self, device=torch.device(self.device.type, index % self.num_devices))

    def activate(self) -> None:
        """Apply the settings of the whole process: threads, the allocator, and whether fp32 may be computed as TF32."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def choose_compile(self, images: int, size: Sequence[int]) -> None:
        """Decide, unless it is decided, whether to compile a task that forwards `images` images (…, H, W)."""
        if self.compile is None:
            self.compile = images * math.prod(size[-2:]) >= WORTH_COMPILING

    @property
    def compiled(self) -> bool:
        """Whether functions are compiled wherever that is possible."""
        return bool(self.compile) and not COMPILER.unavailable

    def autocast(self) -> AbstractContextManager[object]:
        """bfloat16 autocast where the precision says so, else nothing."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # --- forward passes -----------------------------------------------------------------------------------------------

    def embed(self, network: Network, images: Tensor) -> Tensor:
        """Normalized (N, ch, H, W) to embeddings (N, D), float32; in chunks without a graph if the images need none."""
        return self._forward(forward.embed, network, images, whole=network.depends_on_batch)

    def logits(self, network: Network, images: Tensor, *, whole: bool = False) -> Tensor:
        """Normalized (N, ch, H, W) to logits (N, C), float32, like `embed`.

        whole: never chunk, so that a network that depends on its batch sees it all.
        """
        return self._forward(forward.logits, network, images, whole=whole)

    def mean_embedding(self, network: Network, images: Tensor | ImagesByClass) -> Tensor:
        """Normalized (C, n, ch, H, W) to class means (C, D); real images in groups of classes."""
        if isinstance(images, Tensor):
            return self._mean_embedding(network, images)
        if network.depends_on_batch:
            return class_means(self.embed(network, one_batch(images)), images.counts)
        groups = of_one_count(images.counts, self.images_at_once(images.image_shape))
        return torch.cat([self._mean_embedding(network, images[classes]) for classes in groups])

    def block_features(
        self, network: Network, images: Tensor, reduce: Callable[[Tensor], Tensor], *, include_last: bool = False
    ) -> tuple[Tensor, ...]:
        """Normalized (N, ch, H, W) to `reduce` of each block's activations before pooling, then embeddings (N, D).

        include_last: of the last block's, too. Without a graph if the images need none, and then in chunks unless the
        network depends on its batch.
        """
        if forward.needs_graph(images) or network.depends_on_batch:
            with self.autocast(), torch.set_grad_enabled(forward.needs_graph(images)):
                return forward.block_features(network, images, reduce, include_last=include_last)

        def in_chunks() -> tuple[Tensor, ...]:
            with self.autocast(), torch.no_grad():
                pieces = images.split(self.images_at_once(images.shape))
                chunks = [forward.block_features(network, piece, reduce, include_last=include_last) for piece in pieces]
            return tuple(torch.cat(parts) for parts in zip(*chunks, strict=True))

        return self.within_memory("chunk", images[0, 0].numel(), in_chunks)

    def _mean_embedding(self, network: Network, images: Tensor) -> Tensor:
        features: Tensor = self.embed(network, images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return features.mean(1)

    def class_losses(self, network: Network, images: Tensor) -> Tensor:
        """Normalized (C, n, ch, H, W) to (C,): mean cross-entropy of each class's images against their own class."""

        def losses(images: Tensor, labels: Tensor) -> Tensor:
            classes, images_per_class = images.shape[:2]
            logits = self.logits(network, images.flatten(0, 1), whole=network.depends_on_batch)
            each = F.cross_entropy(logits, labels.repeat_interleave(images_per_class), reduction="none")
            return each.view(classes, images_per_class).mean(1)

        return self.losses_by_class(network, losses, images, torch.arange(len(images), device=images.device))

    def embedding_and_losses(self, network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized (C, n, ch, H, W) and labels (C,) to mean embeddings (C, D) and mean cross-entropies (C,)."""
        classes, images_per_class = images.shape[:2]
        features = self.embed(network, images.flatten(0, 1))
        with self.autocast():
            logits = network.classify(features).float()
        each = F.cross_entropy(logits, labels.repeat_interleave(images_per_class), reduction="none")
        return features.unflatten(0, (classes, images_per_class)).mean(1), each.view(classes, images_per_class).mean(1)

    def _forward(self, function: Callable[[Network, Tensor], Tensor], network: Network, images: Tensor, *,
                 whole: bool) -> Tensor:  # fmt: skip
        """`function` of all images at once if a graph is needed or the batch must stay whole, else in chunks."""
        if forward.needs_graph(images):
            with self.autocast():
                return function(network, images)
        if whole:
            with self.autocast(), torch.no_grad():
                return self._call(function, network, images)
        return self.within_memory("chunk", images[0, 0].numel(), lambda: self._in_chunks(function, network, images))

    def _in_chunks(self, function: Callable[[Network, Tensor], Tensor], network: Network, images: Tensor) -> Tensor:
        size, count = self.images_at_once(images.shape), len(images)
        with self.autocast(), torch.no_grad():
            chunks = [*images.split(size)]
            if self.compiled and len(chunks) > 1 and count % size:  # pad the last chunk: only one shape is compiled
                chunks[-1] = F.pad(chunks[-1], (0, 0) * 3 + (0, size - count % size))
            return torch.cat([self._call(function, network, chunk) for chunk in chunks])[:count]

    def _call(self, function: Callable[..., Result], *args: Any) -> Result:
        return COMPILER.call(function, *args) if self.compile else function(*args)

    # --- gradients of networks ----------------------------------------------------------------------------------------

    def class_gradients(self, network: Network, images: Tensor | ImagesByClass, labels: Tensor) -> list[Tensor]:
        """Normalized (C, n, ch, H, W) and labels (C,) to the gradient of each class's mean cross-entropy.

        Returns one tensor (C, *shape) per parameter. Images that require a gradient keep a graph, and all classes go
        through at once (vmap), because so few images would leave the device idle; others go class by class, in chunks.
        """
        if isinstance(images, Tensor) and forward.needs_graph(images):
            module = cast(nn.Module, network)

            def loss(weights: dict[str, Tensor], images: Tensor, label: Tensor) -> Tensor:
                with self.autocast():
                    logits = functional_call(module, weights, (images,)).float()
                return F.cross_entropy(logits, label.expand(len(images)))

            constant = {name: weight.detach() for name, weight in module.named_parameters()}
            return list(vmap(grad(loss), in_dims=(None, 0, 0))(constant, images, labels).values())
        with _differentiable(network) as weights:
            gradients = [
                self._gradient_in_chunks(network, weights, images[c : c + 1][0], labels[c]) for c in range(len(images))
            ]
        return [torch.stack(classes) for classes in zip(*gradients, strict=True)]

    def _gradient_in_chunks(
        self, network: Network, weights: list[Tensor], images: Tensor, label: Tensor
    ) -> tuple[Tensor, ...]:
        """The gradient of one class's mean cross-entropy, summed over chunks of its images (n, ch, H, W)."""

        def in_chunks() -> tuple[Tensor, ...]:
            total: tuple[Tensor, ...] = ()
            for chunk in images.split(self.images_at_once(images.shape)):
                with torch.enable_grad(), self.autocast():
                    loss, _ = self._call(forward.summed_cross_entropy, network, chunk, label.expand(len(chunk)))
                gradient = torch.autograd.grad(loss, weights)
                total = torch._foreach_add(total, gradient) if total else gradient
            return torch._foreach_div(total, len(images))

        return self.within_memory("chunk", images[0, 0].numel(), in_chunks)

    @torch.no_grad()
    def calibrate_batchnorm(self, network: Network, images: Tensor) -> None:
        """Update batch norm's running statistics by one forward pass of (N, ch, H, W), then switch to eval mode."""
        network.train()
        with self.autocast():
            network(images)
        network.train(False)

    def training_gradients(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        partner_labels: Tensor | None = None,
        label_weight: float = 1.0,
    ) -> tuple[list[Tensor], Tensor]:
        """Gradients of `training_loss`, in the order of `parameters`, and the logits (N, C)."""
        with _differentiable(network) as weights:
            loss, logits = self.training_loss(network, images, labels, partner_labels, label_weight)
            return list(torch.autograd.grad(loss, weights)), logits.detach()

    def train_on(
        self, network: Network, weights: Sequence[Tensor], batches: Sequence[tuple[Tensor, Tensor]], lr: Tensor
    ) -> list[Tensor]:
        """The weights after a step w ← w − lr·∇CE(f_w(x), y) on each batch; differentiable once in images and lr."""
        images, labels = zip(*batches, strict=True)
        steps, most_pixels = gradient_steps(network, self.autocast), UNROLLED_PIXELS[self.device.type]
        return unroll(steps, weights, images, labels, lr, most_pixels)

    def training_loss(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        partner_labels: Tensor | None = None,
        label_weight: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """A mini-batch's mean cross-entropy (), with a graph, and its logits: of (N, ch, H, W) and labels (N,).

        With `partner_labels`, for mixed images: label_weight · CE(labels) + (1 − label_weight) · CE(partner_labels).
        """
        with self.autocast():
            if partner_labels is None:
                return self._call(forward.cross_entropy, network, images, labels)
            weight = torch.tensor(label_weight).to(images.device, non_blocking=True)
            return self._call(forward.mixed_cross_entropy, network, images, labels, partner_labels, weight)

    def parallel_gradients(
        self, network: Network, weights: dict[str, Tensor], images: Tensor, labels: Tensor,
        partner_labels: Tensor | None, label_weights: list[float],
    ) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
        """Gradients and losses of k networks that are trained at once: see `forward.parallel_gradients`."""
        lam = None if partner_labels is None else torch.tensor(label_weights).to(images.device, non_blocking=True)
        with self.autocast():
            return self._call(forward.parallel_gradients, network, weights, images, labels, partner_labels, lam)

    # --- losses of synthetic images -----------------------------------------------------------------------------------

    def losses_by_class(self, network: Network, losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
        """losses(images, *constants) to (C,), a few classes at a time, so that they fit in memory (or a CPU's caches).

        images: (C, n, ch, H, W); constants: (C, …). The c-th loss must depend on the c-th entry of each alone. Whatever
        changes from step to step, other than images and a network's weights, must be passed in `constants`: numbers
        that `losses` captures are compiled in. A network whose output depends on its batch always sees all classes.
        """
        if network.depends_on_batch or torch.compiler.is_compiling():  # a nested call is grouped by the outer one
            return losses(images, *constants)
        values: Tensor = LossesInGroups.apply(images, constants, self, partial(self._losses_and_gradient, losses))
        return values

    def _losses_and_gradient(
        self, losses: ClassLosses, images: Tensor, constants: Sequence[Tensor], needs_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        """Losses (g,) of some classes, and the gradient (g, n, ch, H, W) of their sum, empty if it is not needed."""
        if not needs_gradient:
            with torch.no_grad():
                return losses(images, *constants), images.new_empty(0)
        leaf = images.detach().requires_grad_()

        def with_gradient(values: Tensor) -> tuple[Tensor, Tensor]:
            return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

        with torch.enable_grad():
            if not self.compile:
                return with_gradient(losses(leaf, *constants))
            values_and_gradient: tuple[Tensor, Tensor] = COMPILER.call(
                forward.class_losses, losses, leaf, *constants, inner=losses, then=with_gradient
            )
            return values_and_gradient


@contextlib.contextmanager
def _differentiable(network: Network) -> Iterator[list[Tensor]]:
    """The network's weights, which require gradients inside the `with` block only."""
    weights = list(network.parameters())
    for weight in weights:
        weight.requires_grad_()
    try:
        yield weights
    finally:
        for weight in weights:
            weight.requires_grad_(False)


def choose_compute(
    device: str, precision: str, threads: int | None, workers: int | None, compile: bool | None = None
) -> tuple[Compute, int]:
    """How each task computes, and how many tasks run at once, from a command's options.

    Raises BenchmarkError for an unknown precision or device, a device that is not there, and a number of threads or
    workers that is below 1 or too large.
    """
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
            "CUDA was requested, but torch sees no CUDA device", where=f"device={device}", next="use device=cpu"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise BenchmarkError(
            f"there is no device {device}; torch sees {torch.cuda.device_count()}", where=f"device={device}"
        )
    for name, value, most in (("threads", threads, most_threads()), ("workers", workers, MOST_WORKERS)):
        if value is not None and not 1 <= value <= most:
            raise BenchmarkError(f"{name} must be from 1 to {most:,} here, got {value}", where=f"{name}={value}")
    compute = Compute(chosen, precision, 1, compile=compile)
    threads, workers = _share_cores(compute, threads, workers)
    return replace(compute, threads=threads), workers


def most_threads() -> int:
    """The most threads of a task: more than the cores, to repeat on a small machine what a larger one computed."""
    return max(MOST_THREADS, os.cpu_count() or 1)


def _share_cores(compute: Compute, threads: int | None, workers: int | None) -> tuple[int, int]:
    """Threads of each task and the number of tasks at once: by default one task for each GPU.

    On a CPU the default is one task for each core: on small images, more tasks gain far more than more threads.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is None:
        on_cpu = min(MAX_DEFAULT_WORKERS, max(1, cores // (threads or 1)))
        workers = compute.num_devices if compute.device.type == "cuda" else on_cpu
    return threads or max(1, cores // workers), workers
