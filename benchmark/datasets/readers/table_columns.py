"""Which columns of a table are the images and the labels, and the labels themselves: numbers, text, true and false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.datasets.readers.tables import is_bytes, is_text, opened
from benchmark.utils.errors import BenchmarkError

_LABEL_NAMES = ("label", "labels", "fine_label", "target", "class")
_LONGEST_NAME = 200  # characters of a class name
_NAME_IT = "or name them in dataset.yaml: `image: COLUMN`, `label: COLUMN`"


@dataclass(frozen=True)
class ColumnNames:
    """The columns that dataset.yaml names; None: to be found."""

    image: str | None = None
    label: str | None = None


NONE_GIVEN = ColumnNames()


@dataclass(frozen=True)
class Columns:
    """The names of the columns of images and labels; classes: the class names if the file has them."""

    image: str
    label: str
    classes: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class Labels:
    """values: int64 (N,), not checked. names: of labels that are text, or true and false, the classes they count."""

    values: np.ndarray
    names: tuple[str, ...] | None = None


# --- which columns ----------------------------------------------------------------------------------------------------


def common_columns(files: Sequence[Path], given: ColumnNames) -> Columns:
    """The columns of all files, which must be the same; class names may be missing in some files."""
    by_file = {path: _columns(path, given) for path in files}
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
    return Columns(expected.image, expected.label, classes)


def _columns(path: Path, given: ColumnNames) -> Columns:
    with opened(path) as table:  # also while its names are decoded
        classes = _class_names(table.schema.metadata)
        _check_distinct(path, classes)
        image = _image_column(path, table.schema, given.image)
        label = _label_column(path, table.schema, given.label, classes)
    return Columns(image, label, classes.get(label))


def _check_distinct(path: Path, classes: Mapping[str, tuple[str, ...]]) -> None:
    for column, names in classes.items():
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise BenchmarkError(
                f"two classes of {path.name} have the name {twice[:60]!r}",
                where=f"{path}, {column}",
                next="give each class a name of its own",
            )


def _image_column(path: Path, schema: pa.Schema, given: str | None) -> str:
    """The column that dataset.yaml names, or the only one of structs with bytes, or the only one of bytes."""
    structs: list[str] = [column.name for column in schema if _is_struct_of_bytes(column.type)]
    plain: list[str] = [column.name for column in schema if is_bytes(column.type)]
    if given is not None:
        return _given(path, schema, given, [*structs, *plain], "image")
    found = structs or plain
    if len(found) != 1:
        raise BenchmarkError(
            f"{path.name} has {f'{len(found)} columns' if found else 'no column'} of encoded images",
            where=f"{path}: {_types(schema)}",
            next=f"wanted: one column of bytes, or of structs with a field 'bytes'; {_NAME_IT}",
        )
    return found[0]


def _label_column(path: Path, schema: pa.Schema, given: str | None, classes: Mapping[str, tuple[str, ...]]) -> str:
    """The column that dataset.yaml names, or the only one of the first of these kinds that has one only.

    Integers with a label's name, integers with class names, any with a label's name, integers, any.
    """
    labels: list[str] = [column.name for column in schema if _is_label(column.type)]
    integers: list[str] = [column.name for column in schema if pa.types.is_integer(column.type)]
    if given is not None:
        return _given(path, schema, given, labels, "label")
    for candidates in (
        [c for c in integers if c in _LABEL_NAMES],
        [c for c in integers if c in classes],
        [c for c in labels if c in _LABEL_NAMES],
        integers,
        labels,
    ):
        if len(candidates) == 1:
            return candidates[0]
    raise BenchmarkError(
        f"{path.name} does not say which column is the label",
        where=f"{path}: {_types(schema)}",
        next=f"wanted: one column of integers, text or true and false, or one named {', '.join(_LABEL_NAMES[:-1])} or "
        f"{_LABEL_NAMES[-1]}; {_NAME_IT}",
    )


def _given(path: Path, schema: pa.Schema, given: str, fitting: Sequence[str], role: str) -> str:
    if given in fitting:
        return given
    wrong = "no column" if given not in schema.names else f"no {role}s in its column"
    raise BenchmarkError(
        f"{path.name} has {wrong} {given[:60]!r}",
        where=f"{path}: {_types(schema)}",
        next=f"correct `{role}` in dataset.yaml{f': {fitting[0]}' if len(fitting) == 1 else ''}",
    )


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{c.name} ({'struct' if pa.types.is_struct(c.type) else c.type})" for c in schema)[:500]


def _is_struct_of_bytes(type_: pa.DataType) -> bool:
    if not pa.types.is_struct(type_) or type_.get_field_index("bytes") < 0:
        return False
    return is_bytes(type_.field("bytes").type)


def _is_label(type_: pa.DataType) -> bool:
    plain = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(pa.types.is_integer(plain) or pa.types.is_boolean(plain) or is_text(plain))


# --- class names in the metadata --------------------------------------------------------------------------------------


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


# --- labels -----------------------------------------------------------------------------------------------------------


def has_labels(files: Sequence[Path], column: str) -> bool:
    """Whether any row of the files has a label: one that is neither missing nor -1, which hides it."""
    for path in files:
        with opened(path) as table:
            if column not in table.schema.names or not _is_label(table.schema.field(column).type):
                continue
            labels = _without_coded_numbers(table.labels(column))
            integers = pa.types.is_integer(labels.type)
            hidden = pc.equal(labels.cast(pa.int64(), safe=False), -1) if integers else pc.is_null(labels)
            if not pc.all(pc.fill_null(hidden, True), min_count=0).as_py():
                return True
    return False


def read_labels(files: Sequence[Path], column: str) -> Labels:
    """The labels of the files, N at least 1. Raises BenchmarkError for a row without one."""
    parts = with_common_names([_labels(path, column) for path in files], str(files[0].parent))
    values = np.concatenate([part.values for part in parts])
    if not len(values):
        raise BenchmarkError(f"{files[0].name} holds no images", where=str(files[0]), next="both splits need some")
    return Labels(values, parts[0].names)


def with_common_names(parts: Sequence[Labels], where: str) -> list[Labels]:
    """The same labels, text counted from 0 in the order of the names of all parts.

    Raises BenchmarkError, at `where`, if some are text and others numbers.
    """
    if all(part.names is None for part in parts):
        return list(parts)
    if any(part.names is None for part in parts):
        what = "labels are numbers in some files and text in others"
        raise BenchmarkError(what, where=where, next="save both splits from one dataset")
    names = tuple(sorted({name for part in parts for name in part.names or ()}))
    number = {name: index for index, name in enumerate(names)}
    counted = (np.array([number[name] for name in part.names or ()], dtype=np.int64) for part in parts)
    return [Labels(numbers[part.values], names) for numbers, part in zip(counted, parts, strict=True)]


def _labels(path: Path, column: str) -> Labels:
    with opened(path) as table:
        labels = _without_coded_numbers(table.labels(column))
        missing = np.flatnonzero(labels.is_null().to_numpy())
        if len(missing):
            raise BenchmarkError(
                f"{path.name} row {missing[0]} has no {column}",
                where=str(path),
                next="remove the images without labels, or name the right column in dataset.yaml: `label: COLUMN`",
            )
        if pa.types.is_dictionary(labels.type):
            return _from_text(path, column, labels)
        values = labels.cast(pa.int64(), safe=False).to_numpy()
        if labels.type == pa.uint64() and (values < 0).any():
            row = np.flatnonzero(values < 0)[0]
            raise BenchmarkError(
                f"{path.name} row {row}: {column} is {labels[row].as_py()}, far too large for the number of a class",
                where=str(path),
                next="number the classes 0, 1, 2, ...",
            )
        return Labels(values, ("False", "True") if pa.types.is_boolean(labels.type) else None)


def _without_coded_numbers(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """The labels; numbers that are coded by a dictionary as themselves, which takes 8 bytes each."""
    coded = pa.types.is_dictionary(labels.type) and not is_text(labels.type.value_type)
    return labels.cast(labels.type.value_type) if coded else labels


def _from_text(path: Path, column: str, labels: pa.ChunkedArray) -> Labels:
    """Labels that are coded by a dictionary of text; only the names that a row has."""
    parts = []
    for chunk in labels.chunks:  # each has a dictionary of its own
        used, positions = np.unique(chunk.indices.to_numpy(zero_copy_only=False), return_inverse=True)
        texts = chunk.dictionary.take(pa.array(used))
        if len(texts) and (pc.max(pc.utf8_length(texts)).as_py() or 0) > _LONGEST_NAME:
            raise BenchmarkError(
                f"{path.name}: column {column} has texts of more than {_LONGEST_NAME} characters: no names of classes",
                where=str(path),
                next="name the column of the labels in dataset.yaml: `label: COLUMN`",
            )
        parts.append(Labels(positions.astype(np.int64), tuple(str(text) for text in texts.to_pylist())))
    joined = with_common_names(parts or [Labels(np.zeros(0, np.int64), ())], str(path))
    return Labels(np.concatenate([part.values for part in joined]), joined[0].names)
