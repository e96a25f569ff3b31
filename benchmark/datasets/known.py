"""The datasets known by name: their constants, shapes, whether images may be mirrored, and which module reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from benchmark.datasets.base import Constants
from benchmark.errors import unknown


@dataclass(frozen=True)
class Known:
    """What is known of a dataset before it is read. image_shape: (ch, H, W). reader: a module with `read`."""

    constants: Constants
    num_classes: int
    image_shape: tuple[int, int, int]
    flip: bool
    reader: str = "benchmark.datasets.vision"


def _grey(mean: float, std: float) -> Constants:
    return Constants((mean,), (std,))


# Constants: METHODS.md, section 2 (DatasetCondensation@53f63a6 utils.py); those of CIFAR-100 are the DC family's, and
# those of digits are ours: computed over the training split, four decimals (a test computes them again).
KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "digits": Known(_grey(0.3055, 0.3762), 10, (1, 8, 8), flip=False, reader="benchmark.datasets.digits"),
        "mnist": Known(_grey(0.1307, 0.3081), 10, (1, 28, 28), flip=False),
        "fashionmnist": Known(_grey(0.2861, 0.3530), 10, (1, 28, 28), flip=True),
        "svhn": Known(Constants((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)), 10, (3, 32, 32), flip=False),
        "cifar10": Known(Constants((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)), 10, (3, 32, 32), flip=True),
        "cifar100": Known(Constants((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)), 100, (3, 32, 32), flip=True),
    }
)


def constants_of(name: str) -> Constants:
    """The normalisation constants of a known dataset. Raises BenchmarkError for an unknown name."""
    if name not in KNOWN:
        raise unknown("dataset", name, KNOWN)
    return KNOWN[name].constants
