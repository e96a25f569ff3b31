"""The figure of losses: every point of every set's file, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from figure_records import constant_images, drawn_points, store_set
from results.errors import ResultsError
from results.figures.losses import loss_figure, loss_panels
from results.figures.sets import stored_sets
from results.store.store import Store


@pytest.fixture
def stored(tmp_path, make_condensed):
    """A store with two seeds of DANCE, DM with its file, and a random subset without one; and their records."""
    store, records = Store(tmp_path), []
    files = {("dance", 0): "step,alignment,calibration\n1,4.0,\n2,2.0,0.5\n", ("dance", 1): "step,alignment\n1,3.0\n",
             ("dm", 0): "step,gap\n1,-1.0\n3,2.0\n", ("random", 0): ""}  # fmt: skip
    for (row, seed), losses in files.items():
        condensed = make_condensed(row, ipc=1, seed=seed)
        store_set(store, condensed, constant_images([0.1, 0.2]), [0, 1], losses=losses)
        records.append(store.record(condensed))
    return store, records


def test_each_row_has_a_panel_with_all_points(stored) -> None:
    store, records = stored
    (panels,) = loss_panels(records, stored_sets(records))
    figure = loss_figure(panels, store)
    by_title = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert by_title.keys() == {"DM", "DANCE"}
    assert drawn_points(by_title["DM"]) == {"gap": [(1, -1.0), (3, 2.0)]}
    assert drawn_points(by_title["DANCE"]) == {"alignment": [(1, 4.0), (2, 2.0)], "calibration": [(2, 0.5)]}
    assert len(by_title["DANCE"].get_lines()) == 3, "and the second seed's"
    assert by_title["DANCE"].get_yscale() == "log" and by_title["DM"].get_yscale() == "linear", "a negative loss"


def test_a_file_that_was_changed_is_named(stored, tmp_path: Path) -> None:
    store, records = stored
    (panels,) = loss_panels(records, stored_sets(records))
    path = next(tmp_path.glob("condense/dm*/losses.csv"))
    path.write_text("step,gap\n1,9.0\n")
    with pytest.raises(ResultsError, match=r"losses\.csv was changed or damaged"):
        loss_figure(panels, store)
