"""Files of Parquet, and of Arrow as the library `datasets` writes it: schema and rows, whatever a file claims."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.datasets.readers.parquet_pages import page_sizes
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.memory import available_memory
from benchmark.utils.regular_files import check_file
from results import formatting

SUFFIXES = (".parquet", ".arrow")
MAX_ROWS = 20_000_000  # images of a split: more than ImageNet-21k has; a file of a few bytes can hold any number
MAX_INFLATED = 2**28  # bytes of a file's images, if the file has less than a twentieth of them
_RATIO = 20  # encoded images hardly get smaller by compression
_COPIES = 4  # of a page are in memory while pyarrow reads it


class TableFile(Protocol):
    """An open file; neither its schema nor its numbers are checked."""

    schema: pa.Schema

    def labels(self, column: str) -> pa.ChunkedArray:
        """A whole column of a type that `table_columns` takes for labels; text as a dictionary."""
        ...

    def batches(self, column: str) -> Iterator[pa.Array]:
        """The rows of a column of images, a few at a time: their bytes, or nothing."""
        ...


@contextmanager
def opened(path: Path) -> Iterator[TableFile]:
    """The open file. Raises BenchmarkError for whatever reading it raises, also inside the block."""
    try:
        check_file(path, sys.maxsize)
        with pq.ParquetFile(path) if path.suffix.lower() == ".parquet" else pa.memory_map(str(path)) as file:
            yield _Parquet(path, file) if path.suffix.lower() == ".parquet" else _Arrow(path, file)
    except MemoryError as error:
        raise BenchmarkError(
            f"{path.name} takes more memory than there is: {_line(error)}",
            where=str(path),
            next="check that it is the right file, and not damaged",
        ) from error
    except (pa.ArrowException, OSError, ValueError, LookupError, struct.error) as error:
        raise BenchmarkError(
            f"cannot read {path.name}: {_line(error)}",
            where=str(path),
            next="the file is damaged or incomplete: copy or download it again",
        ) from error


def image_bytes(path: Path, column: str) -> Iterator[bytes | None]:
    """The encoded images of a file, None for one without bytes. Raises BenchmarkError for too many bytes."""
    read = 0
    with opened(path) as table:
        for batch in table.batches(column):
            for value in (scalar.as_py() for scalar in batch):
                read += len(value or b"")
                _check_inflated(path, read)
                yield value


def _check_inflated(path: Path, size: int) -> None:
    """Raise BenchmarkError for more bytes than images that are stored in this file can have."""
    stored = path.stat().st_size
    if size > (limit := max(MAX_INFLATED, _RATIO * stored)):
        raise BenchmarkError(
            f"{path.name} inflates from {formatting.size(stored)} to more than {formatting.size(limit)}: encoded "
            "images cannot be compressed so much",
            where=str(path),
            next="check that it is the right file",
        )


def is_bytes(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


def is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _bytes_of(images: pa.Array) -> pa.Array:
    """The bytes of images in a struct; a missing struct is a missing image too."""
    return images if is_bytes(images.type) else images.flatten()[images.type.get_field_index("bytes")]


class _Parquet:
    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.path, self.file, self.schema = path, file, file.schema_arrow
        metadata = file.metadata
        # Each number is only what the file says.
        rows = max(metadata.num_rows, sum(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)))
        if rows > MAX_ROWS:
            what = f"{path.name} has {rows:,} rows; at most {MAX_ROWS:,} are read"
            raise BenchmarkError(what, where=str(path), next="divide it, or check that it is the right file")

    def labels(self, column: str) -> pa.ChunkedArray:
        self._check_pages(column)
        # A long text that is stored once can be in every row: as a dictionary it is in memory once, too.
        text = [column] if is_text(self.schema.field(column).type) else []
        with pq.ParquetFile(self.path, metadata=self.file.metadata, read_dictionary=text) as file:
            return file.read(columns=[column]).column(column)

    def batches(self, column: str) -> Iterator[pa.Array]:
        """Row by row: pyarrow copies an image that is stored once into each row of a batch."""
        name = column if is_bytes(self.schema.field(column).type) else f"{column}.bytes"
        self._check_pages(name)
        for batch in self.file.iter_batches(batch_size=1, columns=[name]):
            yield _bytes_of(batch.column(0))

    def _check_pages(self, column: str) -> None:
        """Raise BenchmarkError, before pyarrow inflates a page, for a column that would take too much memory."""
        largest = inflated = 0
        for size in page_sizes(self.path, column):
            largest, inflated = max(largest, size), inflated + size
            _check_inflated(self.path, inflated)
        if _COPIES * largest > available_memory():
            raise BenchmarkError(
                f"a page of {self.path.name} inflates to {formatting.size(largest)}: to read it takes more memory than "
                "is available",
                where=str(self.path),
                next="write the table anew with fewer rows in a page or row group (row_group_size=100 in pyarrow)",
            )


class _Arrow:
    """The stream that `datasets` writes, mapped; the file format of Arrow is the same stream after eight bytes."""

    def __init__(self, path: Path, file: pa.MemoryMappedFile) -> None:
        self.path, self.file = path, file
        self.start = 8 if file.read(6) == b"ARROW1" else 0
        self.schema = self._reader().schema

    def labels(self, column: str) -> pa.ChunkedArray:
        self._check_uncompressed()
        type_ = self.schema.field(column).type
        chunks = [self._checked(batch, column) for batch in self._reader()]
        return pa.chunked_array(
            [c.dictionary_encode() if is_text(c.type) else c for c in chunks], None if chunks else type_
        )

    def batches(self, column: str) -> Iterator[pa.Array]:
        self._check_uncompressed()
        for batch in self._reader():
            yield _bytes_of(self._checked(batch, column))

    def _reader(self) -> pa.RecordBatchStreamReader:
        self.file.seek(self.start)
        return pa.ipc.open_stream(self.file)

    def _checked(self, batch: pa.RecordBatch, column: str) -> pa.Array:
        array = batch.column(column)
        array.validate(full=True)  # unchecked, an offset may point anywhere in memory
        return array

    def _check_uncompressed(self) -> None:
        """Raise BenchmarkError for compressed rows: pyarrow would inflate them to whatever size they have."""
        self.file.seek(self.start)
        for message in pa.ipc.MessageReader.open_stream(self.file):
            if _is_compressed(message.metadata.to_pybytes()):
                raise BenchmarkError(
                    f"{self.path.name} holds compressed rows, which are not read",
                    where=str(self.path),
                    next="save it as save_to_disk does, without compression, or as parquet",
                )


def _is_compressed(message: bytes) -> bool:
    """Whether a message of Arrow's stream has a body compression [Arrow's format/Message.fbs]."""
    root = struct.unpack_from("<I", message)[0]
    kind, header = _field(message, root, 1), _field(message, root, 2)
    if not kind or not header:
        return False
    table = header + struct.unpack_from("<I", message, header)[0]
    if message[kind] == 2 and (data := _field(message, table, 1)):  # a dictionary, which holds a batch
        table = data + struct.unpack_from("<I", message, data)[0]
    return message[kind] in (2, 3) and _field(message, table, 3) is not None


def _field(data: bytes, table: int, index: int) -> int | None:
    """Where a field of a flatbuffers table lies, None if it is left out."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    slot = 4 + 2 * index
    offset = struct.unpack_from("<H", data, layout + slot)[0] if slot < struct.unpack_from("<H", data, layout)[0] else 0
    return table + offset if offset else None
