"""External sets as their authors' code writes them, from real digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark import datasets
from benchmark.datasets import Dataset


def digits() -> Dataset:
    return datasets.load("digits", Path("data"))


def subset(seed: int = 0, ipc: int = 2, data: Dataset | None = None) -> tuple[Tensor, Tensor]:
    """float32 pixels (10·ipc, 1, 8, 8) and labels, class by class."""
    data = data or digits()
    generator = torch.Generator().manual_seed(seed)
    by_class = [torch.nonzero(data.train.labels == c).flatten() for c in range(data.num_classes)]
    index = torch.cat([m[torch.randperm(len(m), generator=generator)[:ipc]] for m in by_class])
    return data.train.images[index].float() / 255, data.train.labels[index]


def normalized(pixels: Tensor, data: Dataset | None = None) -> Tensor:
    data = data or digits()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.constants.mean, data.constants.std))
    return (pixels - mean) / std


def dc_file(path: Path, sets: list[tuple[Tensor, Tensor]], *, legacy: bool = False) -> Path:
    """As DC's main.py saves: the normalized sets of all experiments, and accuracies as numpy floats."""
    value: dict[str, Any] = {
        "data": [[normalized(images), labels] for images, labels in sets],
        "accs_all_exps": {"ConvNet": [np.float64(0.5), np.float32(0.25)]},
    }
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path
