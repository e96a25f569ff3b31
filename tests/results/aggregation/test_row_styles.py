"""How rows look: distinct in gray and for the color-blind, and the same in all figures and on the page."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from methods import registry
from results.aggregation.row_styles import _FIXED, PALETTE, row_styles, styles_of_cells

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


def test_methods_of_this_project_differ_in_marker_or_outline_as_well_as_in_color():
    titles = {registry.load(name).card.title for name in registry.BUILT_IN}
    assert titles <= set(_FIXED)
    styles = row_styles([*_FIXED, "Whole set"], ["Whole set"])
    first = [styles[name] for name in _FIXED[: len(PALETTE)]]
    for key in ("color", "marker"):
        assert len({getattr(style, key) for style in first}) == len(first)
    looks = {(style.marker, style.hollow) for style in styles.values()}
    assert len(looks) == len(_FIXED) + 1 and styles["Whole set"].marker == "*"


def test_no_two_names_have_the_same_look():
    styles = row_styles([*_FIXED, *(f"m{k}" for k in range(140))])
    assert len({(style.color, style.marker, style.hollow) for style in styles.values()}) == 154
    assert len(row_styles(f"m{k}" for k in range(200))) == 200  # more names than looks


def test_a_name_keeps_its_look_whatever_is_beside_it():
    variants = [f"DANCE (alignment={value})" for value in ("random", "expert", "off")]
    alone = {name: row_styles([name])[name] for name in ("DM", "Random@f2", "Mine", *variants)}
    together = row_styles(["Random", "DANCE", "IDM", *alone])
    assert {name: together[name] for name in alone} == alone


def test_an_outline_is_white_inside():
    hollow = row_styles(["Random", *(f"m{k}" for k in range(50))])
    outline = next(style for style in hollow.values() if style.hollow)
    assert outline.plot()["markerfacecolor"] == "white" != outline.plot()["markeredgecolor"] == outline.color
    assert "markerfacecolor" not in hollow["Random"].plot()


def test_the_rows_of_a_store_are_styled_by_their_names_in_the_tables(make_cells, make_evaluated):
    frame = make_cells({"random": [0.2], "dm": [0.3], "dm (lr_img=2.0)": [0.4]}, extra=[make_evaluated(None, [0.8])])
    styles = styles_of_cells(frame, ["DC"])
    assert styles.keys() == {"RANDOM", "DM", "DM (lr_img=2.0)", "WHOLE", "DC"}
    assert styles["WHOLE"].marker == "*" and styles == row_styles(styles, ["WHOLE"])
