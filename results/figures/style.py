"""The one style of all figures: sizes, type, a palette for grey prints and for the colour-blind; figure to file.

Nothing here touches pyplot or keeps state: a figure is drawn and saved under `styled`, on top of matplotlib's own
defaults, so that a person's matplotlibrc changes nothing.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

from results.formatting import grouped, short

COLUMN, PAGE = 3.35, 7.0  # width in inches of one column of a two-column paper, and of both
_BETWEEN = " · "  # facts
LARGE, SMALL = 8, 5.5  # points of titles and of facts
LEGEND_ROW = 0.145  # inches
_NAME = 19  # letters of a name on one line of a legend
DOTS = 300  # an inch of a PNG
INK, FAINT = "#1a1a1a", "#595959"

# Seven colours at steps of 9.5 in CIE lightness (8 to 65), so that grey prints keep them apart; found by a search for
# the largest least distance (CIE 1976, 30) in normal vision and full protanopia, deuteranopia and tritanopia together.
PALETTE = ("#162859", "#f57c2f", "#840fc6", "#538ab9", "#7c1c03", "#6d6d6d", "#370112")
# The lengths share no factor with each other: marker and line tell apart what has the same colour.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)))

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 7,
    "text.parse_math": False,  # "$" in a name is a dollar sign
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
    "pdf.fonttype": 42,  # TrueType, which publishers ask for; the default, Type 3, many of them refuse
    "svg.hashsalt": "results.figures",
}


def styled() -> AbstractContextManager[None]:
    """The settings under which a figure is made and saved, and after which everything is as before."""
    return matplotlib.style.context(["default", _SETTINGS])


@dataclass(frozen=True)
class Look:
    """How one row is drawn, in every figure of a report alike."""

    colour: str
    marker: str
    line: Any
    hollow: bool = False  # the marker is an outline

    def plot(self, size: float = 4) -> dict[str, Any]:
        """Options of `Axes.plot` and `errorbar`."""
        star = self.marker == "*"  # smaller than the others at the same size
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.0 if star else 0.4}
        if self.hollow:
            edge = {"markerfacecolor": "white", "markeredgecolor": self.colour, "markeredgewidth": 0.9}
        drawn = {"color": self.colour, "marker": self.marker, "linestyle": self.line}
        return {**drawn, "markersize": size * (1.6 if star else 1), **edge}


Looks = Mapping[str, Look]


WHOLE = Look("#000000", "*", LINES[3])


def looks_of(names: Iterable[str], wholes: Iterable[str] = ()) -> dict[str, Look]:
    """A look for each name, by its place among them; two of the first 22 share no marker, filled or hollow.

    `wholes` are names of the whole training set, which always looks the same.
    """
    found = dict.fromkeys(wholes, WHOLE)
    for place, name in enumerate(name for name in dict.fromkeys(names) if name not in found):
        colour, marker, line = (cycle[place % len(cycle)] for cycle in (PALETTE, MARKERS, LINES))
        found[name] = Look(colour, marker, line, hollow=place // len(MARKERS) % 2 == 1)
    return found


# --- parts of a figure ------------------------------------------------------------------------------------------------


def new_figure(width: float, height: float, title: str, facts: Sequence[str]) -> Figure:
    """An empty figure, in inches, with its title above and its circumstances in small print below."""
    below = _filled("\u00a0· ".join(facts), 0.93 * width, SMALL)
    above = _filled(title, 0.93 * width, LARGE)
    size = (width, height + 0.1 * (below.count("\n") + 1) + 0.13 * above.count("\n"))
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
    figure.suptitle(above, x=0.01, ha="left", fontsize=LARGE)  # no bold: a second font in every PDF
    if below:
        figure.supxlabel(below, x=0.01, ha="left", fontsize=SMALL, color=FAINT, linespacing=1.25)
    return figure


def words_of(figure: Figure) -> tuple[str, list[str]]:
    """The title and the circumstances that a figure carries."""
    return " ".join(figure.get_suptitle().split()), " ".join(figure.get_supxlabel().split()).split(_BETWEEN)


def _filled(text: str, width: float, size: float) -> str:
    """Text on as many lines as it needs to be no wider than so many inches."""
    letters = max(8, int(width * 72 / (0.45 * size)))  # of a narrow kind
    while True:
        lines = textwrap.wrap(text, letters, break_on_hyphens=False)
        if letters <= 8 or max(map(partial(_inches, size=size), lines), default=0) <= width:
            return "\n".join(lines)
        letters -= max(1, letters // 30)


def _inches(text: str, size: float) -> float:
    font = FontProperties(family=_SETTINGS["font.family"], size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def legend_columns(names: Sequence[str], width: float) -> int:
    """How many columns of these names stand beside each other above axes in a figure so many inches wide."""
    lines = [line for name in names for line in wrapped(name).splitlines()]
    widest = max((_inches(line, _SETTINGS["legend.fontsize"]) for line in lines), default=0)
    return max(1, min(len(names), int((width - 0.4) / (0.45 + widest))))


def legend_height(names: Sequence[str], width: float) -> float:
    """The inches that `legend_above` takes."""
    lines = [wrapped(name).count("\n") + 1 for name in names]
    rows = max(1, -(-len(names) // legend_columns(names, width)))
    return LEGEND_ROW * max((sum(lines[start : start + rows]) for start in range(0, len(lines), rows)), default=0)


def legend_above(axes: Axes, width: float, names: Sequence[str]) -> None:
    """The legend of these labels, in this order, above the axes and never over data."""
    columns, handles = legend_columns(names, width), _handles(axes, names)
    axes.legend(
        handles, list(map(wrapped, names)), ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0.2
    )


def legend_beside(figure: Figure, names: Sequence[str]) -> None:
    """The legend of these labels of the first panel, to the right of all panels."""
    figure.legend(_handles(figure.axes[0], names), list(map(wrapped, names)), loc="outside right upper")


def _handles(axes: Axes, names: Sequence[str]) -> list[Artist]:
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    return [found[name] for name in names]


def wrapped(name: str) -> str:
    """A long name of a legend on several lines."""
    return textwrap.fill(name, _NAME, break_on_hyphens=False)


def span(values: Sequence[float]) -> str:
    """From the least to the most: "5" or "3–5"."""
    return "–".join(dict.fromkeys(short(end) for end in (min(values), max(values))))


# --- axes -------------------------------------------------------------------------------------------------------------


def log_seconds(axes: Axes, values: Sequence[float], label: str) -> None:
    """A logarithmic x-axis around these positive values, with ticks that are read as numbers."""
    low, high = min(values), max(values)
    spare = max((6 * low / high) ** 0.5, 1.35)  # a factor of six at least: three ticks
    axes.set_xscale("log")
    axes.set_xlim(low / spare, high * spare)
    _ticks(axes.xaxis, high * spare / (low / spare))
    axes.set_xlabel(label)


def log_from_zero(axes: Axes, values: Sequence[float], least: float, label: str) -> None:
    """A logarithmic x-axis for values that may be 0: linear up to the power of ten below `least`, which is positive."""
    start = 10.0 ** _power(least)
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
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: grouped(value)))
    axes.set_xlabel(label)


def log_values(axes: Axes) -> None:
    """A logarithmic y-axis with ticks that are read as numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    _ticks(axes.yaxis, high / low)


def _power(value: float) -> int:
    power = 0
    while 10.0**power > value:
        power -= 1
    while 10.0 ** (power + 1) <= value:
        power += 1
    return power


def _ticks(axis: Axis, span: float) -> None:
    few, fewer = (1.0, 2.0, 5.0), (1.0, 3.0)
    subs = (1.0,) if span > 1000 else fewer if span > 100 else few if span > 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=50))
    axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_locator(NullLocator())


def _number(value: float, place: int | None = None) -> str:
    return short(value)


# --- to a file --------------------------------------------------------------------------------------------------------


def to_pdf(figure: Figure) -> bytes:
    """The bytes of a PDF without dates: equal figures, equal bytes."""
    return _saved(figure, "pdf", {"CreationDate": None, "Creator": "condensation-benchmark"})


def to_png(figure: Figure) -> bytes:
    """The bytes of a PNG."""
    return _saved(figure, "png", {"Software": "condensation-benchmark"})


def _saved(figure: Figure, form: str, metadata: Mapping[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=form, dpi=DOTS, metadata=metadata)
    return buffer.getvalue()
