"""Datasets as tables, in the layouts of Hugging Face: Parquet, or Arrow as `save_to_disk` writes it.

Read are SPLIT.parquet, SPLIT-00000-of-00002.parquet, NAME-SPLIT.arrow and the like, and what a folder called SPLIT
holds: 0000.parquet, data-00000-of-00001.arrow. They lie in the folder itself or in its folder `data` or `default`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.datasets.base import DecodedSplits, Progress
from benchmark.datasets.readers.decoding import DecodedImages, EncodedImage, decode, decode_splits
from benchmark.datasets.readers.split_names import TEST, TRAIN, VALIDATION, choose_test, split_folder, which_one
from benchmark.datasets.readers.table_columns import (
    NONE_GIVEN,
    ColumnNames,
    Columns,
    common_columns,
    has_labels,
    read_labels,
    with_common_names,
)
from benchmark.datasets.readers.tables import SUFFIXES, image_bytes
from benchmark.utils.errors import BenchmarkError

_PLACES = ("", "data", "default")
_CACHES = ("cache-", "tmp")  # what `datasets` keeps beside the files of a split
_SHARD = re.compile(r"-(\d+)-of-(\d+)")


@dataclass(frozen=True)
class TableFiles:
    """A folder with tables, `train` and `test` those of the two splits; methods as `base.DatasetFiles`.

    side: to which images are resized and cropped. note: why another split than the test split is `test`, or "".
    """

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    side: int | None = None
    given: ColumnNames = NONE_GIVEN
    note: str = ""

    @classmethod
    def find(cls, folder: Path, side: int | None = None, given: ColumnNames = NONE_GIVEN) -> TableFiles | None:
        """The files, or None if there are none. Raises BenchmarkError if a split or a shard is missing."""
        train = split_files(folder, TRAIN)
        tests = [files for names in (TEST, VALIDATION) if (files := split_files(folder, names))]
        if not train and not tests:
            return None
        if not train or not tests:
            raise BenchmarkError(
                f"{_name(folder, train or tests[0])} has no {'test' if train else 'training'} split beside it",
                where=str(folder),
                next="put both splits into the folder: train.parquet and test.parquet",
            )

        def labeled(files: Sequence[Path]) -> bool:
            return has_labels(files, common_columns(train, given).label)

        test, note = choose_test(tests, labeled, lambda files: _name(folder, files))
        return cls(folder, train, test, side, given, note)

    @property
    def kind(self) -> str:
        form = self.train[0].suffix.lower().removeprefix(".")
        return f"{form} ({_name(self.folder, self.train)}, {_name(self.folder, self.test)})"

    def files(self) -> list[Path]:
        return [*self.train, *self.test]

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits, decoded, in the order of files and rows; labels are checked before any image is decoded."""
        label = common_columns(self.train, self.given).label
        if not has_labels(self.test, label):
            raise BenchmarkError(
                f"{_name(self.folder, self.test)} has no column {label}, or no label in it: it cannot be scored",
                where=str(self.test[0]),
                next="save both splits from one dataset, or add a validation split with labels: validation.parquet",
            )
        columns = common_columns(self.files(), self.given)
        parts = [read_labels(self.train, label), read_labels(self.test, label)]
        labels = with_common_names(parts, str(self.folder))
        train, test = (part.values for part in labels)
        names = labels[0].names or columns.classes
        classes = _classes(label, names, (self.train[0], train), (self.test[0], test))
        train_images = _encoded(self.folder, self.train, columns), train
        test_images = _encoded(self.folder, self.test, columns), test
        return decode_splits(train_images, test_images, classes, self.kind, self.side, progress)

    def images(self) -> Iterator[EncodedImage]:
        """Every image of both splits, not decoded."""
        yield from _encoded(self.folder, self.files(), common_columns(self.files(), self.given))


def read_rows(files: Sequence[Path]) -> tuple[DecodedImages, np.ndarray, tuple[str, ...] | None]:
    """The images, labels (int64, not checked) and class names, if any, of files that are not divided into splits."""
    columns = common_columns(files, NONE_GIVEN)
    labels = read_labels(files, columns.label)
    images = decode(_encoded(files[0].parent, files, columns), len(labels.values), "decoding the set")
    return images, labels.values, labels.names or columns.classes


# --- files ------------------------------------------------------------------------------------------------------------


def split_files(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The tables of the split with one of the names; () if there are none. Raises BenchmarkError for a missing one."""
    places = [place for name in _PLACES if (place := folder / name).is_dir()]
    return next((files for place in places if (files := _files(place, names))), ())


def tables_in(folder: Path) -> list[Path]:
    """The tables in a folder, by name, without those that `datasets` keeps there for itself."""
    children = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [path for path in children if not path.name.startswith((".", *_CACHES))]


def _files(place: Path, names: Sequence[str]) -> tuple[Path, ...]:
    named = re.compile(rf"(?P<dataset>.+[-_.])?({'|'.join(names)})(?P<shard>-.+)?", re.IGNORECASE)
    matches = [(path, match) for path in tables_in(place) if (match := named.fullmatch(path.stem))]
    found = [pair for pair in matches if not pair[1]["dataset"]] or matches
    inside = split_folder(place, names)
    shards = tables_in(inside) if inside else []
    # One file, numbered files, and those in a folder: each is a split by itself.
    kinds = {(match["dataset"], path.suffix, bool(match["shard"])): path for path, match in found}
    kinds |= {(str(inside), path.suffix, True): path for path in shards}
    if len(kinds) > 1:
        first, second, *_ = sorted(kinds.values())
        raise which_one(first, second, names)
    files = tuple(path for path, _ in found) or tuple(shards)
    _check_selection(files)
    _check_shards(files)
    return files


def _check_shards(shards: Sequence[Path]) -> None:
    """Raise BenchmarkError unless numbered shards (00001-of-00004) are all there, once."""
    numbered = [match for path in shards if (match := _SHARD.search(path.stem))]
    numbers = [int(match[1]) for match in numbered] or [int(p.stem) for p in shards if p.stem.isdecimal()]
    total = int(numbered[0][2]) if numbered else max(numbers, default=-1) + 1
    if numbers and (len(numbers) != len(shards) or numbers != list(range(total))):
        raise BenchmarkError(
            f"{len(shards)} files where their names count {total}: {', '.join(path.name for path in shards[:4])}",
            where=str(shards[0].parent),
            next="download the missing ones, or move away those that do not belong",
        )


def _check_selection(files: Sequence[Path]) -> None:
    """Raise BenchmarkError for rows of which another file selects some, as `datasets` before 2.0 saved them."""
    if any(path.name == "indices.arrow" for path in files):
        folder = files[0].parent
        saved = folder.parent if (folder.parent / "dataset_dict.json").is_file() else folder
        raise BenchmarkError(
            f"{folder} holds a selection of the rows beside it, which only the library `datasets` applies",
            where=str(folder),
            next=saved_anew("load_from_disk", saved, ".flatten_indices()"),
        )


def _name(folder: Path, files: Sequence[Path]) -> str:
    return str(files[0].relative_to(folder))


def saved_anew(load: str, folder: Path, change: str) -> str:
    """The command with which the library `datasets` loads a folder, changes it, and saves it with its images in it."""
    source, target = (json.dumps(f"{folder}{end}", ensure_ascii=False) for end in ("", "-readable"))
    code = f"from datasets import {load}; {load}({source}){change}.save_to_disk({target})"
    return f"pip install datasets && python -c {shlex.quote(code)}"


# --- rows -------------------------------------------------------------------------------------------------------------


def _classes(label: str, names: tuple[str, ...] | None, *splits: tuple[Path, np.ndarray]) -> tuple[str, ...]:
    """Class names. Raises BenchmarkError for labels out of range, and for classes that a split lacks."""
    largest = max(int(labels.max()) for _, labels in splits)
    count = len(names) if names else largest + 1
    for path, labels in splits:
        outside = np.flatnonzero((labels < 0) | (labels >= count))
        if len(outside):
            raise BenchmarkError(
                f"{path.name}: {label} is {labels[outside[0]]} for image {outside[0]}, outside 0..{count - 1}",
                where=str(path),
                next="labels count from 0; a split whose labels are hidden (-1) cannot be scored",
            )
        present = np.unique(labels)
        if len(present) < count:
            missing = next(number for number, other in enumerate([*present, -1]) if number != other)
            name = f" ({names[missing]})" if names else ""
            raise BenchmarkError(
                f"{path.name} has no image of class {missing}{name}, though {label} goes up to {count - 1}",
                where=str(path),
                next="number the classes 0, 1, 2, ... without gaps; both splits need every class",
            )
    if count < 2:
        raise BenchmarkError("there is one class only", where=str(splits[0][0]))
    return names or tuple(str(number) for number in range(count))


def _encoded(folder: Path, files: Sequence[Path], columns: Columns) -> Iterator[EncodedImage]:
    """The images of the files, not decoded, each named by its file within `folder` and its row."""
    for path in files:
        for row, data in enumerate(image_bytes(path, columns.image)):
            name = f"{path.relative_to(folder)} row {row}"
            if data is None:
                raise BenchmarkError(
                    f"{name} holds no image bytes",
                    where=str(path),
                    next=saved_anew("load_dataset", folder, ""),
                )
            yield EncodedImage(name, data)
