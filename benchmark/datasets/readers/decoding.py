"""Encoded images to pixels: many files or byte strings into one preallocated uint8 array, grey or RGB, of one size."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchmark.datasets.base import Progress
from benchmark.utils.errors import BenchmarkError

_BATCH = 1024  # encoded images in memory at a time
_PIECE = 64  # images a thread takes at a time: one by one, handing them out would cost as much as decoding small ones
_THREADS = 8
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")

# What Pillow lets out for a damaged image, depending on format and place of the damage.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Encoded:
    """One encoded image: `where` it is, in words, and its bytes or the file that holds them."""

    where: str
    data: Path | bytes


@dataclass(frozen=True, eq=False)
class Decoded:
    """pixels: uint8 (N, 3, H, W), equal channels where the source is grey. first: the image whose size is the rule."""

    pixels: np.ndarray
    grey: bool
    first: str


def decode(
    images: Iterable[Encoded],
    total: int,
    label: str,
    *,
    side: int | None = None,
    like: Decoded | None = None,
    progress: Progress | None = None,
) -> Decoded:
    """All `total` (at least 1) images, in order. All are of the first one's size, or of the size of `like`'s.

    With `side`, each is shrunk or enlarged until its short side has so many pixels (bilinear, antialiased), and its
    centre is cut out square [IDC@ceac95a, DANCE@3f6b8b6: torchvision's Resize and CenterCrop on Pillow images].
    Pixels are taken as stored (no EXIF rotation); of several frames the first. Raises BenchmarkError for an image that
    cannot be decoded and for one of another size, naming it.
    """
    stream, grey, done = iter(images), True, 0
    head = list(islice(stream, 1))
    first = like.first if like else head[0].where
    pixels = _room(total, like.pixels.shape[2:] if like else _rgb(head[0], side)[0].shape[1:], first)
    pool = ThreadPoolExecutor(min(_THREADS, _cores()))
    try:
        for batch in _parts(chain(head, stream), _BATCH):
            pieces = list(_parts(iter(batch), _PIECE))
            rooms = (pixels[done + start : done + start + _PIECE] for start in range(0, len(batch), _PIECE))
            rooms = (room[: len(piece)] for room, piece in zip(rooms, pieces, strict=True))
            grey = all(list(pool.map(_fill, pieces, rooms, repeat(first), repeat(side)))) and grey
            done += len(batch)
            if progress:
                progress(label, done, total)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, or a stop, nobody waits for the rest of the batch
    return Decoded(pixels, grey, first)


def unreadable(images: Iterable[Encoded], label: str, progress: Progress | None = None) -> list[BenchmarkError]:
    """What is wrong with each of the images that cannot be decoded; [] when all can."""
    found: list[BenchmarkError] = []
    with ThreadPoolExecutor(min(_THREADS, _cores())) as pool:
        for number, batch in enumerate(_parts(iter(images), _BATCH)):
            found += [error for some in pool.map(_troubles, _parts(iter(batch), _PIECE)) for error in some]
            if progress:
                progress(label, number * _BATCH + len(batch), 0)
    return found


def _troubles(images: list[Encoded]) -> list[BenchmarkError]:
    found = []
    for encoded in images:
        try:
            _rgb(encoded, None)
        except BenchmarkError as error:
            found.append(error)
    return found


def common_mode(train: Decoded, test: Decoded) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of both splits, (N, 1, H, W) when every image is grey and (N, 3, H, W) otherwise."""
    channels = 1 if train.grey and test.grey else 3
    return train.pixels[:, :channels], test.pixels[:, :channels]


def _parts(items: Iterator[Encoded], size: int) -> Iterator[list[Encoded]]:
    while part := list(islice(items, size)):
        yield part


def _room(total: int, size: tuple[int, ...], where: str) -> np.ndarray:
    height, width = size
    try:
        return np.empty((total, 3, height, width), dtype=np.uint8)
    except MemoryError as error:
        gib = total * 3 * height * width / 2**30
        raise BenchmarkError(
            f"{total} images of {width}x{height} pixels need {gib:.1f} GiB of memory, which is not there",
            where=where,
            next="make the images smaller: condensation works at 8 to 256 pixels",
        ) from error


def _fill(images: list[Encoded], out: np.ndarray, first: str, side: int | None) -> bool:
    """Decode into out (n, 3, H, W); says whether all were grey."""
    all_grey = True
    for encoded, room in zip(images, out, strict=True):
        pixels, grey = _rgb(encoded, side)
        if pixels.shape[1:] != room.shape[1:]:
            (height, width), (rule_height, rule_width) = pixels.shape[1:], room.shape[1:]
            raise BenchmarkError(
                f"images differ in size: {rule_width}x{rule_height} pixels in {first}, {width}x{height} in "
                f"{encoded.where}",
                where=_place(encoded),
                next="resize all images to one size, or say `size: PIXELS` in dataset.yaml to have it done",
            )
        room[:] = pixels
        all_grey = all_grey and grey
    return all_grey


def _rgb(encoded: Encoded, side: int | None) -> tuple[np.ndarray, bool]:
    """uint8 (3 or 1, H, W) and whether it is a grey image. Raises BenchmarkError for what Pillow cannot decode."""
    source = io.BytesIO(encoded.data) if isinstance(encoded.data, bytes) else encoded.data
    try:
        with Image.open(source) as image:
            grey = image.mode in _GREY
            flat = _sixteen_bit(image) if image.mode.startswith("I") else _flat(image, grey)
            pixels = np.asarray(_square(flat, side) if side else flat)
    except _DAMAGED as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise BenchmarkError(
            f"cannot decode {encoded.where}: {reason or type(error).__name__}",
            where=_place(encoded),
            next="replace or remove this image",
        ) from error
    return (pixels[None] if grey else pixels.transpose(2, 0, 1)), grey


def _place(encoded: Encoded) -> str:
    return str(encoded.data) if isinstance(encoded.data, Path) else encoded.where


def _square(image: Image.Image, side: int) -> Image.Image:
    from torchvision.transforms import functional

    cut: Image.Image = functional.center_crop(functional.resize(image, [side]), [side, side])
    return cut


def _flat(image: Image.Image, grey: bool) -> Image.Image:
    """Mode L or RGB; what is transparent shows white."""
    mode = "L" if grey else "RGB"
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert(mode)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    return image.convert(mode)


def _sixteen_bit(image: Image.Image) -> Image.Image:
    """0..65535 to 0..255, rounded (Pillow's own conversion clips instead)."""
    wide = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


def _cores() -> int:
    """The cores this process may use: on a cluster, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
