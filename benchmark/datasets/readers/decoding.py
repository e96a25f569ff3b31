"""Decoding image files or byte strings into one preallocated uint8 array, gray or RGB, all of one size."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from benchmark.datasets.base import DecodedSplits, Progress, one_line, to_split
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.memory import available_memory
from benchmark.utils.regular_files import check_file, placeholder
from results import formatting

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # other decoders of Pillow run programs, or fail badly
MAX_PIXELS = 2**26  # of one image, as stored and as resized: 67 million; the largest of ILSVRC-2012 has 61 million
MAX_SIDE = 1024  # of images that are not resized, as of `size` in dataset.yaml: networks are trained on 8 to 256 pixels
MAX_ENCODED = 2**26  # bytes of one image: an honest photo of MAX_PIXELS has fewer

# What keeps Pillow busy for minutes: it reads the header of a PPM image byte by byte, copies a megabyte for each
# comment in its pixels, and goes through all pixels of a JPEG image once a scan, of which progressive ones have ten.
_PPM_HEADER = 4096  # bytes, with its comments
_GAP, _NUMBER = rb"(?:\s|#[^\r\n]*+[\r\n])++", rb"[-.\d]++"
_PPM = re.compile(rb"(?:P[14]|P\S{1,6}?%b%b)%b%b%b%b\s" % (_GAP, _NUMBER, _GAP, _NUMBER, _GAP, _NUMBER))
_TOO_MANY = {
    b"\xff\xd8": (b"\xff\xda", 64, "scans"),
    **dict.fromkeys((b"P1", b"P2", b"P3"), (b"#", 1000, "comments")),
}

_BATCH = 1024  # encoded images in memory at a time
_BATCH_BYTES = 2**26  # unless these are more bytes
_CHUNK = 64  # images a thread takes at a time: handing out small ones one by one would cost as much as decoding them
_THREADS = 8
_LARGE = 2**24  # pixels, from which images are decoded one at a time: a large one takes several times its bytes
_ONE_LARGE = Lock()
_GRAY_MODES = ("1", "L", "LA", "La")
_COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_LEVELS = {"1": 1, "L;2": 3, "L;4": 15}  # the largest level of PNG's gray pixels of less than 8 bits
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N")

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS is below its limit


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
    if not head:
        raise _other_number(0, total, label)
    first = like.first if like else head[0].name
    pixels = _allocate(total, like.pixels.shape[2:] if like else _rgb(head[0], side)[0].shape[1:], first)
    pool = ThreadPoolExecutor(min(_THREADS, _cores()))
    try:
        for batch in _batches(chain(head, stream)):
            if done + len(batch) > total:
                raise _other_number(done + len(batch), total, first)
            chunks = list(_chunks(iter(batch), _CHUNK))
            bounds = [(start, min(start + _CHUNK, len(batch))) for start in range(0, len(batch), _CHUNK)]
            targets = [pixels[done + start : done + end] for start, end in bounds]
            gray = all(list(pool.map(_decode_into, targets, chunks, repeat(first), repeat(side)))) and gray
            done += len(batch)
            if progress:
                progress(label, done, total)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or a stop, the rest of the batch is not decoded
    if done != total:
        raise _other_number(done, total, first)
    return DecodedImages(pixels, gray, first)


def _other_number(images: int, labels: int, where: str) -> BenchmarkError:
    return BenchmarkError(
        f"there are {images:,} {'or more ' if images > labels else ''}images for {labels:,} labels",
        where=where,
        next="a file is damaged: copy or download it again",
    )


def find_undecodable(
    images: Iterable[EncodedImage], label: str, side: int | None, progress: Progress | None = None
) -> list[BenchmarkError]:
    """The error of each image that cannot be decoded, or resized to `side` if given; [] if all can."""
    errors: list[BenchmarkError] = []
    with ThreadPoolExecutor(min(_THREADS, _cores())) as pool:
        done = 0
        for batch in _batches(iter(images)):
            errors += chain.from_iterable(pool.map(_errors_of, _chunks(iter(batch), _CHUNK), repeat(side)))
            done += len(batch)
            if progress:
                progress(label, done, 0)
    return errors


def _errors_of(images: list[EncodedImage], side: int | None) -> list[BenchmarkError]:
    errors = []
    for encoded in images:
        try:
            _rgb(encoded, side)
        except BenchmarkError as error:  # a new one: its traceback would keep the image
            errors.append(BenchmarkError(error.what, where=error.where, next=error.next))
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


def _batches(images: Iterator[EncodedImage]) -> Iterator[list[EncodedImage]]:
    """Up to _BATCH images, or as many as have _BATCH_BYTES."""
    batch: list[EncodedImage] = []
    held = 0
    for encoded in images:
        batch.append(encoded)
        held += len(encoded.data) if isinstance(encoded.data, bytes) else 0
        if len(batch) == _BATCH or held > _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _allocate(total: int, size: tuple[int, ...], where: str) -> np.ndarray:
    height, width = size
    if (needed := total * 3 * height * width) * 2 > available_memory():  # they are written to the cache from a copy
        raise BenchmarkError(
            f"{total:,} images of {width}x{height} pixels take {formatting.size(needed)} of memory, and as much again "
            "while they are written: more than is available",
            where=where,
            next="make the images smaller (`size: PIXELS` in dataset.yaml): condensation works at 8 to 256 pixels",
        )
    return np.empty((total, 3, height, width), dtype=np.uint8)


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
    """uint8 (3 or 1, H, W) and whether the image is gray. Raises BenchmarkError for what is not decoded.

    The only place where images are opened that somebody else made.
    """
    data = encoded.data
    try:
        content = _content(data)
        _check_effort(content)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            gray = image.mode not in _COLOR_MODES
            _check_size(*image.size, side)
            with _ONE_LARGE if image.width * image.height > _LARGE else nullcontext():
                converted = _convert(image, gray)
                pixels = np.asarray(_resize_and_crop(converted, side) if side else converted)
    except BenchmarkError as error:
        raise BenchmarkError(f"{encoded.name}: {error.what}", where=encoded.location, next=error.next) from error
    except Exception as error:  # damaged images make Pillow raise whatever their bytes lead to
        unknown = isinstance(error, UnidentifiedImageError)
        formats = f"not an image ({', '.join(FORMATS)})"
        raise BenchmarkError(
            f"cannot decode {encoded.name}: {formats if unknown else one_line(error)}",
            where=encoded.location,
            next="replace or remove this image",
        ) from error
    return (pixels[None] if gray else pixels.transpose(2, 0, 1)), gray


def _content(data: Path | bytes) -> bytes:
    """The bytes of an image. Raises BenchmarkError for too many of them, and for what is no file, or no image's."""
    if isinstance(data, Path):
        check_file(data, MAX_ENCODED)
        return data.read_bytes()
    if len(data) > MAX_ENCODED:
        raise BenchmarkError(f"it has {formatting.size(len(data))}; at most {formatting.size(MAX_ENCODED)} are read")
    if found := placeholder(data):
        raise BenchmarkError(f"it is {found[0]}, not an image", next=found[1])
    return data


def _check_effort(content: bytes) -> None:
    """Raise ValueError for an image that is made so that decoding it takes minutes."""
    if content[:1] == b"P" and not _PPM.match(content[:_PPM_HEADER]):  # no other of the formats begins with this letter
        raise ValueError(f"no size in the first {_PPM_HEADER:,} bytes, which the header of a PPM image has")
    mark, most, name = _TOO_MANY.get(content[:2], (b"", sys.maxsize, ""))
    if mark and content.count(mark) > most:
        raise ValueError(f"it has more than {most:,} {name}")


def _check_size(width: int, height: int, side: int | None) -> None:
    """Raise BenchmarkError for an image that would take too much memory, before it is decoded."""
    resized = side * side * max(width, height) // max(1, min(width, height)) if side else 0
    if max(width * height, resized) > MAX_PIXELS:
        what = f"{width}x{height} pixels{f', resized to a short side of {side},' if resized > MAX_PIXELS else ''} are"
        raise BenchmarkError(
            f"{what} more than the limit of {MAX_PIXELS:,}", next="make the image smaller, or remove it"
        )
    if not side and max(width, height) > MAX_SIDE:
        raise BenchmarkError(
            f"{width}x{height} pixels are too many to train on; the limit is {MAX_SIDE} a side",
            next="set `size: PIXELS` in dataset.yaml to have all images resized",
        )


def _resize_and_crop(image: Image.Image, side: int) -> Image.Image:
    from torchvision.transforms import functional

    cropped: Image.Image = functional.center_crop(functional.resize(image, [side]), [side, side])
    return cropped


def _convert(image: Image.Image, gray: bool) -> Image.Image:
    """Mode L or RGB; transparent pixels become white. Raises ValueError for pixels whose range is not known."""
    mode = "L" if gray else "RGB"
    if image.mode in _DEEP_MODES or (image.mode == "I" and image.format in ("PNG", "PPM")):  # older Pillow's 16 bits
        return _from_16_bit(image)
    if image.mode not in _GRAY_MODES + _COLOR_MODES:
        raise ValueError(f"its pixels are of Pillow's mode {image.mode}, whose range is not known: save it in 8 bits")
    layouts = {tile[3] for tile in getattr(image, "tile", ()) if isinstance(tile[3], str)}  # as stored
    if "transparency" in image.info and "RGB;16B" in layouts:
        raise ValueError("one of its colors of 16 bits is transparent: save it in 8 bits, or with an alpha channel")
    if "transparency" in image.info and (largest := max((_LEVELS.get(layout, 0) for layout in layouts), default=0)):
        image.info["transparency"] *= 255 // largest  # Pillow scales the pixels, but not the transparent level
    _check_values(image)
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert(mode)
    return image.convert(mode)


def _check_values(image: Image.Image) -> None:
    """Raise ValueError for pixels that Pillow would take for others, or for black."""
    if isinstance(image, TiffImageFile):
        if {2, 3} & {*image.tag_v2.get(339, ())}:
            raise ValueError("its pixels are signed or floating point: save it with pixels from 0 to 255")
        planes = len(image.getbands()) if image.tag_v2.get(284) == 2 else 1  # each channel by itself
        strips = [tile[1] for tile in image.tile if tile[0] == "raw" and tile[1]]
        if strips and sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in strips) < planes * image.width * image.height:
            raise ValueError("a part of its pixels is missing: it is damaged")
    if image.mode == "P":
        used = {index for index, count in enumerate(image.histogram()) if count} - {image.info.get("transparency")}
        if 3 * max(used, default=0) >= len(image.getpalette() or ()):
            raise ValueError("it has pixels of colors that are not in its palette: it is damaged")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """0..65535 to 0..255, rounded (Pillow's own conversion clips instead); transparent pixels become white."""
    if image.format == "TIFF" and (image.tag_v2.get(258), image.tag_v2.get(262)) != ((16,), 1):  # type: ignore[attr-defined]
        raise ValueError("its pixels have less than 16 bits, or black is its largest value: save it in 8 bits")
    wide = np.asarray(image).astype(np.uint32)
    levels = ((wide + 128) // 257).astype(np.uint8)
    levels[wide == image.info.get("transparency", -1)] = 255
    return Image.fromarray(levels)


def _cores() -> int:
    """The cores this process may use: on a cluster, fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
