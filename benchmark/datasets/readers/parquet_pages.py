"""The sizes of the pages of a Parquet file, from the headers of the pages themselves.

pyarrow inflates a page to the size that its header gives, whatever the footer says of the column. It shows no headers,
and where it shows the footer's columns, a damaged footer can end the process. Footer and headers are structs in
Thrift's compact protocol [apache/parquet-format: src/main/thrift/parquet.thrift; apache/thrift:
doc/specs/thrift-compact-protocol.md].
"""

from __future__ import annotations

from collections.abc import Iterator
from io import SEEK_END, BufferedReader
from pathlib import Path
from typing import Any

_HEADER, _LONGEST_HEADER = 2**13, 2**24  # bytes read for a header: mostly enough, and pyarrow's own limit
_DEPTH = 20  # of structs and lists in one another; a footer has about ten
_MOST_VALUES = 5_000_000  # in one footer or header: a column takes about 20 of each row group
_BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(3, 13)
_BOOLS = (1, 2)

Fields = dict[tuple[int, int], Any]  # of a struct: values by number and type, those that are not of use as None


def page_sizes(path: Path, column: str) -> Iterator[int]:
    """The bytes to which each page of a column inflates; `column` is a path in the schema, as "image.bytes".

    As pyarrow does, reads on from the first page of a row group until all its values have been seen. Raises ValueError
    or IndexError for what is no footer or header, and OSError.
    """
    with path.open("rb") as file:
        for group in _wanted(_footer(file), 4, _LIST):
            for chunk in _wanted(group, 1, _LIST):
                described = _wanted(chunk, 3, _STRUCT)
                parts = _wanted(described, 3, _LIST)
                if not all(isinstance(part, bytes) for part in parts):
                    raise ValueError("its footer has a column without a name")
                name = b".".join(parts).decode(errors="replace")
                if name == column or name.startswith(f"{column}."):
                    yield from _of_chunk(file, described)


def _of_chunk(file: BufferedReader, described: Fields) -> Iterator[int]:
    values, stored = _wanted(described, 5, _I64), _wanted(described, 7, _I64)
    position, dictionary = _wanted(described, 9, _I64), described.get((11, _I64), 0)
    if 0 < dictionary < position:
        position = dictionary
    end, seen = position + stored, 0
    while position < end and seen < values:
        header, length = _header(file, position)
        inflated, compressed = _wanted(header, 2, _I32), _wanted(header, 3, _I32)
        if min(inflated, compressed) < 0:
            raise ValueError("a page has a negative size")
        yield inflated
        position += length + compressed
        for number in (5, 8):  # of a page of data, in two versions
            seen += _wanted(header[number, _STRUCT], 1, _I32) if (number, _STRUCT) in header else 0


def _footer(file: BufferedReader) -> Fields:
    file.seek(-8, SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-8 - length, SEEK_END)
    return _Reader(file.read(length)).struct()


def _header(file: BufferedReader, position: int) -> tuple[Fields, int]:
    """The header of a page and its length in bytes."""
    for size in (_HEADER, _LONGEST_HEADER):
        file.seek(position)
        reader = _Reader(file.read(size))
        try:
            return reader.struct(), reader.at
        except IndexError:
            if len(reader.data) < size:
                break
    raise ValueError("a page has no whole header")


def _wanted(fields: Any, number: int, kind: int) -> Any:
    """A field of this number and type. Raises ValueError if there is none."""
    if not isinstance(fields, dict) or (number, kind) not in fields:
        raise ValueError("its footer, or the header of a page, lacks a field")
    return fields[number, kind]


class _Reader:
    """Reads bytes from the first on. Raises IndexError at their end, and ValueError for what is no struct."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.left = data, 0, _MOST_VALUES

    def struct(self, depth: int = 0) -> Fields:
        fields: Fields = {}
        numbers = set()
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number in numbers:
                raise ValueError("a field is there twice")
            numbers.add(number)
            kind = head & 15
            fields[number, kind] = None if kind in _BOOLS else self._value(kind, depth + 1)  # a bool is its type
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self.left -= 1
        if depth > _DEPTH or not self.left:
            raise ValueError("its footer, or the header of a page, is nested too deep or holds too much")
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)
        elif kind in (*_BOOLS, _BYTE, _DOUBLE):  # in a list, a bool is a byte
            self._bytes(8 if kind == _DOUBLE else 1)
        else:
            raise ValueError("its footer, or the header of a page, has a field of an unknown type")
        return None

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.data):
            raise IndexError("its footer, or the header of a page, ends early")
        return self.data[self.at - count : self.at]

    def _integer(self) -> int:
        """A signed integer (zigzag)."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            part = self._byte()
            value |= (part & 127) << shift
            if part < 128:
                return value
        raise ValueError("its footer, or the header of a page, has a number that is too long")
