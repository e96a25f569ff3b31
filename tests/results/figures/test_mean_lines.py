"""Lines and their bands on axes."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from results.aggregation.row_styles import PALETTE, RowStyle
from results.figures.embedding import _color
from results.figures.mean_lines import MeanLine, draw_level, draw_line

STYLE = RowStyle(PALETTE[0], "o", "-")


@pytest.mark.parametrize(("scale", "ends"), [(100, (0.0, 100.0)), (1, (-0.1, 1.2))])
def test_bands_of_percentages_stay_within_0_and_100(scale, ends):
    axes = Figure().add_subplot()
    draw_line(axes, MeanLine("DM", (1.0, 2.0), (0.1, 0.9), (0.2, 0.3), 3, "sets"), STYLE, scale)
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx(ends)


def test_a_row_of_one_point_is_a_line_across_all_seconds():
    axes = Figure().add_subplot()
    draw_level(axes, MeanLine("Random", (0.01,), (0.5,), (math.nan,), 1, "networks of one set"), STYLE, 100)
    (line,) = axes.get_lines()
    assert list(line.get_ydata()) == [50, 50] and list(line.get_xdata()) == [0, 1]  # of the width of the axes


def test_ten_classes_have_ten_colors():
    assert len({_color(label) for label in range(10)}) == 10
