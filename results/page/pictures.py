"""Previews of synthetic sets made small enough to lie in a page by the hundred."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
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
_QUALITY = 70  # of WebP, for pictures that would be large without loss


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, and what it shows. Without one, `why` says so."""

    url: str = ""
    width: int = 0
    height: int = 0
    rows: int = 0  # classes, from the first on; 0 where the picture does not tell
    columns: int = 0  # images of each
    size: int = 0  # bytes of the file
    why: str = ""


def pictures(sets: Iterable[tuple[Mapping[str, Any], Path | None]], budget: int = BUDGET) -> dict[str, Picture]:
    """By identity, the pictures of these records' sets in their folders (None: there is none), within the budget.

    Those that come first are kept; equal pictures count once.
    """
    found: dict[str, Picture] = {}
    counted: set[str] = set()
    for record, folder in sets:
        picture = _picture(folder / "preview.png" if folder else None, int(record["asked"]["ipc"]))
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
    grid = pixels if tiles is None else _joined(tiles[:CLASSES])
    data = _encoded(grid)
    url = "data:image/webp;base64," + base64.b64encode(data).decode()
    height, width = grid.shape[:2]
    if tiles is None:
        return Picture(url, width, height, size=len(data))
    return Picture(url, width, height, min(CLASSES, len(tiles)), columns, len(data))


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
    return next((small for small in _shrunk(tiles) if small is not None), tiles)


def _shrunk(tiles: Pixels) -> Iterator[Pixels | None]:
    """The images without their enlargement, tried from the largest factor down."""
    side = tiles.shape[2]
    for factor in range(side // 2, 1, -1):
        if side % factor == 0:
            small = tiles[:, :, ::factor, ::factor]
            large = small.repeat(factor, 2).repeat(factor, 3)
            yield small if np.array_equal(large, tiles) else None


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
