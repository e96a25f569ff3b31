"""The style of all figures: sizes, fonts, axes, legends and files (`aggregation.row_styles` has that of rows).

Nothing here uses pyplot or keeps state. A figure is drawn and saved under `styled`, on top of matplotlib's own
defaults, so that a user's matplotlibrc changes nothing.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

from results.formatting import grouped, short

COLUMN, PAGE = 3.35, 7.0  # width in inches of one column of a two-column paper, and of both
_SEPARATOR = " · "  # between facts
LARGE, SMALL = 8, 5.5  # font size of titles and of facts, in points
LEGEND_ROW = 0.145  # height in inches
_NAME_WIDTH = 19  # characters of a name on one line of a legend
DPI = 300  # of a PNG
INK, FAINT = "#1a1a1a", "#595959"

# They come with matplotlib: the same glyphs on every machine. The second font has what the first one lacks.
FONTS = {"sans": ("DejaVu Sans",), "serif": ("STIXGeneral", "DejaVu Sans")}

_SETTINGS: dict[str, Any] = {
    "font.size": 7,
    "text.parse_math": False,  # so that "$" in a name is a dollar sign
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.4,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "pdf.fonttype": 42,  # TrueType, as publishers require; many refuse the default, Type 3
    "svg.hashsalt": "results.figures",
}


_FONTS: ContextVar[Sequence[str]] = ContextVar("fonts", default=FONTS["sans"])


def styled() -> AbstractContextManager[None]:
    """A context with the settings for making and saving a figure; on exit the earlier ones are restored."""
    return matplotlib.style.context(["default", {**_SETTINGS, "font.family": list(_FONTS.get())}])


@contextmanager
def font(name: str) -> Iterator[None]:
    """A context in which figures have one of FONTS."""
    token = _FONTS.set(FONTS[name])
    try:
        yield
    finally:
        _FONTS.reset(token)


# --- parts of a figure ------------------------------------------------------------------------------------------------


def new_figure(width: float, height: float, title: str, facts: Sequence[str]) -> Figure:
    """An empty figure with its title above and facts in small print below; width and height in inches."""
    below = _wrapped_to(0.93 * width, "\u00a0· ".join(facts), SMALL)
    above = _wrapped_to(0.93 * width, title, LARGE)
    size = (width, height + 0.1 * (below.count("\n") + 1) + 0.13 * above.count("\n"))
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
    figure.suptitle(above, x=0.01, ha="left", fontsize=LARGE)  # not bold: that would embed a second font in every PDF
    if below:
        figure.supxlabel(below, x=0.01, ha="left", fontsize=SMALL, color=FAINT, linespacing=1.25)
    return figure


def title_and_facts(figure: Figure) -> tuple[str, list[str]]:
    """The title and the facts of a `new_figure`."""
    return " ".join(figure.get_suptitle().split()), " ".join(figure.get_supxlabel().split()).split(_SEPARATOR)


def without_text(figure: Figure) -> Figure:
    """A `new_figure` without its title and facts, which a paper prints as a caption, and less high by them."""
    above, below = figure.get_suptitle(), figure.get_supxlabel()
    lines = 0.13 * (above.count("\n") + 1) + (0.1 * (below.count("\n") + 2) if below else 0.0)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height - lines)
    for text in (figure._suptitle, figure._supxlabel):  # type: ignore[attr-defined]
        if text is not None:
            text.remove()
    figure._suptitle = figure._supxlabel = None  # type: ignore[attr-defined]
    return figure


def _wrapped_to(width: float, text: str, size: float) -> str:
    """The text on as many lines as fit into a width in inches at a font size in points."""
    characters = max(8, int(width * 72 / (0.45 * size)))  # if all were narrow
    while True:
        lines = textwrap.wrap(text, characters, break_on_hyphens=False)
        if characters <= 8 or max(map(partial(_inches, size=size), lines), default=0) <= width:
            return "\n".join(lines)
        characters -= max(1, characters // 30)


def _inches(text: str, size: float) -> float:
    font = FontProperties(family=_FONTS.get()[:1], size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def _legend_columns(names: Sequence[str], width: float) -> int:
    """How many columns of these names fit above axes in a figure of this width in inches."""
    lines = [line for name in names for line in _wrapped_name(name).splitlines()]
    widest = max((_inches(line, _SETTINGS["legend.fontsize"]) for line in lines), default=0)
    return max(1, min(len(names), int((width - 0.4) / (0.45 + widest))))


def legend_height(names: Sequence[str], width: float) -> float:
    """The height of `legend_above` in inches."""
    lines = [_wrapped_name(name).count("\n") + 1 for name in names]
    rows = max(1, -(-len(names) // _legend_columns(names, width)))
    return LEGEND_ROW * max((sum(lines[start : start + rows]) for start in range(0, len(lines), rows)), default=0)


def legend_above(axes: Axes, width: float, names: Sequence[str]) -> None:
    """The legend of these labels, in this order, above the axes so that it never covers data."""
    axes.legend(
        _handles([axes], names),
        list(map(_wrapped_name, names)),
        ncols=_legend_columns(names, width),
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        borderaxespad=0.2,
    )


def legend_beside(figure: Figure, names: Sequence[str]) -> None:
    """The legend of these labels of any panel, to the right of all panels."""
    figure.legend(_handles(figure.axes, names), list(map(_wrapped_name, names)), loc="outside right upper")


def legend_below(figure: Figure, names: Sequence[str], colors: Sequence[str]) -> None:
    """A legend of colored discs below all panels, as high as `legend_height`; nothing without names."""
    if names:
        discs = [Line2D([], [], marker="o", linestyle="", color=color) for color in colors]
        columns = _legend_columns(names, figure.get_figwidth())
        figure.legend(discs, list(map(_wrapped_name, names)), loc="outside lower left", ncols=columns, handlelength=1)


def _handles(panels: Sequence[Axes], names: Sequence[str]) -> list[Artist]:
    by_label: dict[str, Artist] = {}
    for axes in reversed(panels):
        handles, labels = axes.get_legend_handles_labels()
        by_label |= dict(zip(labels, handles, strict=True))
    return [by_label[name] for name in names]


def _wrapped_name(name: str) -> str:
    return textwrap.fill(name, _NAME_WIDTH, break_on_hyphens=False)


# --- axes -------------------------------------------------------------------------------------------------------------


def log_seconds(axes: Axes, values: Sequence[float], label: str) -> None:
    """A logarithmic x-axis around these positive values, with ticks labeled by plain numbers."""
    low, high = min(values), max(values)
    margin = max((6 * low / high) ** 0.5, 1.35)  # the axis spans at least a factor of six: three ticks
    axes.set_xscale("log")
    axes.set_xlim(low / margin, high * margin)
    _log_ticks(axes.xaxis, high * margin / (low / margin))
    axes.set_xlabel(label)


def log_from_zero(axes: Axes, values: Sequence[float], least: float, label: str) -> None:
    """A logarithmic x-axis for values that may be 0: linear up to the power of ten below `least`, which is positive."""
    start = 10.0 ** _power_of_ten(least)
    decades = max(2.0, math.log10(max(values) / start)) if max(values) > 0 else 2.0
    axes.set_xscale("symlog", linthresh=start, linscale=0.17 * decades)  # room for the two ticks of the linear part
    axes.set_xlim(-0.2 * start if min(values) < start else start, 1.3 * max(start, *values))
    subs = (1.0,) if max(values) / start > 150 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=start, subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(_number))
    axes.set_xlabel(label)


def whole_numbers(axes: Axes, label: str) -> None:
    """An x-axis of steps."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: grouped(value)))
    axes.set_xlabel(label)


def log_values(axes: Axes) -> None:
    """A logarithmic y-axis with ticks labeled by plain numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    _log_ticks(axes.yaxis, high / low)


def _power_of_ten(value: float) -> int:
    """The largest integer n with 10^n <= value, exact where log10 rounds."""
    power = 0
    while 10.0**power > value:
        power -= 1
    while 10.0 ** (power + 1) <= value:
        power += 1
    return power


def _log_ticks(axis: Axis, ratio: float) -> None:
    """Ticks for an axis whose ends have this ratio; the smaller it is, the more there are in each decade."""
    subs: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    for least_ratio, fewer in ((4, (1.0, 2.0, 5.0)), (100, (1.0, 3.0)), (1000, (1.0,))):
        subs = fewer if ratio > least_ratio else subs
    axis.set_major_locator(LogLocator(subs=subs, numticks=50))
    axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_locator(NullLocator())


def _number(value: float, position: int | None = None) -> str:
    return short(value)


# --- to a file --------------------------------------------------------------------------------------------------------


def to_pdf(figure: Figure) -> bytes:
    """The bytes of a PDF without dates, so that equal figures give equal bytes."""
    return _saved(figure, "pdf", {"CreationDate": None, "Creator": "condensation-benchmark"})


def to_png(figure: Figure) -> bytes:
    """The bytes of a PNG."""
    return _saved(figure, "png", {"Software": "condensation-benchmark"})


def _saved(figure: Figure, form: str, metadata: Mapping[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=form, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
