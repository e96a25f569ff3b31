"""The store: one folder for each task with its specification (task.json) and its outcome (record.json)."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.atomic_files import (
    create,
    parse_json,
    read_json,
    read_many,
    sync_folder,
    to_json,
    unreadable,
    writing,
)
from results.store.schema import ATTEMPTED, KINDS, RECORDED, Status, other_schema, problem
from results.types import Json

PREFIX = 12  # hexadecimal digits of the identity in a folder's name
RERUN = "move the file away and run the same command again: only this task is repeated"
REMOVE_FOLDER = "move the folder away and run the same command again: only this task is repeated"
OTHER_STORE = "use the version that wrote it, or another store: store=PATH"
_NAME = re.compile(rf".*-([0-9a-f]{{{PREFIX}}})")  # of a task's folder


def canonical(spec: Json) -> str:
    """The text of a specification that is hashed: sorted keys, floats as repr, no NaN.

    1 and 1.0 give different texts, so values need the types of their dataclass. Raises ResultsError for values that
    JSON does not have.
    """
    try:
        return json.dumps(spec, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        cure = "use only finite numbers, strings, booleans, null, lists and objects"
        raise ResultsError(f"a task cannot be identified: {error}", next=cure) from error


def identity(spec: Json) -> str:
    """SHA-256 of the canonical text of a specification, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def task_folders(root: Path, kinds: Iterable[str] = KINDS) -> dict[tuple[str, str], list[Path]]:
    """The folders of tasks by kind and the first digits of the identity, in the order of their names.

    Each kind is listed once. Raises ResultsError for a folder that cannot be listed.
    """
    folders: dict[tuple[str, str], list[Path]] = {}
    for kind in kinds:
        parent = Path(root) / kind
        for name in _names(parent):
            if match := _NAME.fullmatch(name):
                folders.setdefault((kind, match[1]), []).append(parent / name)
    return folders


@dataclass(frozen=True)
class StoreContents:
    """Usable records by their folders, in the order of these; why others are unusable; folders without a record."""

    records: dict[Path, dict[str, Any]]
    problems: list[ResultsError]
    unrecorded: list[Path]


class Store:
    """Tasks under `root/<kind>/<slug>-<first 12 digits of the identity>/`. Many processes may use it at once.

    A task argument is a mapping as `schema.StoredTask`; its kind and identity are enough where nothing is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def find(self, task: Json) -> Path | None:
        """The task's folder, whatever its slug, or None. Raises ResultsError if the folder is another task's."""
        folders = self._candidates(task)
        for folder in folders:  # a process that was killed in `begin` left one without task.json
            if (stored := read_json(folder / "task.json", REMOVE_FOLDER)) is not None:
                check_identity(folder, stored, task)
        done = [folder for folder in folders if (folder / "record.json").exists()]
        return next(iter(done or folders), None)

    def folder(self, task: Json) -> Path:
        """The task's folder if it has one, else the one that `begin` will make."""
        return self.find(task) or self._default_folder(task)

    def begin(self, task: Json) -> Path:
        """Make the task's folder with its task.json; a second call changes nothing.

        Raises ResultsError when the folder was begun for another specification, or cannot be written.
        """
        folder = self.folder(task)
        path = folder / "task.json"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        stored = read_json(path, REMOVE_FOLDER)
        if stored is None and create(path, to_json(dict(task))):
            return folder
        stored = stored or read_json(path, REMOVE_FOLDER) or {}
        if canonical(stored.get("spec", {})) != canonical(task["spec"]):
            raise ResultsError("the stored task has another specification", where=str(path), next=REMOVE_FOLDER)
        return folder

    def record(self, task: Json) -> dict[str, Any] | None:
        """The task's record, None when it has none. Raises ResultsError if it is unreadable or of another schema."""
        folder = self.find(task)
        return read_record(folder) if folder else None

    def recorded(self, tasks: Iterable[Json]) -> Iterator[tuple[Json, dict[str, Any]]]:
        """Those of the tasks that have a record, each with its record. Folders are listed at most once for all of them.

        Raises ResultsError, as `record` does, at the first record that is unreadable or of another task.
        """
        folders: dict[tuple[str, str], list[Path]] | None = None
        for task in tasks:
            _check_address(task)
            folder = self._default_folder(task)
            record = read_record(folder)  # most often it is there, and nothing has to be listed
            if record is None:
                folders = task_folders(self.root) if folders is None else folders
                for folder in folders.get((task["kind"], task["identity"][:PREFIX]), []):
                    if (record := read_record(folder)) is not None:
                        break
            if record is not None:
                check_identity(folder, record, task)
                yield task, record

    def commit(self, task: Json, record: Json) -> bool:
        """Write record.json, which makes the task done, and delete its checkpoints. Its files must be on disk before.

        Returns False when there is a record already, which is kept.
        """
        if record.get("status") not in RECORDED:
            raise ResultsError(f"a record cannot have status '{record.get('status')}'", next=_one_of(RECORDED))
        if (record.get("kind"), record.get("identity")) != (task["kind"], task["identity"]):
            raise ResultsError("the record is of another task", where=str(task["identity"]))
        folder = self.begin(task)
        if not create(folder / "record.json", to_json(dict(record))):
            return False
        with writing(folder):
            for checkpoint in folder.glob("checkpoint.*"):
                checkpoint.unlink(missing_ok=True)
            sync_folder(folder)
        return True

    def attempt(self, task: Json, status: str, message: str, **facts: Any) -> Path:
        """Add attempts/NNN.json for an attempt without a result. `status` is one of schema.ATTEMPTED."""
        if status not in ATTEMPTED:
            raise ResultsError(f"an attempt cannot have status '{status}'", next=_one_of(ATTEMPTED))
        folder = self.begin(task) / "attempts"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        text = to_json({**facts, "status": status, "message": message, "finished": datetime.now(UTC).isoformat()})
        number = len(attempt_files(folder)) + 1
        while not create(folder / f"{number:03d}.json", text):  # another process took the number
            number += 1
        return folder / f"{number:03d}.json"

    def last_attempt(self, task: Json) -> dict[str, Any] | None:
        """The latest attempt, or None when there was none."""
        folder = self.find(task)
        paths = attempt_files(folder / "attempts") if folder else []
        return read_json(paths[-1]) if paths else None

    def records(self) -> tuple[list[dict[str, Any]], list[ResultsError]]:
        """All usable records, in the order of their folders, and why the others are unusable."""
        contents = self.read()
        return list(contents.records.values()), contents.problems

    def read(self) -> StoreContents:
        """All that the store has. Raises ResultsError if a folder cannot be listed."""
        contents = StoreContents({}, [], [])
        with _no_garbage_collection():
            folders = [self.root / kind / name for kind in _names(self.root) for name in _names(self.root / kind)]
            paths = [folder / "record.json" for folder in folders]
            for path, content in zip(paths, read_many(paths), strict=True):
                try:
                    contents.records[path.parent] = _usable(path, content)
                except (FileNotFoundError, NotADirectoryError):
                    if path.parts[-3] in KINDS and _NAME.fullmatch(path.parts[-2]):
                        contents.unrecorded.append(path.parent)
                except ResultsError as error:
                    contents.problems.append(error)
        return contents

    def _default_folder(self, task: Json) -> Path:
        slug = re.sub(r"[^A-Za-z0-9._@=+-]+", "-", str(task.get("slug", ""))).strip("-.")[:80] or "task"
        return self.root / str(task["kind"]) / f"{slug}-{task['identity'][:PREFIX]}"

    def _candidates(self, task: Json) -> list[Path]:
        _check_address(task)
        folder = self._default_folder(task)
        if (folder / "record.json").exists():  # saves listing thousands of folders
            return [folder]
        return sorted(folder.parent.glob(f"*-{task['identity'][:PREFIX]}"))


def read_record(folder: Path) -> dict[str, Any] | None:
    """A folder's record, None without one. Raises ResultsError if it is unreadable or of another schema."""
    record = read_json(folder / "record.json", RERUN)
    if record is not None and "schema" in record and (reason := other_schema(record)):
        raise _unusable(folder / "record.json", reason, OTHER_STORE)
    return record


def check_identity(folder: Path, stored: Json, task: Json) -> None:
    """Raise ResultsError when the task or record stored in a folder is of another task than this one."""
    if stored.get("identity") != task["identity"]:
        what = f"two tasks share the first {PREFIX} digits of their identities"
        raise ResultsError(what, where=str(folder), next=f"keep {task['identity']} in another store: store=PATH")


def _check_address(task: Json) -> None:
    if task.get("kind") not in KINDS:
        raise ResultsError(f"no kind of task {task.get('kind')!r}", next=f"known: {', '.join(KINDS)}")
    if not re.fullmatch(rf"[0-9a-f]{{{PREFIX},}}", str(task.get("identity"))):
        raise ResultsError(f"{task.get('identity')!r} is not the identity of a task", next="use identity(spec)")


def attempt_files(folder: Path) -> list[Path]:
    """The files of an `attempts` folder, the latest last; [] without such a folder."""
    return sorted(folder.glob("[0-9]*.json"), key=lambda path: int(path.stem))


def _usable(path: Path, content: bytes | OSError) -> dict[str, Any]:
    if isinstance(content, FileNotFoundError | NotADirectoryError):
        raise content
    if isinstance(content, OSError):
        raise unreadable(path, content, RERUN) from content
    record = parse_json(content, path, RERUN)
    if reason := problem(record):
        raise _unusable(path, reason, OTHER_STORE if other_schema(record) else RERUN)
    return record


def _unusable(path: Path, reason: str, cure: str) -> ResultsError:
    return ResultsError(f"a record cannot be used: {reason}", where=str(path), next=cure)


def _one_of(statuses: Iterable[Status]) -> str:
    return f"one of {', '.join(statuses)}"


def _names(folder: Path) -> list[str]:
    """The names of a folder's entries, sorted; [] without such a folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        cure = "make sure that the folder can be read, then run the same command again"
        raise ResultsError(f"cannot list a folder: {error.strerror}", where=str(folder), next=cure) from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Reading JSON makes no reference cycles, and the collector would search all objects again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
