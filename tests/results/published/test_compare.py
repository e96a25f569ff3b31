"""Published numbers: the file, finding a cell's number, and the marks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from benchmark import networks
from benchmark.datasets.builtin import BUILTIN
from benchmark.training import protocols
from methods import registry
from results.aggregation.cells import cells
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
from results.tables.published import published_tables

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
# Numbers of the field since 2023: how many each source prints.
SINCE_2023 = {
    "NCFM (CVPR 2025)": 98, "DATM (ICLR 2024)": 40, "A Label is Worth a Thousand Images (NeurIPS 2024)": 39,
    "DELT (CVPR 2025)": 27, "FADRM (NeurIPS 2025)": 45, "CIM (ECCV 2026)": 7 + 3, "G-VBSM (CVPR 2024)": 10,
    "RDED (CVPR 2024)": 4, "FTD (CVPR 2023)": 8,
}  # fmt: skip
# What the file has of methods, datasets and protocols that the benchmark need not have. Networks are all known.
OTHER_METHODS = {
    "cafe", "cafe_dsa", "forgetting", "tesla", "ftd", "att", "iid", "dsdm", "dcc", "frepo", "gvbsm", "ncfm", "datm",
    "kip", "rcig", "random@soft", "random@views", "ratbptt", "sre2l", "rded", "delt", "edc", "cvdd", "fadrm",
    "fadrm_plus", "cim",
}  # fmt: skip
OTHER_DATASETS = {"imagenet1k"}
OTHER_PROTOCOLS = {
    "unknown", "cafe", "idc without CutMix", "dsdm", "frepo", "gvbsm", "ncfm", "datm", "kip", "rcig", "nodistill",
    "ratbptt", "rded", "fadrm",
}  # fmt: skip


def printed(table):
    """(method, dataset, ipc) of every cell with a number, the whole set's included."""
    all_ = set(product(table["methods"], table["datasets"], table["ipcs"]))
    empty = {(*key, ipc) for key, ipcs in table["empty"].items() for ipc in ipcs}
    assert empty < all_
    return (all_ - empty) | {("whole", dataset, None) for dataset in table["datasets"]}


def first(method, dataset, ipc):
    """The printed number of a method that goes before the others."""
    return lookup(method, dataset, ipc)[0]


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


def test_every_row_is_of_a_known_ipc_from_a_known_source():
    assert {e.source for e in load()} == {"DANCE (IJCAI 2024)", *READMES, *SINCE_2023}
    listed = {(*key, ipc) for rows in READMES.values() for key, ipcs in rows.items() for ipc in ipcs}
    of_others = {"idc_i": "IDC", "fadrm_plus": "FADRM", **dict.fromkeys(("random@soft", "random@views"), "A")}
    for e in load():
        assert (e.ipc is None) == (e.method == "whole")
        assert e.ipc in (None, *SMALL) or (e.method, e.dataset, e.ipc) in listed or e.source in SINCE_2023
        assert e.reported in ("last", "best_on_test", "unknown") and e.origin in ("own", "reprint")
        own = e.method == "random" or e.source.split()[0] == of_others.get(e.method, e.title)
        assert e.origin == "reprint" or own
    per_method = {(e.method, e.title, e.family) for e in load()}
    assert Counter(method for method, *_ in per_method).most_common(1)[0][1] == 1  # one title and family each


def test_names_are_the_benchmarks_or_listed():
    assert {e.method for e in load()} <= {*registry.names(), "whole"} | OTHER_METHODS
    assert {e.dataset for e in load()} <= {*BUILTIN} | OTHER_DATASETS
    assert {e.protocol for e in load()} <= {*protocols.names()} | OTHER_PROTOCOLS
    for name in {e.architecture for e in load()} - {"unknown"}:
        assert networks.canonical(name) == name


def test_no_two_numbers_have_one_key():
    keys = Counter((e.method, e.dataset, e.ipc, e.architecture, e.protocol, e.source) for e in load())
    assert keys.most_common(1)[0][1] == 1


def test_the_numbers_since_2023_are_complete():
    assert Counter(e.source for e in load() if e.source in SINCE_2023) == SINCE_2023


def test_columns_keep_their_order():
    path = Path(published.__file__).with_name("published.csv")
    assert path.read_text(encoding="utf-8").splitlines()[0] == COLUMNS


def test_the_file_holds_the_papers_numbers_as_fractions():
    entries = load()
    assert len(entries) == 213 + 5 + 21 + 3 + sum(SINCE_2023.values())
    assert all(0 < e.accuracy < 1 and (e.std is None or 0 <= e.std < 0.1) for e in entries)
    assert sum(e.ipc is None for e in entries) == 10
    before = [e for e in entries if e.source not in SINCE_2023]
    assert sum(e.std is None for e in before) == 21 + 3
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
        entry = next(e for e in lookup(*key) if e in before)
        assert (entry.accuracy, entry.std, entry.protocol, entry.reported) == expected
    assert not lookup("dm", "cifar10", 7)


def test_spots_of_the_numbers_since_2023():
    """Read off the tables that the file names."""
    spots = {
        ("ncfm", "cifar10", 10): (0.718, 0.003, "convnet3", 2, "ncfm", 2000, "cifar10", "best_on_test"),
        ("ncfm", "tinyimagenet", 50): (0.296, 0.005, "convnet4", 2, "ncfm", 40, "", "best_on_test"),
        ("datm", "cifar10", 1000): (0.855, 0.004, "convnet3", 1, "datm", 1001, "zca", "unknown"),
        ("dsdm", "cifar100", 50): (0.54, None, "convnet3", 2, "dance", 1500, "cifar10", "best_on_test"),
        ("random@soft", "cifar10", 10): (0.463, None, "convnet3", 1, "soft", 3001, "zca", "best_on_test"),
        ("random@soft", "imagenet1k", 10): (0.239, None, "resnet18-bn", 1, "nodistill", None, "", "unknown"),
        ("random@views", "imagenet1k", 50): (0.543, None, "resnet18-bn", 1, "nodistill", None, "", "unknown"),
        ("rded", "cifar10", 10): (0.502, None, "convnet3-bn", 1, "rded", 300, "imagenet", "best_on_test"),
        ("fadrm_plus", "imagenet1k", 50): (0.601, None, "resnet18-bn", None, "fadrm", None, "", "unknown"),
        ("dsa", "cifar10", 500): (0.736, None, "convnet3", 1, "dsa", 1001, "", "unknown"),
    }
    for key, expected in spots.items():
        e = first(*key)
        assert (e.accuracy, e.std, e.architecture, e.factor, e.protocol, e.epochs, e.constants, e.reported) == expected


def test_the_networks_of_datadam_have_batch_norm():
    networks = {e.dataset: e.architecture for e in load() if e.method == "datadam"}
    assert networks.pop("tinyimagenet") == "unknown"
    assert set(networks.values()) == {"convnet3-bn", "convnet6-bn"}


# --- several printed numbers of one cell ------------------------------------------------------------------------------


@pytest.fixture
def twice(monkeypatch):
    """DM's cell on CIFAR-10 at ipc 10 as DANCE reprints it and, with another number, as its authors might print it."""
    reprint = first("dm", "cifar10", 10)
    own = replace(reprint, accuracy=0.485, std=None, source="DM (WACV 2023)", table="Table 9", origin="own")
    monkeypatch.setattr(published, "_by_cell", lambda: by_cell([reprint, own]))
    return own, reprint


def printed_by(entries):
    return {e.source.partition(" (")[0]: e.accuracy for e in entries}


def test_sources_that_disagree_are_all_held():
    for ipc, own, reprint in ((1, 0.463, 0.319), (10, 0.653, 0.564), (50, 0.716, 0.659)):
        assert printed_by(lookup("mtt", "cifar10", ipc)) == {"MTT": own, "DANCE": reprint, "NCFM": own}
    assert printed_by(lookup("ftd", "cifar100", 50)) == {"FTD": 0.507, "NCFM": 0.485}
    assert printed_by(lookup("rded", "tinyimagenet", 1)) == {"DELT": 0.097, "FADRM": 0.118, "CIM": 0.154}
    assert printed_by(lookup("sre2l", "cifar10", 10)) == {"DELT": 0.293, "G-VBSM": 0.272}


def test_the_authors_own_number_goes_before_a_reprint(twice, make_cell):
    own, reprint = twice
    for order in (twice, twice[::-1]):
        assert list(by_cell(order).values()) == [[own, reprint]]
    assert lookup("dm", "cifar10", 10) == [own, reprint] and published_number(make_cell()) == own
    assert other_printed_numbers(own) == [reprint] and other_printed_numbers(reprint) == [own]


@pytest.mark.parametrize(
    "other", [{"architecture": "convnet3-bn"}, {"protocol": "rded"}, {"factor": 2}], ids=lambda other: "".join(other)
)
def test_the_number_that_fits_goes_before_the_authors_own(twice, make_cell, monkeypatch, other):
    own, reprint = replace(twice[0], **other), twice[1]
    monkeypatch.setattr(published, "_by_cell", lambda: by_cell([own, reprint]))
    assert published_number(make_cell()) == reprint
    ((column, value),) = {"recipe" if name == "protocol" else name: value for name, value in other.items()}.items()
    changed = {column: value} | ({"condense_architecture": value} if column == "architecture" else {})
    assert published_number(make_cell(**changed)) == own


def test_random_has_the_number_of_its_protocol(make_cell):
    found = {protocol: published_number(make_cell(row="random", recipe=protocol)) for protocol in ("dc", "datm")}
    assert (found["dc"].accuracy, found["datm"].accuracy) == (0.26, 0.31)


@pytest.mark.parametrize("variant", ["", "@f2", "@f4"])
def test_soft_labels_never_meet_numbers_of_hard_ones(make_cell, variant):
    usual = {"recipe": "soft", "factor": 1}
    assert published_number(make_cell(row=f"random{variant}", **usual)).method == "random"
    for row in (f"random{variant}@soft", f"random{variant}@soft (init=first)"):
        assert published_number(make_cell(row=row, **usual)).accuracy == 0.463
    assert published_number(make_cell(row="any", method="random@soft")).method == "random@soft"
    whole = {"dataset": "imagenet1k", "published_as": "imagenet1k"}
    found = [published_number(make_cell(row=f"random{variant}{labels}", **whole)) for labels in ("", "@soft", "@views")]
    assert [entry.accuracy for entry in found] == [0.039, 0.239, 0.258]
    for row in (f"random{variant}@views", f"dance{variant}@soft", f"dm{variant}@soft"):
        assert published_number(make_cell(row=row)) is None  # hard DANCE and DM have one


def test_tables_show_all_sources_that_disagree(make_cells):
    frame = make_cells({"mtt": [0.64, 0.65]}, evaluated={"recipe": "mtt"})
    others = "56.4 ± 0.7 in DANCE (IJCAI 2024), Table 1 (reprint); 65.3 in NCFM (CVPR 2025), Table 1 (reprint)"
    (table,) = published_tables(frame)
    assert table.texts()[0][4] == "65.3" and others in table.notes
    (table,) = comparison_tables(frame)
    assert f"from MTT (CVPR 2022), Table 1; {others}" in table.notes


def test_tables_say_under_what_else_another_number_was_measured(make_cells):
    (table,) = published_tables(make_cells({"rded": [0.4, 0.5]}))
    assert "37.1 in DELT (CVPR 2025), README figure (reprint), network resnet18-bn" in table.notes
    (table,) = published_tables(make_cells({"random": [0.25, 0.27]}, evaluated={"recipe": "dc"}))
    assert "31.0 in DATM (ICLR 2024), README figure at 97ae510, protocol datm" in table.notes


def test_a_cell_that_is_printed_twice_says_whose_number_it_is(twice, make_cells):
    (table,) = comparison_tables(make_cells({"dm": [0.48, 0.49]}))
    assert [row[4] for row in table.texts()] == ["48.5 (0.0 within) ¹"]
    assert table.notes == ["from DM (WACV 2023), Table 9; 48.9 ± 0.6 in DANCE (IJCAI 2024), Table 1 (reprint)"]


# --- comparing --------------------------------------------------------------------------------------------------------


def test_factors_behind_published_numbers():
    expected = {("dm", 10): 1, ("dance", 50): 2, ("dance", 10): None, ("idm", 10): None, ("idc", 1): 2}
    expected |= {("idc_i", 1): 1, ("dream", 1): None, ("cafe_dsa", 1): 1, ("datadam", 1): 1}
    assert {key: first(key[0], "cifar10", key[1]).factor for key in expected} == expected


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


def test_every_protocol_has_epochs_and_known_constants_unless_they_are_unknown():
    for entry in load():
        assert entry.constants in ("", "zca", *constants())
        assert entry.protocol != "unknown" or (entry.epochs is None and entry.constants == "")
        if entry.source not in SINCE_2023:
            assert (entry.epochs is None) == (entry.protocol == "unknown")
            reprinted = entry.protocol == "mtt" and entry.origin == "reprint" and entry.dataset != "cifar100"
            assert (entry.constants == "") == (entry.protocol == "unknown" or reprinted)


def test_options_of_a_run_are_named_unless_they_are_the_public_codes(make_cell):
    cell = make_cell(overrides="augment=none", provenance="ours")
    assert compare(cell, published_number(cell)).mismatches == ["some settings are ours", "settings augment=none"]
    cell = make_cell(overrides="init=first", provenance="code")
    assert compare(cell, published_number(cell)).mark == "within"


def test_a_factor_is_one_mismatch_not_two(make_cell):
    cell = make_cell(row="dm@f2", variant="f2", factor=2)
    assert compare(cell, published_number(cell)).mismatches == ["factor 2, published 1"]


def test_without_any_deviation_there_is_no_mark(make_cell, monkeypatch):
    printed = by_cell([replace(first("dm", "cifar10", 10), std=None)])
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
