"""Published numbers: the file, finding a cell's number, and the marks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from results.aggregation.cells import cells
from results.errors import ResultsError
from results.published import compare as published
from results.published.compare import (
    by_cell,
    compare,
    constants,
    load,
    lookup,
    other_printed_numbers,
    published_number,
)
from results.tables.comparison import comparison_tables

COLUMNS = (
    "method,title,family,dataset,ipc,architecture,factor,protocol,epochs,constants,reported,accuracy,std,source,table,"
    "origin"
)

# --- the file ---------------------------------------------------------------------------------------------------------

SMALL = (1, 10, 50)
# Tables 1 and 2 of DANCE: what stands down and across, and the cells that they print as "-".
LOW = {
    "methods": ["random", "herding", "kcenter", "dc", "dsa", "idc", "dream", "mtt", "cafe", "cafe_dsa", "dm", "idm",
                "datadam", "dance"],
    "datasets": ["fashionmnist", "cifar10", "cifar100", "tinyimagenet"],
    "ipcs": SMALL,
    "empty": {
        ("kcenter", "tinyimagenet"): SMALL, ("dc", "cifar100"): (50,), ("idc", "cifar100"): (1, 50),
        ("idc", "tinyimagenet"): SMALL, ("dream", "tinyimagenet"): (10,), ("mtt", "fashionmnist"): SMALL,
        ("cafe", "tinyimagenet"): SMALL, ("cafe_dsa", "tinyimagenet"): SMALL, ("idm", "fashionmnist"): SMALL,
        ("datadam", "fashionmnist"): SMALL,
    },
}  # fmt: skip
HIGH = {
    "methods": ["random", "mtt", "dm", "datadam", "dance"],
    "datasets": ["imagenette", "imagewoof", "imagefruit", "imagemeow", "imagesquawk", "imageyellow"],
    "ipcs": (1, 10),
    "empty": dict.fromkeys(product(("dm", "datadam"), ("imagefruit", "imagemeow", "imageyellow")), (1, 10)),
}
# What the authors' READMEs print beside, by source: (method, dataset) → ipcs.
READMES = {
    "DC (ICLR 2021)": {("dc", "mnist"): SMALL, ("dc", "svhn"): SMALL},
    "DSA (ICML 2021)": {("dsa", "mnist"): SMALL, ("dsa", "svhn"): SMALL},
    "DM (WACV 2023)": {("dm", "cifar10"): (100, 200, 500, 1000, 1250)},
    "MTT (CVPR 2022)": {("mtt", "cifar10"): SMALL},
    "IDC (ICML 2022)": {
        **dict.fromkeys(product(("idc", "idc_i"), ("mnist", "svhn")), SMALL),
        **dict.fromkeys([("idc_i", "fashionmnist"), ("idc_i", "cifar10")], SMALL),
        ("idc_i", "cifar100"): (10, 20),
        ("idc", "cifar100"): (20,),
    },
}
METHODS = {*LOW["methods"], "idc_i", "whole"}
DATASETS = {*LOW["datasets"], *HIGH["datasets"], "mnist", "svhn"}


def printed(table):
    """(method, dataset, ipc) of every cell with a number, the whole set's included."""
    all_ = set(product(table["methods"], table["datasets"], table["ipcs"]))
    empty = {(*key, ipc) for key, ipcs in table["empty"].items() for ipc in ipcs}
    assert empty < all_
    return (all_ - empty) | {("whole", dataset, None) for dataset in table["datasets"]}


def held(source, table=None):
    return [(e.method, e.dataset, e.ipc) for e in load() if e.source == source and table in (None, e.table)]


@pytest.mark.parametrize(("name", "table", "size"), [("Table 1", LOW, 143 + 4), ("Table 2", HIGH, 48 + 6)])
def test_the_tables_of_dance_are_complete(name, table, size):
    found = held("DANCE (IJCAI 2024)", name)
    assert len(found) == size and set(found) == printed(table)


@pytest.mark.parametrize("source", READMES)
def test_the_numbers_of_readmes_are_complete(source):
    expected = {(*key, ipc) for key, ipcs in READMES[source].items() for ipc in ipcs}
    assert sorted(held(source)) == sorted(expected)
    assert all(e.origin == "own" for e in load() if e.source == source)


def test_every_row_is_of_a_known_method_dataset_and_ipc_from_a_known_source():
    assert {e.source for e in load()} == {"DANCE (IJCAI 2024)", *READMES}
    listed = {(*key, ipc) for rows in READMES.values() for key, ipcs in rows.items() for ipc in ipcs}
    for e in load():
        assert e.method in METHODS and e.dataset in DATASETS
        assert (e.ipc is None) == (e.method == "whole")
        assert e.ipc in (None, *SMALL) or (e.method, e.dataset, e.ipc) in listed
        assert e.reported in ("last", "best_on_test", "unknown") and e.origin in ("own", "reprint")
        assert e.origin == "reprint" or e.source.split()[0] == {"idc_i": "IDC"}.get(e.method, e.title)
    assert {e.method for e in load()} == METHODS and {e.dataset for e in load()} == DATASETS
    per_method = {(e.method, e.title, e.family) for e in load()}
    assert Counter(method for method, *_ in per_method).most_common(1)[0][1] == 1  # one title and family each


def test_columns_keep_their_order():
    path = Path(published.__file__).with_name("published.csv")
    assert path.read_text(encoding="utf-8").splitlines()[0] == COLUMNS


def test_the_file_holds_the_papers_numbers_as_fractions():
    entries = load()
    assert len(entries) == 213 + 5 + 21 + 3
    assert all(0 < e.accuracy < 1 and (e.std is None or 0 <= e.std < 0.1) for e in entries)
    assert sum(e.std is None for e in entries) == 21 + 3 and sum(e.ipc is None for e in entries) == 10
    # read off Table 1 of DANCE, the tables of DC and DSA, and the READMEs of DM and IDC
    spots = {
        ("random", "fashionmnist", 1): (0.514, 0.038, "dc", "last"),
        ("dm", "cifar10", 10): (0.489, 0.006, "dsa", "last"),
        ("dc", "cifar10", 50): (0.539, 0.005, "dc", "last"),
        ("idc", "cifar10", 50): (0.745, 0.001, "idc", "unknown"),
        ("idm", "cifar10", 10): (0.586, 0.001, "dsa", "unknown"),
        ("dance", "cifar10", 50): (0.761, 0.001, "dance", "best_on_test"),
        ("whole", "cifar10", None): (0.848, 0.001, "unknown", "unknown"),
        ("dc", "mnist", 1): (0.917, 0.005, "dc", "last"),
        ("dsa", "svhn", 50): (0.844, 0.004, "dsa", "last"),
        ("cafe_dsa", "cifar10", 50): (0.623, 0.004, "dsa", "last"),
        ("dm", "cifar10", 200): (0.712, 0.004, "dsa", "last"),
        ("dm", "cifar10", 1250): (0.808, 0.003, "dsa", "last"),
        ("random", "imagenette", 1): (0.235, 0.048, "unknown", "unknown"),
        ("dm", "imagewoof", 10): (0.314, 0.005, "unknown", "unknown"),
        ("dm", "fashionmnist", 1): (0.707, 0.006, "unknown", "unknown"),
        ("idc", "mnist", 1): (0.942, None, "idc without CutMix", "unknown"),
        ("idc_i", "mnist", 1): (0.889, None, "idc", "unknown"),
        ("idc_i", "svhn", 1): (0.467, None, "idc without CutMix", "unknown"),
        ("idc", "svhn", 10): (0.875, None, "idc", "unknown"),
        ("idc_i", "fashionmnist", 50): (0.891, None, "idc", "unknown"),
        ("idc_i", "cifar100", 20): (0.415, None, "idc", "unknown"),
    }
    for key, expected in spots.items():
        entry = lookup(*key)
        assert (entry.accuracy, entry.std, entry.protocol, entry.reported) == expected
    assert lookup("dm", "cifar10", 7) is None


def test_the_networks_of_datadam_have_batch_norm():
    networks = {e.dataset: e.architecture for e in load() if e.method == "datadam"}
    assert networks.pop("tinyimagenet") == "unknown"
    assert set(networks.values()) == {"convnet3-bn", "convnet6-bn"}


# --- two printings of one cell ----------------------------------------------------------------------------------------


@pytest.fixture
def twice(monkeypatch):
    """DM's cell on CIFAR-10 at ipc 10 as DANCE reprints it and, with another number, as its authors might print it."""
    reprint = lookup("dm", "cifar10", 10)
    own = replace(reprint, accuracy=0.485, std=None, source="DM (WACV 2023)", table="Table 9", origin="own")
    monkeypatch.setattr(published, "_by_cell", lambda: by_cell([reprint, own]))
    return own, reprint


def test_every_cell_has_one_number():
    """Only those of MTT on CIFAR-10 are printed twice, by its authors and, lower, by DANCE's paper."""
    twice = {(e.method, e.dataset) for e in load() if other_printed_numbers(e)}
    assert twice == {("mtt", "cifar10")}
    assert all(lookup(e.method, e.dataset, e.ipc) == e for e in load() if (e.method, e.dataset) not in twice)
    assert {lookup("mtt", "cifar10", ipc).accuracy for ipc in (1, 10, 50)} == {0.463, 0.653, 0.716}


def test_the_authors_own_number_goes_before_a_reprint(twice):
    own, reprint = twice
    for order in (twice, twice[::-1]):
        assert list(by_cell(order).values()) == [[own, reprint]]
    assert (
        lookup("dm", "cifar10", 10) == own
        and other_printed_numbers(own) == [reprint]
        and other_printed_numbers(reprint) == [own]
    )
    for one in twice:
        with pytest.raises(ResultsError, match="dm on cifar10 at ipc 10 is printed twice"):
            by_cell([*twice, replace(one, accuracy=0.4)])


def test_a_cell_that_is_printed_twice_says_whose_number_it_is(twice, make_cells):
    (table,) = comparison_tables(make_cells({"dm": [0.48, 0.49]}))
    assert [row[4] for row in table.texts()] == ["48.5 (0.0 within) ¹"]
    assert table.notes == ["from DM (WACV 2023), Table 9; 48.9 ± 0.6 in DANCE (IJCAI 2024), Table 1 (reprint)"]


# --- comparing --------------------------------------------------------------------------------------------------------


def test_factors_behind_published_numbers():
    expected = {("dm", 10): 1, ("dance", 50): 2, ("dance", 10): None, ("idm", 10): None, ("idc", 1): 2}
    expected |= {("idc_i", 1): 1, ("dream", 1): None, ("cafe_dsa", 1): 1, ("datadam", 1): 1}
    assert {key: lookup(key[0], "cifar10", key[1]).factor for key in expected} == expected


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
    found = compare(cell, published_number(cell))
    assert (found.mark, found.mismatches) == (mark, [])
    assert found.difference == pytest.approx(sum(means) / len(means) - 0.489)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"dataset": "my-photos"}, "dataset only similar to cifar10"),
        ({"architecture": "convnet3-bn"}, "evaluated with convnet3-bn, published convnet3"),
        ({"condense_architecture": "convnet3-w64"}, "condensed with convnet3-w64, published convnet3"),
        ({"recipe": "dsa@steps"}, "protocol dsa@steps, published dsa"),
        ({"epochs": 301}, "301 epochs, published 1001"),
        ({"epochs": pd.NA}, "unknown epochs, published 1001"),
        ({"constants": ((0.5,) * 3, (0.2,) * 3)}, "images not normalized with the published constants (cifar10)"),
        ({"factor": 2}, "factor 2, published 1"),
        ({"provenance": "ours"}, "some settings are ours"),
        ({"provenance": "third party"}, "some settings are of a third party"),
        ({"iterations_fraction": 0.01}, "1 % of the paper's iterations"),
        ({"val_fraction": 0.1}, "10 % of the training images withheld"),
    ],
)
def test_one_mismatch_costs_the_mark_and_is_named(make_cell, columns, said):
    cell = make_cell(**columns)
    found = compare(cell, published_number(cell))
    assert (found.mark, found.mismatches) == (None, [said])
    assert found.difference == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("dataset", "same"),
    [("imagenette@ilsvrc", True), ("imagenette", True), ("imagenette@fastai-v2", False), ("imagewoof@ilsvrc", False)],
)
def test_the_papers_imagenet_subsets_are_those_of_ilsvrc(make_cell, dataset, same):
    networks = {"architecture": "convnet5", "condense_architecture": "convnet5"}
    cell = make_cell(dataset=dataset, published_as="imagenette", **networks)
    assert ("dataset only similar to imagenette" in compare(cell, published_number(cell)).mismatches) != same
    cell = make_cell(dataset="cifar10@ilsvrc")
    assert compare(cell, published_number(cell)).mismatches == ["dataset only similar to cifar10"]


def test_numbers_selected_on_the_test_split_never_get_a_mark(make_cell):
    cell = make_cell(row="dance", recipe="dance", epochs=1500, ipc=50, factor=2, accuracy=0.761)
    assert compare(cell, published_number(cell)).mismatches == ["published accuracy rule is best on test, ours last"]
    cell = make_cell(row="dance", recipe="dance")
    assert "published factor unknown" in compare(cell, published_number(cell)).mismatches


@pytest.mark.parametrize(("ipc", "shared", "native"), [(1, 3000, 2000), (10, 2000, 1500)])
def test_dance_at_128_pixels_has_its_papers_epochs_under_native_only(make_cell, ipc, shared, native):
    networks = {"architecture": "convnet5", "condense_architecture": "convnet5"}
    imagenette = {"dataset": "imagenette", "published_as": "imagenette", "constants": constants()["imagenet"]}
    usual = {"row": "dance", "recipe": "dance", "factor": 2, "ipc": ipc, **networks, **imagenette}
    for epochs, says in ((shared, [f"{shared} epochs, published {native}"]), (native, [])):
        cell = make_cell(epochs=epochs, **usual)
        assert [text for text in compare(cell, published_number(cell)).mismatches if "epochs" in text] == says


def test_the_constants_of_other_codes_are_told_apart_on_cifar100(make_cell):
    usual = {"row": "cafe_dsa", "dataset": "cifar100", "published_as": "cifar100", "accuracy": 0.315}
    cell = make_cell(constants=constants()["cifar10"], **usual)
    assert compare(cell, published_number(cell)).mark == "within"
    cell = make_cell(constants=constants()["cifar100"], **usual)
    assert compare(cell, published_number(cell)).mismatches == [
        "images not normalized with the published constants (cifar10)"
    ]


def test_every_protocol_has_epochs_and_known_constants_unless_it_is_unknown():
    for entry in load():
        assert (entry.epochs is None) == (entry.protocol == "unknown")
        reprinted = entry.protocol == "mtt" and entry.origin == "reprint" and entry.dataset != "cifar100"
        assert (entry.constants == "") == (entry.protocol == "unknown" or reprinted)
        assert entry.constants in ("", "zca", *constants())


def test_options_of_a_run_are_named_unless_they_are_the_public_codes(make_cell):
    cell = make_cell(overrides="augment=none", provenance="ours")
    assert compare(cell, published_number(cell)).mismatches == ["some settings are ours", "settings augment=none"]
    cell = make_cell(overrides="init=first", provenance="code")
    assert compare(cell, published_number(cell)).mark == "within"


def test_a_factor_is_one_mismatch_not_two(make_cell):
    cell = make_cell(row="dm@f2", variant="f2", factor=2)
    assert compare(cell, published_number(cell)).mismatches == ["factor 2, published 1"]


def test_without_any_deviation_there_is_no_mark(make_cell, monkeypatch):
    printed = by_cell([replace(lookup("dm", "cifar10", 10), std=None)])
    monkeypatch.setattr(published, "_by_cell", lambda: printed)
    cell = make_cell(means=(0.489,))
    assert compare(cell, published_number(cell)).mismatches == ["no deviation known"]


def test_a_reprint_of_unknown_protocol_gets_no_mark(make_cell):
    networks = {"architecture": "convnet5", "condense_architecture": "convnet5"}
    for row, recipe in (("random", "dc"), ("dm", "dsa")):
        cell = make_cell(row=row, dataset="imagenette", published_as="imagenette", ipc=1, recipe=recipe, **networks)
        found = compare(cell, published_number(cell))
        assert found.mark is None
        assert found.mismatches == [
            f"protocol {recipe}, published unknown", "published accuracy rule is unknown, ours last",
        ]  # fmt: skip


def test_a_dataset_without_a_reference_has_no_published_number(make_cell):
    assert published_number(make_cell(published_as="")) is None
