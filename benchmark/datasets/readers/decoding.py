"""Decoding image files or byte strings into one preallocated uint8 array, gray or RGB, all of one size."""

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

from benchmark.datasets.base import DecodedSplits, Progress, one_line, to_split
from benchmark.utils.errors import BenchmarkError
from results import formatting

_BATCH = 1024  # encoded images in memory at a time
_CHUNK = 64  # images a thread takes at a time: handing out small ones one by one would cost as much as decoding them
_THREADS = 8
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")

# What Pillow raises for a damaged image, depending on format and place of the damage.
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
class EncodedImage:
    """One encoded image: its name for messages, and its bytes or the file that holds them."""

    name: str
    data: Path | bytes

    @property
    def location(self) -> str:
        return str(self.data) if isinstance(self.data, Path) else self.name


LabeledImages = tuple[Iterable[EncodedImage], np.ndarray]  # and their labels (N,)


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """pixels: uint8 (N, 3, H, W), equal channels where the source is gray. gray: whether all images are.

    first: name of the first image, whose size the others must have.
    """

    pixels: np.ndarray
    gray: bool
    first: str


def decode(
    images: Iterable[EncodedImage],
    total: int,
    label: str,
    *,
    side: int | None = None,
    like: DecodedImages | None = None,
    progress: Progress | None = None,
) -> DecodedImages:
    """All `total` (at least 1) images, in order. All must have the size of the first one, or of the images in `like`.

    Each is resized until its short side has `side` pixels, if given (bilinear, antialiased), and its center is cropped
    to a square [IDC@ceac95a, DANCE@3f6b8b6: torchvision's Resize and CenterCrop on Pillow images]. Pixels are taken
    as stored (no EXIF rotation); of several frames the first. Raises BenchmarkError, with its name, for an image that
    cannot be decoded or has another size.
    """
    stream, gray, done = iter(images), True, 0
    head = list(islice(stream, 1))
    first = like.first if like else head[0].name
    pixels = _allocate(total, like.pixels.shape[2:] if like else _rgb(head[0], side)[0].shape[1:], first)
    pool = ThreadPoolExecutor(min(_THREADS, _cores()))
    try:
        for batch in _chunks(chain(head, stream), _BATCH):
            chunks = list(_chunks(iter(batch), _CHUNK))
            bounds = [(start, min(start + _CHUNK, len(batch))) for start in range(0, len(batch), _CHUNK)]
            targets = [pixels[done + start : done + end] for start, end in bounds]
            gray = all(list(pool.map(_decode_into, targets, chunks, repeat(first), repeat(side)))) and gray
            done += len(batch)
            if progress:
                progress(label, done, total)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or a stop, the rest of the batch is not decoded
    return DecodedImages(pixels, gray, first)


def find_undecodable(
    images: Iterable[EncodedImage], label: str, progress: Progress | None = None
) -> list[BenchmarkError]:
    """The error of each image that cannot be decoded; [] if all can."""
    errors: list[BenchmarkError] = []
    with ThreadPoolExecutor(min(_THREADS, _cores())) as pool:
        for number, batch in enumerate(_chunks(iter(images), _BATCH)):
            errors += chain.from_iterable(pool.map(_errors_of, _chunks(iter(batch), _CHUNK)))
            if progress:
                progress(label, number * _BATCH + len(batch), 0)
    return errors


def _errors_of(images: list[EncodedImage]) -> list[BenchmarkError]:
    errors = []
    for encoded in images:
        try:
            _rgb(encoded, None)
        except BenchmarkError as error:
            errors.append(error)
    return errors


def decode_splits(
    train: LabeledImages,
    test: LabeledImages,
    classes: tuple[str, ...],
    kind: str,
    side: int | None,
    progress: Progress | None,
) -> DecodedSplits:
    """Both splits: images (N, 1, H, W) if every one of both is gray, else (N, 3, H, W). Raises as `decode`."""
    first = decode(train[0], len(train[1]), "decoding train", side=side, progress=progress)
    second = decode(test[0], len(test[1]), "decoding test", side=side, like=first, progress=progress)
    channels = 1 if first.gray and second.gray else 3
    splits = [to_split(i.pixels[:, :channels], labels) for i, (_, labels) in ((first, train), (second, test))]
    return DecodedSplits(splits[0], splits[1], classes, kind)


def _chunks(images: Iterator[EncodedImage], size: int) -> Iterator[list[EncodedImage]]:
    while chunk := list(islice(images, size)):
        yield chunk


def _allocate(total: int, size: tuple[int, ...], where: str) -> np.ndarray:
    height, width = size
    try:
        return np.empty((total, 3, height, width), dtype=np.uint8)
    except MemoryError as error:
        needed = formatting.size(total * 3 * height * width)
        raise BenchmarkError(
            f"{total} images of {width}x{height} pixels need {needed} of memory, which is not available",
            where=where,
            next="make the images smaller: condensation works at 8 to 256 pixels",
        ) from error


def _decode_into(target: np.ndarray, images: list[EncodedImage], first: str, side: int | None) -> bool:
    """Decode into uint8 (n, 3, H, W); returns whether all images are gray."""
    all_gray = True
    for encoded, slot in zip(images, target, strict=True):
        pixels, gray = _rgb(encoded, side)
        if pixels.shape[1:] != slot.shape[1:]:
            (height, width), (first_height, first_width) = pixels.shape[1:], slot.shape[1:]
            raise BenchmarkError(
                f"images differ in size: {first_width}x{first_height} pixels in {first}, {width}x{height} in "
                f"{encoded.name}",
                where=encoded.location,
                next="resize all images to one size, or set `size: PIXELS` in dataset.yaml to have it done",
            )
        slot[:] = pixels
        all_gray = all_gray and gray
    return all_gray


def _rgb(encoded: EncodedImage, side: int | None) -> tuple[np.ndarray, bool]:
    """uint8 (3 or 1, H, W) and whether the image is gray. Raises BenchmarkError for what Pillow cannot decode."""
    source = io.BytesIO(encoded.data) if isinstance(encoded.data, bytes) else encoded.data
    try:
        with Image.open(source) as image:
            gray = image.mode in _GRAY_MODES
            converted = _from_16_bit(image) if image.mode.startswith("I") else _convert(image, gray)
            pixels = np.asarray(_resize_and_crop(converted, side) if side else converted)
    except _DAMAGED as error:
        raise BenchmarkError(
            f"cannot decode {encoded.name}: "
            f"{'not an image' if isinstance(error, UnidentifiedImageError) else one_line(error)}",
            where=encoded.location,
            next="replace or remove this image",
        ) from error
    return (pixels[None] if gray else pixels.transpose(2, 0, 1)), gray


def _resize_and_crop(image: Image.Image, side: int) -> Image.Image:
    from torchvision.transforms import functional

    cropped: Image.Image = functional.center_crop(functional.resize(image, [side]), [side, side])
    return cropped


def _convert(image: Image.Image, gray: bool) -> Image.Image:
    """Mode L or RGB; transparent pixels become white."""
    mode = "L" if gray else "RGB"
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert(mode)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    return image.convert(mode)


def _from_16_bit(image: Image.Image) -> Image.Image:
    """0..65535 to 0..255, rounded (Pillow's own conversion clips instead)."""
    wide = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


def _cores() -> int:
    """The cores this process may use: on a cluster, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
