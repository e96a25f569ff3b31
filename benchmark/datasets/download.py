"""Downloading published files: going on where a download broke off, checked against the published md5."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from benchmark.datasets.base import Progress
from benchmark.utils.errors import BenchmarkError

PATIENCE = 60.0  # seconds without an answer from a server, after which a download has failed
_PIECE = 1 << 20


@dataclass(frozen=True)
class Published:
    """A file as published: where it belongs, its md5 in hex, and the addresses it is had from, best first."""

    path: Path
    md5: str
    urls: Sequence[str] = ()


def intact(path: Path, md5: str | None) -> bool:
    """Is the whole file there? `md5` None: any content will do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return md5 is None or hashlib.file_digest(file, "md5").hexdigest() == md5


def download(wanted: Published, progress: Progress | None = None) -> None:
    """Bring `wanted` to its place, unless it is there already, whole.

    Written to PATH.part, which a later call goes on with if the server allows; renamed when its md5 is right. Progress
    is in MiB. Raises BenchmarkError when no address gives the file: what each answered, and where to put the file by
    hand.
    """
    if intact(wanted.path, wanted.md5):
        return
    folder = wanted.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{wanted.path}.lock"):  # two runs may want it at once
            _from_any(wanted, progress)
    except (OSError, NotImplementedError) as error:
        raise BenchmarkError(
            f"{wanted.path.name} cannot be put into {folder}: {error}",
            where=f"data_root, {folder}",
            next="set data_root=PATH to a folder that you may write to",
        ) from error


def _from_any(wanted: Published, progress: Progress | None) -> None:
    said = []
    for url in wanted.urls:
        try:
            if not intact(wanted.path, wanted.md5):
                _from(url, wanted, progress)
            return
        except (OSError, ValueError, http.client.HTTPException) as error:
            said.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
    damaged = " is damaged (not the published md5: half a download?) and" if wanted.path.is_file() else ""
    raise BenchmarkError(
        f"{wanted.path}{damaged} cannot be downloaded: {'; '.join(said)}",
        where=f"data_root, {wanted.path.parent}",
        next=f"download it elsewhere and copy it to {wanted.path}",
    )


def _from(url: str, wanted: Published, progress: Progress | None) -> None:
    part = wanted.path.with_name(f"{wanted.path.name}.part")
    if intact(part, wanted.md5):  # killed before it could be renamed
        part.replace(wanted.path)
        return
    have = part.stat().st_size if part.exists() else 0
    with _opened(url, have) as answer:
        resumed = have and answer.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as file:
            _copy(answer, file, have, total, f"downloading {wanted.path.name}, MiB", progress)
    if part.stat().st_size < total:
        raise OSError("the connection broke off; run the same command again to go on")
    if not intact(part, wanted.md5):
        part.unlink()
        raise ValueError("what it sends is not the published file (another md5)")
    part.replace(wanted.path)


def _opened(url: str, have: int) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "condensation-benchmark"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer: http.client.HTTPResponse = urllib.request.build_opener().open(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # there is nothing left to send
            return _opened(url, 0)
        raise
    return answer


def _copy(
    source: http.client.HTTPResponse, target: BinaryIO, done: int, total: int, label: str, progress: Progress | None
) -> None:
    while piece := source.read(_PIECE):
        target.write(piece)
        done += len(piece)
        if progress:
            progress(label, done >> 20, max(total, done) >> 20)
