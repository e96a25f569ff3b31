"""Lines with bands: means over sets, with their deviation. Pure, but for the drawing of one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from matplotlib.axes import Axes

from results.figures.style import Look, span


@dataclass(frozen=True)
class Sample:
    """What was measured of one set: `values` of each network (or expert) at each step; x: where a step is drawn."""

    steps: tuple[float, ...]
    x: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, steps: Iterable[Any], values: Iterable[Iterable[Any]], x: Iterable[Any] | None = None) -> Sample:
        """Checked. Raises ValueError when lengths differ, a step has no value, or anything is no finite number."""
        at = tuple(float(step) for step in steps)
        shown = at if x is None else tuple(map(float, x))
        found = tuple(tuple(map(float, each)) for each in values)
        if not at or not len(at) == len(shown) == len(found):
            raise ValueError(f"{len(at)} steps, {len(shown)} places and {len(found)} values")
        if not all(found) or not all(map(math.isfinite, (*shown, *(value for each in found for value in each)))):
            raise ValueError("a step without a finite value")
        return cls(at, shown, found)


@dataclass(frozen=True)
class Line:
    """y and sd in the unit of the values; sd is nan where nothing varies. It is over `count` of `over`, in words."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    sd: tuple[float, ...]
    count: int
    over: str

    def shifted(self, by: float) -> Line:
        """The same line so much further to the right."""
        return Line(self.name, tuple(x + by for x in self.x), self.y, self.sd, self.count, self.over)


def mean_line(name: str, samples: Sequence[Sample], members: str = "networks") -> Line:
    """The mean over sets of the means of each, at the steps that all sets share, with the deviation over sets.

    With a single set it is that over its networks (`members`). Raises ValueError where no step is shared.
    """
    shared = sorted(set.intersection(*(set(sample.steps) for sample in samples)))
    if not shared:
        raise ValueError(f"the sets of {name} share no step")
    places = [[sample.steps.index(step) for step in shared] for sample in samples]
    x, y, sd = [], [], []
    for column in range(len(shared)):
        at = [(sample, place[column]) for sample, place in zip(samples, places, strict=True)]
        means = [fmean(sample.values[place]) for sample, place in at]
        varied = means if len(means) > 1 else at[0][0].values[at[0][1]]
        x.append(fmean(sample.x[place] for sample, place in at))
        y.append(fmean(means))
        sd.append(stdev(varied) if len(varied) > 1 else math.nan)
    count, over = (len(samples), "sets") if len(samples) > 1 else (len(samples[0].values[0]), f"{members} of one set")
    return Line(name, tuple(x), tuple(y), tuple(sd), count, over)


def draw_line(axes: Axes, line: Line, look: Look, scale: float = 1.0) -> None:
    """A line with its band, and at most eight markers; a single point is drawn as a marker with its bar."""
    y = [scale * value for value in line.y]
    style: Mapping[str, Any] = look.plot()
    if len(y) == 1:
        bar = None if math.isnan(line.sd[0]) else scale * line.sd[0]
        axes.errorbar(line.x, y, yerr=bar, label=line.name, elinewidth=0.8, capsize=1.5, **style)
        return
    axes.plot(line.x, y, label=line.name, markevery=max(1, -(-len(y) // 8)), **style)
    if not any(map(math.isnan, line.sd)):
        low, high = ([v + sign * scale * sd for v, sd in zip(y, line.sd, strict=True)] for sign in (-1, 1))
        axes.fill_between(line.x, low, high, facecolor=(look.colour, 0.14), edgecolor=(look.colour, 0.5), linewidth=0.4)


def bands(lines: Iterable[Line]) -> list[str]:
    """What the bands are, for the small print: one line, or none where nothing varies."""
    counts: dict[str, list[float]] = {}
    for line in lines:
        if not any(map(math.isnan, line.sd)):
            counts.setdefault(line.over, []).append(line.count)
    over = [f"{span(each)} {unit}" for unit, each in counts.items()]
    return [f"bands: ± sd over {' or '.join(over)}"] if over else []
