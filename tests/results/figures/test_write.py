"""All figures of a store in a folder: the files, the index, and bad input."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from figure_records import analysis_record, constant_images, curve_record, store_set
from results.aggregation.cells import cells
from results.errors import ResultsError
from results.figures import write_figures
from results.store.store import Store

KINDS = ("trade", "anytime", "training", "tuning", "losses", "sets", "discrepancy", "interpolation", "expert",
         "embedding")  # fmt: skip
"""The beginnings of the files' names."""


@pytest.fixture
def make_everything(tmp_path, make_expert, make_condensed, make_evaluated):
    """A store of two sets on disk, with an evaluation and every analysis."""

    def make():
        store, expert = Store(tmp_path / "store"), make_expert(0)
        sets = [make_condensed(row, ipc=1) for row in ("dm", "dance")]
        names = [condensed["identity"] for condensed in sets]
        for condensed in sets:
            store_set(store, condensed, constant_images([0.1, 0.2]), [0, 1], losses="step,gap\n1,2.0\n2,1.0\n")
        sets = [record for condensed in sets if (record := store.record(condensed))]
        points = {"xy": [[0.0, 1.0], [1.0, 0.0]], "labels": [0, 1]}
        results = {
            "discrepancy": {"steps": [0], "sets": {n: {"mean_distance": [1], "relative_distance": [1]} for n in names}},
            "interpolation": {"lambdas": [0, 1], "split": "train", "accuracies": [[0.9], [0.1]]},
            "expert": {"real": {"train": 0.9}, "sets": {n: {"steps": [0], "accuracies": [[0.5]]} for n in names}},
            "embedding": {"method": "pca", "real": points, "sets": dict.fromkeys(names, points)},
        }
        curves = [curve_record(name, [1.0, 2.0], [[0.1], [0.2]]) for name in names]
        curves += [curve_record(name, [1.0, 2.0], [[0.1], [0.2]], name="training_curve") for name in names]
        analyses = [analysis_record(kind, result, sets=names) for kind, result in results.items()]
        tuning = {"name": "tuned", "trials": 3, "seconds": 9.0, "accuracies": [0.4, None, 0.5]}
        tuned = make_evaluated(
            sets[0], [0.6], resolved={"tuned": {"trials": 3}}, display={"tuning": tuning, "display_name": "dm (tuned)"}
        )
        return store, [expert, *sets, *(make_evaluated(s, [0.5]) for s in sets), tuned, *curves, *analyses]

    return make


def test_everything_there_is_data_for_is_drawn_as_pdf_and_png_and_listed(tmp_path, make_everything):
    store, records = make_everything()
    written, missing = write_figures(records, store, tmp_path / "out" / "figures", cells(records))
    assert not missing
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "out/figures").iterdir())
    for kind in KINDS:
        (pdf,) = [path for path in written if path.name.startswith(f"{kind}-") and path.suffix == ".pdf"]
        assert pdf.read_bytes().startswith(b"%PDF-") and b"CreationDate" not in pdf.read_bytes()
        with Image.open(pdf.with_suffix(".png")) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
    index = written[-1].read_text()
    assert written[-1].name == "figures.md" and index.startswith("# 10 figures\n")
    assert all(path.name in index for path in written[:-1]) and "- Protocol dsa v1\n" in index
    assert "## Accuracy against total seconds: cifar10, ipc 1\n" in index and "Not drawn" not in index


def test_the_order_of_records_and_a_second_time_change_no_byte(tmp_path, make_everything):
    store, records = make_everything()
    some = [record for record in records if record["kind"] != "analyze" or record["resolved"]["analysis"] == "curve"]
    first = {path.name: path.read_bytes() for path in write_figures(some, store, tmp_path / "a", cells(some))[0]}
    random.Random(0).shuffle(some)
    again, _ = write_figures(some, store, tmp_path / "b", cells(some))
    assert first == {path.name: path.read_bytes() for path in again}


def test_titles_and_facts_are_captions_unless_they_are_asked_for(tmp_path, make_everything):
    store, records = make_everything()
    sizes = {}
    for titles in (False, True):
        written, _ = write_figures(records, store, tmp_path / "figures", cells(records), titles=titles)
        with Image.open(
            next(path for path in written if path.name.startswith("trade") and path.suffix == ".png")
        ) as image:
            sizes[titles] = image.size
    assert sizes[False][0] == sizes[True][0] and sizes[False][1] < sizes[True][1] - 100
    captions = (tmp_path / "figures" / "captions.tex").read_text()
    assert captions.count(".pdf}") == len(KINDS)
    assert r"\caption[{Accuracy against total seconds: cifar10, ipc 1}]{Accuracy against total seconds" in captions
    assert "Protocol dsa v1." in captions


def test_a_font_is_embedded_and_a_figure_that_is_not_drawn_any_more_is_removed(tmp_path, make_everything):
    store, records = make_everything()
    for name, fonts in (("sans", b"DejaVuSans"), ("serif", b"STIXGeneral")):
        written, _ = write_figures(records, store, tmp_path / "figures", cells(records), fonts=name)
        assert all(
            fonts in path.read_bytes() for path in written if path.name.startswith("trade") and path.suffix == ".pdf"
        )
    fewer = [record for record in records if record["kind"] != "analyze"]
    again, _ = write_figures(fewer, store, tmp_path / "figures", cells(fewer))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {path.name for path in again}
    assert len(again) < len(written)


def test_an_empty_store_gives_a_line_for_each_kind(tmp_path):
    (_, index), missing = write_figures([], Store(tmp_path), tmp_path / "figures", cells([]))
    assert len(missing) == len(KINDS)
    text = index.read_text()
    assert text.startswith("# 0 figures\n") and "anytime curves: " in text and "snapshots=N val_fraction=F" in text


def test_what_cannot_be_read_is_a_line_and_the_rest_is_drawn(tmp_path, make_everything):
    store, records = make_everything()
    for path in store.root.glob("condense/*/synthetic.safetensors"):
        path.write_bytes(b"half")
    for record in records:
        if record["kind"] == "analyze" and record["resolved"]["analysis"] in ("expert", "embedding"):
            record["result"] = {"sets": 5}
    written, missing = write_figures(records, store, tmp_path / "figures", cells(records))
    stems = {path.name.partition("-")[0] for path in written if path.suffix == ".pdf"}
    assert stems == {"trade", "anytime", "training", "tuning", "losses", "discrepancy", "interpolation"}
    for word in ("sets-cifar10-convnet3-ipc1: ", "expert, analysis", "embedding, analysis"):
        (line,) = [line for line in missing if line.startswith(word)]
        assert line in written[-1].read_text()


def test_names_of_any_kind_make_files_of_their_own(tmp_path, make_condensed, make_evaluated):
    records = []
    for dataset in ("my data/é", "MY-DATA"):
        condensed = make_condensed("dm", dataset=dataset)
        records += [condensed, make_evaluated(condensed, [0.5], dataset=dataset)]
    written, _ = write_figures(records, Store(tmp_path), tmp_path / "figures", cells(records))
    trade_offs = [path for path in written if path.name.startswith("trade")]
    assert len({path.name.lower() for path in trade_offs}) == 4
    assert {path.parent for path in trade_offs} == {tmp_path / "figures"}


def test_a_folder_that_cannot_be_made_is_the_rooms_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        write_figures([], Store(tmp_path), tmp_path / "file" / "figures", cells([]))
