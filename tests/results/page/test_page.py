"""What write_page puts into a page, without a browser: pictures, the records behind a cell, what is missing."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from figure_records import store_set
from page_store import Record, enlarged_images, preview_png, write_report_page, write_task
from results.aggregation.cells import cells
from results.aggregation.grouping import rows_of
from results.page import write_page
from results.page.cell_records import records_of_cells
from results.page.details import LOG_LINES, TaskFolders, set_details
from results.page.previews import Preview, previews
from results.page.table import best_by_ipc, page_rows
from results.store.store import Store


def data(page: Path) -> Any:
    """The JSON in a page."""
    text = page.read_text(encoding="utf-8")
    packed = re.search(r'<script type="text/plain" id="data">([^<]*)<', text)
    assert packed
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def pixels(picture: Preview) -> np.ndarray:
    kind, _, text = picture.url.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


# --- pictures ---------------------------------------------------------------------------------------------------------


def seen(make_condensed: Any, folder: Path, preview: bytes, ipc: int = 10, **more: Any) -> Preview:
    condensed = make_condensed("dm", ipc=ipc)
    write_task(folder, condensed, preview=preview)
    return previews(stored_sets(folder), **more)[condensed["identity"]]


def stored_sets(root: Path) -> list[tuple[Any, Path]]:
    """The records of a store's sets, with their folders."""
    return [(record, folder) for folder, record in Store(root).read().records.items()]


def test_an_enlarged_preview_is_kept_at_its_own_size_without_loss(make_condensed: Any, tmp_path: Path) -> None:
    images = enlarged_images(0, 4)
    preview = seen(make_condensed, tmp_path, preview_png(images), ipc=4)
    assert (preview.classes, preview.images, preview.across) == (10, 4, True)  # a strip of 4 would be narrow
    assert (preview.height, preview.width) == (4 * 9 - 1, 10 * 9 - 1)
    shown = pixels(preview)
    assert np.array_equal(shown[9:17, 18:26], images[2, 1, ::6, ::6])
    assert (shown[8] == 255).all() and (shown[:, 8] == 255).all()


def test_a_preview_of_many_classes_is_cut_and_a_large_one_is_lossy_but_close(
    make_condensed: Any, tmp_path: Path
) -> None:
    shades = np.linspace(0, 255, 32 * 32 * 3).reshape(1, 1, 32, 32, 3) + np.zeros((30, 10, 1, 1, 1))
    noise = np.random.default_rng(0).normal(0, 20, (30, 10, 32, 32, 3))
    images = np.clip(shades + noise, 0, 255).astype(np.uint8)
    png = preview_png(images)
    preview = seen(make_condensed, tmp_path, png)
    assert (preview.classes, preview.images, preview.height, preview.width) == (10, 10, 329, 329)
    assert preview.size < len(png) / 10
    apart = pixels(preview)[:32, 33:65].astype(float) - images[0, 1]
    assert np.abs(apart).mean() < 20


@pytest.mark.parametrize(
    ("preview", "why"),
    [(b"", "there is no preview.png"), (b"no PNG", "its preview.png cannot be read"),
     (preview_png(enlarged_images(0, 10))[:500], "its preview.png cannot be read")],
)  # fmt: skip
def test_a_missing_or_broken_preview_has_a_reason(
    make_condensed: Any, tmp_path: Path, preview: bytes, why: str
) -> None:
    assert seen(make_condensed, tmp_path, preview) == Preview(missing=why)


def test_a_picture_that_is_no_grid_is_shown_as_it_is(make_condensed: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((7, 31, 3), 9, np.uint8)).save(buffer, "PNG")
    page_data = seen(make_condensed, tmp_path, buffer.getvalue())
    assert (page_data.classes, page_data.width, page_data.height) == (0, 31, 7) and (pixels(page_data) == 9).all()


def test_pictures_beyond_the_budget_are_left_out_and_equal_ones_count_once(make_condensed: Any, tmp_path: Path) -> None:
    condensed = [make_condensed("dm", seed) for seed in range(4)]
    files = [preview_png(enlarged_images(seed, 10)) for seed in (0, 0, 1, 0)]
    for one, preview in zip(condensed, files, strict=True):
        write_task(tmp_path, one, preview=preview)
    order = [one["identity"] for one in condensed]
    sets = sorted(stored_sets(tmp_path), key=lambda stored: order.index(stored[0]["identity"]))
    size = previews(sets[:1])[condensed[0]["identity"]].size
    by_set = [previews(sets, budget=size + 10)[one["identity"]] for one in condensed]
    assert [bool(picture.url) for picture in by_set] == [True, True, False, True]
    assert by_set[2].missing.startswith("left out")


def test_equal_pictures_are_in_the_page_once(make_condensed: Any, make_evaluated: Any, tmp_path: Path) -> None:
    condensed = [make_condensed("dm", seed) for seed in range(3)]
    for one, of in zip(condensed, (0, 0, 1), strict=True):
        write_task(tmp_path, one, preview=preview_png(enlarged_images(of, 10)))
        write_task(tmp_path, make_evaluated(one, [0.5]))
    page = write_report_page(tmp_path)
    assert page.read_text().count("data:image/webp") == 2
    assert [data(page)["sets"][one["identity"]]["preview"] for one in condensed] == [0, 0, 1]


# --- the best rows ----------------------------------------------------------------------------------------------------


def test_the_best_row_of_each_ipc_has_the_highest_mean(make_condensed: Any, make_evaluated: Any) -> None:
    accuracies = {
        ("dm", 1): [0.2, 0.8],
        ("idm", 1): [0.6, 0.6],
        ("dc", 1): [0.1, 0.3],
        ("dm", 10): [0.9],
        ("idm", 10): [0.7],
    }
    sets = {key: make_condensed(key[0], ipc=key[1]) for key in accuracies}
    failed = make_condensed("dance", ipc=50, status="diverged", message="boom")
    scored = [make_evaluated(sets[key], values) for key, values in accuracies.items()]
    rows, (group,) = page_rows(rows_of(cells([*sets.values(), failed, *scored, make_evaluated(None, [0.95])])))
    for order in (group.rows, group.rows[::-1]):
        best = best_by_ipc([rows[index] for index in order])
        assert {ipc: row.name for ipc, row in best.items()} == {"1": "IDM", "10": "DM"}


# --- records behind a cell --------------------------------------------------------------------------------------------


def test_a_task_without_a_record_is_not_behind_a_cell(make_condensed: Any, make_evaluated: Any) -> None:
    made, begun = (make_condensed("dm", seed) for seed in range(2))
    records = [made, make_evaluated(made, [0.5])]
    (cell,) = rows_of(cells([*records, begun | {"status": "interrupted"}]))
    (of_cell,) = records_of_cells(records, [cell])
    assert cell["missing"] == 1 and (of_cell.sets, of_cell.evaluations) == ([made], [records[1]])


def test_every_cell_finds_its_own_records(make_condensed: Any, make_evaluated: Any, make_expert: Any) -> None:
    expert = make_expert(0)
    sets = [make_condensed("dm", seed, resolved={"experts": [expert["identity"]]}) for seed in range(2)]
    other = make_condensed("dm", resolved={"settings": {"lr": 2.0}})  # a cell of its own with the same name
    unscored = make_condensed("dm", resolved={"experts": [expert["identity"]], "snapshots": 4})  # in no cell
    failed = make_condensed("dm", 2, resolved={"experts": [expert["identity"]]}, status="diverged", message="boom")
    alone = make_condensed("idm", status="diverged", message="boom")
    scored = [make_evaluated(one, [0.5]) for one in [*sets, other]]
    whole = make_evaluated(None, [0.9])
    elsewhere = make_evaluated(sets[0], [0.4], protocol="dance")
    records: list[Record] = [expert, *sets, other, unscored, failed, alone, *scored, whole, elsewhere]
    all_cells = rows_of(cells(records))
    words = ["expert", "0", "1", "other", "unscored", "failed", "alone", "s0", "s1", "so", "whole", "dance"]
    names = {record["identity"]: word for record, word in zip(records, words, strict=True)}

    def named(of: list[Record]) -> set[str]:
        return {names[record["identity"]] for record in of}

    stands = {
        (row["protocol"], row["display_name"], row["cell_spec"].get("settings.lr")): (
            named(of_cell.evaluations),
            named(of_cell.sets),
            named(of_cell.experts),
        )
        for row, of_cell in zip(all_cells, records_of_cells(records, all_cells), strict=True)
    }
    assert stands == {
        ("dsa", "dm", 1.0): ({"s0", "s1"}, {"0", "1", "failed"}, {"expert"}),
        ("dance", "dm", 1.0): ({"dance"}, {"0", "1", "failed"}, {"expert"}),
        ("dsa", "dm", 2.0): ({"so"}, {"other"}, set()),
        ("dsa", "idm", 1.0): (set(), {"alone"}, set()),
        ("dance", "idm", 1.0): (set(), {"alone"}, set()),
        ("dsa", "whole", None): ({"whole"}, set(), set()),
    }


def test_a_run_shows_networks_losses_logs_and_curves(make_condensed: Any, make_evaluated: Any, tmp_path: Path) -> None:
    condensed = make_condensed("dm")
    condensed["result"]["losses"] = {"matching": 0.25}
    points = [
        {"step": 0, "seconds": 0.0, "accuracies": [0.1, 0.3]},
        {"step": 5, "seconds": 2.5, "accuracies": [0.5, 0.7]},
    ]
    curve = {
        **condensed, "kind": "analyze", "identity": "f" * 64, "result": {"split": "validation", "points": points},
        "resolved": {"analysis": "curve", "sets": [condensed["identity"]], "architecture": "convnet3", "seed": 0,
                  "protocol": {"name": "quick"}},
    }  # fmt: skip
    long = "\n".join(f"line {n}" for n in range(100))
    write_task(tmp_path, condensed, log=long)
    write_task(tmp_path, make_evaluated(condensed, [0.5, 0.625]), log="")
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/record.json")]
    page = _page(tmp_path, [*records, curve])
    page_data = data(page)
    (run,), one = page_data["runs"], page_data["sets"][condensed["identity"]]
    assert run["networks"][0]["accuracies"] == ["50.0", "62.5"] and run["networks"][0]["log"] == ""
    assert run["curves"] == [{"name": "seed 0, protocol quick, convnet3", "split": "validation",
                              "along": "condensing", "points": [[0, 0.0, 20.0], [5, 2.5, 60.0]]}]  # fmt: skip
    assert one["losses"] == [["matching", "0.25"]]
    assert one["log"].splitlines() == [f"line {n}" for n in range(100 - LOG_LINES, 100)]
    assert ["lr", "1"] in run["settings"] and page_data["rows"][0]["sets"] == [condensed["identity"]]


def test_records_without_a_folder_are_shown(make_condensed: Any, make_evaluated: Any, tmp_path: Path) -> None:
    condensed = make_condensed("dm")
    page = _page(tmp_path, [condensed, make_evaluated(condensed, [0.5])])
    page_data = data(page)
    assert page_data["rows"][0]["accuracy"] == 50.0
    assert page_data["sets"][condensed["identity"]]["missing"] == "there is no preview.png"
    assert any("called as in tables" in note for note in page_data["runs"][0]["notes"])


def test_a_store_without_an_evaluation_says_so(make_condensed: Any, tmp_path: Path) -> None:
    text = _page(tmp_path, [make_condensed("dm")]).read_text()
    assert "No evaluation is finished yet." in text and "1 record: 1 condense" in text and "<table" not in text


def test_timings_of_another_device_are_no_points(make_condensed: Any, make_evaluated: Any, tmp_path: Path) -> None:
    sets = [make_condensed(name, environment={"device": device}) for name, device in
            (("dm", "H100"), ("dc", "H100"), ("idm", "a CPU"))]  # fmt: skip
    scores = [make_evaluated(one, [0.5], environment=one["environment"]) for one in sets]
    rows = data(_page(tmp_path, [*sets, *scores]))["rows"]
    assert {row["name"]: row["total"] for row in rows} == {"DM": 2.0, "DC": 2.0, "IDM": None}
    assert next(row["summary"] for row in rows if row["name"] == "IDM") == "50.0 %, ‡ s"


def test_markup_in_a_record_is_escaped(make_condensed: Any, make_evaluated: Any, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    no_text = {"settings": {"path": "caf\udce9"}}  # as the name of a file may be
    condensed = make_condensed(
        "dm", display={"display_name": f"dm ({hostile})", "dataset_title": hostile}, resolved=no_text
    )
    text = _page(tmp_path, [condensed, make_evaluated(condensed, [0.5], display={"dataset_title": hostile})]).read_text(
        "utf-8"
    )
    assert "alert(1)" in text and "<script>alert" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and "default-src 'none'" in policy[1] and "script-src blob: &#39;" not in policy[1]
    scripts = re.search(r"script-src ([^;]*)", policy[1])
    assert scripts and "unsafe" not in scripts[1] and scripts[1].count("sha256-") == 1


def _page(root: Path, records: list[Record]) -> Path:
    return write_page(records, Store(root), cells(records), root)


def test_long_losses_are_thinned_and_damaged_ones_left_out(make_condensed: Any, tmp_path: Path) -> None:
    store, found = Store(tmp_path), {}
    long = "\n".join(["step,gap", *(f"{step},{step / 7}" for step in range(1, 1002))])
    for seed, losses in enumerate([long, "step,gap\n1,x\n"]):
        condensed = make_condensed("dm", seed, ipc=1)
        store_set(store, condensed, np.full((1, 1, 8, 8), 0.5), [0], losses=losses)
        found[seed] = set_details(store.record(condensed), TaskFolders(store))["curves"]
    (curve,) = found[0]
    assert curve["steps"][:2] == [1, 7] and curve["steps"][-1] == 1001 and len(curve["steps"]) < 202
    assert curve["values"][0] == 0.1429 and found[1] == []
