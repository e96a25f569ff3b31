"""scikit-learn's digits: 1,797 real handwritten digits that come with the library, so nothing is downloaded.

They stay at their native 8x8. Upsampled, a digit has only 64 free numbers in many more pixels: multi-formation would
store four of them without loss, and everything would cost 16 times the compute at 32x32.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmark.datasets.base import DecodedSplits, Progress, to_split
from benchmark.datasets.builtin import BUILTIN

TEST_FRACTION = 0.2  # of each class, rounded to whole images


@dataclass(frozen=True)
class Digits:
    """scikit-learn's own copy; methods as `base.DatasetFiles`."""

    kind: str = "scikit-learn load_digits, our split"

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits, uint8 (N, 1, 8, 8)."""
        rows = np.loadtxt(_path(), delimiter=",")  # 64 pixels and the label
        images = np.rint(rows[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0..16 to 0..255
        labels = rows[:, -1].astype(np.int64)
        test = _test_indices(labels)
        train = np.setdiff1d(np.arange(len(labels)), test)
        classes = BUILTIN["digits"].classes
        return DecodedSplits(
            to_split(images[train], labels[train]), to_split(images[test], labels[test]), classes, self.kind
        )


def _path() -> Path:
    """The file that load_digits reads. The library itself takes a second to load, in every process."""
    library = find_spec("sklearn")
    assert library is not None and library.origin is not None
    return Path(library.origin).parent / "datasets/data/digits.csv.gz"


def find(name: str, data_root: Path) -> Digits:
    """The digits, which come with scikit-learn."""
    return Digits()


def _test_indices(labels: np.ndarray) -> np.ndarray:
    """The fifth of each class whose indices hash lowest, ascending: no change to a library's shuffle can alter it.

    The hashed text determines the split, whose fingerprint the card holds: it must never change.
    """
    test: list[int] = []
    for label in np.unique(labels):
        members = [int(index) for index in np.flatnonzero(labels == label)]
        members.sort(key=lambda index: hashlib.sha256(f"digits split|index={index}".encode()).digest())
        test += members[: round(TEST_FRACTION * len(members))]
    return np.array(sorted(test))
