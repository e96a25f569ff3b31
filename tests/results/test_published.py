"""Published numbers: the file, finding a cell's number, and the marks."""

from __future__ import annotations

import pytest

from results.aggregate import cells
from results.published import compare, load, lookup, of_cell, published_factor


def test_the_file_holds_the_papers_numbers_as_fractions():
    entries = load()
    assert len(entries) == 213
    assert len({(e.method, e.dataset, e.ipc) for e in entries}) == 213
    assert all(0 < e.accuracy < 1 and (e.std is None or 0 <= e.std < 0.1) for e in entries)
    assert sum(e.std is None for e in entries) == 12 and sum(e.ipc is None for e in entries) == 10
    # read off Table 1 of DANCE and the tables of DC and DSA
    spots = {
        ("random", "fashionmnist", 1): (0.514, 0.038, "dc", "last"),
        ("dm", "cifar10", 10): (0.489, 0.006, "dsa", "last"),
        ("dc", "cifar10", 50): (0.539, 0.005, "dc", "last"),
        ("idc", "cifar10", 50): (0.745, 0.001, "idc", "unknown"),
        ("idm", "cifar10", 10): (0.586, 0.001, "dsa", "unknown"),
        ("dance", "cifar10", 50): (0.761, 0.001, "dance", "best_on_test"),
        ("whole", "cifar10", None): (0.848, 0.001, "unknown", "unknown"),
        ("dsa", "svhn", 50): (0.844, None, "dsa", "last"),
    }
    for key, expected in spots.items():
        entry = lookup(*key)
        assert (entry.accuracy, entry.std, entry.protocol, entry.reported) == expected
    assert lookup("dm", "cifar10", 7) is None


def test_factors_behind_published_numbers():
    expected = {("dm", 10): 1, ("dance", 50): 2, ("dance", 10): None, ("idm", 10): None, ("idc", 1): None}
    assert {key: published_factor(lookup(key[0], "cifar10", key[1])) for key in expected} == expected


@pytest.fixture
def make_cell(make_condensed, make_evaluated):
    """A cell as aggregated from DM's sets of these means on CIFAR-10, with columns replaced."""

    def make(means=(0.489, 0.483, 0.495), row="dm", **columns):
        sets = [make_condensed(row, seed=seed) for seed in range(len(means))]
        scores = [make_evaluated(made, [mean]) for made, mean in zip(sets, means, strict=True)]
        return cells([*sets, *scores]).iloc[0].to_dict() | columns

    return make


@pytest.mark.parametrize(
    ("means", "mark"),
    [
        ((0.489, 0.483, 0.495), "within"),
        ((0.501, 0.501, 0.501), "within"),  # 1.2 points, twice the printed 0.6
        ((0.5012, 0.5012, 0.5012), "above"),
        ((0.4768, 0.4768, 0.4768), "below"),
        ((0.44, 0.46, 0.48), "within"),  # 2.9 points, the measured deviation is 2
        ((0.52,), "above"),
    ],
)
def test_marks(make_cell, means, mark):
    cell = make_cell(means)
    found = compare(cell, of_cell(cell))
    assert (found.mark, found.mismatches) == (mark, [])
    assert found.difference == pytest.approx(sum(means) / len(means) - 0.489)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"dataset": "my-photos"}, "dataset only like cifar10"),
        ({"architecture": "convnet3-bn"}, "evaluated with convnet3-bn, published convnet3"),
        ({"condensed_with": "convnet3-w64"}, "condensed with convnet3-w64, published convnet3"),
        ({"recipe": "dsa@steps"}, "protocol dsa@steps, published dsa"),
        ({"factor": 2}, "factor 2, published 1"),
        ({"provenance": "ours"}, "some settings are ours"),
        ({"fraction": 0.01}, "1 % of the paper's iterations"),
        ({"validation": 0.1}, "10 % of the training images withheld"),
        ({"variant": "augment=none"}, "variant augment=none"),
    ],
)
def test_one_mismatch_costs_the_mark_and_is_named(make_cell, columns, said):
    cell = make_cell(**columns)
    found = compare(cell, of_cell(cell))
    assert (found.mark, found.mismatches) == (None, [said])
    assert found.difference == pytest.approx(0.0)


def test_numbers_selected_on_the_test_split_never_get_a_mark(make_cell):
    cell = make_cell(row="dance", recipe="dance", ipc=50, factor=2, accuracy=0.761)
    assert compare(cell, of_cell(cell)).mismatches == ["published accuracy rule is best on test, ours last"]
    cell = make_cell(row="dance", recipe="dance")
    assert "published factor unknown" in compare(cell, of_cell(cell)).mismatches


def test_a_factor_is_one_mismatch_not_two(make_cell):
    cell = make_cell(row="dm@f2", variant="f2", factor=2)
    assert compare(cell, of_cell(cell)).mismatches == ["factor 2, published 1"]


def test_without_any_deviation_there_is_no_mark(make_cell):
    cell = make_cell(means=(0.844,), row="dsa", dataset="svhn", reference="svhn", ipc=50)
    assert compare(cell, of_cell(cell)).mismatches == ["no deviation known"]


def test_a_dataset_without_a_reference_has_no_published_number(make_cell):
    assert of_cell(make_cell(reference="")) is None
