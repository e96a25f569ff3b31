"""Decoded images kept as uint8 safetensors: read back by memory mapping, checked against their fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from benchmark.datasets.base import Content, Split, fingerprint
from benchmark.utils.errors import BenchmarkError

VERSION = 1  # raised when the same files would be decoded to other pixels

Listing = Iterable[tuple[str, int, int]]  # relative name, bytes, mtime in nanoseconds


def listing(folder: Path, files: Iterable[Path]) -> Listing:
    """The state of the files that images are decoded from. Raises OSError for one that cannot be looked at."""
    return [(path.relative_to(folder).as_posix(), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]


def cache_file(data_root: Path, name: str, folder: Path, listing: Listing) -> Path:
    """Where the decoded images of `folder` are kept: another name as soon as one source file changes.

    The folder is part of the key, since archives with fixed times give different datasets equal names, sizes and times.
    """
    text = json.dumps([VERSION, str(folder), sorted(listing)])
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60]
    return data_root / "cache" / f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"


def known_file(data_root: Path, name: str) -> Path:
    """Where the decoded images of a known dataset are kept whose card says exactly which images these are.

    They never change, so the files they came from are not looked at again, and may be deleted.
    """
    return data_root / "cache" / f"{name}-v{VERSION}.safetensors"


def remembered(path: Path, source: str, build: Callable[[], Content], owner: str = "") -> tuple[Content, str]:
    """The content cached at `path`, or else what `build` answers, cached; with its fingerprint.

    owner: what has changed when another `path` is asked for; what was cached of its earlier states is then deleted.
    The images are a view of the file: pages of it are read when they are looked at, and shared by all processes. A
    damaged cache is deleted and built again, which `source` then says. Raises BenchmarkError when the cache cannot be
    written.
    """
    damaged = path.exists()
    if damaged and (found := recall(path, source)):
        return found
    if damaged:
        _delete(path)
        source = f"{source}; the cached images were damaged and have been decoded again"
    content = build()
    _write(path, content, fingerprint(content), owner)
    for earlier in states_of(owner, path.parent) if owner else ():
        if earlier != path:
            with contextlib.suppress(OSError):  # somebody else's, perhaps
                earlier.unlink()
    del content  # the file is all that is kept of it
    found = recall(path, source)
    if found is None:
        raise BenchmarkError(
            f"{path} is not what was written to it a moment ago",
            where=f"data_root, {path.parent.parent}",
            next="look at the disk, or set data_root=PATH to a folder on another one",
        )
    return found


def recall(path: Path, source: str) -> tuple[Content, str] | None:
    """What is cached, or None when it is damaged: cut short, overwritten, or not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads(file.metadata()["card"])
            train, test = (
                Split(file.get_tensor(f"{s}.images"), file.get_tensor(f"{s}.labels")) for s in ("train", "test")
            )
        content = Content(train, test, tuple(card["classes"]), source)
        mark = fingerprint(content)
        return (content, mark) if mark == card["fingerprint"] else None
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError):
        return None


def states_of(owner: str, folder: Path) -> list[Path]:
    """The caches in `folder` that were written for `owner`, or are called so, the latest first."""
    found = [path for path in folder.glob("*.safetensors") if (_card(path).get("owner") or path.stem) == owner]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _card(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads(file.metadata()["card"]))
    except (SafetensorError, OSError, LookupError, ValueError, TypeError):
        return {}


def _write(path: Path, content: Content, mark: str, owner: str) -> None:
    """Write aside in the same folder, then rename: a kill leaves either the whole file or none of that name."""
    card = json.dumps({"classes": list(content.classes), "fingerprint": mark, "owner": owner}, sort_keys=True)
    tensors = {
        f"{name}.{part}": getattr(split, part)
        for name, split in (("train", content.train), ("test", content.test))
        for part in ("images", "labels")
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _room_aside(path.parent) as room:
            aside = room / path.name
            aside.touch()  # its mode is the umask's; safetensors' own would shut out a group that shares data_root
            mode = aside.stat().st_mode
            save_file(tensors, aside, metadata={"card": card})
            aside.chmod(mode)
            if not path.exists():  # another process may have been faster, and others may have mapped its file
                aside.replace(path)
    except (OSError, SafetensorError) as error:
        gib = sum(tensor.nbytes for tensor in tensors.values()) / 2**30
        raise BenchmarkError(
            f"cannot write the decoded images ({gib:.2f} GiB) to {path}: {error}",
            where=f"data_root, {path.parent.parent}",
            next="make room there, or set data_root=PATH to a folder with room that you may write to",
        ) from error


@contextlib.contextmanager
def _room_aside(folder: Path) -> Iterator[Path]:
    """A folder in `folder` to write in, deleted in the end; what killed processes left of theirs is deleted first.

    A lock tells the living from the dead. It is held before the folder gets its name: until then nobody looks at it.
    """
    for left in folder.glob(".writing-*"):
        with contextlib.suppress(OSError, NotImplementedError), FileLock(left / "lock", timeout=0):
            shutil.rmtree(left, ignore_errors=True)
    new = folder / f".new-{uuid4().hex}"
    room = new.with_name(f".writing-{uuid4().hex}")
    new.mkdir()
    lock = FileLock(new / "lock")
    try:
        with contextlib.suppress(NotImplementedError):  # a disk without locks: a kill leaves its folder for good
            lock.acquire()
        new.rename(room)
        yield room
    finally:
        lock.release()
        for made in (new, room):
            shutil.rmtree(made, ignore_errors=True)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"the cached images in {path} are damaged and cannot be deleted: {error}",
            where=f"data_root, {path.parent.parent}",
            next="delete the file, or set data_root=PATH to another folder",
        ) from error
