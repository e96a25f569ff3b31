"""Tables in the layouts of Hugging Face: found, read the same from each, and refused in one line if damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmark.datasets import doctor, load
from benchmark.datasets.readers.decoding import EncodedImage, decode
from benchmark.datasets.readers.parquet import TableFiles
from benchmark.planning.plan import Plan
from benchmark.planning.plan_datasets import add_datasets
from benchmark.utils.errors import BenchmarkError
from dataset_files import class_folders, noise, parquet_folder, png, refused, write_parquet

NAMES = ["x", "y", "z"]


def write_arrow(path: Path, table: pa.Table, new: Callable = pa.ipc.new_stream, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"options": pa.ipc.IpcWriteOptions(**options)} if options else {}
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=2)


def arrow_folder(folder: Path, **options: object) -> Path:
    """What `save_to_disk` writes for the images of `parquet_folder`."""
    flat, _ = parquet_folder(folder.with_name(f"{folder.name}-flat"), names=NAMES)
    for split in ("train", "test"):
        table = pq.read_table(flat / f"{split}.parquet")
        write_arrow(folder / split / "data-00000-of-00001.arrow", table, **options)
        (folder / split / "state.json").write_text("{}")
        write_arrow(folder / split / "cache-0123.arrow", table.slice(0, 1))  # of a map or a filter
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return folder


def relabel(folder: Path, change: Callable[[pa.Array], pa.Array], *splits: str) -> None:
    """Replace the labels of `parquet_folder`, and drop their class names."""
    for split in splits or ("train", "test"):
        table = pq.read_table(path := folder / f"{split}.parquet")
        labels = change(table["label"].combine_chunks())
        pq.write_table(pa.table({"img": table["img"], "label": labels}), path)


# --- layouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("data/train/train-00000-of-00001.parquet", "data/test/test-00000-of-00001.parquet"),
        ("train/0000.parquet", "validation/0000.parquet"),
        ("Training/part.parquet", "Testing/part.parquet"),
        ("cifar10-train.parquet", "cifar10-test.parquet"),
        ("TRAIN.parquet", "Val-0.parquet"),
    ],
)
def test_each_layout_of_parquet_is_the_same_dataset(tmp_path: Path, names: tuple[str, str]) -> None:
    flat, _ = parquet_folder(tmp_path / "flat", names=NAMES)
    for name, split in zip(names, ("train", "test"), strict=True):
        (path := tmp_path / "nested" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((flat / f"{split}.parquet").read_bytes())
    nested = load(str(tmp_path / "nested"), tmp_path)
    assert nested.fingerprint == load(str(flat), tmp_path).fingerprint and nested.note == ""
    assert names[0] in nested.source and names[1] in nested.source


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_arrow_as_save_to_disk_writes_it(tmp_path: Path, new: Callable) -> None:
    disk = load(str(arrow_folder(tmp_path / "disk", new=new)), tmp_path)
    assert disk.fingerprint == load(str(tmp_path / "disk-flat"), tmp_path).fingerprint and disk.classes == (
        "x",
        "y",
        "z",
    )
    assert "arrow (train/data-00000-of-00001.arrow, test/" in disk.source
    write_arrow(tmp_path / "disk/train/indices.arrow", pa.table({"indices": [0]}))
    message = refused(tmp_path / "disk", tmp_path)
    assert "holds a selection of the rows" in message and ".flatten_indices().save_to_disk(" in message
    assert f'load_from_disk("{tmp_path / "disk"}")' in message, "both splits, which lie beside each other"


def test_the_cache_of_the_library_is_found_and_read(tmp_path: Path) -> None:
    disk, cache = arrow_folder(tmp_path / "disk"), tmp_path / "hub/cifar10/plain_text/0.0.0" / ("9f" * 32)
    cache.mkdir(parents=True)
    for split in ("train", "test"):
        (cache / f"cifar10-{split}.arrow").write_bytes((disk / split / "data-00000-of-00001.arrow").read_bytes())
    assert f"perhaps {cache}" in refused(tmp_path / "hub", tmp_path)
    assert f"write `name: my-images` into {cache / 'dataset.yaml'}" in refused(cache, tmp_path)
    (cache / "dataset.yaml").write_text("name: mine")
    assert load(str(cache), tmp_path).fingerprint == load(str(tmp_path / "disk-flat"), tmp_path).fingerprint


def test_one_split_alone_is_divided_by_the_command_in_the_hint(tmp_path: Path) -> None:
    disk = arrow_folder(tmp_path / "it's")
    assert f"give the folder above it: {disk}" in refused(disk / "train", tmp_path)
    alone = (disk / "train").rename(tmp_path / "o'ne")
    command = refused(alone, tmp_path).rpartition("&& python ")[2]
    (tmp_path / "datasets.py").write_text(  # the library, which is no dependency
        "class load_from_disk:\n"
        "    def __init__(self, path): self.path = path\n"
        "    def train_test_split(self, share): return self\n"
        "    def save_to_disk(self, path): print(self.path, path)\n"
    )
    run = subprocess.run(f"{sys.executable} {command}", shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.split() == [str(alone), f"{alone}-readable"], run.stderr
    (alone / "state.json").unlink()
    assert "holds cache-0123.arrow" not in (message := refused(alone, tmp_path))
    assert "holds data-00000-of-00001.arrow, whose name is that of no split | " in message


def test_layouts_of_which_there_are_two_are_refused(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "twice")
    (folder / "data").mkdir()
    (folder / "Train").mkdir()
    (inner := folder / "Train/0000.parquet").write_bytes((folder / "train.parquet").read_bytes())
    assert f"both {inner} and {folder / 'train.parquet'} are there: which one holds the train" in refused(
        folder, tmp_path
    )
    (folder / "train.parquet").rename(folder / "Train/0002.parquet")
    assert "2 files where their names count 3: 0000.parquet, 0002.parquet" in refused(folder, tmp_path)
    (folder / "Train/0002.parquet").rename(folder / "train-0.arrow")
    assert "train-0.arrow are there" in refused(folder, tmp_path)
    (folder / "test.parquet").unlink()
    (folder / "train-0.arrow").unlink()
    assert "Train/0000.parquet has no test split beside it" in refused(folder, tmp_path)
    images = class_folders(tmp_path / "images")
    (images / "Train").symlink_to(images / "train")
    assert "Train and " in (message := refused(images, tmp_path)) and "which one holds the train split" in message


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("training", "Testing"), ("TRAIN", "Validation")])
def test_class_folders_under_other_names(tmp_path: Path, train: str, test: str) -> None:
    folder = class_folders(tmp_path / "bugs")
    plain = load(str(folder), tmp_path).fingerprint
    (folder / "train").rename(folder / "moved").rename(folder / train)
    (folder / "test").rename(folder / "moved").rename(folder / test)
    bugs = load(str(folder), tmp_path)
    assert bugs.fingerprint == plain and f"({train}, {test})" in bugs.source


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: pa.array(NAMES).take(labels),
        lambda labels: pa.array(NAMES, pa.large_string()).take(labels),
        lambda labels: pa.array(["unused", *NAMES]).take(pa.array(np.array(labels) + 1)).dictionary_encode(),
    ],
)
def test_labels_that_are_text_are_numbered_by_name(tmp_path: Path, change: Callable) -> None:
    named = load(str(parquet_folder(tmp_path / "set", names=NAMES)[0]), tmp_path)
    relabel(tmp_path / "set", change)
    assert load(str(tmp_path / "set"), tmp_path).fingerprint == named.fingerprint
    disk = arrow_folder(tmp_path / "disk")
    for split in ("train", "test"):
        table = pq.read_table(tmp_path / f"set/{split}.parquet")
        write_arrow(disk / split / "data-00000-of-00001.arrow", table)
    assert load(str(disk), tmp_path).fingerprint == named.fingerprint
    relabel(tmp_path / "set", lambda labels: pa.array(["x", "y", "x"]), "test")
    assert "test.parquet has no image of class 2 (z)" in refused(tmp_path / "set", tmp_path)
    relabel(tmp_path / "set", lambda labels: pa.array([0, 1, 2]), "test")
    assert "labels are numbers in some files and text in others" in refused(tmp_path / "set", tmp_path)
    relabel(tmp_path / "set", lambda labels: pa.array(["x" * 300, "y", "z"]), "test")
    assert "column label has texts of more than 200 characters" in refused(tmp_path / "set", tmp_path)


def test_labels_that_are_true_and_false_or_coded_numbers(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    relabel(folder, lambda labels: pa.compute.equal(labels, 1))
    dataset = load(str(folder), tmp_path)
    assert dataset.classes == ("False", "True") and dataset.train.labels.tolist() == [0, 1, 0, 0, 1, 0]
    parquet_folder(folder)
    relabel(folder, lambda labels: labels.dictionary_encode())
    dataset = load(str(folder), tmp_path)
    assert dataset.classes == ("0", "1", "2") and dataset.train.labels.tolist() == [0, 1, 2, 2, 1, 0]


def test_columns_are_named_in_dataset_yaml(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    mark = load(str(folder), tmp_path).fingerprint
    for split in ("train", "test"):
        table = pq.read_table(path := folder / f"{split}.parquet")
        data = table["img"].combine_chunks().field("bytes")
        mask = pa.array([png(p) for p in noise(len(data), 6, 5, 3, seed=1)])
        kinds, ids = table["label"], pa.array(range(len(data)))
        pq.write_table(pa.table({"photo": data, "mask": mask, "kind": kinds, "id": ids}), path)
    assert "has 2 columns of encoded images" in (message := refused(folder, tmp_path))
    assert "photo (binary), mask (binary), kind (int64), id (int64)" in message and "`image: COLUMN`" in message
    (folder / "dataset.yaml").write_text("image: photo")
    assert "does not say which column is the label" in refused(folder, tmp_path)
    (folder / "dataset.yaml").write_text("image: photo\nlabel: kind")
    assert load(str(folder), tmp_path).fingerprint == mark
    (folder / "dataset.yaml").write_text("image: mask\nlabel: kind")
    assert load(str(folder), tmp_path).fingerprint != mark
    for text, expected in (
        ("image: picture\nlabel: kind", "train.parquet has no column 'picture'"),
        ("image: kind\nlabel: kind", "train.parquet has no images in its column 'kind'"),
        ("image: photo\nlabel: mask", "train.parquet has no labels in its column 'mask'"),
        ("label: 3", "the name of a column must be text, got 3"),
    ):
        (folder / "dataset.yaml").write_text(text)
        assert expected in refused(folder, tmp_path)
    bugs = class_folders(tmp_path / "bugs")
    (bugs / "dataset.yaml").write_text("label: kind")
    assert "holds class folders, which have no columns" in refused(bugs, tmp_path)


def test_images_that_are_only_paths_name_the_command_that_embeds_them(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    write_parquet(folder / "train.parquet", [None] * 3, [0, 1, 2])
    message = refused(folder, tmp_path)
    assert "row 0 holds no image bytes" in message
    assert f'load_dataset("{folder}").save_to_disk("{folder}-readable")' in message


# --- a test split without labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [-1, None, "absent"])
def test_a_labelled_validation_split_takes_the_place_of_a_test_split_without(tmp_path: Path, hidden: object) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    mark = load(str(folder), tmp_path).fingerprint
    (folder / "validation.parquet").write_bytes((folder / "test.parquet").read_bytes())
    assert load(str(folder), tmp_path).note == "", "a test split with labels is the test split"
    if hidden == "absent":
        pq.write_table(pq.read_table(folder / "test.parquet", columns=["img"]), folder / "test.parquet")
    else:
        relabel(folder, lambda labels: pa.array([hidden] * len(labels)), "test")
    plan, config = (
        Plan(),
        SimpleNamespace(datasets=[str(folder)], data_root=str(tmp_path), cache_path=None, dry_run=False, imbalance=1),
    )
    (outline,) = add_datasets(plan, config, None).values()
    assert plan.notes == ["set: the images of test.parquet have no labels: validation.parquet is the test split"]
    assert outline.fingerprint == mark
    assert any("have no labels" in finding.what for finding in doctor.examine(str(folder), tmp_path))
    (folder / "validation.parquet").unlink()
    message = refused(folder, tmp_path)
    assert "test.parquet has no column label, or no label in it" in message and "validation.parquet" in message


@pytest.mark.parametrize("place", ["test", "test/images", "Test/unknown"])
def test_class_folders_beside_test_images_without_labels(tmp_path: Path, place: str) -> None:
    folder = class_folders(tmp_path / "bugs", "val")
    mark = load(str(folder), tmp_path).fingerprint
    (folder / place).mkdir(parents=True)
    (folder / place / "0.png").write_bytes(png(noise(4, 4, 3)))
    bugs = load(str(folder), tmp_path)
    test = place.partition("/")[0]
    assert (
        bugs.fingerprint == mark and bugs.note == f"bugs: the images of {test}/ have no labels: val/ is the test split"
    )
    (folder / test / "ant").mkdir()
    (folder / test / "ant/0.png").write_bytes(png(noise(4, 4, 3)))
    assert "val" not in refused(folder, tmp_path), "with a class folder it is the test split"


# --- damaged, or made to harm -----------------------------------------------------------------------------------------


def test_compressed_arrow_is_not_inflated(tmp_path: Path) -> None:
    for codec in ("zstd", "lz4"):
        folder = arrow_folder(tmp_path / codec, compression=codec)
        assert "data-00000-of-00001.arrow holds compressed rows" in refused(folder, tmp_path)
    relabel(tmp_path / "zstd-flat", lambda labels: pa.array(NAMES).take(labels).dictionary_encode())
    table = pq.read_table(tmp_path / "zstd-flat/train.parquet").select(["label"])
    write_arrow(path := tmp_path / "zstd/train/data-00000-of-00001.arrow", table.slice(0, 0), compression="zstd")
    assert path.stat().st_size and "train" in refused(tmp_path / "zstd", tmp_path)


def test_whatever_an_arrow_file_holds_is_a_dataset_or_one_line(tmp_path: Path) -> None:
    folder = arrow_folder(tmp_path / "disk")
    path = folder / "train/data-00000-of-00001.arrow"
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(0), 0
    for index in range(200):
        data = bytearray(whole)
        if index % 4:
            for position in rng.integers(0, len(data), 1 + index % 3):
                data[position] = rng.integers(256)
        else:
            del data[rng.integers(len(data)) :]
        path.write_bytes(data)
        try:
            TableFiles.find(folder).read(None)
        except BenchmarkError as error:
            refusals += 1
            assert "\n" not in error.what
    assert refusals > 100


def lie(path: Path, true: int, claimed: int) -> None:
    """Replace a number in the footer of a parquet file, which holds it as a zigzag varint, by another."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    written = varint(true)
    assert written in data[start:]
    path.write_bytes(data[:start] + data[start:].replace(written, varint(claimed, len(written))))


def varint(value: int, width: int = 1) -> bytes:
    """In `width` bytes at least."""
    value, out = (value << 1) ^ (value >> 63), []
    while value or len(out) < width:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out[:-1], out[-1] & 127])


def test_a_footer_that_claims_other_numbers_of_rows(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    images, labels = [png(p) for p in noise(300, 6, 5, 3)], [0, 1, 2] * 100
    for claimed in (0, 7, 8000, -1):
        write_parquet(path := folder / "train.parquet", images, labels)
        lie(path, 300, claimed)
        try:
            assert len(load(str(folder), tmp_path).train) in (7, 300)
        except BenchmarkError as error:
            assert "train.parquet" in error.what
    write_parquet(path, images, labels)
    lie(path, pq.ParquetFile(path).metadata.row_group(0).column(0).total_compressed_size, 0)
    assert "0 images for 300 labels" in refused(folder, tmp_path)


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="no peak memory here")
def test_an_image_stored_once_is_not_copied_into_every_row_whatever_the_footer_says(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array([bytes(64_000_000)]))
    images = pa.StructArray.from_arrays([once, pa.nulls(300, pa.string())], ["bytes", "path"])
    table = pa.table({"img": images, "label": [0, 1, 2] * 100})
    pq.write_table(table, path := folder / "train.parquet", compression="zstd", store_schema=False)
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert path.stat().st_size < 10_000 and group.total_byte_size > 60_000_000
    for size in {group.total_byte_size, group.column(0).total_uncompressed_size}:
        lie(path, size, 5000)
    code = f"""import pathlib, resource
from benchmark.datasets.readers.tables import image_bytes
from benchmark.utils.errors import BenchmarkError
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(sum(1 for _ in image_bytes(pathlib.Path({str(path)!r}), "img")))
except BenchmarkError as error:
    print(error.what)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    what, megabytes = run.stdout.splitlines()
    assert "encoded images cannot be compressed so much" in what and int(megabytes) < 600


def test_a_text_stored_once_is_no_label_and_takes_no_memory(tmp_path: Path) -> None:
    folder, _ = parquet_folder(tmp_path / "set")
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 1_000_000]))
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array([png(noise(6, 5, 3))]))
    table = pa.table({"img": images, "label": texts})
    pq.write_table(table, folder / "train.parquet", compression="zstd", store_schema=False)
    assert "texts of more than 200 characters" in refused(folder, tmp_path), "100 GB as text"


def test_pixels_without_labels_are_not_made_up(tmp_path: Path) -> None:
    images = [EncodedImage(str(index), png(noise(4, 4, 3))) for index in range(3)]
    for total, message in ((2, "3 or more images for 2 labels"), (4, "3 images for 4 labels")):
        with pytest.raises(BenchmarkError, match=message):
            decode(images, total, "decoding")
    with pytest.raises(BenchmarkError, match="0 images for 4 labels"):
        decode([], 4, "decoding")
    assert torch.as_tensor(decode(images, 3, "decoding").pixels).shape == (3, 3, 4, 4)
