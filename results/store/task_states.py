"""How far tasks are, as their folders tell: thousands at once, reading the fewest files, stopped by none of them."""

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
from results.store.schema import ATTEMPTED, KINDS, RECORDED
from results.store.store import PREFIX, REMOVE_FOLDER, RERUN, attempts_of, check_owner, folders

STATUSES = ("done", *ATTEMPTED, "begun", "new", "unreadable")
_Files = Mapping[str, os.DirEntry[str]]


@dataclass(frozen=True)
class State:
    """How far a task is.

    task: as planned, or as task.json has it; of a done task of the store, what its record and its folder's name say.
    status: one of STATUSES. "done" has a record; the status of the last attempt; "begun" has a folder and neither;
    "new" has no folder; "unreadable" has a file that cannot be understood, and `message` names it.
    message: of the record (empty when ok) or of the last attempt.
    owner: what lock.json says ({} when that cannot be understood), None without one. A done task is not asked for it.
    progress: what progress.json says, None without one. Neither it nor the lock ever makes a task "unreadable".
    modified: when the newer of both was written, in seconds by the file system's clock, None without either.
    """

    task: Mapping[str, Any]
    folder: Path | None
    status: str
    message: str = ""
    record_status: str = ""  # one of records.RECORDED, "" without a record
    owner: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] | None = None
    modified: float | None = None


def survey(root: Path, tasks: Iterable[Mapping[str, Any]] | None = None) -> dict[str, State]:
    """By identity, every task of the store under `root` (tasks=None) or those given, in the order of both.

    Where neither record.json nor task.json says it, a task goes by the first digits of its identity, which its folder's
    name ends in. Nothing is written. Raises ResultsError only where the folders themselves cannot be listed.
    """
    listed = folders(Path(root))
    if tasks is not None:
        resolved = list(tasks)
        found = (_best(listed.get((task["kind"], task["identity"][:PREFIX]), []), task) for task in resolved)
        return {task["identity"]: state for task, state in zip(resolved, found, strict=True)}
    states = (_best(alike, None) for alike in listed.values())
    return {state.task["identity"]: state for state in states}


def _best(alike: list[Path], task: Mapping[str, Any] | None) -> State:
    """Of the folders of one task, mostly one, that which has come furthest: as the store finds it."""
    if not alike:
        assert task is not None
        return State(task, None, "new")
    states = [state_of(folder, task) for folder in alike]
    return next((state for state in states if state.status == "done"), states[0])


def state_of(folder: Path, task: Mapping[str, Any] | None = None) -> State:
    """How far the task of one folder is."""
    try:
        record = read_json(folder / "record.json", RERUN)
        return _open(folder, task) if record is None else _done(folder, task, record)
    except ResultsError as error:
        return _unreadable(folder, task, error)
    except OSError as error:
        return _unreadable(folder, task, ResultsError(f"cannot be read: {error.strerror}", where=str(folder)))


def _done(folder: Path, task: Mapping[str, Any] | None, record: Mapping[str, Any]) -> State:
    path = folder / "record.json"
    if record.get("status") not in RECORDED or not isinstance(record.get("identity"), str):
        raise ResultsError(f"its status is {record.get('status')!r}", where=str(path), next=RERUN)
    if task is None:
        known = {key: record[key] for key in ("identity", "spec", "resolved", "display") if key in record}
        task = _by_name(folder) | known
    check_owner(folder, record, task)
    return State(task, folder, "done", str(record.get("message") or ""), record["status"])


def _open(folder: Path, task: Mapping[str, Any] | None) -> State:
    """A folder without a record: what was tried last, who is at it, and how far."""
    with os.scandir(folder) as entries:
        files = {entry.name: entry for entry in entries}
    stored = read_json(folder / "task.json", REMOVE_FOLDER) if "task.json" in files else None
    if stored is not None:
        task = task or stored
        if not isinstance(stored.get("identity"), str):
            raise ResultsError("task.json has no identity", where=str(folder), next=REMOVE_FOLDER)
        check_owner(folder, stored, task)
    status, message = _last_attempt(folder / "attempts") if "attempts" in files else ("begun", "")
    return State(
        task or _by_name(folder),  # without task.json: left by a process killed in `Store.begin`
        folder,
        status,
        message,
        owner=_glance(folder / "lock.json", {}) if "lock.json" in files else None,
        progress=_glance(folder / "progress.json", None) if "progress.json" in files else None,
        modified=max(_times(files), default=None),
    )


def _last_attempt(folder: Path) -> tuple[str, str]:
    """Status and message of the latest attempt; "begun" when there is none after all."""
    paths = attempts_of(folder)
    if not paths or (attempt := read_json(paths[-1])) is None:
        return "begun", ""
    if attempt.get("status") not in ATTEMPTED:
        raise ResultsError(f"its status is {attempt.get('status')!r}", where=str(paths[-1]), next="move the file away")
    return attempt["status"], str(attempt.get("message") or "")


def _glance(path: Path, otherwise: dict[str, Any] | None) -> dict[str, Any] | None:
    """The object in a file that others write again and again; None when it has gone meanwhile."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return otherwise
    return found if isinstance(found, dict) else otherwise


def _times(files: _Files) -> Iterator[float]:
    for name in ("lock.json", "progress.json"):
        if name in files:
            with suppress(OSError):
                yield files[name].stat().st_mtime


def _unreadable(folder: Path, task: Mapping[str, Any] | None, error: ResultsError) -> State:
    message = f"{error.what} ({error.where})" + (f": {error.next}" if error.next else "")
    if task is None:
        with suppress(ResultsError):
            task = read_json(folder / "task.json")
    named = task is not None and isinstance(task.get("identity"), str)
    return State(task if task and named else _by_name(folder), folder, "unreadable", message)


def _by_name(folder: Path) -> dict[str, Any]:
    """What a folder's name says of its task."""
    slug, _, prefix = folder.name.rpartition("-")
    assert folder.parent.name in KINDS
    return {"kind": folder.parent.name, "identity": prefix, "slug": slug, "resolved": {}, "display": {}}
