"""Seeds: hashed from a fixed role and plain values, never from the clock, a draw, or the name of a setting."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

import torch


class Role(StrEnum):
    """What random numbers are for, and behind each role the values its seed is hashed from, in this order.

    Every seed contains one of these strings. They are never changed, whatever the code around them is called: another
    string draws other numbers, and every stored set and expert would be made anew.
    """

    WITHHELD = "withheld images"  # fingerprint of the dataset
    CONDENSING = "condensing"  # fingerprint, condensation seed, the method's own role (methods.base.Draw), index
    MATCHING_NETWORK = "matching network"  # fingerprint, architecture, condensation seed, index
    EXPERT = "expert"  # fingerprint, architecture, seed of the expert pool, index, draw, epoch or step
    EVALUATION = "evaluation"  # fingerprint, architecture, condensation seed, index of the network, draw, epoch or step
    SCRATCH = "scratch network"  # nothing: its weights are overwritten before they are used
    SCORED_IMAGES = "images experts are scored on"  # fingerprint
    EMBEDDED_REAL = "embedded real images"  # fingerprint, condensation seed
    EMBEDDED_SET = "embedded synthetic images"  # fingerprint, condensation seed
    EMBEDDING = "embedding"  # fingerprint, condensation seed
    PROBE = "probe"  # values of its own: what is probed is timed and thrown away


def derive_seed(role: str, *values: int | str) -> int:
    """A seed in [0, 2^63) that depends on the role and on each value. Roles of the suite itself are of `Role`."""
    text = json.dumps([str(role), *values])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(role: str, *values: int | str) -> torch.Generator:
    """A fresh CPU generator for one named use. Draws are made on the CPU, so that every device sees the same ones."""
    return torch.Generator().manual_seed(derive_seed(role, *values))
