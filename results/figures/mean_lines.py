"""Lines with bands: means over sets with their deviation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from matplotlib.axes import Axes

from results.aggregation.row_styles import RowStyle
from results.formatting import value_range


@dataclass(frozen=True)
class StepValues:
    """What was measured of one set at each step: `values` of every network (or expert), and where to draw it (`x`)."""

    steps: tuple[float, ...]
    x: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, steps: Iterable[Any], values: Iterable[Iterable[Any]], x: Iterable[Any] | None = None) -> StepValues:
        """The steps are drawn at `x`, by default at themselves.

        Raises ValueError if lengths differ, a step has no value, or a number is not finite.
        """
        step_numbers = tuple(float(step) for step in steps)
        positions = step_numbers if x is None else tuple(map(float, x))
        numbers = tuple(tuple(map(float, of_step)) for of_step in values)
        if not step_numbers or not len(step_numbers) == len(positions) == len(numbers):
            raise ValueError(f"{len(step_numbers)} steps, {len(positions)} positions and {len(numbers)} values")
        if not all(numbers) or not all(map(math.isfinite, (*positions, *(v for of_step in numbers for v in of_step)))):
            raise ValueError("a step without a finite value")
        return cls(step_numbers, positions, numbers)


@dataclass(frozen=True)
class MeanLine:
    """y and sd in the unit of the values; sd is nan if nothing varies. It is over `count` members, named by `over`."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    sd: tuple[float, ...]
    count: int
    over: str

    def shifted(self, distance: float) -> MeanLine:
        """The line moved to the right."""
        return MeanLine(self.name, tuple(x + distance for x in self.x), self.y, self.sd, self.count, self.over)


def mean_line(name: str, sets: Sequence[StepValues], members: str = "networks") -> MeanLine:
    """The mean over sets of each set's mean, at the steps that all sets share, with the deviation over sets.

    For a single set the deviation is over its networks (or other `members`). Raises ValueError without a shared step.
    """
    shared = sorted(set.intersection(*(set(values.steps) for values in sets)))
    if not shared:
        raise ValueError(f"the sets of {name} share no step")
    x, y, sd = [], [], []
    for step in shared:
        columns = [(values, values.steps.index(step)) for values in sets]
        means = [fmean(values.values[column]) for values, column in columns]
        varied = means if len(means) > 1 else sets[0].values[columns[0][1]]
        x.append(fmean(values.x[column] for values, column in columns))
        y.append(fmean(means))
        sd.append(stdev(varied) if len(varied) > 1 else math.nan)
    count, over = (len(sets), "sets") if len(sets) > 1 else (len(sets[0].values[0]), f"{members} of one set")
    return MeanLine(name, tuple(x), tuple(y), tuple(sd), count, over)


def draw_level(axes: Axes, line: MeanLine, style: RowStyle, scale: float = 1.0) -> None:
    """A line of one point, such as random images, as a horizontal line with its band."""
    axes.axhline(scale * line.y[0], label=line.name, color=style.color, linestyle=style.line)
    if not math.isnan(line.sd[0]):
        axes.axhspan(*_band(line, scale)[0], color=style.color, alpha=0.14, linewidth=0)


def _band(line: MeanLine, scale: float) -> list[tuple[float, float]]:
    """From mean − sd to mean + sd at each point; percentages stay within 0 and 100."""
    low, high = (0.0, 100.0) if scale == 100 else (-math.inf, math.inf)
    return [(max(low, scale * (y - sd)), min(high, scale * (y + sd))) for y, sd in zip(line.y, line.sd, strict=True)]


def draw_line(axes: Axes, line: MeanLine, style: RowStyle, scale: float = 1.0) -> None:
    """A line with its band and at most eight markers. A single point is drawn as a marker with an error bar."""
    y = [scale * value for value in line.y]
    options: Mapping[str, Any] = style.plot()
    if len(y) == 1:
        (bottom, top), *_ = _band(line, scale)
        error = None if math.isnan(line.sd[0]) else [[y[0] - bottom], [top - y[0]]]
        axes.errorbar(line.x, y, yerr=error, label=line.name, elinewidth=0.8, capsize=1.5, **options)
        return
    axes.plot(line.x, y, label=line.name, markevery=max(1, -(-len(y) // 8)), **options)
    if not any(map(math.isnan, line.sd)):
        low, high = map(list, zip(*_band(line, scale), strict=True))
        faces, edges = (style.color, 0.14), (style.color, 0.5)
        axes.fill_between(line.x, low, high, facecolor=faces, edgecolor=edges, linewidth=0.4)


def bands(lines: Iterable[MeanLine]) -> list[str]:
    """What the bands show, for the small print: one fact, or none if nothing varies."""
    counts: dict[str, list[float]] = {}
    for line in lines:
        if not any(map(math.isnan, line.sd)):
            counts.setdefault(line.over, []).append(line.count)
    over = [f"{value_range(of_unit)} {unit}" for unit, of_unit in counts.items()]
    return [f"bands: ± sd over {' or '.join(over)}"] if over else []
