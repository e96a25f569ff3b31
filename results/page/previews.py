"""Previews of synthetic sets, small enough for a page with hundreds of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from results.errors import ResultsError
from results.figures.image_grids import class_rows, read_set
from results.store.artifacts import checked_artifact
from results.types import Json

Pixels = NDArray[np.uint8]

BUDGET = 12_000_000  # bytes of all previews of a page, as files; a third more as text
CLASSES = 10  # shown of a set, at most
STEPS = 6  # snapshots shown of a set, at most
_FILE = "preview.png"
_IMAGES = 10  # shown of a class, at most: the columns of preview.png
_LOSSLESS = 8_000  # bytes up to which a preview is stored without loss
_PADDING = 2  # pixels between the images of preview.png
_QUALITY = 80  # of WebP with loss


@dataclass(frozen=True)
class Preview:
    """A preview as a data URL, and what it shows; without a URL, `missing` says why."""

    url: str = ""
    width: int = 0
    height: int = 0
    classes: int = 0  # from the first on; 0 if unknown
    images: int = 0  # of each class
    across: bool = False  # a column for each class, as few images of many classes would be a narrow strip
    size: int = 0  # bytes of the file
    missing: str = ""


def previews(sets: Iterable[tuple[Json, Path | None]], budget: int = BUDGET) -> dict[str, Preview]:
    """By identity, the previews of these records' sets in their folders (None: no folder), within a budget of bytes.

    The first ones are kept; equal previews count once.
    """
    by_identity: dict[str, Preview] = {}
    counted: set[str] = set()
    for record, folder in sets:
        preview = _preview(record, folder)
        if preview.url and preview.url not in counted:
            if preview.size > budget:
                preview = Preview(missing=f"left out: the pictures of a page take {BUDGET // 10**6} MB at most")
            else:
                budget -= preview.size
                counted.add(preview.url)
        by_identity[record["identity"]] = preview
    return by_identity


def _preview(record: Json, folder: Path | None) -> Preview:
    if folder is None or not (folder / _FILE).is_file():
        return Preview(missing="there is no preview.png")
    try:
        with Image.open(checked_artifact(folder, record, _FILE)) as image:
            margin = int(image.info.get("margin", 0))  # that names take
            pixels = np.asarray(image.crop((margin, 0, *image.size)).convert("RGB"))
    except ResultsError:
        return Preview(missing="its preview.png was changed or damaged")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Preview(missing="its preview.png cannot be read")
    columns = min(_IMAGES, int(record["resolved"]["ipc"]))
    tiles = _tiles(pixels, columns)
    if tiles is None:
        return _encoded_preview(pixels)
    return _preview_of_tiles(tiles)


def step_previews(record: Json, folder: Path | None, budget: int) -> tuple[list[tuple[int, str]], int]:
    """Pictures of a set's snapshots: step and data URL, first and last among them; and what is left of the budget.

    They have the form of its `_preview`. Snapshots that cannot be read, or do not fit the budget, are left out.
    """
    found: list[tuple[int, str]] = []
    steps = [int(taken["step"]) for taken in record["result"].get("snapshots", ())] if folder else []
    last = len(steps) - 1
    if last >= STEPS:
        steps = [steps[round(index * last / (STEPS - 1))] for index in range(STEPS)]
    columns = min(_IMAGES, int(record["resolved"]["ipc"]))
    for step in steps:
        try:
            images = read_set(checked_artifact(folder, record, f"snapshots/{step}.safetensors"))  # type: ignore[arg-type]
        except ResultsError:
            continue
        classes = np.unique(images.labels)[:CLASSES]
        tiles = class_rows(images, classes.tolist(), columns)
        pixels = (255 * np.nan_to_num(np.broadcast_to(tiles, (*tiles.shape[:4], 3)), nan=1.0)).round().astype(np.uint8)
        preview = _preview_of_tiles(pixels)
        if preview.size <= budget:
            budget -= preview.size
            found.append((step, preview.url))
    return found, budget


def _preview_of_tiles(tiles: Pixels) -> Preview:
    """A picture of the first classes (classes, columns, h, w, 3); a row for each, or a column if these are many."""
    tiles = tiles[:CLASSES]
    classes, columns = tiles.shape[:2]
    across = columns < classes
    return _encoded_preview(_joined(tiles.swapaxes(0, 1) if across else tiles), classes, columns, across)


def _encoded_preview(pixels: Pixels, classes: int = 0, images: int = 0, across: bool = False) -> Preview:
    data = _webp(pixels, lossless=True, quality=20, method=1)
    if len(data) > _LOSSLESS:
        data = _webp(pixels, quality=_QUALITY, method=2)
    url = "data:image/webp;base64," + base64.b64encode(data).decode()
    height, width = pixels.shape[:2]
    return Preview(url, width, height, classes, images, across, len(data))


def _webp(pixels: Pixels, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _tiles(pixels: Pixels, columns: int) -> Pixels | None:
    """The images of a preview as (classes, columns, h, w, 3) at their original size; None if it is not a grid.

    A grid has `_PADDING` white pixels around and between its square images.
    """
    height, width = pixels.shape[0] - _PADDING, pixels.shape[1] - _PADDING
    if height <= 0 or width <= 0 or width % columns or height % (width // columns):
        return None
    step = width // columns
    tiles = pixels[_PADDING:, _PADDING:].reshape(height // step, step, columns, step, 3).swapaxes(1, 2)
    return _shrunk(tiles[:, :, : step - _PADDING, : step - _PADDING])


def _shrunk(tiles: Pixels) -> Pixels:
    """The images without their enlargement by a whole factor; the first image is tested before the others."""
    side = tiles.shape[2]
    for factor in range(side // 2, 1, -1):
        if side % factor == 0 and _is_enlarged(tiles[:1, :1], factor) and _is_enlarged(tiles, factor):
            return tiles[:, :, ::factor, ::factor]
    return tiles


def _is_enlarged(tiles: Pixels, factor: int) -> bool:
    small = tiles[:, :, ::factor, ::factor]
    return np.array_equal(small.repeat(factor, 2).repeat(factor, 3), tiles)


def _joined(tiles: Pixels) -> Pixels:
    """One picture with a white pixel between the images."""
    rows, columns, side = tiles.shape[:3]
    grid = np.full((rows, side + 1, columns, side + 1, 3), 255, np.uint8)
    grid[:, :side, :, :side] = tiles.swapaxes(1, 2)
    return grid.reshape(rows * (side + 1), columns * (side + 1), 3)[:-1, :-1]
