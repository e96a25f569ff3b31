"""The features of real and synthetic images for one expert, in two dimensions: a panel for each set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from results.figures.sets import Scenario, StoredSet, analyses, analysis_key, machine_text, try_to_build
from results.figures.style import COLUMN, PAGE, legend_below, legend_height, new_figure, styled
from results.types import Json

METHODS = {"tsne": "t-SNE", "pca": "PCA"}
_MAX_CLASSES, _MAX_SETS = 10, 11  # shown
# Ten colors by M. Petroff (arXiv:2107.02270), chosen to differ with impaired color vision too.
_CLASS_COLORS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
_LIGHT = {"#ffa90e", "#94a4a2", "#b9ac70", "#92dadd"}  # on which a number is dark


@dataclass(frozen=True)
class EmbeddedPoints:
    """Coordinates (N, 2), without a unit, and labels (N,)."""

    xy: NDArray[np.float64]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, result: Json) -> EmbeddedPoints:
        """From a record. Raises ValueError for other shapes or coordinates that are not finite."""
        xy, labels = np.asarray(result["xy"], dtype=np.float64), np.asarray(result["labels"], dtype=np.int64)
        if xy.shape != (len(labels), 2) or not np.isfinite(xy).all():
            raise ValueError(f"coordinates of shape {xy.shape} for {len(labels)} labels")
        return cls(xy, labels)

    def of_classes(self, classes: Sequence[int]) -> EmbeddedPoints:
        """The points of these classes."""
        selected = np.isin(self.labels, classes)
        return EmbeddedPoints(self.xy[selected], self.labels[selected])


@dataclass(frozen=True)
class EmbeddingPanels:
    """The points of the shown classes: of the real images, and of one set of each row, by the row's name."""

    scenario: Scenario
    title: str
    facts: tuple[str, ...]
    names: tuple[str, ...]  # of the classes by their numbers, or none
    real: EmbeddedPoints
    sets: Mapping[str, EmbeddedPoints]


def embeddings(records: Sequence[Json], sets: Mapping[str, StoredSet]) -> tuple[list[EmbeddingPanels], list[str]]:
    """A figure for each scenario and `analysis_key`, from the first seed of each row; and a line on each not drawn.

    Every record has its own layout, so that a figure uses a single one: of several, the one with most sets.
    """
    usable, missing = analyses(records, "embedding")
    names = {record["identity"]: record["result"].get("classes", ()) for record in records}
    figures: dict[tuple[Any, ...], EmbeddingPanels] = {}
    for record in sorted(usable, key=_order):
        what = f"embedding, analysis {record['identity'][:12]}"
        for points in try_to_build(what, partial(_points, record), missing):
            unknown = sorted(points.keys() - sets.keys())
            missing += [f"{what}: no record of its set {identity[:12]}" for identity in unknown]
            known = [stored for stored in sets.values() if stored.identity in points]
            for scenario in dict.fromkeys(stored.scenario for stored in known):
                key = scenario, *analysis_key(record), record["result"].get("method")
                of_scenario = [stored for stored in known if stored.scenario == scenario]
                if key not in figures:
                    build = partial(_panels, scenario, of_scenario, points, names[of_scenario[0].identity], record)
                    for panels in try_to_build(what, build, missing):
                        figures[key] = panels
    return list(figures.values()), missing


def _order(record: Json) -> tuple[str, int]:
    return str(record["resolved"].get("seed", "")), -len(record["resolved"].get("sets", ()))


def _points(record: Json) -> dict[str, EmbeddedPoints]:
    return {identity: EmbeddedPoints.of(result) for identity, result in record["result"]["sets"].items()}


def _panels(
    scenario: Scenario,
    sets: Sequence[StoredSet],
    points: Mapping[str, EmbeddedPoints],
    names: Sequence[str],
    record: Json,
) -> EmbeddingPanels:
    result = record["result"]
    real = EmbeddedPoints.of(result["real"])
    all_classes = sorted(set(real.labels.tolist()))
    classes = all_classes[:_MAX_CLASSES]
    first_seeds: dict[str, StoredSet] = {}
    for stored in sets:
        first_seeds.setdefault(stored.name, stored)
    shown = dict(list(first_seeds.items())[:_MAX_SETS])
    others = [name for name in first_seeds if name not in shown]
    seeds = dict.fromkeys(str(stored.seed) for stored in shown.values())
    method = METHODS.get(result["method"], str(result["method"]))
    some_classes = f"the first {len(classes)} of {len(all_classes)} classes"
    facts = [
        f"{method} of the features of an expert ({record['resolved']['architecture']})",
        f"{len(real.labels):,} real images; of each method the set of seed {', '.join(seeds)}",
        *([some_classes] if len(classes) < len(all_classes) else []),
        *([f"not shown: {', '.join(others)}"] if others else []),
        machine_text(record),
    ]
    return EmbeddingPanels(
        scenario,
        f"Real and synthetic features: {scenario.dataset_title}, ipc {scenario.ipc}",
        tuple(facts),
        tuple(map(str, names)),
        real.of_classes(classes),
        {name: points[stored.identity].of_classes(classes) for name, stored in shown.items()},
    )


def embedding_figure(embedding: EmbeddingPanels) -> Figure:
    """Dots are real images, numbered discs synthetic ones; number and color show the class, which a legend names."""
    panels = {"Real images": None, **embedding.sets}
    across = 3 if len(panels) in (3, 5, 6, 9) else min(4, len(panels))
    down = -(-len(panels) // across)
    width = PAGE if across > 2 else COLUMN
    entries = [f"{label} {embedding.names[label]}" for label in _named(embedding)]
    with styled():
        height = down * (width / across + 0.05) + 0.2 + legend_height(entries, width)
        figure = new_figure(width, height, embedding.title, embedding.facts)
        all_axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
        for axes, (name, points) in zip(all_axes, panels.items(), strict=False):
            _draw_real(axes, embedding.real)
            if points is None:
                _draw_class_numbers(axes, embedding.real)
            else:
                _draw_synthetic(axes, points)
            axes.set_title(name, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        for axes in all_axes[len(panels) :]:
            axes.remove()
        legend_below(figure, entries, [_color(label) for label in _named(embedding)])
    return figure


def _named(embedding: EmbeddingPanels) -> list[int]:
    """The shown classes if they have names and not numbers alone."""
    classes = sorted(set(embedding.real.labels.tolist()))
    known = classes[-1] < len(embedding.names) if classes else False
    return classes if known and any(embedding.names[label] != str(label) for label in classes) else []


def _draw_real(axes: Axes, real: EmbeddedPoints) -> None:
    for label in sorted(set(real.labels.tolist())):
        x, y = real.xy[real.labels == label].T
        axes.scatter(x, y, s=2.5, color=_color(label), alpha=0.45, linewidths=0, rasterized=False)


def _draw_class_numbers(axes: Axes, real: EmbeddedPoints) -> None:
    """The number of each class at the median of its points."""
    for label in sorted(set(real.labels.tolist())):
        x, y = np.median(real.xy[real.labels == label], axis=0)
        box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": _color(label), "linewidth": 0.7}
        axes.text(x, y, str(label), fontsize=6, ha="center", va="center", bbox=box)


def _draw_synthetic(axes: Axes, points: EmbeddedPoints) -> None:
    """One collection in which each disc is followed by its number, so that a disc on top hides the number below it."""
    paths, colors = [], []
    for label in points.labels.tolist():
        paths += [Path.unit_circle(), _digits(label)]
        colors += [_color(label), "black" if _color(label) in _LIGHT else "white"]
    radius = 2.9 if len(points.labels) <= 120 else 2.1  # points
    discs = PathCollection(
        paths,
        sizes=[radius**2],
        offsets=points.xy.repeat(2, axis=0),
        offset_transform=axes.transData,
        facecolors=colors,
        edgecolors="white",
        linewidths=[0.4, 0.0],
        zorder=3,
    )
    discs.set_transform(IdentityTransform())  # sizes in points, whatever the range of the axes
    axes.add_collection(discs)
    axes.autoscale_view()


@lru_cache
def _digits(label: int) -> Path:
    """A number as a shape around (0, 0) that fits into the unit circle."""
    path = TextPath((0, 0), str(label), size=10, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    ends = np.asarray(path.get_extents().get_points())
    return Path(1.3 * (np.asarray(path.vertices) - ends.mean(axis=0)) / np.ptp(ends, axis=0).max(), path.codes)


def _color(label: int) -> str:
    return _CLASS_COLORS[label % len(_CLASS_COLORS)]
