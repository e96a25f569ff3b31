"""Seeds are hashed from a fixed role string and plain values, never from the clock, a draw or a setting's name."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

import torch


class Role(StrEnum):
    """What random numbers are for. The comment of each role lists the values that its seed hashes, in this order.

    Every seed hashes one of these strings, so they never change, whatever the code around them is called: another
    string would draw other numbers, and every stored set and expert would have to be computed again.
    """

    WITHHELD = "withheld images"  # fingerprint of the dataset
    LONG_TAIL = "long tail"  # fingerprint
    CONDENSING = "condensing"  # fingerprint, condensation seed, the method's own role (methods.base.Draw), index
    MATCHING_NETWORK = "matching network"  # fingerprint, architecture, condensation seed, index
    EXPERT = "expert"  # fingerprint, architecture, seed of the expert pool, index, draw, epoch or step
    EVALUATION = "evaluation"  # fingerprint, architecture, condensation seed, index of the network, draw, epoch or step
    SCRATCH = "scratch network"  # no values: its weights are overwritten before they are used
    SCORED_IMAGES = "images experts are scored on"  # fingerprint
    EMBEDDED_REAL = "embedded real images"  # fingerprint, condensation seed
    EMBEDDED_SET = "embedded synthetic images"  # fingerprint, condensation seed
    EMBEDDING = "embedding"  # fingerprint, condensation seed
    CONTRACT = "test-images"  # a number: images of the problems on which methods are tested
    PROBE = "probe"  # any values: results of probing are timed and discarded


def derive_seed(role: str, *values: int | str) -> int:
    """A seed in [0, 2^63), hashed from the role and each value. The suite itself only uses roles of `Role`."""
    text = json.dumps([str(role), *values])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(role: str, *values: int | str) -> torch.Generator:
    """A new CPU generator, seeded by `derive_seed`. Drawing on the CPU gives the same numbers for every device."""
    return torch.Generator().manual_seed(derive_seed(role, *values))
