"""Datasets as parquet files in the layout of Hugging Face: encoded image bytes in a struct column, integer labels."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.datasets.base import DecodedSplits, Progress
from benchmark.datasets.readers.decoding import DecodedImages, EncodedImage, decode, decode_splits
from benchmark.datasets.readers.image_folder import TEST_NAMES
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_file
from results import formatting

_LABEL_NAMES = ("label", "labels", "fine_label", "target", "class")
MAX_ROWS = 20_000_000  # images of a split: more than ImageNet-21k has; a file of a few bytes can hold any number
MAX_INFLATED = 2**30  # bytes of a group of rows, if the file has less than a twentieth of them
_RATIO = 20  # encoded images hardly get smaller by compression
_ROWS = 256  # encoded images read at a time
_ROWS_BYTES = 2**28  # or as many as surely have no more bytes: one that is stored once can be in every row
_SHARD = re.compile(r"-(\d+)-of-(\d+)")


@dataclass(frozen=True)
class ParquetColumns:
    """The names of the columns of images and labels; classes: the class names if the file has them."""

    image: str
    label: str
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class ParquetFiles:
    """A folder with parquet files, `train` and `test` those of the two splits; methods as `base.DatasetFiles`."""

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    side: int | None = None  # to which images are resized and cropped

    @classmethod
    def find(cls, folder: Path, side: int | None = None) -> ParquetFiles | None:
        """The files, or None if there are none. Raises BenchmarkError if a split or a shard is missing."""
        train = _files(folder, "train")
        test = next((files for name in TEST_NAMES if (files := _files(folder, name))), ())
        if not train and not test:
            return None
        if not train or not test:
            raise BenchmarkError(
                f"{(train or test)[0].name} has no {'test' if train else 'train'}.parquet beside it",
                where=str(folder),
                next="put both splits into the folder: train.parquet and test.parquet",
            )
        return cls(folder, train, test, side)

    @property
    def kind(self) -> str:
        return f"parquet ({self.train[0].name}, {self.test[0].name})"

    def files(self) -> list[Path]:
        return [*self.train, *self.test]

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits, decoded, in the order of files and rows; labels are checked before any image is decoded."""
        columns = _common_columns(self.files())
        train, test = _read_labels(self.train, columns.label), _read_labels(self.test, columns.label)
        classes = _classes(columns, (self.train[0], train), (self.test[0], test))
        train_images = _encoded(self.folder, self.train, columns), train
        test_images = _encoded(self.folder, self.test, columns), test
        return decode_splits(train_images, test_images, classes, self.kind, self.side, progress)

    def images(self) -> Iterator[EncodedImage]:
        """Every image of both splits, not decoded."""
        yield from _encoded(self.folder, self.files(), _common_columns(self.files()))


def read_rows(files: Sequence[Path]) -> tuple[DecodedImages, np.ndarray, tuple[str, ...] | None]:
    """The images, labels (int64, not checked) and class names, if any, of files that are not divided into splits."""
    columns = _common_columns(files)
    labels = _read_labels(files, columns.label)
    images = decode(_encoded(files[0].parent, files, columns), len(labels), "decoding the set")
    return images, labels, columns.classes


def _files(folder: Path, split: str) -> tuple[Path, ...]:
    """SPLIT.parquet or SPLIT-*.parquet, in the folder or in its data folder; () if there is none."""
    for parent in (folder, folder / "data"):
        single, shards = parent / f"{split}.parquet", sorted(parent.glob(f"{split}-*.parquet"))
        if single.is_file() and shards:
            raise BenchmarkError(
                f"both {single.name} and {shards[0].name} are there: which one holds the {split} split?",
                where=str(parent),
                next="move one of them away",
            )
        if single.is_file():
            return (single,)
        if shards:
            _check_shards(shards)
            return tuple(shards)
    return ()


def _check_shards(shards: Sequence[Path]) -> None:
    """Raise BenchmarkError unless numbered shards (00001-of-00004) are all there, once."""
    numbered = [match for path in shards if (match := _SHARD.search(path.name))]
    if not numbered:
        return
    numbers, total = [int(match[1]) for match in numbered], int(numbered[0][2])
    if len(numbered) != len(shards) or numbers != list(range(total)):
        raise BenchmarkError(
            f"{len(shards)} files where their names count {total}: {', '.join(path.name for path in shards[:4])}",
            where=str(shards[0].parent),
            next="download the missing ones, or move away those that do not belong",
        )


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The open file. Raises BenchmarkError for whatever reading it raises, and for one that inflates too much."""
    try:
        check_file(path, sys.maxsize)
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_ROWS:
                what = f"{path.name} has {file.metadata.num_rows:,} rows; at most {MAX_ROWS:,} are read"
                raise BenchmarkError(what, where=str(path), next="divide it, or check that it is the right file")
            yield file
    except (pa.ArrowException, OSError, ValueError, LookupError, MemoryError) as error:
        raise BenchmarkError(
            f"cannot read {path.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(path),
            next="the file is damaged or incomplete: copy or download it again",
        ) from error


# --- columns ----------------------------------------------------------------------------------------------------------


def _common_columns(files: Sequence[Path]) -> ParquetColumns:
    """The columns of all files, which must be the same; class names may be missing in some files."""
    by_file = {path: _columns(path) for path in files}
    first, expected = next(iter(by_file.items()))
    named, classes = next(((path, c.classes) for path, c in by_file.items() if c.classes), (first, None))
    for path, columns in by_file.items():
        same_columns = (columns.image, columns.label) == (expected.image, expected.label)
        if not same_columns or (columns.classes and columns.classes != classes):
            other = first if columns.classes == classes else named
            raise BenchmarkError(
                f"{path.name} and {other.name} differ in columns or class names",
                where=str(path),
                next="save both splits from one dataset",
            )
    return ParquetColumns(expected.image, expected.label, classes)


def _columns(path: Path) -> ParquetColumns:
    with _opened(path) as file:
        schema = file.schema_arrow
    types = ", ".join(f"{c.name} ({'struct' if pa.types.is_struct(c.type) else c.type})" for c in schema)
    images = [column.name for column in schema if _is_image(column.type)]
    if len(images) != 1:
        plain = [column.name for column in schema if _is_bytes(column.type)]
        raise BenchmarkError(
            f"{path.name} has {f'{len(images)} columns' if images else 'no column'} of encoded images"
            f"{f'; {plain[0]} holds plain bytes' if plain else ''}",
            where=f"{path}: {types}",
            next="wanted: one struct column with a binary field 'bytes', and one integer label column",
        )
    classes = _class_names(schema.metadata)
    for column, names in classes.items():
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise BenchmarkError(
                f"two classes of {path.name} have the name {twice[:60]!r}",
                where=f"{path}, {column}",
                next="give each class a name of its own",
            )
    label = _label_column([column.name for column in schema if pa.types.is_integer(column.type)], classes)
    if label is None:
        raise BenchmarkError(
            f"{path.name} does not say which column is the label",
            where=f"{path}: {types}",
            next=f"wanted: one integer column, or one named {', '.join(_LABEL_NAMES[:-1])} or {_LABEL_NAMES[-1]}",
        )
    return ParquetColumns(images[0], label, classes.get(label))


def _is_image(type_: pa.DataType) -> bool:
    if not pa.types.is_struct(type_) or type_.get_field_index("bytes") < 0:
        return False
    return _is_bytes(type_.field("bytes").type)


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


def _label_column(integers: Sequence[str], classes: dict[str, tuple[str, ...]]) -> str | None:
    """The only integer column, or the only one with a label's name, or the only one with class names."""
    for candidates in (integers, [c for c in integers if c in _LABEL_NAMES], [c for c in integers if c in classes]):
        if len(candidates) == 1:
            return candidates[0]
    return None


class _Info(msgspec.Struct):
    features: dict[str, msgspec.Raw]


class _Metadata(msgspec.Struct):
    info: _Info


class _ClassLabel(msgspec.Struct, tag="ClassLabel", tag_field="_type"):
    names: list[str | int]


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Class names of each ClassLabel column in the metadata that Hugging Face writes; {} if there is none."""
    names = {}
    # Metadata of another program, and columns that are not labels: files need none.
    with suppress(msgspec.DecodeError, RecursionError):
        columns = msgspec.json.decode((metadata or {}).get(b"huggingface", b"{}"), type=_Metadata).info.features
        for column, content in columns.items():
            with suppress(msgspec.DecodeError, RecursionError):
                names[column] = tuple(map(str, msgspec.json.decode(content, type=_ClassLabel).names))
    return names


# --- rows -------------------------------------------------------------------------------------------------------------


def _read_labels(files: Sequence[Path], column: str) -> np.ndarray:
    """int64 (N,), N at least 1."""
    parts = []
    for path in files:
        with _opened(path) as file:
            labels = file.read(columns=[column]).column(column)
            missing = np.flatnonzero(labels.is_null().to_numpy())
            values = labels.cast(pa.int64(), safe=False).to_numpy() if not len(missing) else missing
        if len(missing):
            raise BenchmarkError(f"{path.name} row {missing[0]} has no {column}", where=str(path))
        if labels.type == pa.uint64() and (values < 0).any():
            row = np.flatnonzero(values < 0)[0]
            raise BenchmarkError(
                f"{path.name} row {row}: {column} is {labels[row].as_py()}, far too large for the number of a class",
                where=str(path),
                next="number the classes 0, 1, 2, ...",
            )
        parts.append(values)
    joined = np.concatenate(parts)
    if not len(joined):
        raise BenchmarkError(f"{files[0].name} holds no images", where=str(files[0]), next="both splits need some")
    return joined


def _classes(columns: ParquetColumns, *splits: tuple[Path, np.ndarray]) -> tuple[str, ...]:
    """Class names. Raises BenchmarkError for labels out of range, and for classes that a split lacks."""
    largest = max(int(labels.max()) for _, labels in splits)
    count = len(columns.classes) if columns.classes else largest + 1
    for path, labels in splits:
        outside = np.flatnonzero((labels < 0) | (labels >= count))
        if len(outside):
            raise BenchmarkError(
                f"{path.name}: {columns.label} is {labels[outside[0]]} for image {outside[0]}, outside 0..{count - 1}",
                where=str(path),
                next="labels count from 0; a split whose labels are hidden (-1) cannot be scored",
            )
        present = np.unique(labels)
        if len(present) < count:
            missing = next(label for label, other in enumerate([*present, -1]) if label != other)
            name = f" ({columns.classes[missing]})" if columns.classes else ""
            raise BenchmarkError(
                f"{path.name} has no image of class {missing}{name}, though {columns.label} goes up to {count - 1}",
                where=str(path),
                next="number the classes 0, 1, 2, ... without gaps; both splits need every class",
            )
    if count < 2:
        raise BenchmarkError("there is one class only", where=str(splits[0][0]))
    return columns.classes or tuple(str(label) for label in range(count))


def _encoded(folder: Path, files: Sequence[Path], columns: ParquetColumns) -> Iterator[EncodedImage]:
    """The images of the files, not decoded, each named by its file within `folder` and its row."""
    for path in files:
        for row, data in enumerate(_image_bytes(path, columns.image)):
            name = f"{path.relative_to(folder)} row {row}"
            if data is None:
                raise BenchmarkError(
                    f"{name} holds no image bytes",
                    where=str(path),
                    next="save the dataset with its images embedded, not as paths to files",
                )
            yield EncodedImage(name, data)


def _image_bytes(path: Path, column: str) -> Iterator[bytes | None]:
    with _opened(path) as file:
        size = path.stat().st_size
        for group in range(file.num_row_groups):
            # Asking pyarrow for a group's columns aborts the process if the file is damaged.
            inflated = file.metadata.row_group(group).total_byte_size  # no image of the group has more bytes
            if inflated > max(MAX_INFLATED, _RATIO * size):
                raise BenchmarkError(
                    f"{path.name} inflates from {formatting.size(size)} to {formatting.size(inflated)}: encoded images "
                    "cannot be compressed so much",
                    where=str(path),
                    next="check that it is the right file",
                )
            rows = max(1, min(_ROWS, _ROWS_BYTES // max(1, inflated)))
            for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=[f"{column}.bytes"]):
                (data,) = batch.column(0).flatten()  # a missing struct is a missing image too
                yield from data.to_pylist()
