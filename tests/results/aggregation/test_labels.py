"""What rows are called in a report."""

from __future__ import annotations

import pytest

from results.aggregation.labels import shortened, with_display_labels, with_labels
from results.aggregation.naming import title
from results.aggregation.options import Options
from results.aggregation.selection import select
from results.errors import ResultsError
from results.figures.sets import stored_sets
from results.tables.comparison import all_tables

A, B = "dance (alignment=off, lr=0.1)", "dance (alignment=off, lr=0.2)"


@pytest.mark.parametrize(
    ("names", "short", "common"),
    [
        ([A, B, "dance"], {A: "dance (lr=0.1)", B: "dance (lr=0.2)"}, ["alignment=off"]),
        ([A, "dance"], {}, []),
        (["dance (a=1)", "dance (a=1, b=2)", "dance"], {}, []),  # the first would be called as the last
        (["dance (a=1)", "dance (a=1, b=2)"], {"dance (a=1)": "dance", "dance (a=1, b=2)": "dance (b=2)"}, ["a=1"]),
        (["dance (a=1)", "dance (b=2)"], {}, []),
        (["dance (x=[1, 2], a=1)", "dance (x=[1, 2], a=2)"],
         {"dance (x=[1, 2], a=1)": "dance (a=1)", "dance (x=[1, 2], a=2)": "dance (a=2)"}, ["x=[1, 2]"]),
        (["dance (reference)", "dance (elsewhere)"], {}, []),
    ],
)  # fmt: skip
def test_settings_that_all_variants_share_leave_their_names(names, short, common):
    assert shortened(names) == (short, common)


def test_they_are_in_a_note_and_a_row_can_have_a_label(make_cells):
    found = with_labels(
        make_cells({"random": [0.1, 0.2], "dance": [0.5, 0.6], A: [0.3, 0.4], B: [0.3, 0.5]}), {"dance": "Ours"}
    )
    table = all_tables(found)[0]
    method = [column.name for column in table.columns].index("method")
    names = [str(row[method].value) for row in table.rows]
    assert names == ["RANDOM", "Ours", "DANCE (lr=0.1)", "DANCE (lr=0.2)"]
    assert "Settings of all variants of DANCE: alignment=off." in table.captions[0]
    with pytest.raises(ResultsError, match="dm"):
        with_labels(found, {"dm": "X"})


def test_figures_have_the_same_names(make_cells, make_condensed):
    found = with_labels(make_cells({"dance": [0.5, 0.6], A: [0.3, 0.4], B: [0.3, 0.5]}), {"dance": "Ours"})
    records = with_display_labels([make_condensed(name) for name in ("dance", A, B)], found)
    assert {stored.name for stored in stored_sets(records).values()} == {"Ours", "DANCE (lr=0.1)", "DANCE (lr=0.2)"}
    assert {title(row) for row in found.to_dict("records")} == {"Ours", "DANCE (lr=0.1)", "DANCE (lr=0.2)"}


def test_a_method_means_its_variants_too(make_cells):
    found = make_cells(
        {"dm": [0.1, 0.2], "dance": [0.5, 0.6], A: [0.3, 0.4], "dance@f1": [0.3, 0.5], "dancer": [0.1, 0.2]}
    )
    assert set(select(found, Options(methods=("dance",)))["display_name"]) == {"dance", A, "dance@f1"}
