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
