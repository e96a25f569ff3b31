"""Files that somebody else made are opened only if they are regular, not too large, and no stand-in for the data."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from benchmark.utils.errors import BenchmarkError
from results import formatting

_HEAD = 1024  # bytes by which a file is recognized
_WEB_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*(?:<\?xml[^>]*>\s*)?<(?:!doctype html|html|head)\b", re.I | re.S
)


def check_file(path: Path, limit: int) -> None:
    """Raise BenchmarkError for a pipe, a device or a folder, which may never end, and for more than `limit` bytes.

    Raises it as `check_content` too, and OSError for a file that cannot be looked at.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise BenchmarkError(
            f"{path.name} is no regular file but {_kind(state.st_mode)}",
            where=str(path),
            next="put the file itself there, or remove it",
        )
    if state.st_size > limit:
        raise BenchmarkError(
            f"{path.name} has {formatting.size(state.st_size)}; at most {formatting.size(limit)} are read",
            where=str(path),
            next="check that it is the right file",
        )
    check_content(path)


def check_content(path: Path) -> None:
    """Raise BenchmarkError, with the remedy, for a git-lfs pointer and a web page. Raises OSError as `check_file`."""
    if found := placeholder(path):
        raise BenchmarkError(f"{path.name} is {found[0]}, not the file itself", where=str(path), next=found[1])


def placeholder(data: Path | bytes) -> tuple[str, str] | None:
    """What was saved in place of the data of a file, and the remedy; None if it may be the data."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            content = file.read(_HEAD)
    else:
        content = data[:_HEAD]
    if content.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a pointer of git-lfs", "run `git lfs pull` in the repository that it comes from (git-lfs.com)"
    if _WEB_PAGE.match(content):
        return "a web page (HTML)", "its address gave a page: download it again, from the link to the file itself"
    return None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a device")
