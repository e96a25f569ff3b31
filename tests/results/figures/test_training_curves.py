"""Training curves from hand-made records: what the panels show, and what is not drawn."""

from __future__ import annotations

import pytest

from figure_records import curve_record
from results.aggregation.cells import cells
from results.aggregation.row_styles import styles_of_cells
from results.figures.sets import stored_sets
from results.figures.training_curves import training_curves, training_figure


def made(make_condensed, **more):
    sets = [make_condensed(row, ipc=ipc) for row, ipc in (("dm", 1), ("dm", 10), ("dance", 10))]
    means = [[[0.1, 0.1], [0.3, 0.5], [0.2, 0.4]], [[0.1], [0.5], [0.6]], [[0.1], [0.7], [0.6]]]
    curves = [
        curve_record(condensed["identity"], [0.0, 1.0, 2.0], values, name="training_curve", **more)
        for condensed, values in zip(sets, means, strict=True)
    ]
    return sets, curves


def test_a_panel_for_each_ipc_with_a_dot_at_the_highest_mean(make_condensed):
    sets, records = made(make_condensed)
    (curves,), missing = training_curves(records, stored_sets(sets))
    assert missing == [] and list(curves.panels) == [1, 10]
    (only,) = curves.panels[1]
    assert (only.name, only.x, only.y) == ("DM", (0.0, 10.0, 20.0), pytest.approx((0.1, 0.4, 0.3)))
    assert {line.name for line in curves.panels[10]} == {"DM", "DANCE"}
    figure = training_figure(curves, styles_of_cells(cells([]), ["DM", "DANCE"]))
    left, right = figure.axes[:2]
    assert left.xaxis.get_transform().linthresh == 10  # no decade without a point
    assert left.get_title() == "ipc 1" and "Optimizer steps" in right.get_xlabel()
    (dot,) = [line for line in left.lines if len(line.get_xdata()) == 1]
    assert (*dot.get_xdata(), *dot.get_ydata()) == (10.0, pytest.approx(40.0))


def test_protocols_have_figures_of_their_own_and_unknown_sets_a_line(make_condensed):
    sets, records = made(make_condensed)
    _, others = made(make_condensed, protocol={"name": "dc", "version": 1})
    figures, missing = training_curves([*records, *others], stored_sets(sets[1:]))
    assert [curves.protocol for curves in figures] == ["dsa", "dc"]
    assert len(missing) == 2 and all("no record of its set" in line for line in missing)
