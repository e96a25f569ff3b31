"""The style of all figures: fonts and dates in files, no global state, titles, axes and legends."""

from __future__ import annotations

import re
import subprocess
import sys

import matplotlib
import pytest

from results.figures.style import (
    COLUMN,
    legend_height,
    log_from_zero,
    log_seconds,
    new_figure,
    styled,
    title_and_facts,
    to_pdf,
    to_png,
)


def figure(title="A title", facts=("one fact", "another")):
    with styled():
        drawn_figure = new_figure(COLUMN, 2.0, title, facts)
        drawn_figure.add_subplot().plot([1, 2], [3, 4])
    return drawn_figure


def test_a_pdf_has_truetype_fonts_no_date_and_the_same_bytes_each_time():
    data = to_pdf(figure())
    assert data.startswith(b"%PDF-") and data == to_pdf(figure())
    assert b"/FontFile2" in data and b"/Type3" not in data
    assert not re.search(rb"Date|D:\d{8}|(19|20)\d\d-\d\d-\d\d", data)
    png = to_png(figure())
    assert png.startswith(b"\x89PNG") and png == to_png(figure()) and b"Date" not in png


def test_a_persons_own_settings_change_nothing_and_are_left_as_they_are():
    plain = to_pdf(figure())
    with matplotlib.rc_context({"axes.facecolor": "red", "lines.linewidth": 9, "pdf.fonttype": 3}):
        assert to_pdf(figure()) == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_pyplot_is_not_loaded():
    code = "import sys, results.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_with_signs_of_tex_are_printed_as_they_are():
    drawn_figure = figure(title="cost in $ and $x^{", facts=["a_b", "50 %"])
    assert to_png(drawn_figure)
    assert title_and_facts(drawn_figure) == ("cost in $ and $x^{", ["a_b", "50 %"])


def test_long_facts_and_titles_wrap_within_the_figure():
    drawn_figure = figure(title="word " * 30, facts=["some fact that is long"] * 12)
    drawn_figure.draw_without_rendering()
    width = drawn_figure.bbox.width
    for text in drawn_figure.texts:
        assert text.get_window_extent().x0 >= 0 and text.get_window_extent().x1 <= width
    assert title_and_facts(drawn_figure) == (("word " * 30).strip(), ["some fact that is long"] * 12)


@pytest.mark.parametrize("values", [[5.0], [4.0, 6.0], [0.02, 90.0], [1.0, 5e6]])
def test_a_logarithmic_axis_has_a_few_readable_ticks_around_all_values(values):
    with styled():
        axes = new_figure(COLUMN, 2.0, "", []).add_subplot()
        log_seconds(axes, values, "s")
        axes.figure.draw_without_rendering()
    low, high = axes.get_xlim()
    assert low < min(values) and max(values) < high
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    shown = [label.get_text() for place, label in ticks if low <= place <= high]
    assert 2 <= len(shown) <= 10 and all(re.fullmatch(r"[\d.,]+", text) for text in shown)


def test_an_axis_from_zero_has_a_place_for_zero_and_reaches_the_last_value():
    with styled():
        axes = new_figure(COLUMN, 2.0, "", []).add_subplot()
        log_from_zero(axes, [0.0, 3.0, 700.0], 3.0, "s")
    assert axes.get_xlim()[0] < 0 and axes.get_xlim()[1] > 700
    assert {0.0, 1.0, 10.0, 100.0} <= set(axes.get_xticks())


def test_a_legend_grows_by_rows():
    assert legend_height([], COLUMN) == 0
    short, many, long = ([f"m{k}" for k in range(2)], [f"m{k}" for k in range(12)], ["a name of many words " * 3] * 2)
    assert legend_height(short, COLUMN) < legend_height(many, COLUMN) and legend_height(long, COLUMN) > 0.3
