"""Files that are whole or absent, on local disks and on NFS: written under another name, synced, then renamed."""

from __future__ import annotations

import errno
import json
import math
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from results.errors import ResultsError, UnwritableError

_CURES = {
    errno.ENOSPC: "free some space and run the same command again: finished tasks are kept",
    errno.EDQUOT: "free some of your quota and run the same command again: finished tasks are kept",
    errno.EROFS: "choose a folder that can be written: store=PATH",
    errno.EACCES: "choose a folder that you can write to: store=PATH",
    errno.EPERM: "choose a folder that you can write to: store=PATH",
    errno.EIO: "check the disk, or choose another one: store=PATH",
}
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # what one task meets, all others would meet
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # of vfat and exFAT, SMB, Google Drive in Colab
_MOVE = "move the file away, then run the same command again"
_THREADS, _CHUNK = 8, 64  # of read_many; _CHUNK: files that one thread reads at a time


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a ResultsError that names `path` and the cure.

    It is an UnwritableError where the disk is the cause.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        cure = _CURES.get(error.errno or 0, "make sure that the folder exists and can be written, then run again")
        kind = UnwritableError if error.errno in _OF_THE_DISK else ResultsError
        raise kind(f"cannot write {path.name}: {reason}", where=str(path), next=cure) from error


def to_json(value: Any) -> str:
    """Indented JSON with sorted keys; a number that is not finite becomes null, such as a diverged loss."""
    return json.dumps(_finite(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value


def write_aside(path: Path, content: str | bytes) -> Path:
    """Write to a hidden file of a unique name beside `path` and sync it to the disk. Nothing is left on failure."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")  # same folder: the rename is atomic, the umask holds
    try:
        with aside.open("wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return aside


def sync_folder(folder: Path) -> None:
    """Make new and renamed files of `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create(path: Path, text: str) -> bool:
    """Write `path` unless it exists; returns whether this call wrote it. Raises ResultsError."""
    with writing(path):
        aside = write_aside(path, text)
        try:
            if not _link(aside, path):
                return False
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True


def _link(aside: Path, path: Path) -> bool:
    """Give `path` the content of `aside`, unless it exists; returns whether this call did."""
    try:
        path.hardlink_to(aside)  # unlike a rename, a link never overwrites; unlike O_EXCL, it is whole at once
    except FileExistsError:
        return aside.stat().st_nlink == 2  # NFS may repeat a link that had succeeded, and report the repeat
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            path.open("xb").close()  # without hard links it is empty for a moment
        except FileExistsError:
            return False
        aside.replace(path)
    return True


def replace(path: Path, content: str | bytes) -> None:
    """Write `path` whether or not it exists. Readers see the old content or the new. Raises ResultsError."""
    with writing(path):
        aside = write_aside(path, content)
        try:
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`replace` with a JSON value, as `to_json` writes it."""
    replace(path, to_json(value))


def read_json(path: Path, cure: str = "") -> dict[str, Any] | None:
    """The JSON object in a file, None if there is no such file. Raises ResultsError with `cure` if it is unreadable."""
    try:
        content = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not path.is_symlink():
            return None
        raise unreadable(path, error, cure) from error
    return parse_json(content, path, cure)


def parse_json(content: bytes, path: Path, cure: str = "") -> dict[str, Any]:
    """The JSON object in the content of `path`. Raises ResultsError with `cure` if there is none."""
    try:
        value = json.loads(content, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path.name} is not JSON: {error}", where=str(path), next=cure or _MOVE) from error
    if not isinstance(value, dict):
        raise ResultsError(f"{path.name} does not hold a JSON object", where=str(path), next=cure or _MOVE)
    return value


def _not_finite(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def unreadable(path: Path, error: OSError, cure: str = "") -> ResultsError:
    """The error for a file that exists and cannot be read."""
    reason = "it is a link to a file that is not there" if isinstance(error, FileNotFoundError) else error.strerror
    return ResultsError(f"cannot read {path.name}: {reason}", where=str(path), next=cure or _MOVE)


def read_many(paths: Sequence[Path]) -> Iterator[bytes | OSError]:
    """The content of each file, or the error of reading it, in order. Threads read a few files ahead.

    They overlap the latencies, which dominate the time of reading many small files on NFS.
    """
    chunks = iter([paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)])
    with ThreadPoolExecutor(_THREADS) as pool:
        ahead = deque(pool.submit(_read_all, chunk) for chunk in islice(chunks, 2 * _THREADS))
        while ahead:
            contents = ahead.popleft().result()
            ahead.extend(pool.submit(_read_all, chunk) for chunk in islice(chunks, 1))
            yield from contents


def _read_all(paths: Sequence[Path]) -> list[bytes | OSError]:
    return [_read(path) for path in paths]


def _read(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error
