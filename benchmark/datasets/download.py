"""Downloading published files: interrupted downloads are resumed, and files are checked against the published md5."""

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

from benchmark.datasets.base import Progress, one_line
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import placeholder

TIMEOUT_SECONDS = 60.0  # without an answer from a server, after which a download has failed
_BLOCK = 1 << 20


@dataclass(frozen=True)
class PublishedFile:
    """A file to download: its path here, its md5 in hex, and the URLs to try, best first."""

    path: Path
    md5: str
    urls: Sequence[str] = ()


def is_intact(path: Path, md5: str | None) -> bool:
    """Whether the file exists and has this md5; with None, any content is accepted."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return md5 is None or hashlib.file_digest(file, "md5").hexdigest() == md5


def damage(path: Path) -> str:
    """What a file is that does not have the published md5: "damaged", or what was saved in its place, with the remedy.

    Raises OSError for a file that cannot be read.
    """
    found = placeholder(path)
    return f"{found[0]} ({found[1]})" if found else "damaged (another md5)"


def download(file: PublishedFile, progress: Progress | None = None) -> None:
    """Download `file` unless it exists and is intact.

    It is written to PATH.part, which a later call resumes if the server allows, and renamed when its md5 is right.
    Progress is in MiB. Raises BenchmarkError if no URL gives the file, with the answer of each, and where to put the
    file by hand.
    """
    if is_intact(file.path, file.md5):
        return
    folder = file.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file.path}.lock"):  # two runs may download it at once
            _try_urls(file, progress)
    except (OSError, NotImplementedError) as error:
        raise BenchmarkError(
            f"{file.path.name} cannot be put into {folder}: {error}",
            where=f"data_root, {folder}",
            next="set data_root=PATH to a folder that you may write to",
        ) from error


def _try_urls(file: PublishedFile, progress: Progress | None) -> None:
    failures = []
    for url in file.urls:
        try:
            if not is_intact(file.path, file.md5):
                _download_from(url, file, progress)
            return
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{url}: {one_line(error)}")
    damaged = f" is {damage(file.path)} and" if file.path.is_file() else ""
    raise BenchmarkError(
        f"{file.path}{damaged} cannot be downloaded: {'; '.join(failures)}",
        where=f"data_root, {file.path.parent}",
        next=f"download it elsewhere and copy it to {file.path}",
    )


def _download_from(url: str, file: PublishedFile, progress: Progress | None) -> None:
    part = file.path.with_name(f"{file.path.name}.part")
    if is_intact(part, file.md5):  # killed before it could be renamed
        part.replace(file.path)
        return
    done = part.stat().st_size if part.exists() else 0
    with _open_url(url, done) as response:
        resumed = done and response.status == http.client.PARTIAL_CONTENT
        done = done if resumed else 0
        total = done + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as target:
            _copy(response, target, done, total, f"downloading {file.path.name}, MiB", progress)
    if part.stat().st_size < total:
        raise OSError("the connection broke off; run the same command again to resume")
    if not is_intact(part, file.md5):
        sent = damage(part)
        part.unlink()
        raise ValueError(f"the server does not send the published file, but one that is {sent}")
    part.replace(file.path)


def _open_url(url: str, start: int) -> http.client.HTTPResponse:
    """The response to a request for the bytes from `start` on."""
    request = urllib.request.Request(url, headers={"User-Agent": "condensation-benchmark"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener().open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # there is nothing left to send
            return _open_url(url, 0)
        raise
    return response


def _copy(
    source: http.client.HTTPResponse, target: BinaryIO, done: int, total: int, label: str, progress: Progress | None
) -> None:
    while block := source.read(_BLOCK):
        target.write(block)
        done += len(block)
        if progress:
            progress(label, done >> 20, max(total, done) >> 20)
