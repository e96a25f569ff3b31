"""A validation split: a stratified part of the training images, always the same for the same dataset."""

from __future__ import annotations

import torch

from benchmark.datasets.base import Split
from benchmark.errors import BenchmarkError
from benchmark.seeds import generator


def hold_out(split: Split, fraction: float, fingerprint: str) -> tuple[Split, Split]:
    """(kept, withheld): `fraction` of each class, rounded to whole images, is withheld; both stay in dataset order.

    Seeded by the dataset's fingerprint, and a larger fraction withholds what a smaller one did and more. Raises
    BenchmarkError for a fraction outside [0, 1), and when a class would keep or give none.
    """
    where = f"validation={fraction}"
    if not 0 <= fraction < 1:
        raise BenchmarkError(f"validation must be at least 0 and below 1, got {fraction}", where=where)
    none = torch.zeros(0, dtype=torch.int64)
    if fraction == 0:
        return split, split.select(none)
    draws, withheld = generator("validation", fingerprint=fingerprint), []
    for label in torch.unique(split.labels).tolist():
        members = (split.labels == label).nonzero().squeeze(1)
        count = round(fraction * len(members))
        if not 0 < count < len(members):
            which = "all" if count else "none"
            raise BenchmarkError(
                f"validation={fraction} would withhold {which} of the {len(members)} images of class {label}",
                where=where,
                next="choose a fraction that leaves and takes at least one image of every class",
            )
        withheld.append(members[torch.randperm(len(members), generator=draws)[:count]])
    chosen = torch.zeros(len(split), dtype=torch.bool)
    chosen[torch.cat([none, *withheld])] = True
    return split.select((~chosen).nonzero().squeeze(1)), split.select(chosen.nonzero().squeeze(1))
