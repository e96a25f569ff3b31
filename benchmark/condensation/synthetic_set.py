"""Synthetic sets on disk: safetensors with a sidecar card inside, and a picture of them."""

from __future__ import annotations

import io
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from PIL import Image

from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tensors, save_tensors, write_bytes
from methods.base import SyntheticSet


def save_set(path: Path, synthetic: SyntheticSet) -> str:
    """Write the set; returns the SHA-256 of the file. Equal sets give equal bytes."""
    card = {
        "ipc": synthetic.ipc,
        "factor": synthetic.factor,
        "training": dict(synthetic.training),
        "made by": dict(synthetic.card),
        "pixels": "float32, 0..1 nominal, not clamped, not normalised",
    }
    return save_tensors(path, {"images": synthetic.images, "labels": synthetic.labels}, card)


def load_set(path: Path, device: torch.device | str = "cpu") -> SyntheticSet:
    """Read a set that `save_set` wrote. Raises BenchmarkError for anything else."""
    tensors, card = load_tensors(path, device)
    known = isinstance(card, dict) and {"ipc", "factor", "training", "made by"} <= card.keys()
    if not known or not {"images", "labels"} <= tensors.keys():
        raise BenchmarkError(f"{path.name} is not a synthetic set of this project", where=str(path.parent))
    return SyntheticSet(
        tensors["images"], tensors["labels"], card["ipc"], card["factor"], card["training"], card["made by"]
    )


def save_preview(path: Path, synthetic: SyntheticSet, columns: int = 10) -> str:
    """A PNG grid: a row for each class, its first stored images, clamped to [0, 1], small ones enlarged.

    Returns the file's SHA-256.
    """
    classes = len(synthetic.images) // synthetic.ipc
    shown = min(columns, synthetic.ipc)
    images = synthetic.images.detach().float().cpu().unflatten(0, (classes, synthetic.ipc))[:, :shown].flatten(0, 1)
    images = F.interpolate(images.clamp(0, 1), scale_factor=max(1, 48 // images.shape[-1]), mode="nearest")
    grid = torchvision.utils.make_grid(images, nrow=shown, padding=2, pad_value=1.0)
    buffer = io.BytesIO()
    Image.fromarray(grid.mul(255).round().byte().permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return write_bytes(path, buffer.getvalue())
