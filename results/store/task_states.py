"""The states of thousands of tasks, from the fewest files of their folders; no damaged file stops the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.atomic_files import read_json
from results.store.schema import ATTEMPTED, KINDS, RECORDED, Status
from results.store.store import (
    PREFIX,
    REMOVE_FOLDER,
    RERUN,
    attempt_files,
    check_identity,
    read_record,
    task_folders,
)
from results.types import Json


@dataclass(frozen=True)
class TaskState:
    """How far a task is.

    task: as planned, or as its task.json; of a done task of the store, what its record and its folder's name tell.
    status: NEW, BEGUN, DONE, UNREADABLE, or that of the last attempt (one of schema.ATTEMPTED).
    message: of the record ("" when it is ok) or of the last attempt; the text of `error` if there is one.
    error: why an unreadable task is unreadable.
    owner: the content of lock.json ({} when it is damaged), None without one. It is not read for a done task.
    progress: the content of progress.json, None without one. Neither file makes a task unreadable.
    modified: when the newer of these two was written, in seconds by the file system's clock, None without either.
    """

    task: Json
    folder: Path | None
    status: Status
    message: str = ""
    owner: Json | None = None
    progress: Json | None = None
    modified: float | None = None
    error: ResultsError | None = None


def task_states(root: Path, tasks: Iterable[Json] | None = None) -> dict[str, TaskState]:
    """The states by identity of these tasks, in their order, or of all tasks of the store if None.

    If neither record.json nor task.json tells the identity, it is the prefix at the end of the folder's name. Nothing
    is written. Raises ResultsError only if the folders cannot be listed.
    """
    folders = task_folders(Path(root))
    if tasks is None:
        states = (_furthest(same_task, None) for same_task in folders.values())
        return {state.task["identity"]: state for state in states}
    return {
        task["identity"]: _furthest(folders.get((task["kind"], task["identity"][:PREFIX]), []), task) for task in tasks
    }


def _furthest(folders: list[Path], task: Json | None) -> TaskState:
    """The state of a task from its folders, of which there is seldom more than one: that of `Store.find`."""
    if not folders:
        assert task is not None
        return TaskState(task, None, Status.NEW)
    states = [task_state(folder, task) for folder in folders]
    return next((state for state in states if state.status == Status.DONE), states[0])


def task_state(folder: Path, task: Json | None = None) -> TaskState:
    """The state of the task of one folder."""
    try:
        record = read_record(folder)
        return _without_record(folder, task) if record is None else _done(folder, task, record)
    except ResultsError as error:
        return _unreadable(folder, task, error)
    except OSError as error:
        return _unreadable(folder, task, ResultsError(f"cannot be read: {error.strerror}", where=str(folder)))


def _done(folder: Path, task: Json | None, record: Json) -> TaskState:
    if record.get("status") not in RECORDED or not isinstance(record.get("identity"), str):
        path = folder / "record.json"
        raise ResultsError(f"its status is {record.get('status')!r}", where=str(path), next=RERUN)
    if task is None:
        stored = {key: record[key] for key in ("identity", "spec", "resolved", "display") if key in record}
        task = _task_of_name(folder) | stored
    check_identity(folder, record, task)
    return TaskState(task, folder, Status.DONE, str(record.get("message") or ""))


def _without_record(folder: Path, task: Json | None) -> TaskState:
    with os.scandir(folder) as entries:
        files = {entry.name: entry for entry in entries}
    stored = read_json(folder / "task.json", REMOVE_FOLDER) if "task.json" in files else None
    if stored is not None:
        task = task or stored
        if not isinstance(stored.get("identity"), str):
            raise ResultsError("task.json has no identity", where=str(folder), next=REMOVE_FOLDER)
        check_identity(folder, stored, task)
    status, message = _last_attempt(folder / "attempts") if "attempts" in files else (Status.BEGUN, "")
    return TaskState(
        task or _task_of_name(folder),  # a process that was killed in `Store.begin` left no task.json
        folder,
        status,
        message,
        owner=_read_changing(folder / "lock.json", {}) if "lock.json" in files else None,
        progress=_read_changing(folder / "progress.json", None) if "progress.json" in files else None,
        modified=max(_modification_times(files), default=None),
    )


def _last_attempt(folder: Path) -> tuple[Status, str]:
    """Status and message of the latest attempt; BEGUN if there is none."""
    paths = attempt_files(folder)
    if not paths or (attempt := read_json(paths[-1])) is None:
        return Status.BEGUN, ""
    if attempt.get("status") not in ATTEMPTED:
        raise ResultsError(f"its status is {attempt.get('status')!r}", where=str(paths[-1]), next="move the file away")
    return Status(attempt["status"]), str(attempt.get("message") or "")


def _read_changing(path: Path, damaged: dict[str, Any] | None) -> dict[str, Any] | None:
    """The object in a file that another process replaces or removes; None if it is gone, `damaged` if it is none."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return damaged
    return content if isinstance(content, dict) else damaged


def _modification_times(files: Mapping[str, os.DirEntry[str]]) -> Iterator[float]:
    for name in ("lock.json", "progress.json"):
        if name in files:
            with suppress(OSError):
                yield files[name].stat().st_mtime


def _unreadable(folder: Path, task: Json | None, error: ResultsError) -> TaskState:
    message = f"{error.what} ({error.where})" + (f": {error.next}" if error.next else "")
    if task is None:
        with suppress(ResultsError):
            task = read_json(folder / "task.json")
    if task is None or not isinstance(task.get("identity"), str):
        task = _task_of_name(folder)
    return TaskState(task, folder, Status.UNREADABLE, message, error=error)


def _task_of_name(folder: Path) -> dict[str, Any]:
    """What a folder's name tells of its task."""
    slug, _, prefix = folder.name.rpartition("-")
    assert folder.parent.name in KINDS
    return {"kind": folder.parent.name, "identity": prefix, "slug": slug, "resolved": {}, "display": {}}
