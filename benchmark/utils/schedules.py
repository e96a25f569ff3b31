"""At which steps something is looked at, and at which images."""

from __future__ import annotations


def evenly(total: int, count: int) -> list[int]:
    """round(k · total / count) for k = 0..count, in whole numbers: each step once, 0 and `total` among them."""
    return sorted({(2 * k * total + count) // (2 * count) for k in range(count + 1)})


def logarithmically(total: int, count: int) -> list[int]:
    """0, then round(total^(k / count)) for k = 1..count, each step once: a network learns most in its first steps."""
    return sorted({0} | {round(total ** (k / count)) for k in range(1, count + 1)})
