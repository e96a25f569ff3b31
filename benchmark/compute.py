"""Precision, chunks and threads behind a few verbs: what a method or a protocol computes, not how."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.errors import BenchmarkError, unknown
from methods.base import Network

PRECISIONS = ("fp32", "tf32", "bf16")
CHUNKS = {"cpu": 64, "cuda": 4096}  # images forwarded at once where no graph is kept; from the device, never measured
MOST_WORKERS = 8  # unless asked for: each holds its own copy of torch and of the dataset


@dataclass(frozen=True)
class Compute:
    """How tasks compute. On a CPU, equal threads and chunk give equal bytes."""

    device: torch.device
    precision: str
    threads: int
    chunk: int

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
        classes, count = images.shape[:2]
        labels = torch.arange(classes, device=images.device).repeat_interleave(count)
        logits = self.logits(network, images.flatten(0, 1), whole=network.depends_on_batch)
        losses: Tensor = F.cross_entropy(logits, labels, reduction="none").unflatten(0, (classes, count))
        return losses.mean(1)

    def _in_chunks(self, function: Callable[[Tensor], Tensor], images: Tensor, *, whole: bool) -> Tensor:
        with self.autocast():
            if images.requires_grad:
                return function(images).float()
            with torch.no_grad():
                pieces = [images] if whole else images.split(self.chunk)
                return torch.cat([function(piece).float() for piece in pieces])


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
    threads, workers = _share_cores(chosen.type, threads, workers)
    return Compute(chosen, precision, threads, CHUNKS[chosen.type]), workers


def _share_cores(device: str, threads: int | None, workers: int | None) -> tuple[int, int]:
    """Threads of each task and tasks at once. On small images a second task gains far more than a second thread."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is None:
        workers = 1 if device == "cuda" else min(MOST_WORKERS, max(1, cores // (threads or 1)))
    return threads or max(1, cores // workers), workers
