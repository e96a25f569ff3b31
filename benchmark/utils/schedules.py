"""Steps at which snapshots are saved and networks are scored, evenly or logarithmically spaced."""

from __future__ import annotations


def evenly_spaced(total: int, count: int) -> list[int]:
    """round(k · total / count) for k = 0..count in integer arithmetic, without repetition; from 0 to `total`."""
    return sorted({(2 * k * total + count) // (2 * count) for k in range(count + 1)})


def log_spaced(total: int, count: int) -> list[int]:
    """0, then round(total^(k / count)) for k = 1..count, without repetition: networks learn most in the first steps."""
    return sorted({0} | {round(total ** (k / count)) for k in range(1, count + 1)})
