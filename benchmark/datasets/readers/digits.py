"""scikit-learn's digits: 1,797 real handwritten digits that come with the library, so nothing is downloaded.

They stay at their native 8x8. Up-sampled, a digit has only 64 free numbers in many more pixels: multi-formation would
store four of them without loss, for free, and everything would cost 16 times the compute at 32x32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.datasets.base import Content, Finding, Progress, to_split
from benchmark.datasets.builtin import KNOWN

TEST_FRACTION = 0.2  # of each class, rounded to whole images


@dataclass(frozen=True)
class Digits:
    """scikit-learn's own copy; methods as `base.Source`."""

    kind: str = "scikit-learn load_digits, our split"

    def read(self, progress: Progress | None) -> Content:
        """Both splits, uint8 (N, 1, 8, 8)."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # 0..16 to 0..255
        labels = np.asarray(bunch.target, dtype=np.int64)
        test = _test_indices(labels)
        train = np.setdiff1d(np.arange(len(labels)), test)
        splits = [to_split(images[part], labels[part]) for part in (train, test)]
        return Content(splits[0], splits[1], KNOWN["digits"].classes, self.kind)


def find(name: str, data_root: Path) -> Digits:
    """Always there: it comes with scikit-learn."""
    return Digits()


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """There are no files to look at."""
    yield from ()


def _test_indices(labels: np.ndarray) -> np.ndarray:
    """The fifth of each class whose hashes are lowest, ascending: no library's shuffle can change it.

    The hashed text is part of the dataset, whose fingerprint its card holds: it stays as it is.
    """
    chosen: list[int] = []
    for label in np.unique(labels):
        members = [int(index) for index in np.flatnonzero(labels == label)]
        members.sort(key=lambda index: hashlib.sha256(f"digits split|index={index}".encode()).digest())
        chosen += members[: round(TEST_FRACTION * len(members))]
    return np.array(sorted(chosen))
