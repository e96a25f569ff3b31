"""At which steps something is looked at, and at which images."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.datasets import Split


def evenly(total: int, count: int) -> list[int]:
    """round(k · total / count) for k = 0..count, in whole numbers: each step once, 0 and `total` among them."""
    return sorted({(2 * k * total + count) // (2 * count) for k in range(count + 1)})


def logarithmically(total: int, count: int) -> list[int]:
    """0, then round(total^(k / count)) for k = 1..count, each step once: a network learns most in its first steps."""
    return sorted({0} | {round(total ** (k / count)) for k in range(1, count + 1)})


def a_few(split: Split, most: int, generator: torch.Generator) -> Split:
    """At most so many images, drawn without replacement, in the order of the split."""
    if len(split) <= most:
        return split
    return split.select(torch.randperm(len(split), generator=generator)[:most].sort().values)


def of_each_class(labels: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Places of at most `most` labels of each class, drawn without replacement, class by class; labels (N,) on CPU."""
    chosen = []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:most]])
    return torch.cat(chosen)
