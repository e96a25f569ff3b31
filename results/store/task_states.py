"""The states of thousands of tasks, from the fewest files of their folders; no damaged file stops the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.atomic_files import read_json
from results.store.identity import PREFIX
from results.store.inputs import RecordOf, changed_input
from results.store.schema import KINDS, Status
from results.store.store import (
    CONTINUE,
    attempt_files,
    check_identity,
    different_records,
    read_attempt,
    read_record,
    same_numbers,
    task_folders,
)
from results.store.validation import is_progress, problem_of_stored_task
from results.types import Json


@dataclass(frozen=True)
class TaskState:
    """How far a task is.

    task: as planned, or as its task.json; of a done task of the store, what its record and its folder's name tell.
    status: NEW, BEGUN, DONE, OUTDATED, UNREADABLE, or that of the last attempt (one of schema.ATTEMPTED).
    message: of the record ("" when it is ok) or of the last attempt; the text of `error` if there is one.
    record: of a done task, its status, result, artifacts, inputs and code.
    error: why an unreadable task is unreadable.
    owner: the content of lock.json ({} when it is damaged), None without one. It is not read for a done task.
    progress: the content of progress.json, None without one or if it is damaged. Neither file makes a task unreadable.
    modified: when the newer of these two was written, in seconds by the file system's clock, None without either.
    """

    task: Json
    folder: Path | None
    status: Status
    message: str = ""
    record: Json | None = None
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
    states: dict[tuple[str, str], TaskState] = {}  # by kind and the first digits of the identity

    def state_of(kind: str, identity: str, task: Json | None = None) -> TaskState:
        key = (kind, identity[:PREFIX])
        if key not in states:
            states[key] = _furthest(folders.get(key, []), task or {"kind": kind, "identity": identity})
        return states[key]

    if tasks is None:
        wanted = [_furthest(same_task, None) for same_task in folders.values()]
        states = dict(zip(folders, wanted, strict=True))
    else:
        wanted = [state_of(task["kind"], task["identity"], task) for task in tasks]

    def record_of(kind: str, identity: str) -> Json | None:
        return state_of(kind, identity).record

    return {state.task["identity"]: _checked_inputs(state, record_of) for state in wanted}


def _checked_inputs(state: TaskState, record_of: RecordOf) -> TaskState:
    """The state, OUTDATED where an input of a done task was made again since."""
    reason = changed_input(state.record, record_of) if state.record else ""
    return replace(state, status=Status.OUTDATED, message=reason) if reason else state


def _furthest(folders: list[Path], task: Json | None) -> TaskState:
    """The state of a task from its folders, of which there is seldom more than one: that of `Store.find`."""
    if not folders:
        assert task is not None
        return TaskState(task, None, Status.NEW)
    states = [task_state(folder, task) for folder in folders]
    if not same_numbers([state.record for state in states if state.record]):
        return _unreadable(folders[0], task, different_records(folders))
    return next((state for state in states if state.status in (Status.DONE, Status.UNREADABLE)), states[0])


def task_state(folder: Path, task: Json | None = None) -> TaskState:
    """The state of the task of one folder."""
    try:
        record = read_record(folder)
        return _without_record(folder, task) if record is None else _done(folder, task, record)
    except ResultsError as error:
        return _unreadable(folder, task, error)
    except OSError as error:
        return _unreadable(folder, task, ResultsError(f"cannot be read: {error.strerror}", where=str(folder)))


_KEPT = ("checksum", "status", "result", "artifacts", "inputs", "code")  # of a record, in a state


def _done(folder: Path, task: Json | None, record: Json) -> TaskState:
    if task is None:
        task = _task_of_name(folder) | {key: record[key] for key in ("identity", "spec", "resolved", "display")}
    check_identity(folder, record, task)
    kept = {key: record[key] for key in _KEPT}
    return TaskState(task, folder, Status.DONE, str(record["message"]), kept)


def _without_record(folder: Path, task: Json | None) -> TaskState:
    with os.scandir(folder) as entries:
        files = {entry.name: entry for entry in entries}
    stored = read_json(folder / "task.json", CONTINUE) if "task.json" in files else None
    if stored is not None:
        if reason := problem_of_stored_task(stored):
            raise ResultsError(f"task.json cannot be used: {reason}", where=str(folder / "task.json"), next=CONTINUE)
        task = task or stored
        check_identity(folder, stored, task)
    status, message = _last_attempt(folder / "attempts") if "attempts" in files else (Status.BEGUN, "")
    return TaskState(
        task or _task_of_name(folder),  # a process that was killed in `Store.begin` left no task.json
        folder,
        status,
        message,
        owner=_read_changing(folder / "lock.json", {}) if "lock.json" in files else None,
        progress=_progress(folder / "progress.json") if "progress.json" in files else None,
        modified=max(_modification_times(files), default=None),
    )


def _last_attempt(folder: Path) -> tuple[Status, str]:
    """Status and message of the latest attempt; BEGUN if there is none."""
    paths = attempt_files(folder)
    attempt = read_attempt(paths[-1]) if paths else None
    return (Status(attempt["status"]), attempt["message"]) if attempt else (Status.BEGUN, "")


def _progress(path: Path) -> dict[str, Any] | None:
    content = _read_changing(path, None)
    return content if content is not None and is_progress(content) else None


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
        if task is None or problem_of_stored_task(task):
            task = _task_of_name(folder)
    return TaskState(task, folder, Status.UNREADABLE, message, error=error)


def _task_of_name(folder: Path) -> dict[str, Any]:
    """What a folder's name tells of its task."""
    slug, _, prefix = folder.name.rpartition("-")
    assert folder.parent.name in KINDS
    return {"kind": folder.parent.name, "identity": prefix, "slug": slug, "resolved": {}, "display": {}}
