"""Seeds from named roles by hashing, never from the clock and never by drawing."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(role: str, **parts: object) -> int:
    """A seed in [0, 2^63) that depends on the role and on each named part, in any order."""
    text = "|".join([role, *(f"{key}={parts[key]}" for key in sorted(parts))])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(role: str, **parts: object) -> torch.Generator:
    """A fresh CPU generator for one named use. Draws are made on the CPU, so that every device sees the same ones."""
    return torch.Generator().manual_seed(derive_seed(role, **parts))
