"""Real and synthetic images as one expert sees them, in two dimensions: a panel for each set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

from results.figures.sets import MadeSet, Place, analyses, analyzed_on, attempt, circumstances
from results.figures.style import COLUMN, PAGE, PALETTE, new_figure, styled
from results.types import Json

METHODS = {"tsne": "t-SNE", "pca": "PCA"}
_CLASSES, _SETS = 10, 11  # shown at most


@dataclass(frozen=True)
class Cloud:
    """xy (N, 2), without a unit; labels (N,)."""

    xy: NDArray[np.float64]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, found: Json) -> Cloud:
        """Checked. Raises ValueError for other shapes or coordinates that are not finite."""
        xy, labels = np.asarray(found["xy"], dtype=np.float64), np.asarray(found["labels"], dtype=np.int64)
        if xy.shape != (len(labels), 2) or not np.isfinite(xy).all():
            raise ValueError(f"coordinates of shape {xy.shape} for {len(labels)} labels")
        return cls(xy, labels)

    def only(self, classes: Sequence[int]) -> Cloud:
        """The points of these classes."""
        kept = np.isin(self.labels, classes)
        return Cloud(self.xy[kept], self.labels[kept])


@dataclass(frozen=True)
class Embedding:
    """The classes shown, the real images' points, and those of one set of each row, by name."""

    place: Place
    title: str
    facts: tuple[str, ...]
    real: Cloud
    sets: Mapping[str, Cloud]


def embeddings(records: Sequence[Json], sets: Mapping[str, MadeSet]) -> tuple[list[Embedding], list[str]]:
    """A figure for each place and circumstances, from the first seed of each row; and why others are not drawn.

    Each seed has a layout of its own, so that one record makes a figure: of several, that of most sets.
    """
    ours, missing = analyses(records, "embedding")
    found: dict[tuple[Any, ...], Embedding] = {}
    for record in sorted(ours, key=_order):
        what = f"embedding, analysis {record['identity'][:12]}"
        for laid in attempt(what, partial(_laid_out, record), missing):
            missing += [f"{what}: no record of its set {name[:12]}" for name in sorted(laid.keys() - sets.keys())]
            known = [made for made in sets.values() if made.identity in laid]
            for place in dict.fromkeys(made.place for made in known):
                key = place, *circumstances(record), record["result"].get("method")
                here = [made for made in known if made.place == place]
                if key not in found:
                    for one in attempt(what, partial(_embedding, place, here, laid, record), missing):
                        found[key] = one
    return list(found.values()), missing


def _order(record: Json) -> tuple[str, int]:
    return str(record["resolved"].get("seed", "")), -len(record["resolved"].get("sets", ()))


def _laid_out(record: Json) -> dict[str, Cloud]:
    return {name: Cloud.of(found) for name, found in record["result"]["sets"].items()}


def _embedding(place: Place, made: Sequence[MadeSet], laid: Mapping[str, Cloud], record: Json) -> Embedding:
    result = record["result"]
    real = Cloud.of(result["real"])
    every = sorted(set(real.labels.tolist()))
    classes = every[:_CLASSES]
    chosen: dict[str, MadeSet] = {}
    for one in made:
        chosen.setdefault(one.name, one)
    shown = dict(list(chosen.items())[:_SETS])
    rest = [name for name in chosen if name not in shown]
    method = METHODS.get(result["method"], str(result["method"]))
    facts = [
        f"{method} of the features of an expert ({record['resolved']['architecture']})",
        f"{len(real.labels):,} real images; of each method the set of seed {', '.join(_seeds(shown.values()))}",
        *([f"the first {len(classes)} of {len(every)} classes"] if len(classes) < len(every) else []),
        *([f"not shown: {', '.join(rest)}"] if rest else []),
        analyzed_on(record),
    ]
    return Embedding(
        place,
        f"Real and synthetic features: {place.dataset_title}, ipc {place.ipc}",
        tuple(facts),
        real.only(classes),
        {name: laid[one.identity].only(classes) for name, one in shown.items()},
    )


def _seeds(made: Iterable[MadeSet]) -> list[str]:
    return list(dict.fromkeys(str(one.seed) for one in made))


def embedding_figure(found: Embedding) -> Figure:
    """Dots are real images, the numbered discs synthetic ones; a number is a class, as is a colour."""
    clouds = {"Real images": None, **found.sets}
    across = 3 if len(clouds) in (3, 5, 6, 9) else min(4, len(clouds))
    down = -(-len(clouds) // across)
    width = PAGE if across > 2 else COLUMN
    with styled():
        figure = new_figure(width, down * (width / across + 0.05) + 0.2, found.title, found.facts)
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
        for axes, (name, cloud) in zip(panels, clouds.items(), strict=False):
            _real(axes, found.real)
            if cloud is None:
                _numbers(axes, found.real)
            else:
                _synthetic(axes, cloud)
            axes.set_title(name, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        for axes in panels[len(clouds) :]:
            axes.remove()
    return figure


def _real(axes: Axes, real: Cloud) -> None:
    for label in sorted(set(real.labels.tolist())):
        x, y = real.xy[real.labels == label].T
        axes.scatter(x, y, s=2.5, color=_colour(label), alpha=0.45, linewidths=0, rasterized=False)


def _numbers(axes: Axes, real: Cloud) -> None:
    """The number of each class at the median of its points."""
    for label in sorted(set(real.labels.tolist())):
        x, y = np.median(real.xy[real.labels == label], axis=0)
        box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": _colour(label), "linewidth": 0.7}
        axes.text(x, y, str(label), fontsize=6, ha="center", va="center", bbox=box)


def _synthetic(axes: Axes, cloud: Cloud) -> None:
    """One collection, in which a disc is followed by its number: what lies on top hides both of what lies below."""
    paths, colours = [], []
    for label in cloud.labels.tolist():
        paths += [Path.unit_circle(), _digits(label)]
        colours += [_colour(label), "white"]
    radius = 2.9 if len(cloud.labels) <= 120 else 2.1  # points
    discs = PathCollection(
        paths,
        sizes=[radius**2],
        offsets=cloud.xy.repeat(2, axis=0),
        offset_transform=axes.transData,
        facecolors=colours,
        edgecolors="white",
        linewidths=[0.4, 0.0],
        zorder=3,
    )
    discs.set_transform(IdentityTransform())  # sizes are points, whatever the axes show
    axes.add_collection(discs)
    axes.autoscale_view()


@lru_cache
def _digits(label: int) -> Path:
    """A number as a shape around (0, 0) that fits into the unit circle."""
    path = TextPath((0, 0), str(label), size=10, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    ends = np.asarray(path.get_extents().get_points())
    return Path(1.3 * (np.asarray(path.vertices) - ends.mean(axis=0)) / np.ptp(ends, axis=0).max(), path.codes)


def _colour(label: int) -> str:
    return PALETTE[label % len(PALETTE)]
