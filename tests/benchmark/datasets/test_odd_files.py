"""Files that were made to harm, or are only odd: they are decoded, or refused in one line before they take memory."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from benchmark.datasets import doctor, load
from benchmark.datasets.readers import decoding, tables
from benchmark.datasets.readers.parquet import read_rows
from benchmark.datasets.readers.parquet_pages import page_sizes
from benchmark.utils.errors import BenchmarkError
from dataset_files import class_folders, noise, parquet_folder, png, refused, write_parquet

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    image.save(out := io.BytesIO(), kind, **options)
    return out.getvalue()


def bare_png(width: int, height: int, depth: int = 8, pixels: bytes = b"", transparent: bytes = b"") -> bytes:
    """A PNG of three channels; without `pixels`, its only content is its size."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    written = [(name, data) for name, data in chunks if data or name != b"tRNS"]
    body = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in written)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def with_image(folder: Path, data: bytes, name: str = "0.png") -> Path:
    """Class folders, one of whose images is `data`."""
    class_folders(folder)
    (folder / "train/ant/0.png").unlink()
    (folder / "train/ant" / name).write_bytes(data)
    return folder


# --- formats and modes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["EPS", "DDS", "AVIF", "TGA", "PCX", "ICO"])
def test_only_the_promised_formats_are_opened(tmp_path: Path, kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    data = EPS if kind == "EPS" else encoded(Image.fromarray(noise(4, 4, 3)), kind)
    assert "train/ant/0.png: not an image (BMP, GIF," in refused(with_image(tmp_path / "bugs", data), tmp_path)
    folder, _ = parquet_folder(tmp_path / "table")
    write_parquet(folder / "train.parquet", [data] * 3, [0, 1, 2])
    assert "row 0: not an image (BMP, GIF," in refused(folder, tmp_path)


@pytest.mark.parametrize(
    ("image", "mode"),
    [(np.full((4, 4), 100_000, np.int32), "mode I"), (np.full((4, 4), 0.5, np.float32), "mode F"), (None, "mode LAB")],
)
def test_pixels_of_unknown_range_are_refused_by_mode(tmp_path: Path, image: np.ndarray | None, mode: str) -> None:
    picture = Image.new("LAB", (4, 4)) if image is None else Image.fromarray(image)
    folder = with_image(tmp_path / "bugs", encoded(picture, "TIFF"), "0.tif")
    assert f"Pillow's {mode}, whose range is not known" in refused(folder, tmp_path)


def test_a_transparent_level_of_16_bits_is_white(tmp_path: Path) -> None:
    pixels = np.array([[30_000, 40_000], [0, 65_535]], np.uint16).repeat(2, 0).repeat(2, 1)
    data = encoded(Image.fromarray(pixels), "PNG", transparency=30_000)
    images = load(str(with_image(tmp_path / "bugs", data)), tmp_path).train.images
    assert any(
        torch.equal(image[0, ::2, ::2], torch.tensor([[255, 156], [0, 255]], dtype=torch.uint8)) for image in images
    )
    color = bare_png(2, 2, 16, (b"\0" + struct.pack(">HHH", 1, 2, 3) * 2) * 2, struct.pack(">HHH", 1, 2, 3))
    assert "one of its colors of 16 bits is transparent" in refused(with_image(tmp_path / "color", color), tmp_path)


def gray_png(depth: int, rows: bytes, *chunks: tuple[bytes, bytes], color: int = 0) -> bytes:
    """A PNG of 8x8 pixels of one channel (`color` 3: with a palette), with these chunks before its pixels."""
    header = struct.pack(">IIBBBBB", 8, 8, depth, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts
    )


def pixels_of(data: bytes) -> np.ndarray:
    return decoding.decode([decoding.EncodedImage("it", data)], 1, "decoding").pixels[0, 0]


@pytest.mark.parametrize(("depth", "transparent"), [(1, 0), (1, 1), (2, 2), (4, 5)])
def test_a_transparent_level_of_few_bits_is_white(depth: int, transparent: int) -> None:
    levels = np.arange(64).reshape(8, 8) % 2**depth
    bits = (levels[..., None] >> np.arange(depth)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits.astype(np.uint8))
    shades = levels * (255 // (2**depth - 1))
    assert np.array_equal(pixels_of(gray_png(depth, rows)), shades)
    data = gray_png(depth, rows, (b"tRNS", struct.pack(">H", transparent)))
    assert np.array_equal(pixels_of(data), np.where(levels == transparent, 255, shades))


def test_pixels_outside_the_palette_are_refused() -> None:
    rows = b"".join(b"\0" + bytes(range(8)) for _ in range(8))
    assert pixels_of(gray_png(8, rows, (b"PLTE", bytes(range(24))), color=3))[0].tolist() == list(range(0, 24, 3))
    for palette in ([], [(b"PLTE", bytes(21))]):
        with pytest.raises(BenchmarkError, match="colors that are not in its palette"):
            pixels_of(gray_png(8, rows, *palette, color=3))
    picture = Image.new("P", (8, 8))
    picture.putdata([0, 1] * 32)
    picture.putpalette([9, 9, 9, 8, 8, 8])
    data = encoded(picture, "PNG", transparency=b"\xff\x00")
    assert pixels_of(data)[0].tolist() == [9, 255] * 4


def tiff(pixels: np.ndarray, **tags: int) -> bytes:
    """A TIFF of gray uint8 pixels in one strip, its tags changed: t339=2 for signed ones."""
    height, width = pixels.shape
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: pixels.size}
    values |= {int(name[1:]): value for name, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, values[tag]) for tag in sorted(values))
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + pixels.size) + pixels.tobytes() + directory


def test_tiff_pixels_that_are_signed_or_missing_are_refused() -> None:
    pixels = noise(8, 8)
    assert np.array_equal(pixels_of(tiff(pixels)), pixels)
    for tags, reason in (({"t339": 2}, "signed or floating point"), ({"t278": 4}, "a part of its pixels is missing")):
        with pytest.raises(BenchmarkError, match=reason):
            pixels_of(tiff(pixels, **tags))


def test_images_that_take_minutes_to_decode_are_refused() -> None:
    gray = Image.fromarray(noise(8, 8))
    jpeg = encoded(gray, "JPEG", progressive=True)
    last = jpeg.rfind(b"\xff\xda")
    many = {
        "more than 64 scans": jpeg[:last] + jpeg[last:-2] * 64 + jpeg[-2:],
        "no size in the first 4,096 bytes": b"P5 8 8\n#" + b"a" * 2**20 + b"\n255\n" + bytes(64),
        "more than 1,000 comments": b"P2 8 8 255\n" + b"#\n" * 1001 + b"0 " * 64,
    }
    for reason, data in many.items():
        with pytest.raises(BenchmarkError, match=reason):
            pixels_of(data)
    few = b"P5 # one\n8 # two\n 8\n#\n255\n" + bytes(64), b"P1\n8 8\n" + b"1 " * 64, b"P4 8 8\n" + b"\xff" * 8
    assert all(not pixels_of(data).any() for data in few)
    assert pixels_of(jpeg).shape == (8, 8)


# --- what never ends, and what takes all memory -----------------------------------------------------------------------


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    (folder / "train/ant/0.png").unlink()
    os.mkfifo(folder / "train/ant/0.png")
    assert "0.png is no regular file but a pipe" in refused(folder, tmp_path)
    (folder / "train/ant/0.png").unlink()
    (folder / "train/ant/0.png").symlink_to("/dev/zero")
    assert "0.png is no regular file but a device" in refused(folder, tmp_path)
    table, _ = parquet_folder(tmp_path / "table")
    (table / "train.parquet").unlink()
    os.mkfifo(table / "train-0.parquet")
    assert "train-0.parquet is no regular file but a pipe" in refused(table, tmp_path)


def test_links_of_a_folder_to_itself_end(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "bugs")
    (inner := folder / "train/ant/more").mkdir()
    for name in ("a", "b"):
        (inner / name).symlink_to(".")
    assert len(load(str(folder), tmp_path).train) == 4


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    folder = with_image(tmp_path / "bugs", bare_png(13_312, 13_312))
    assert "13312x13312 pixels are more than the limit of 67,108,864" in refused(folder, tmp_path)
    (folder / "train/ant/0.png").write_bytes(bare_png(60_000, 1))
    assert "60000x1 pixels are too many to train on; the limit is 1024 a side" in refused(folder, tmp_path)
    (folder / "dataset.yaml").write_text("size: 128")
    message = refused(folder, tmp_path)
    assert "60000x1 pixels, resized to a short side of 128, are more than the limit" in message
    assert any("60000x1" in finding.what for finding in doctor.examine(str(folder), tmp_path))


def test_images_that_do_not_fit_into_memory_are_not_allocated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "available_memory", lambda: 300)
    message = refused(class_folders(tmp_path / "bugs"), tmp_path)
    assert "4 images of 4x4 pixels take 192 B of memory" in message and "more than is available" in message


def test_images_that_inflate_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = parquet_folder(tmp_path / "table")
    write_parquet(folder / "train.parquet", [bytes(1_000_000)] * 300, [0, 1, 2] * 100)
    monkeypatch.setattr(tables, "MAX_INFLATED", 500_000)
    assert "encoded images cannot be compressed so much" in refused(folder, tmp_path)
    monkeypatch.setattr(tables, "MAX_ROWS", 299)
    assert "train.parquet has 300 rows; at most 299 are read" in refused(folder, tmp_path)


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "table", names=["cat", "dog", "cat"])
    assert "two classes of train.parquet have the name 'cat'" in refused(folder, tmp_path)


NESTED_COLUMN = b'{"info": {"features": {"img": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}}"


@pytest.mark.parametrize(
    "metadata", [b"[" * 100_000, NESTED_COLUMN, b'{"info": {"features": ' + b"9" * 5000 + b"}}", b"\xff"]
)
def test_odd_metadata_of_parquet_is_no_metadata(tmp_path: Path, metadata: bytes) -> None:
    folder, _ = parquet_folder(tmp_path / "table")
    structs = [{"bytes": png(noise(6, 5, 3)), "path": None}] * 3
    table = pa.table({"img": structs, "label": [0, 1, 2]}).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, folder / "train.parquet")
    assert load(str(folder), tmp_path).classes == ("0", "1", "2")


# --- pages of Parquet -------------------------------------------------------------------------------------------------


def claim_less(path: Path) -> None:
    """Change the footer: the first column inflates to a few bytes, it says."""
    content, size = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    number = varint(2 * size)
    at = content.index(number, footer)
    content[at : at + len(number)] = bytes([0x94] + [0x80] * (len(number) - 2) + [0])
    path.write_bytes(content)


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False}])
def test_a_page_is_measured_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    monkeypatch.setattr(tables, "MAX_INFLATED", 2**20)
    (folder := tmp_path / "bugs").mkdir()
    for name, first in (("train", bytes(30 * 2**20)), ("test", png(noise(4, 4, 3)))):
        table = pa.table({"image": [first] + [png(noise(4, 4, 3))] * 2, "label": [0, 1, 2]})
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", write_statistics=False, **options)
    claim_less(folder / "train.parquet")
    assert pq.read_metadata(folder / "train.parquet").row_group(0).column(0).total_uncompressed_size < 100
    pool = pa.proxy_memory_pool(before := pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        assert "to more than 1 MiB: encoded images cannot be compressed so much" in refused(folder, tmp_path)
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 2**23


def test_a_page_larger_than_the_memory_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = parquet_folder(tmp_path / "bugs")
    monkeypatch.setattr(tables, "available_memory", lambda: 100)
    assert "to read it takes more memory than is available" in refused(folder, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data_page_version": "2.0", "compression": "zstd", "row_group_size": 100},
        {"write_page_checksum": True, "use_dictionary": False, "write_page_index": True},
        {"data_page_size": 1000, "compression": "none"},
    ],
)
def test_the_sizes_of_all_pages_are_those_of_the_column(tmp_path: Path, options: dict[str, object]) -> None:
    sizes = np.random.default_rng(0).integers(0, 3000, 500)
    images = [{"bytes": bytes(noise(int(size))), "path": "a" * 50} for size in sizes]
    columns = {"image": images, "label": [None, 1, 2, 3, 4] * 100, "text": [f"t{size % 7}" for size in sizes]}
    pq.write_table(pa.table(columns), path := tmp_path / "a.parquet", **options)
    metadata = pq.read_metadata(path)
    for column in ("image.bytes", "label", "text"):
        found = list(page_sizes(path, column))
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        chunks = [chunk for group in groups for chunk in map(group.column, range(4)) if chunk.path_in_schema == column]
        headers = sum(chunk.total_uncompressed_size for chunk in chunks) - sum(found)
        assert len(chunks) <= len(found) and 0 < headers < 9000 * len(found)


@pytest.mark.parametrize("header", [b"", b"\xff" * 30, b"\x1c" * 30, b"\x19\xfc" + b"\xff" * 9, b"\0"])
def test_what_is_no_header_of_a_page_is_an_error(tmp_path: Path, header: bytes) -> None:
    folder, _ = parquet_folder(tmp_path / "bugs")
    path = folder / "train.parquet"
    chunk, content = pq.read_metadata(path).row_group(0).column(0), bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + len(header)] = header
    path.write_bytes(content if header else content[:4] + content[-8 - int.from_bytes(content[-8:-4], "little") :])
    assert "cannot read train.parquet: " in refused(folder, tmp_path)


def test_600_damaged_footers_are_read_or_refused(tmp_path: Path) -> None:
    """pyarrow ends the process for some of them when it is asked for their columns."""
    chance = np.random.default_rng(3)
    images = [{"bytes": png(noise(4, 4, 3, seed=i)), "path": None} for i in range(30)]
    path, ends = tmp_path / "a.parquet", set()
    pq.write_table(pa.table({"image": images, "label": [0, 1, 2] * 10, "s": ["a"] * 30}), path, row_group_size=7)
    sound = path.read_bytes()
    footer = len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
    for _ in range(600):
        content = bytearray(sound)
        for at in chance.integers(footer, len(sound) - 8, chance.integers(1, 6)):
            content[at] = chance.integers(256)
        path.write_bytes(content)
        try:
            read_rows([path])
            ends.add("read")
        except BenchmarkError as error:
            assert "\n" not in error.what
            ends.add("refused")
    assert ends == {"read", "refused"}
