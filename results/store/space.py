"""What a store takes on the disk that is neither a record nor a final set, and deleting some of it.

Only files of tasks that have ended are named, and none that an unfinished task needs. A file is deleted under the lock
of its task, so that nothing which is at work loses one; after a kill the store is whole, with fewer of these files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.atomic_files import writing
from results.store.lock import TaskLock
from results.store.schema import NEEDS_RETRY
from results.store.store import Store, StoreContents, attempt_files
from results.store.task_states import TaskState, task_state
from results.types import Json

CHECKPOINTS, EXPERTS, SNAPSHOTS, ATTEMPTS = "checkpoints", "experts", "snapshots", "attempts"
KINDS = (CHECKPOINTS, EXPERTS, SNAPSHOTS, ATTEMPTS)


@dataclass(frozen=True)
class TaskFiles:
    """Files of one kind in a task's folder. seconds: of the task that would make them again, 0 if none would."""

    kind: str
    folder: Path
    paths: tuple[Path, ...]
    seconds: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of those that are still there."""
        return total_size(self.paths)


def total_size(paths: Iterable[Path]) -> int:
    """Bytes of those of the files that are still there."""
    size = 0
    for path in paths:
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def removable(store: Store, queued_inputs: Collection[str] = ()) -> list[TaskFiles]:
    """The files of each kind that can be deleted, by task.

    queued_inputs: identities of tasks whose files queued tasks will read. Raises ResultsError if a folder cannot be
    listed.
    """
    contents = store.read()
    states = [task_state(folder) for folder in contents.unrecorded]
    needed = {*queued_inputs, *(identity for state in states for identity in _inputs(state.task))}
    return [*_of_done(contents, needed), *_of_failed(states)]


def _of_done(contents: StoreContents, needed: Collection[str]) -> Iterator[TaskFiles]:
    for folder, record in contents.records.items():
        yield from _files(CHECKPOINTS, folder, folder.glob("checkpoint.*"))
        yield from _files(ATTEMPTS, folder, attempt_files(folder / "attempts"))
        if record["identity"] in needed:
            continue
        artifacts = [name for name in record["artifacts"] if (folder / name).is_file()]
        if record["kind"] == "prepare":
            yield from _files(EXPERTS, folder, (folder / name for name in artifacts), record)
        elif record["kind"] == "condense":
            kept = (folder / name for name in artifacts if name.startswith("snapshots/"))
            yield from _files(SNAPSHOTS, folder, kept, record)


def _of_failed(states: Iterable[TaskState]) -> Iterator[TaskFiles]:
    """Checkpoints of tasks that only `retry=failed` tries again."""
    for state in states:
        if state.status in NEEDS_RETRY and state.folder:
            yield from _files(CHECKPOINTS, state.folder, state.folder.glob("checkpoint.*"))


def _files(kind: str, folder: Path, paths: Iterable[Path], record: Json | None = None) -> Iterator[TaskFiles]:
    found = tuple(sorted(paths))
    if found:
        yield TaskFiles(kind, folder, found, float(record["seconds"]) if record else 0.0)


def _inputs(task: Json) -> set[Any]:
    """Identities of the tasks whose files a begun task reads."""
    resolved = task.get("resolved", {})
    return {*resolved.get("experts", ()), *resolved.get("sets", ()), resolved.get("set")} - {None}


def delete(files: TaskFiles) -> bool:
    """Delete the files; returns whether the task's lock was free. Raises ResultsError if they cannot be deleted."""
    lock = TaskLock(files.folder)
    try:
        if not lock.acquire():
            return False
    except ResultsError:
        return False
    try:
        with writing(files.folder):
            for path in files.paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in files.paths} - {files.folder}:
                with suppress(OSError):  # others were added meanwhile
                    folder.rmdir()
    finally:
        lock.release()
    return True
