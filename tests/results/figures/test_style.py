"""The style of all figures: distinct in gray and for the color-blind, fonts and dates in files, no global state."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations

import matplotlib
import numpy as np
import pytest

from results.figures.style import (
    COLUMN,
    MARKERS,
    PALETTE,
    legend_height,
    log_from_zero,
    log_seconds,
    method_styles,
    new_figure,
    styled,
    title_and_facts,
    to_pdf,
    to_png,
)

# Full dichromacy, on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def linear(color: str) -> np.ndarray:
    value = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ rgb.clip(0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_in_gray_the_colors_differ_from_each_other_and_from_paper():
    lightness = sorted(lab(linear(color))[0] for color in PALETTE)
    assert min(np.diff(lightness)) > 9
    assert all((1.05 / (TO_XYZ[1] @ linear(color) + 0.05)) > 2.6 for color in PALETTE)


@pytest.mark.parametrize("vision", VISIONS)
def test_the_color_blind_can_distinguish_any_two_colors(vision):
    colors = [lab(np.asarray(VISIONS[vision]) @ linear(color)) for color in PALETTE]
    assert min(np.linalg.norm(one - other) for one, other in combinations(colors, 2)) > 25


def test_methods_differ_in_marker_as_well_as_in_color():
    styles = method_styles([f"m{k}" for k in range(40)], ["whole"])
    first = [styles[f"m{k}"] for k in range(len(PALETTE))]
    for key in ("color", "marker"):
        assert len({getattr(style, key) for style in first}) == len(first)
    assert len({(style.color, style.marker) for style in styles.values()}) == 41
    assert styles["whole"].marker not in MARKERS and "whole" not in method_styles(["m0"])
    assert len({(styles[f"m{k}"].marker, styles[f"m{k}"].hollow) for k in range(22)}) == 22
    assert styles["m12"].plot()["markerfacecolor"] == "white" != styles["m12"].plot()["markeredgecolor"]
    assert method_styles(["b", "a", "b"]) == method_styles(["b", "a"])


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
