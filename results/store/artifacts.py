"""The files that a task keeps: read only if they are those that its record names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from results.errors import ResultsError
from results.types import Json

MAKE_AGAIN = "put the file back, or move its folder away and run the same command again: it is made again"


def checked_artifact(folder: Path, record: Json, name: str) -> Path:
    """The path of a file in a task's folder, by its path there.

    Raises ResultsError if the record names no such file, and if the file is missing or has another SHA-256.
    """
    path, expected = folder / name, record["artifacts"].get(name)
    if expected is None:
        raise ResultsError(f"the record of the task names no file {name}", where=str(folder), next=MAKE_AGAIN)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ResultsError(f"cannot read {name}: {error.strerror}", where=str(path), next=MAKE_AGAIN) from error
    if found != expected:
        what = f"{path.name} was changed or damaged: its checksum is not the one in its record"
        raise ResultsError(what, where=str(path), next=MAKE_AGAIN)
    return path
