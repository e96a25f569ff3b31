"""Parts of a split: the stratified validation images, which are the same in every run, and random subsets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.datasets.base import Outline, Split
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role, generator


def hold_out(split: Split, fraction: float, fingerprint: str) -> tuple[Split, Split]:
    """(kept, withheld): `fraction` of each class, rounded to whole images, is withheld; both stay in dataset order.

    Seeded by the dataset's fingerprint. A larger fraction withholds what a smaller one does, and more. Raises
    BenchmarkError for a fraction outside [0, 1), and if it would withhold all or none of a class.
    """
    counts = split.counts(int(split.labels.max()) + 1)
    kept = kept_counts(counts, fraction)
    empty = torch.zeros(0, dtype=torch.int64)
    if fraction == 0:
        return split, split.select(empty)
    draws, drawn = generator(Role.WITHHELD, fingerprint), []
    for label, (count, keep) in enumerate(zip(counts, kept, strict=True)):
        if count:
            members = (split.labels == label).nonzero().squeeze(1)
            drawn.append(members[torch.randperm(count, generator=draws)[: count - keep]])
    withheld = torch.zeros(len(split), dtype=torch.bool)
    withheld[torch.cat([empty, *drawn])] = True
    return split.select((~withheld).nonzero().squeeze(1)), split.select(withheld.nonzero().squeeze(1))


def kept_counts(counts: Sequence[int], fraction: float) -> tuple[int, ...]:
    """Images of each class that are left when `fraction` of them is withheld. Raises BenchmarkError as `hold_out`."""
    where = f"val_fraction={fraction}"
    if not 0 <= fraction < 1:
        raise BenchmarkError(f"val_fraction must be at least 0 and below 1, got {fraction}", where=where)
    withheld = [round(fraction * count) for count in counts]
    for label, (count, out) in enumerate(zip(counts, withheld, strict=True)):
        if fraction and count and not 0 < out < count:
            raise BenchmarkError(
                f"val_fraction={fraction} would withhold {'all' if out else 'none'} of the {count} images of class "
                f"{label}",
                where=where,
                next="choose a fraction that withholds and keeps at least one image of every class",
            )
    return tuple(count - out for count, out in zip(counts, withheld, strict=True))


def long_tail(split: Split, imbalance: float, fingerprint: str) -> Split:
    """The images that `long_tail_counts` leaves of each class, in dataset order; which ones is seeded as in `hold_out`.

    A larger imbalance leaves a part of what a smaller one does.
    """
    counts = split.counts(int(split.labels.max()) + 1)
    draws, drawn = generator(Role.LONG_TAIL, fingerprint), []
    for label, left in enumerate(long_tail_counts(counts, imbalance)):
        members = (split.labels == label).nonzero().squeeze(1)
        drawn.append(members[torch.randperm(len(members), generator=draws)[:left]])
    return split.select(torch.cat(drawn).sort().values)


def long_tail_counts(counts: Sequence[int], imbalance: float) -> tuple[int, ...]:
    """Images left of each class c of C in the dataset's order: n_c = n_max · imbalance^(−c / (C − 1)), rounded down.

    The field's exponential profile [Cao et al., NeurIPS 2019, LDAM]: the first class keeps imbalance times as many
    images as the last. At least one image of a class is left, and all of it where it has fewer than n_c.
    """
    largest, last = max(counts), max(1, len(counts) - 1)
    profile = [max(1, math.floor(largest / imbalance ** (c / last))) for c in range(len(counts))]
    return tuple(map(min, counts, profile)) if imbalance > 1 else tuple(counts)


def training_counts(dataset: Outline, val_fraction: float) -> tuple[int, ...]:
    """Images of each class that tasks train on: images are withheld first, then the rest gets its long tail."""
    return long_tail_counts(kept_counts(dataset.train, val_fraction), dataset.imbalance)


def subsample(split: Split, most: int, generator: torch.Generator) -> Split:
    """At most `most` images, drawn without replacement, in the order of the split."""
    if len(split) <= most:
        return split
    return split.select(torch.randperm(len(split), generator=generator)[:most].sort().values)


def sample_per_class(labels: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Indices of at most `most` images of each class, drawn without replacement, class by class; labels (N,) on CPU."""
    indices = []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        indices.append(members[torch.randperm(len(members), generator=generator)[:most]])
    return torch.cat(indices)
