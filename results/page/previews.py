"""Previews of synthetic sets made small enough to lie in a page by the hundred."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

BUDGET = 12_000_000  # bytes of all pictures of a page, as files; a third more as text
CLASSES = 10  # shown of a set, at most
_SMALL = 8_000  # bytes up to which a picture is kept as it is, without loss
_PADDING = 2  # between the images of a preview
_QUALITY = 80  # of WebP, for pictures that would be large without loss


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, and what it shows. Without one, `why` says so."""

    url: str = ""
    width: int = 0
    height: int = 0
    classes: int = 0  # from the first on; 0 where the picture does not tell
    images: int = 0  # of each class
    across: bool = False  # a column for each class: few images of many classes would be a narrow strip
    size: int = 0  # bytes of the file
    why: str = ""


def pictures(sets: Iterable[tuple[Mapping[str, Any], Path | None]], budget: int = BUDGET) -> dict[str, Picture]:
    """By identity, the pictures of these records' sets in their folders (None: there is none), within the budget.

    Those that come first are kept; equal pictures count once.
    """
    found: dict[str, Picture] = {}
    counted: set[str] = set()
    for record, folder in sets:
        picture = _picture(folder / "preview.png" if folder else None, int(record["resolved"]["ipc"]))
        if picture.url and picture.url not in counted:
            if picture.size > budget:
                picture = Picture(why=f"left out: the pictures of a page take {BUDGET // 10**6} MB at most")
            else:
                budget -= picture.size
                counted.add(picture.url)
        found[record["identity"]] = picture
    return found


def _picture(path: Path | None, ipc: int) -> Picture:
    if path is None or not path.is_file():
        return Picture(why="no preview.png is there")
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Picture(why="its preview.png cannot be read")
    columns = min(10, ipc)
    tiles = _tiles(pixels, columns)
    if tiles is None:
        return _of(pixels)
    tiles = tiles[:CLASSES]
    across = columns < len(tiles)
    return _of(_joined(tiles.swapaxes(0, 1) if across else tiles), len(tiles), columns, across)


def _of(grid: Pixels, classes: int = 0, images: int = 0, across: bool = False) -> Picture:
    data = _encoded(grid)
    url = "data:image/webp;base64," + base64.b64encode(data).decode()
    height, width = grid.shape[:2]
    return Picture(url, width, height, classes, images, across, len(data))


def _tiles(grid: Pixels, columns: int) -> Pixels | None:
    """The images of a preview as (classes, columns, h, w, 3), enlarged ones at their own size; None if it is no grid.

    A grid has `_PADDING` white pixels around and between its square images.
    """
    height, width = grid.shape[0] - _PADDING, grid.shape[1] - _PADDING
    if height <= 0 or width <= 0 or width % columns or height % (width // columns):
        return None
    step = width // columns
    split = grid[_PADDING:, _PADDING:].reshape(height // step, step, columns, step, 3).swapaxes(1, 2)
    tiles = split[:, :, : step - _PADDING, : step - _PADDING]
    return _shrunk(tiles)


def _shrunk(tiles: Pixels) -> Pixels:
    """The images without their enlargement, whose factor the first one tells and the others confirm."""
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


def _encoded(grid: Pixels) -> bytes:
    data = _webp(grid, lossless=True, quality=20, method=1)
    return data if len(data) <= _SMALL else _webp(grid, quality=_QUALITY, method=2)


def _webp(grid: Pixels, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, "WEBP", **options)
    return buffer.getvalue()
