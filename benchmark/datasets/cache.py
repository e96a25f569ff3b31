"""Decoded images cached as uint8 safetensors: read back by memory mapping, checked against their fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from benchmark.datasets.base import DecodedSplits, Split, fingerprint
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.paths import expand_user
from results import formatting

VERSION = 1  # raised when the same files would be decoded to other pixels

FileStates = Iterable[tuple[str, int, int]]  # relative name, bytes, mtime in nanoseconds
_UNREADABLE = (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError)


def file_states(folder: Path, files: Iterable[Path]) -> FileStates:
    """The state of the files that images are decoded from. Raises OSError for a file that cannot be looked at."""
    return [(path.relative_to(folder).as_posix(), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]


def cache_folder(data_root: Path, cache: Path | None) -> Path:
    """Where decoded images are written: `cache`, else data_root/cache, or the user's folder if that cannot be written.

    The user's folder has one of each data_root, as two of them may hold different copies of a dataset.
    """
    own = data_root / "cache"
    return cache or (own if _is_writable(own) else _user_folder(data_root))


def cache_note(data_root: Path, cache: Path | None) -> str:
    """A note if images were decoded into the user's folder, else ""."""
    folder = cache_folder(data_root, cache)
    if cache or folder == data_root / "cache" or not folder.is_dir():
        return ""
    return f"{data_root} cannot be written: decoded images are kept in {folder} (cache=PATH names another folder)"


def _is_writable(folder: Path) -> bool:
    nearest = next((path for path in (folder, *folder.absolute().parents) if os.access(path, os.F_OK)), folder)
    return os.access(nearest, os.W_OK)


def _user_folder(data_root: Path) -> Path:
    """In the user's cache folder, which XDG_CACHE_HOME names."""
    root, base = data_root.absolute(), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = f"{root.name}-{hashlib.sha256(str(root).encode(errors='surrogateescape')).hexdigest()[:8]}"
    return expand_user(base, where="XDG_CACHE_HOME") / "condensation-benchmark" / name


def _place(name: str, data_root: Path, cache: Path | None) -> Path:
    """The file of this name: in a data_root that cannot be written too, if somebody else has decoded the images."""
    own = data_root / "cache" / name
    return own if cache is None and own.exists() else cache_folder(data_root, cache) / name


def cache_file(data_root: Path, name: str, folder: Path, states: FileStates, cache: Path | None = None) -> Path:
    """The cache file for the images of `folder`: its name changes as soon as one source file does.

    The folder is part of the key, since archives with fixed times give different datasets equal names, sizes and times.
    """
    text = json.dumps([VERSION, str(folder), sorted(states)])
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60]
    return _place(f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors", data_root, cache)


def builtin_cache_file(data_root: Path, key: str, cache: Path | None = None) -> Path:
    """The cache file of a built-in dataset whose card says exactly which images it has.

    They never change, so the files they were decoded from are not looked at again, and may be deleted.
    """
    return _place(f"{key}-v{VERSION}.safetensors", data_root, cache)


def load_or_decode(
    path: Path, source: str, decode: Callable[[], DecodedSplits], owner: str = ""
) -> tuple[DecodedSplits, str]:
    """The splits cached at `path`, or else decoded and cached there; with their fingerprint.

    owner: what `path` is a state of; caches of its earlier states are deleted when a new one is written. The images
    are a view of the file: its pages are read when they are accessed, and shared by all processes. A damaged cache is
    deleted and decoded again, and the result's `source` says so. Raises BenchmarkError if the cache cannot be written.
    """
    damaged = path.exists()
    if damaged and (cached := read_cache(path, source)):
        return cached
    if damaged:
        _delete(path)
        source = f"{source}; the cached images were damaged and have been decoded again"
    decoded = decode()
    _write(path, decoded, fingerprint(decoded), owner)
    for earlier in caches_of(owner, path.parent) if owner else ():
        if earlier != path:
            with contextlib.suppress(OSError):  # it may belong to another user
                earlier.unlink()
    del decoded  # the file replaces it in memory
    cached = read_cache(path, source)
    if cached is None:
        raise BenchmarkError(
            f"{path} does not hold what was just written to it",
            where=f"cache, {path.parent}",
            next="check the disk, or set cache=PATH to a folder on another one",
        )
    return cached


def read_cache(path: Path, source: str) -> tuple[DecodedSplits, str] | None:
    """The cached splits and their fingerprint, or None if the file is damaged: truncated, overwritten or altered."""
    try:
        stat = path.stat()
        decoded, digest = _read_verified(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except _UNREADABLE:
        return None
    return replace(decoded, source=source), digest


@lru_cache(maxsize=8)
def _read_verified(path: Path, inode: int, size: int, modified: int) -> tuple[DecodedSplits, str]:
    """`read_cache`, once in a process for each state of the file: planning and tasks read the same datasets.

    Raises ValueError for pixels that do not have the fingerprint they were written with, and others of _UNREADABLE.
    """
    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["card"])
        train, test = (Split(file.get_tensor(f"{s}.images"), file.get_tensor(f"{s}.labels")) for s in ("train", "test"))
    decoded = DecodedSplits(train, test, tuple(card["classes"]), source="")
    digest = fingerprint(decoded)
    if digest != card["fingerprint"]:
        raise ValueError(f"{path} has another fingerprint than when it was written")
    return decoded, digest


def caches_of(owner: str, folder: Path) -> list[Path]:
    """The cache files in `folder` that were written for `owner`, or have its name, the latest first."""
    paths = [path for path in folder.glob("*.safetensors") if (_card(path).get("owner") or path.stem) == owner]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _card(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads(file.metadata()["card"]))
    except _UNREADABLE:
        return {}


def _write(path: Path, decoded: DecodedSplits, digest: str, owner: str) -> None:
    """Write a temporary file in the same folder, then rename it: a kill leaves the whole file or none of that name."""
    card = json.dumps({"classes": list(decoded.classes), "fingerprint": digest, "owner": owner}, sort_keys=True)
    tensors = {
        f"{name}.{part}": getattr(split, part)
        for name, split in (("train", decoded.train), ("test", decoded.test))
        for part in ("images", "labels")
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_folder(path.parent) as folder:
            temporary = folder / path.name
            temporary.touch()  # its mode is the umask's; safetensors' own would exclude a group that shares data_root
            mode = temporary.stat().st_mode
            save_file(tensors, temporary, metadata={"card": card})
            temporary.chmod(mode)
            if not path.exists():  # another process may have been faster, and others may have mapped its file
                temporary.replace(path)
    except (OSError, SafetensorError) as error:
        needed = formatting.size(sum(tensor.nbytes for tensor in tensors.values()))
        raise BenchmarkError(
            f"cannot write the decoded images ({needed}) to {path}: {error}",
            where=f"cache, {path.parent}",
            next="free space there, or set cache=PATH to a folder with space that you may write to",
        ) from error


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder to write in, deleted at the end; those that killed processes left behind are deleted first.

    A lock distinguishes folders in use from those left behind. It is acquired before the folder gets its final name:
    until then no other process looks at it.
    """
    for left in parent.glob(".writing-*"):
        with contextlib.suppress(OSError, NotImplementedError), FileLock(left / "lock", timeout=0):
            shutil.rmtree(left, ignore_errors=True)
    new = parent / f".new-{uuid4().hex}"
    folder = new.with_name(f".writing-{uuid4().hex}")
    new.mkdir()
    lock = FileLock(new / "lock")
    try:
        with contextlib.suppress(NotImplementedError):  # a disk without locks: a kill leaves the folder behind
            lock.acquire()
        new.rename(folder)
        yield folder
    finally:
        lock.release()
        for path in (new, folder):
            shutil.rmtree(path, ignore_errors=True)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"the cached images in {path} are damaged and cannot be deleted: {error}",
            where=f"cache, {path.parent}",
            next="delete the file, or set cache=PATH to another folder",
        ) from error
