"""Files that are whole or absent, on local disks and on NFS: written aside in the same folder, fsynced, then named."""

from __future__ import annotations

import errno
import json
import math
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from results.errors import ResultsError

_CURES = {
    errno.ENOSPC: "free some space and run the same command again: what is finished is kept",
    errno.EDQUOT: "free some of your quota and run the same command again: what is finished is kept",
    errno.EROFS: "choose a folder that can be written: store=PATH",
    errno.EACCES: "choose a folder that you may write: store=PATH",
    errno.EPERM: "choose a folder that you may write, on a file system with hard links: store=PATH",
    errno.EOPNOTSUPP: "choose a folder on a file system with hard links: store=PATH",
}
_MOVE = "move the file away, then run the same command again"
_READERS, _CHUNK = 8, 64  # threads, and files that one of them reads at a time


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a ResultsError that names `path` and the cure."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        cure = _CURES.get(error.errno or 0, "see that the folder exists and can be written, then run again")
        raise ResultsError(f"cannot write {path.name}: {reason}", where=str(path), next=cure) from error


def to_json(value: Any) -> str:
    """Readable JSON with sorted keys; a number that is not finite becomes null (a diverged loss, say)."""
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
    """Write to a hidden, uniquely named neighbour of `path`, through to the disk; nothing stays on failure."""
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
    """Make names given in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create(path: Path, text: str) -> bool:
    """Give `path` this text unless it exists already: True if this call made it. Raises ResultsError."""
    with writing(path):
        aside = write_aside(path, text)
        try:
            path.hardlink_to(aside)  # unlike a rename, a link never overwrites; unlike O_EXCL, it is whole at once
        except FileExistsError:
            return aside.stat().st_nlink == 2  # NFS may repeat a link that had succeeded, and report the repeat
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True


def replace(path: Path, content: str | bytes) -> None:
    """Give `path` this content, whatever it held. Readers see the old or the new, never a part. Raises ResultsError."""
    with writing(path):
        aside = write_aside(path, content)
        try:
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_json_atomic(path: Path, value: Any) -> None:
    """`replace` with a JSON value; not-finite numbers become null."""
    replace(path, to_json(value))


def read_json(path: Path, cure: str = "") -> dict[str, Any] | None:
    """The JSON object in a file, None when there is no such file. Raises ResultsError with `cure` when unreadable."""
    try:
        held = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error, cure) from error
    return parse_json(held, path, cure)


def parse_json(held: bytes, path: Path, cure: str = "") -> dict[str, Any]:
    """The JSON object that was read in `path`. Raises ResultsError with `cure` when it is none."""
    try:
        value = json.loads(held)
    except ValueError as error:
        raise ResultsError(f"{path.name} is not JSON: {error}", where=str(path), next=cure or _MOVE) from error
    if not isinstance(value, dict):
        raise ResultsError(f"{path.name} does not hold a JSON object", where=str(path), next=cure or _MOVE)
    return value


def unreadable(path: Path, error: OSError, cure: str = "") -> ResultsError:
    """What to say of a file that is there and cannot be read."""
    return ResultsError(f"cannot read {path.name}: {error.strerror}", where=str(path), next=cure or _MOVE)


def read_many(paths: Sequence[Path]) -> Iterator[bytes | OSError]:
    """What each file holds, or why it cannot be read, in their order, a few files ahead of whoever asks.

    Threads overlap the waiting, which is what many small files cost on NFS.
    """
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(_READERS) as pool:
        ahead = deque(pool.submit(_read_all, chunk) for chunk in chunks[: 2 * _READERS])
        for place in range(len(chunks)):
            found = ahead.popleft().result()
            if place + 2 * _READERS < len(chunks):
                ahead.append(pool.submit(_read_all, chunks[place + 2 * _READERS]))
            yield from found


def _read_all(paths: Sequence[Path]) -> list[bytes | OSError]:
    return [_read(path) for path in paths]


def _read(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error
