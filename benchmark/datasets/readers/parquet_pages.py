"""The sizes of the pages of a Parquet file, from the headers of the pages themselves.

pyarrow inflates a page to the size that its header gives, whatever the footer says of the column, and shows no headers.
They are structs in Thrift's compact protocol [apache/parquet-format: src/main/thrift/parquet.thrift, PageHeader;
apache/thrift: doc/specs/thrift-compact-protocol.md].
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

_HEAD, _LONGEST_HEAD = 2**13, 2**24  # bytes read for a header: mostly enough, and pyarrow's own limit
_DEPTH = 8  # of structs and lists in one another; a header has four
_BOOLS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _MAP, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 11, 12

Fields = dict[int, Any]  # of a struct: integers and structs by their numbers, other values as None


def page_sizes(path: Path, metadata: Any, column: str) -> Iterator[int]:
    """The bytes to which each page of a column inflates; `column` is a path in the schema, as "image.bytes".

    metadata: pyarrow's FileMetaData of the file. As pyarrow does, reads on from the first page until all values have
    been seen. Raises ValueError for what is no header, and OSError.
    """
    with path.open("rb") as file:
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                if chunk.path_in_schema == column or chunk.path_in_schema.startswith(f"{column}."):
                    yield from _of_chunk(file, chunk)


def _of_chunk(file: BufferedReader, chunk: Any) -> Iterator[int]:
    dictionary, position = chunk.dictionary_page_offset, chunk.data_page_offset
    if chunk.has_dictionary_page and dictionary is not None and 0 < dictionary < position:
        position = dictionary
    end, seen = position + chunk.total_compressed_size, 0
    while position < end and seen < chunk.num_values:
        fields, length = _header(file, position)
        inflated, stored = fields.get(2), fields.get(3)
        if not isinstance(inflated, int) or not isinstance(stored, int) or min(inflated, stored) < 0:
            raise ValueError("a page has a header without sizes")
        yield inflated
        position += length + stored
        seen += next((values.get(1, 0) for key in (5, 8) if isinstance(values := fields.get(key), dict)), 0)


def _header(file: BufferedReader, position: int) -> tuple[Fields, int]:
    """A header and its length in bytes."""
    for size in (_HEAD, _LONGEST_HEAD):
        file.seek(position)
        data = file.read(size)
        try:
            return _struct(data, 0, 0)
        except IndexError:
            if len(data) < size:
                break
    raise ValueError("a page has no whole header")


def _struct(data: bytes, at: int, depth: int) -> tuple[Fields, int]:
    """The fields of the struct that begins at this byte, and where it ends."""
    fields: Fields = {}
    number = 0
    while (head := data[at]) != 0:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        if head & 15 in _BOOLS:  # the type is the value
            continue
        fields[number], at = _value(data, at, head & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """A value and where it ends; that of a list, a map or text is None."""
    if depth > _DEPTH:
        raise ValueError("a page has a header that is nested too deep")
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind in _BOOLS or kind == _BYTE:  # in a list, a bool is a byte
        return None, _within(data, at + 1)
    if kind == _DOUBLE:
        return None, _within(data, at + 8)
    if kind == _BINARY:
        length, at = _varint(data, at)
        return None, _within(data, at + length)
    if kind in _LISTS:
        head, at = data[at], at + 1
        count, at = _varint(data, at) if head >> 4 == 15 else (head >> 4, at)
        kinds = [head & 15]
    elif kind == _MAP:
        count, at = _varint(data, at)
        kinds = [data[at] >> 4, data[at] & 15] if count else []
        at += bool(count)
    else:
        raise ValueError("a page has a header with a field of an unknown type")
    for _ in range(count):
        for each in kinds:
            at = _value(data, at, each, depth + 1)[1]
    return None, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A signed integer (zigzag) and where it ends."""
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a page has a header with a number that is too long")


def _within(data: bytes, at: int) -> int:
    if at > len(data):
        raise IndexError
    return at
