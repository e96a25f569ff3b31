"""A validation split: a stratified part of the training images, always the same for the same dataset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.datasets.base import Split
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role, generator


def hold_out(split: Split, fraction: float, fingerprint: str) -> tuple[Split, Split]:
    """(kept, withheld): `fraction` of each class, rounded to whole images, is withheld; both stay in dataset order.

    Seeded by the dataset's fingerprint, and a larger fraction withholds what a smaller one did and more. Raises
    BenchmarkError for a fraction outside [0, 1), and when a class would keep or give none.
    """
    none = torch.zeros(0, dtype=torch.int64)
    counts = split.counts(int(split.labels.max()) + 1)
    kept = kept_counts(counts, fraction)
    if fraction == 0:
        return split, split.select(none)
    draws, withheld = generator(Role.WITHHELD, fingerprint), []
    for label, (count, keep) in enumerate(zip(counts, kept, strict=True)):
        if count:
            members = (split.labels == label).nonzero().squeeze(1)
            withheld.append(members[torch.randperm(count, generator=draws)[: count - keep]])
    chosen = torch.zeros(len(split), dtype=torch.bool)
    chosen[torch.cat([none, *withheld])] = True
    return split.select((~chosen).nonzero().squeeze(1)), split.select(chosen.nonzero().squeeze(1))


def kept_counts(counts: Sequence[int], fraction: float) -> tuple[int, ...]:
    """Images of each class that are left when `fraction` of them is withheld; raises BenchmarkError as `hold_out`."""
    where = f"val_fraction={fraction}"
    if not 0 <= fraction < 1:
        raise BenchmarkError(f"validation must be at least 0 and below 1, got {fraction}", where=where)
    withheld = [round(fraction * count) for count in counts]
    for label, (count, out) in enumerate(zip(counts, withheld, strict=True)):
        if fraction and count and not 0 < out < count:
            which = "all" if out else "none"
            raise BenchmarkError(
                f"val_fraction={fraction} would withhold {which} of the {count} images of class {label}",
                where=where,
                next="choose a fraction that leaves and takes at least one image of every class",
            )
    return tuple(count - out for count, out in zip(counts, withheld, strict=True))


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
