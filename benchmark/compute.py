"""Precision, chunks and threads behind a few verbs: what a method or a protocol computes, not how."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call, grad, vmap

from benchmark.errors import BenchmarkError, unknown
from methods.base import ClassLosses, Network

PRECISIONS = ("fp32", "tf32", "bf16")
CHUNKS = {"cpu": 64, "cuda": 4096}  # images forwarded at once where no graph is kept; from the device, never measured
# Pixels of images forwarded at once with a graph: 2,048 and 8,192 images of 32×32, about 4 and 16 GiB in a ConvNet of
# width 128. Of the request's shapes alone, never of free memory, so that equal requests give equal bytes.
GRAPH_PIXELS = {"cpu": 2**21, "cuda": 2**23}
MOST_WORKERS = 8  # unless asked for: each holds its own copy of torch and of the dataset


@dataclass(frozen=True)
class Compute:
    """How tasks compute. On a CPU, equal threads and chunk give equal bytes."""

    device: torch.device
    precision: str
    threads: int
    chunk: int

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
        """Apply the process-wide part: threads, and whether fp32 may be computed as TF32."""
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def autocast(self) -> AbstractContextManager[object]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def embed(self, network: Network, images: Tensor) -> Tensor:
        """Normalised (N, ch, H, W) to (N, D) in float32; without a graph, and in chunks, if the images need none."""
        return self._in_chunks(network.embed, images, whole=network.depends_on_batch)

    def logits(self, network: Network, images: Tensor, *, whole: bool = False) -> Tensor:
        """Normalised (N, ch, H, W) to (N, C) in float32, likewise; `whole` keeps a batch-dependent network's batch."""
        return self._in_chunks(network, images, whole=whole)

    def mean_embedding(self, network: Network, images: Tensor) -> Tensor:
        """Normalised (C, n, ch, H, W) to (C, D)."""
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

    def class_gradients(self, network: Network, images: Tensor, labels: Tensor) -> list[Tensor]:
        """Normalised (C, n, ch, H, W) and labels (C,) to the gradient of each class's mean cross-entropy.

        One tensor (C, *shape) a parameter. With a graph to the images if they require one: then all classes at once
        (vmap), as few images leave the device idle; else a class at a time, which for large batches is faster.
        """
        module = cast(nn.Module, network)
        weights = {name: weight.detach() for name, weight in module.named_parameters()}

        def entropy(weights: dict[str, Tensor], images: Tensor, label: Tensor) -> Tensor:
            with self.autocast():
                logits = functional_call(module, weights, (images,)).float()
            return F.cross_entropy(logits, label.expand(len(images)))

        if images.requires_grad:
            return list(vmap(grad(entropy), in_dims=(None, 0, 0))(weights, images, labels).values())
        found = [grad(entropy)(weights, batch, label).values() for batch, label in zip(images, labels, strict=True)]
        return [torch.stack(each) for each in zip(*found, strict=True)]

    @torch.no_grad()
    def settle_norms(self, network: Network, images: Tensor) -> None:
        """One forward pass in train mode for batch norm's running statistics, then those in use."""
        network.train()
        with self.autocast():
            network(images)
        network.train(False)

    def training_gradients(self, network: Network, images: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """The gradients of a mini-batch's mean cross-entropy, in the order of `parameters`, and its logits."""
        weights = list(network.parameters())
        for weight in weights:
            weight.requires_grad_()
        with self.autocast():
            logits = network(images).float()
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), weights)
        for weight in weights:
            weight.requires_grad_(False)
        return list(gradients), logits.detach()

    def by_class(self, network: Network, losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
        """losses(images, *constants) to (C,), a few classes at a time where all at once would take too much memory.

        images: (C, n, ch, H, W); constants: (C, …). The c-th loss must depend on the c-th of each alone. A network
        whose output depends on the batch always sees all classes.
        """
        most = self.classes_at_once(images.shape[1], images.shape[-2:])
        if network.depends_on_batch or len(images) <= most:
            return losses(images, *constants)
        found: Tensor = _InGroups.apply(images, losses, constants, most)
        return found

    def classes_at_once(self, each: int, size: Sequence[int]) -> int:
        """How many classes of so many images of (H, W) `by_class` takes at a time; at least one."""
        return max(1, GRAPH_PIXELS[self.device.type] // math.prod((each, *size)))

    def _in_chunks(self, function: Callable[[Tensor], Tensor], images: Tensor, *, whole: bool) -> Tensor:
        with self.autocast():
            if images.requires_grad:
                return function(images).float()
            with torch.no_grad():
                pieces = [images] if whole else images.split(self.chunk)
                return torch.cat([function(piece).float() for piece in pieces])


class _InGroups(torch.autograd.Function):
    """Losses of groups of classes; each group's gradient is taken at once, so that one graph is held at a time."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, losses: ClassLosses, constants: Sequence[Tensor], group: int) -> Tensor:
        found: list[Tensor] = []
        gradients: list[Tensor] = []
        wanted = ctx.needs_input_grad[0]
        for start in range(0, len(images), group):
            part = slice(start, start + group)
            leaf = images[part].detach().requires_grad_(wanted)
            with torch.set_grad_enabled(wanted):
                values = losses(leaf, *(constant[part] for constant in constants))
                gradients += torch.autograd.grad(values.sum(), leaf) if wanted else ()
            found.append(values.detach())
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.view(-1, *[1] * (gradient.ndim - 1)), None, None, None


def choose_compute(device: str, precision: str, threads: int | None, workers: int | None) -> tuple[Compute, int]:
    """How each task computes, and how many run at once. Raises BenchmarkError for what cannot be had."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS, where=f"precision={precision}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise unknown("device", device, ["auto", "cpu", "cuda", "cuda:0"], where=f"device={device}") from error
    if chosen.type not in CHUNKS:
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
    found = Compute(chosen, precision, 1, CHUNKS[chosen.type])
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
