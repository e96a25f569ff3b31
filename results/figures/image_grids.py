"""Synthetic sets as pictures: classes down, methods side by side, before condensing and after."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import safetensors
from matplotlib.figure import Figure
from numpy.typing import NDArray

from results.errors import ResultsError
from results.figures.sets import Scenario, StoredSet
from results.figures.style import COLUMN, PAGE, new_figure, styled
from results.formatting import short
from results.store.store import Store

FloatPixels = NDArray[np.float32]

_MAX_SETS, _MAX_COLUMNS, _MAX_CLASSES = 4, 30, 10  # sets side by side, images in a row, classes down
_MAX_SINGLE = 10  # sets below each other, at one image per class
_MIN_SIDE, _MAX_SIDE = 0.25, 0.55  # inches of an image, in a figure as wide as one column and at all
_MIN_PIXELS = 48  # of a side, to which small images are enlarged
_FIRST = "snapshots/0.safetensors"  # the set before its first step
_GAP = 0.06  # between images, as a fraction of their side


@dataclass(frozen=True)
class SetImages:
    """The images of a set (N, ch, H, W) as pixels, nominally in 0..1 but not clamped, and their labels (N,)."""

    images: FloatPixels
    labels: NDArray[np.int64]
    factor: int


def read_set(path: Path) -> SetImages:
    """Read a synthetic.safetensors or a snapshot. Raises ResultsError for a missing, foreign or damaged file."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
    except FileNotFoundError as error:
        raise ResultsError(f"there is no {path.name}", where=str(path.parent)) from error
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ResultsError(f"{path.name} is damaged or not a set: {error}", where=str(path.parent)) from error
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) != len(labels):
        raise ResultsError(f"an array of shape {images.shape} does not hold pictures", where=str(path))
    return SetImages(np.asarray(images, np.float32), np.asarray(labels, np.int64), int(card.get("factor", 1)))


@dataclass(frozen=True)
class ImagePanel:
    """A set before or after condensing. images: (classes, columns, H, W, ch) in 0..1, nan where there is no image."""

    heading: str
    images: FloatPixels


@dataclass(frozen=True)
class ImageGrid:
    """Panels side by side, and the classes of their rows with their names."""

    scenario: Scenario
    title: str
    facts: tuple[str, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]
    panels: tuple[ImagePanel, ...]


@dataclass(frozen=True)
class GridSelection:
    """The sets of one figure, the first seed of each row. part: the figure's number, 0 if one figure shows all."""

    scenario: Scenario
    sets: tuple[StoredSet, ...]
    part: int


def grid_selections(sets: Mapping[str, StoredSet]) -> list[GridSelection]:
    """The sets of each figure. Sets made elsewhere are shown with those of every condensing network."""
    rows: dict[Scenario, dict[str, StoredSet]] = {}
    for stored in sets.values():
        rows.setdefault(stored.scenario, {}).setdefault(stored.name, stored)
    selections: list[GridSelection] = []
    for scenario in rows:
        alike = [other for other in rows if (other.dataset, other.ipc) == (scenario.dataset, scenario.ipc)]
        elsewhere = [other for other in alike if not other.condense_architecture]
        if scenario in elsewhere and len(alike) > len(elsewhere):
            continue
        scenarios = [scenario, *(other for other in elsewhere if other != scenario)]
        shown = [stored for each in scenarios for stored in rows[each].values()]
        count = -(-len(shown) // (_MAX_SINGLE if scenario.ipc == 1 else _MAX_SETS))  # about equal: none is alone
        ends = [round(len(shown) * number / count) for number in range(count + 1)]
        parts = [tuple(shown[start:end]) for start, end in pairwise(ends)]
        numbers = range(1, len(parts) + 1) if len(parts) > 1 else [0]
        selections += [GridSelection(scenario, part, number) for number, part in zip(numbers, parts, strict=True)]
    return selections


def read_grid(selection: GridSelection, store: Store) -> ImageGrid:
    """The pictures of one figure from the sets' files; sets that cannot be read are named by a fact.

    Raises ResultsError if no set can be read.
    """
    readable: list[tuple[StoredSet, SetImages | None, SetImages]] = []
    errors: list[ResultsError] = []
    for stored in selection.sets:
        try:
            readable.append((stored, *_before_and_after(stored, store)))
        except ResultsError as error:
            errors.append(ResultsError(f"{stored.name}: {error.what}", where=error.where, next=error.next))
    if not readable:
        raise errors[0]
    panels = sum(1 + (before is not None) for _, before, _ in readable)
    all_classes = sorted({int(label) for _, _, after in readable for label in after.labels})
    classes = all_classes[:_MAX_CLASSES]
    columns = min(max(_images_per_class(after) for _, _, after in readable), max(1, _MAX_COLUMNS // panels))
    scenario, part = selection.scenario, f" ({selection.part})" if selection.part else ""
    facts = _facts(readable, len(all_classes), columns, scenario)
    return ImageGrid(
        scenario,
        f"Synthetic sets: {scenario.dataset_title}, ipc {scenario.ipc}{part}",
        (*facts, *(f"not shown, {error.what}" for error in errors)),
        tuple(classes),
        _class_names(readable[0][0], classes, store),
        tuple(panel for images in readable for panel in _panels(*images, classes, columns)),
    )


def _before_and_after(stored: StoredSet, store: Store) -> tuple[SetImages | None, SetImages]:
    task = {"kind": stored.kind, "identity": stored.identity}
    after = read_set(store.artifact(task, "synthetic.safetensors"))
    record = store.record(task)
    has_first = record is not None and _FIRST in record["artifacts"] and not stored.selected
    return read_set(store.artifact(task, _FIRST)) if has_first else None, after


def _class_names(stored: StoredSet, classes: Sequence[int], store: Store) -> tuple[str, ...]:
    """The names of these classes in the dataset, or their numbers."""
    record = store.record({"kind": stored.kind, "identity": stored.identity})
    names = record["result"].get("classes", ()) if record else ()
    return tuple(str(names[label]) if label < len(names) else str(label) for label in classes)


def _images_per_class(images: SetImages) -> int:
    """Of the class that has the most."""
    return int(np.unique(images.labels, return_counts=True)[1].max())


def _panels(
    stored: StoredSet, before: SetImages | None, after: SetImages, classes: Sequence[int], columns: int
) -> Iterator[ImagePanel]:
    if before is not None:
        yield ImagePanel(f"{stored.name}\nbefore", class_rows(before, classes, columns))
    kind = "selected" if stored.selected else "made elsewhere" if stored.kind == "import" else "after"
    yield ImagePanel(f"{stored.name}\n{kind}", class_rows(after, classes, columns))


def class_rows(of_set: SetImages, classes: Sequence[int], columns: int) -> FloatPixels:
    """(classes, columns, H, W, ch): the first stored images of each class, nan where there are too few."""
    shape = of_set.images.shape[1:]
    rows = np.full((len(classes), columns, *shape), np.nan, np.float32)
    for row, label in enumerate(classes):
        images = of_set.images[of_set.labels == label][:columns]
        rows[row, : len(images)] = images.clip(0, 1)
    return rows.transpose(0, 1, 3, 4, 2)


def _facts(
    sets: Sequence[tuple[StoredSet, SetImages | None, SetImages]], classes: int, columns: int, scenario: Scenario
) -> Iterator[str]:
    yield f"condensed with {scenario.condense_architecture}" if scenario.condense_architecture else "made elsewhere"
    yield f"images as they are stored, seed {', '.join(dict.fromkeys(str(stored.seed) for stored, _, _ in sets))}"
    if columns < max(_images_per_class(after) for _, _, after in sets):
        yield f"the first {columns} of each class"
    if classes > _MAX_CLASSES:
        yield f"the first {_MAX_CLASSES} of {classes} classes"
    for stored, _, after in sets:
        if after.factor > 1:
            yield f"{stored.name}: each image has {after.factor} × {after.factor} tiles, not decoded"
    unknown = [stored.name for stored, before, _ in sets if before is None and not stored.selected]
    if unknown:
        yield f"no snapshot of the images before condensing: {', '.join(unknown)}"
    outside = {stored.name: float(((s.images < 0) | (s.images > 1)).mean()) for stored, _, s in sets}
    shares = ", ".join(f"{name} {short(100 * share)} %" for name, share in outside.items() if share)
    yield f"pixels outside 0..1 are clamped for display{f' ({shares})' if shares else ''}"


def grid_figure(grid: ImageGrid) -> Figure:
    """A row for each class, or a column if there is one image of each; small images are enlarged by whole factors."""
    classes, columns, height, width, _ = grid.panels[0].images.shape
    if columns == 1 and len({panel.images.shape for panel in grid.panels}) == 1:
        return _single_images(grid)
    across = len(grid.panels) * columns + 0.5 * (len(grid.panels) - 1)
    figure_width, side = _width_and_side(across, 0.5)
    characters = max(8, int(columns * side * 17))
    headings = [_wrapped_heading(panel, characters) for panel in grid.panels]
    above = 0.12 * max(heading.count("\n") + 1 for heading in headings)
    with styled():
        figure_height = classes * side * height / width + above + 0.35
        figure = new_figure(figure_width, figure_height, grid.title, grid.facts)
        figure.get_layout_engine().set(wspace=0.01)  # type: ignore[union-attr, call-arg]
        all_axes = figure.subplots(1, len(grid.panels), squeeze=False)[0]
        for axes, panel, heading in zip(all_axes, grid.panels, headings, strict=True):
            pixels, centers = montage(panel.images)
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(heading, loc="left", fontsize=6.5)
            axes.set_xticks([])
            axes.set_yticks(centers if axes is all_axes[0] else [], grid.names if axes is all_axes[0] else [])
            axes.tick_params(length=0)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        all_axes[0].set_ylabel("Class")
    return figure


def _single_images(grid: ImageGrid) -> Figure:
    """One image of each class: classes across, a row for each set before or after condensing."""
    images = np.stack([panel.images[:, 0] for panel in grid.panels])
    rows, classes, height, width, _ = images.shape
    figure_width, side = _width_and_side(classes, 1.5)
    slanted = max(map(len, grid.names)) > 5
    with styled():
        figure_height = rows * side * height / width + (0.8 if slanted else 0.5)
        figure = new_figure(figure_width, figure_height, grid.title, grid.facts)
        axes = figure.add_subplot()
        pixels, centers = montage(images)
        step = (pixels.shape[1] + 1) / classes
        axes.imshow(pixels, interpolation="nearest")
        axes.xaxis.tick_top()
        axes.set_xticks([step * (number + 0.5) for number in range(classes)], grid.names)
        axes.tick_params(axis="x", rotation=90 if slanted else 0)
        axes.set_yticks(centers, [panel.heading.replace("\n", ", ") for panel in grid.panels])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return figure


def _width_and_side(images: float, margin: float) -> tuple[float, float]:
    """The width of a figure with this many images beside a margin, and of an image, in inches."""
    width = COLUMN if images * _MIN_SIDE + margin <= COLUMN else PAGE
    return width, min(_MAX_SIDE, (width - margin) / images)


def _wrapped_heading(panel: ImagePanel, characters: int) -> str:
    name, _, kind = panel.heading.partition("\n")
    fits = all(len(word) <= characters + 4 for word in name.split())  # the gap leaves some room
    return "\n".join([*textwrap.wrap(name, characters, break_long_words=not fits), *textwrap.wrap(kind, characters)])


def montage(rows: FloatPixels) -> tuple[FloatPixels, list[float]]:
    """(classes, columns, H, W, ch) as one RGB picture (H', W', 3) with white gaps, and the center of each row."""
    classes, columns, height, width = rows.shape[:4]
    factor = max(1, -(-_MIN_PIXELS // min(height, width)))
    gap = max(1, round(_GAP * factor * height))
    down, across = factor * height, factor * width
    pixels = np.ones((classes * (down + gap) - gap, columns * (across + gap) - gap, 3), np.float32)
    for row in range(classes):
        for column in range(columns):
            image = np.nan_to_num(rows[row, column], nan=1.0).repeat(factor, 0).repeat(factor, 1)
            top, left = row * (down + gap), column * (across + gap)
            pixels[top : top + down, left : left + across] = image  # a single channel is broadcast to all three
    return pixels, [row * (down + gap) + (down - 1) / 2 for row in range(classes)]
