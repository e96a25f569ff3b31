"""The files of other tasks that a task used: whether they are still those that the other tasks' records name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from results.types import Json

RECORD = "record.json"  # the path under which an input without files is known: one that is not ok
RecordOf = Callable[[str, str], Json | None]  # the record of a task, from its kind and identity


def input_key(kind: str, identity: str, path: str) -> str:
    """The key of a file in a record's `inputs`."""
    return f"{kind}/{identity}/{path}"


def changed_input(record: Json, record_of: RecordOf) -> str:
    """A sentence on an input that was made again with other bytes since the record was written, "" if there is none.

    An input without a record, or without a usable one, counts as unchanged: nothing is known of it.
    """
    for key, sha256 in record["inputs"].items():
        kind, identity, *path = PurePosixPath(key).parts
        made = record_of(kind, identity)
        name = "/".join(path)
        now = (made["checksum"] if name == RECORD else made["artifacts"].get(name)) if made else None
        if now is not None and now != sha256:
            return f"{name} of {kind} {identity[:12]} was made again with another content"
    return ""
