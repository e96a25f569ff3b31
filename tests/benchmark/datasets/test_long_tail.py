"""Long tails: the field's exponential profile, and which images it leaves."""

from __future__ import annotations

import pytest
import torch

from benchmark.condensation.contract import make_images
from benchmark.datasets import Split
from benchmark.datasets.splits import long_tail, long_tail_counts


@pytest.mark.parametrize(
    ("counts", "imbalance", "expected"),
    [
        # CIFAR-10-LT as papers print it
        ([5000] * 10, 100, (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)),
        ([5000] * 10, 10, (5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500)),
        ([5000] * 10, 1, (5000,) * 10),
        ([7] * 3, 100, (7, 1, 1)),
        ([9, 2, 9, 9], 8, (9, 2, 2, 1)),  # the second class has fewer than its share
        ([4], 100, (4,)),
    ],
)
def test_the_profile_is_exponential_rounded_down_and_leaves_an_image(
    counts: list[int], imbalance: float, expected: tuple[int, ...]
) -> None:
    assert long_tail_counts(counts, imbalance) == expected


def test_cifar_100_keeps_the_images_that_papers_count() -> None:
    counts = long_tail_counts([500] * 100, 100)
    assert (counts[0], counts[-1], sum(counts)) == (500, 5, 10_847)


def test_a_larger_imbalance_leaves_a_part_of_what_a_smaller_one_does() -> None:
    split = make_images(4, 20, (1, 4, 4))
    split.images[:, 0, 0, 0] = torch.arange(80, dtype=torch.uint8)  # each image says where it was

    def left(imbalance: float, fingerprint: str = "abc") -> list[int]:
        tail: Split = long_tail(split, imbalance, fingerprint)
        places: list[int] = tail.images[:, 0, 0, 0].tolist()
        assert tail.counts(4) == long_tail_counts([20] * 4, imbalance)
        assert places == sorted(places) and torch.equal(tail.labels, split.labels[places])
        return places

    assert left(10) == left(10) != left(10, "other")
    assert {*left(10)} < {*left(3)} < set(range(80))
