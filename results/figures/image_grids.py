"""Synthetic sets as pictures: classes down, methods side by side, before condensing and after."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from matplotlib.figure import Figure
from numpy.typing import NDArray

from results.errors import ResultsError
from results.figures.sets import MadeSet, Place
from results.figures.style import COLUMN, PAGE, new_figure, styled
from results.formatting import short
from results.store.store import Store

Pixels = NDArray[np.float32]

_SETS, _COLUMNS, _CLASSES = 4, 30, 10  # sets beside each other, images in a row, classes down: at most
_WIDEST = 0.42  # inches of an image
_LEAST = 48  # pixels of a side to which small images are enlarged
_GAP = 0.06  # of an image's side, between images


@dataclass(frozen=True)
class Stored:
    """A file of a set: images (N, ch, H, W) in pixels, 0..1 nominal and not clamped, and their labels (N,)."""

    images: Pixels
    labels: NDArray[np.int64]
    factor: int


def read_set(path: Path) -> Stored:
    """A synthetic.safetensors or a snapshot of one. Raises ResultsError for a missing, foreign or damaged file."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
    except FileNotFoundError as error:
        raise ResultsError(f"there is no {path.name}", where=str(path.parent)) from error
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ResultsError(f"{path.name} is damaged or no set: {error}", where=str(path.parent)) from error
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) != len(labels):
        raise ResultsError(f"images of shape {images.shape} are no pictures", where=str(path))
    return Stored(np.asarray(images, np.float32), np.asarray(labels, np.int64), int(card.get("factor", 1)))


@dataclass(frozen=True)
class Block:
    """One picture: a set before or after. images: (classes, columns, H, W, ch), clamped to 0..1, nan where none is."""

    heading: str
    images: Pixels


@dataclass(frozen=True)
class Grid:
    """Pictures that stand side by side, and the labels of their rows."""

    place: Place
    title: str
    facts: tuple[str, ...]
    classes: tuple[int, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Shown:
    """The sets of one figure: of each row the first seed; `part` is its number, 0 where one figure holds all."""

    place: Place
    sets: tuple[MadeSet, ...]
    part: int


def to_show(sets: Mapping[str, MadeSet]) -> list[Shown]:
    """What goes into which figure. Sets made elsewhere stand with those of every network that condensed."""
    chosen: dict[Place, dict[str, MadeSet]] = {}
    for made in sets.values():
        chosen.setdefault(made.place, {}).setdefault(made.name, made)
    found: list[Shown] = []
    for place, rows in chosen.items():
        ours = [other for other in chosen if (other.dataset, other.ipc) == (place.dataset, place.ipc)]
        foreign = [other for other in ours if not other.condense_architecture]
        if place in foreign and len(ours) > len(foreign):
            continue
        every = [*rows.values(), *(made for other in foreign if other != place for made in chosen[other].values())]
        parts = [tuple(every[start : start + _SETS]) for start in range(0, len(every), _SETS)]
        found += [Shown(place, part, number if len(parts) > 1 else 0) for number, part in enumerate(parts, 1)]
    return found


def read_grid(shown: Shown, store: Store) -> Grid:
    """The pictures of one figure, from the sets' files; what cannot be read is left out, which the facts say.

    Raises ResultsError when no set can be read.
    """
    pairs: list[tuple[MadeSet, Stored | None, Stored]] = []
    unread: list[ResultsError] = []
    for made in shown.sets:
        try:
            pairs.append((made, *_before_and_after(made, store)))
        except ResultsError as error:
            unread.append(ResultsError(f"{made.name}: {error.what}", where=error.where, next=error.next))
    if not pairs:
        raise unread[0]
    blocks = sum(1 + (before is not None) for _, before, _ in pairs)
    every = sorted({int(label) for _, _, after in pairs for label in after.labels})
    columns = min(max(_count(after) for _, _, after in pairs), max(1, _COLUMNS // blocks))
    place, part = shown.place, f" ({shown.part})" if shown.part else ""
    return Grid(
        place,
        f"Synthetic sets: {place.dataset_title}, ipc {place.ipc}{part}",
        (*_facts(pairs, len(every), columns, place), *(f"not shown, {error.what}" for error in unread)),
        tuple(every[:_CLASSES]),
        tuple(block for pair in pairs for block in _blocks(*pair, every[:_CLASSES], columns)),
    )


def _before_and_after(made: MadeSet, store: Store) -> tuple[Stored | None, Stored]:
    folder = store.folder({"kind": made.kind, "identity": made.identity})
    first = folder / "snapshots" / "0.safetensors"
    before = read_set(first) if first.exists() and not made.selected else None
    return before, read_set(folder / "synthetic.safetensors")


def _count(stored: Stored) -> int:
    """Images of the class that has the most."""
    return int(np.unique(stored.labels, return_counts=True)[1].max())


def _blocks(
    made: MadeSet, before: Stored | None, after: Stored, classes: Sequence[int], columns: int
) -> Iterator[Block]:
    if before is not None:
        yield Block(f"{made.name}\nbefore", _rows(before, classes, columns))
    kind = "selected" if made.selected else "made elsewhere" if made.kind == "import" else "after"
    yield Block(f"{made.name}\n{kind}", _rows(after, classes, columns))


def _rows(stored: Stored, classes: Sequence[int], columns: int) -> Pixels:
    """(classes, columns, H, W, ch): the first images of each class as they are stored, nan where there are too few."""
    shape = stored.images.shape[1:]
    rows = np.full((len(classes), columns, *shape), np.nan, np.float32)
    for row, label in enumerate(classes):
        images = stored.images[stored.labels == label][:columns]
        rows[row, : len(images)] = images.clip(0, 1)
    return rows.transpose(0, 1, 3, 4, 2)


def _facts(
    pairs: Sequence[tuple[MadeSet, Stored | None, Stored]], classes: int, columns: int, place: Place
) -> Iterator[str]:
    yield f"condensed with {place.condense_architecture}" if place.condense_architecture else "made elsewhere"
    yield f"images as they are stored, seed {', '.join(dict.fromkeys(str(made.seed) for made, _, _ in pairs))}"
    if columns < max(_count(after) for _, _, after in pairs):
        yield f"the first {columns} of each class"
    if classes > _CLASSES:
        yield f"the first {_CLASSES} of {classes} classes"
    for made, _, after in pairs:
        if after.factor > 1:
            yield f"{made.name}: each holds {after.factor} × {after.factor} tiles, not decoded"
    unknown = [made.name for made, before, _ in pairs if before is None and not made.selected]
    if unknown:
        yield f"no snapshot of the images before condensing: {', '.join(unknown)}"
    outside = {made.name: float(((s.images < 0) | (s.images > 1)).mean()) for made, _, s in pairs}
    shares = ", ".join(f"{name} {short(100 * share)} %" for name, share in outside.items() if share)
    yield f"pixels outside 0..1 are clamped for display{f' ({shares})' if shares else ''}"


def grid_figure(grid: Grid) -> Figure:
    """A row for each class; small images enlarged by whole factors, without smoothing."""
    classes, columns, high, wide, _ = grid.blocks[0].images.shape
    across = len(grid.blocks) * columns + 0.5 * (len(grid.blocks) - 1)
    side = min(_WIDEST, (PAGE - 0.5) / across)  # inches
    width = max(COLUMN, side * across + 0.5)
    letters = max(8, int(columns * side * 17))
    headings = [_heading(block, letters) for block in grid.blocks]
    above = 0.12 * max(heading.count("\n") + 1 for heading in headings)
    with styled():
        figure = new_figure(width, classes * side * high / wide + above + 0.35, grid.title, grid.facts)
        figure.get_layout_engine().set(wspace=0.01)  # type: ignore[union-attr, call-arg]
        panels = figure.subplots(1, len(grid.blocks), squeeze=False)[0]
        for axes, block, heading in zip(panels, grid.blocks, headings, strict=True):
            pixels, centres = montage(block.images)
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(heading, loc="left", fontsize=6.5)
            axes.set_xticks([])
            axes.set_yticks(centres if axes is panels[0] else [], grid.classes if axes is panels[0] else [])
            axes.tick_params(length=0)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel("Class")
    return figure


def _heading(block: Block, letters: int) -> str:
    name, _, kind = block.heading.partition("\n")
    fits = all(len(word) <= letters + 4 for word in name.split())  # a little may hang over into the gap
    return "\n".join([*textwrap.wrap(name, letters, break_long_words=not fits), *textwrap.wrap(kind, letters)])


def montage(rows: Pixels) -> tuple[Pixels, list[float]]:
    """(classes, columns, H, W, ch) as one white-framed RGB picture (H', W', 3), and the height of each row's middle."""
    classes, columns, high, wide = rows.shape[:4]
    times = max(1, -(-_LEAST // min(high, wide)))
    gap = max(1, round(_GAP * times * high))
    pixels = np.ones((classes * (times * high + gap) - gap, columns * (times * wide + gap) - gap, 3), np.float32)
    for row in range(classes):
        for column in range(columns):
            image = np.nan_to_num(rows[row, column], nan=1.0).repeat(times, 0).repeat(times, 1)
            top, left = row * (times * high + gap), column * (times * wide + gap)
            pixels[top : top + times * high, left : left + times * wide] = image  # one channel spreads over three
    return pixels, [row * (times * high + gap) + (times * high - 1) / 2 for row in range(classes)]
