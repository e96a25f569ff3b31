"""Datasets as parquet files in the layout of Hugging Face: encoded image bytes in a struct column, integer labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.datasets.base import Content, Progress, to_split
from benchmark.datasets.readers.decoding import Decoded, Encoded, common_mode, decode
from benchmark.utils.errors import BenchmarkError

_LABELS = ("label", "labels", "fine_label", "target", "class")
_TESTS = ("test", "val", "valid", "validation")
_ROWS = 256  # encoded images read at a time
_SHARD = re.compile(r"-(\d+)-of-(\d+)")


@dataclass(frozen=True)
class Columns:
    """Where image and label are; names: the class names when the file has them."""

    image: str
    label: str
    names: tuple[str, ...] | None


@dataclass(frozen=True)
class Parquet:
    """A folder with parquet files; `train` and `test` are the files of the two splits."""

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    side: int | None = None  # to which images are resized and cut

    @classmethod
    def find(cls, folder: Path, side: int | None = None) -> Parquet | None:
        """The layout, or None when there are no such files. Raises BenchmarkError when a split or a shard lacks."""
        train = _files(folder, "train")
        test = next((found for name in _TESTS if (found := _files(folder, name))), ())
        if not train and not test:
            return None
        if not train or not test:
            raise BenchmarkError(
                f"{(train or test)[0].name} is there, but no {'test' if train else 'train'}.parquet beside it",
                where=str(folder),
                next="a folder holds both splits: train.parquet and test.parquet",
            )
        return cls(folder, train, test, side)

    @property
    def kind(self) -> str:
        return f"parquet ({self.train[0].name}, {self.test[0].name})"

    def files(self) -> list[Path]:
        return [*self.train, *self.test]

    def read(self, progress: Progress | None) -> Content:
        """Both splits, decoded, in the order of files and rows; labels are checked before any image is decoded."""
        columns = _agreed(self.files())
        train, test = _read_labels(self.train, columns.label), _read_labels(self.test, columns.label)
        classes = _classes(columns, (self.train[0], train), (self.test[0], test))
        todo = partial(decode, side=self.side, progress=progress)
        first = todo(self._encoded(self.train, columns), len(train), "decoding train")
        second = todo(self._encoded(self.test, columns), len(test), "decoding test", like=first)
        images = common_mode(first, second)
        return Content(to_split(images[0], train), to_split(images[1], test), classes, self.kind)

    def images(self) -> Iterator[Encoded]:
        """Every image of both splits, not decoded."""
        yield from self._encoded(self.files(), _agreed(self.files()))

    def _encoded(self, files: Sequence[Path], columns: Columns) -> Iterator[Encoded]:
        for path in files:
            for row, data in enumerate(_image_bytes(path, columns.image)):
                where = f"{path.relative_to(self.folder)} row {row}"
                if data is None:
                    raise BenchmarkError(
                        f"{where} holds no image bytes",
                        where=str(path),
                        next="save the dataset with its images embedded, not as paths to files",
                    )
                yield Encoded(where, data)


def read_rows(files: Sequence[Path]) -> tuple[Decoded, np.ndarray, tuple[str, ...] | None]:
    """The images, labels (int64, not checked) and class names, if any, of files that are no two splits."""
    columns = _agreed(files)
    labels = _read_labels(files, columns.label)
    encoded = Parquet(files[0].parent, tuple(files), ())._encoded(files, columns)
    return decode(encoded, len(labels), "decoding the set"), labels, columns.names


def _files(folder: Path, split: str) -> tuple[Path, ...]:
    """SPLIT.parquet or SPLIT-*.parquet, in the folder or in its data folder; () when there is none."""
    for place in (folder, folder / "data"):
        whole, shards = place / f"{split}.parquet", sorted(place.glob(f"{split}-*.parquet"))
        if whole.is_file() and shards:
            raise BenchmarkError(
                f"both {whole.name} and {shards[0].name} are there: which one holds the {split} split?",
                where=str(place),
                next="move one of them away",
            )
        if whole.is_file():
            return (whole,)
        if shards:
            _complete(shards)
            return tuple(shards)
    return ()


def _complete(shards: Sequence[Path]) -> None:
    """Raise BenchmarkError unless shards that count themselves (00001-of-00004) are all there, once."""
    numbered = [match for path in shards if (match := _SHARD.search(path.name))]
    if not numbered:
        return
    numbers, total = [int(match[1]) for match in numbered], int(numbered[0][2])
    if len(numbered) != len(shards) or numbers != list(range(total)):
        raise BenchmarkError(
            f"{len(shards)} files where their names speak of {total}: {', '.join(path.name for path in shards[:4])}",
            where=str(shards[0].parent),
            next="download the missing ones, or move those away that do not belong",
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise BenchmarkError(
            f"cannot read {path.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(path),
            next="the file is damaged or incomplete: copy or download it again",
        ) from error


# --- columns ----------------------------------------------------------------------------------------------------------


def _agreed(files: Sequence[Path]) -> Columns:
    """The columns of all files, which must be the same; class names may stand in some files only."""
    found = {path: _columns(path) for path in files}
    first, rule = next(iter(found.items()))
    named, names = next(((path, one.names) for path, one in found.items() if one.names), (first, None))
    for path, one in found.items():
        if (one.image, one.label) != (rule.image, rule.label) or (one.names and one.names != names):
            raise BenchmarkError(
                f"{path.name} and {(first if one.names == names else named).name} differ in columns or class names",
                where=str(path),
                next="save both splits from one dataset",
            )
    return Columns(rule.image, rule.label, names)


def _columns(path: Path) -> Columns:
    with _readable(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    listed = ", ".join(f"{column.name} ({_plain(column.type)})" for column in schema)
    images = [column.name for column in schema if _is_image(column.type)]
    if len(images) != 1:
        plain = [column.name for column in schema if _is_bytes(column.type)]
        raise BenchmarkError(
            f"{path.name} has {f'{len(images)} columns' if images else 'no column'} of encoded images"
            f"{f'; {plain[0]} holds plain bytes' if plain else ''}",
            where=f"{path}: {listed}",
            next="wanted: one struct column with a binary field 'bytes', and one integer label column",
        )
    names = _class_names(schema.metadata)
    label = _label_column([column.name for column in schema if pa.types.is_integer(column.type)], names)
    if label is None:
        raise BenchmarkError(
            f"{path.name} does not say which column is the label", where=f"{path}: {listed}",
            next=f"wanted: one integer column, or one that is called {', '.join(_LABELS[:-1])} or {_LABELS[-1]}",
        )  # fmt: skip
    return Columns(images[0], label, names.get(label))


def _plain(kind: pa.DataType) -> str:
    return "struct" if pa.types.is_struct(kind) else str(kind)


def _is_image(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return _is_bytes(kind.field("bytes").type)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _label_column(integers: Sequence[str], names: dict[str, tuple[str, ...]]) -> str | None:
    """The only integer column, or the only one with a label's name, or the only one with class names."""
    for candidates in (integers, [c for c in integers if c in _LABELS], [c for c in integers if c in names]):
        if len(candidates) == 1:
            return candidates[0]
    return None


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Class names of each ClassLabel column in the metadata that Hugging Face writes; {} when there is none."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        labels = {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (LookupError, ValueError, TypeError, AttributeError):
        return {}  # somebody else's notes: files without them are fine too
    return {name: tuple(str(one) for one in names) for name, names in labels.items() if isinstance(names, list)}


# --- rows -------------------------------------------------------------------------------------------------------------


def _read_labels(files: Sequence[Path], column: str) -> np.ndarray:
    """int64 (N,), N at least 1."""
    parts = []
    for path in files:
        with _readable(path), pq.ParquetFile(path) as file:
            labels = file.read(columns=[column]).column(column)
            missing = np.flatnonzero(labels.is_null().to_numpy())
            found = labels.cast(pa.int64(), safe=False).to_numpy() if not len(missing) else missing
        if len(missing):
            raise BenchmarkError(f"{path.name} row {missing[0]} has no {column}", where=str(path))
        if labels.type == pa.uint64() and (found < 0).any():
            row = np.flatnonzero(found < 0)[0]
            raise BenchmarkError(
                f"{path.name} row {row}: {column} is {labels[row].as_py()}, far too large for the number of a class",
                where=str(path),
                next="number the classes 0, 1, 2, ...",
            )
        parts.append(found)
    joined = np.concatenate(parts)
    if not len(joined):
        raise BenchmarkError(f"{files[0].name} holds no images", where=str(files[0]), next="both splits need some")
    return joined


def _classes(columns: Columns, *splits: tuple[Path, np.ndarray]) -> tuple[str, ...]:
    """Class names. Raises BenchmarkError for labels out of range, and for classes that a split lacks."""
    top = max(int(labels.max()) for _, labels in splits)
    count = len(columns.names) if columns.names else top + 1
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
            gap = next(label for label, found in enumerate([*present, -1]) if label != found)
            name = f" ({columns.names[gap]})" if columns.names else ""
            raise BenchmarkError(
                f"{path.name} has no image of class {gap}{name}, though {columns.label} goes up to {count - 1}",
                where=str(path),
                next="number the classes 0, 1, 2, ... without gaps; both splits need every class",
            )
    if count < 2:
        raise BenchmarkError("there is one class only", where=str(splits[0][0]))
    return columns.names or tuple(str(label) for label in range(count))


def _image_bytes(path: Path, column: str) -> Iterator[bytes | None]:
    with _readable(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=[f"{column}.bytes"]):
            (data,) = batch.column(0).flatten()  # a missing struct is a missing image too
            yield from data.to_pylist()
