"""The store: one folder for each task, what was asked in task.json, what happened in record.json. No database."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
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
from results.store.atomic_files import write_json_atomic as write_json_atomic
from results.store.schema import ATTEMPTED, KINDS, RECORDED, problem

PREFIX = 12  # hexadecimal digits of the identity in a folder's name
_NAME = re.compile(rf".*-([0-9a-f]{{{PREFIX}}})")  # of a task's folder


def canonical(resolved: Mapping[str, Any]) -> str:
    """The one text of a request: keys sorted, floats as repr, no NaN. Raises ResultsError for other than JSON values.

    1 and 1.0 give different texts: type the values (after the settings' dataclass) before asking.
    """
    try:
        return json.dumps(resolved, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        cure = "ask with finite numbers, strings, booleans, null, lists and objects only"
        raise ResultsError(f"a task cannot be identified: {error}", next=cure) from error


def identity(resolved: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical text of a request, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(resolved).encode()).hexdigest()


def folders(root: Path, kinds: Iterable[str] = KINDS) -> dict[tuple[str, str], list[Path]]:
    """Tasks' folders by kind and the first digits of the identity, in the order of their names.

    Each kind is listed once. Raises ResultsError for a folder that cannot be listed.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for kind in kinds:
        parent = Path(root) / kind
        for name in _names(parent):
            if match := _NAME.fullmatch(name):
                found.setdefault((kind, match[1]), []).append(parent / name)
    return found


@dataclass(frozen=True)
class Read:
    """Usable records by their folders, in the order of these; what is wrong with others; folders without one."""

    records: dict[Path, dict[str, Any]]
    problems: list[ResultsError]
    without: list[Path]


class Store:
    """Tasks under `root/<kind>/<slug>-<first 12 digits of the identity>/`. Safe for many processes at once.

    A task argument is a mapping as `records.Task`; `kind` and `identity` are enough wherever nothing is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def find(self, task: Mapping[str, Any]) -> Path | None:
        """The task's folder, whatever its slug, or None. Raises ResultsError when another task's is in its place."""
        found = [folder for folder in self._candidates(task) if self._is_of(folder, task)]
        done = [folder for folder in found if (folder / "record.json").exists()]
        return next(iter(done or found), None)

    def folder(self, task: Mapping[str, Any]) -> Path:
        """The task's folder if it has one, else the one that `begin` will make."""
        return self.find(task) or self._named(task)

    def begin(self, task: Mapping[str, Any]) -> Path:
        """Make the task's folder with its task.json; a second call changes nothing.

        Raises ResultsError when the folder was begun for a different request, or cannot be written.
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
            raise ResultsError("the stored task asks for something else", where=str(path), next=REMOVE_FOLDER)
        return folder

    def record(self, task: Mapping[str, Any]) -> dict[str, Any] | None:
        """What happened, or None when the task has not come to an end. Raises ResultsError when unreadable."""
        folder = self.find(task)
        return read_json(folder / "record.json", RERUN) if folder else None

    def recorded(self, tasks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        """Those of the tasks that have come to an end, each with its record: one listing of folders for all of them.

        Raises ResultsError, as `record` does, at the first record that is unreadable or of another task.
        """
        listed: dict[tuple[str, str], list[Path]] | None = None
        for task in tasks:
            _check_address(task)
            folder = self._named(task)
            record = read_json(folder / "record.json", RERUN)  # mostly there: then nothing need be listed
            if record is None:
                listed = folders(self.root) if listed is None else listed
                for folder in listed.get((task["kind"], task["identity"][:PREFIX]), []):
                    if (record := read_json(folder / "record.json", RERUN)) is not None:
                        break
            if record is not None:
                check_owner(folder, record, task)
                yield task, record

    def commit(self, task: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
        """Write record.json, the moment from which the task is done, and drop its checkpoints.

        False when a record is there already: the first one stays. Artefacts must be on disk before.
        """
        if record.get("status") not in RECORDED:
            raise ResultsError(f"a record cannot have status {record.get('status')!r}", next=f"one of {RECORDED}")
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

    def attempt(self, task: Mapping[str, Any], status: str, message: str, **facts: Any) -> Path:
        """Add attempts/NNN.json: a try that came to no result. `status` is one of records.ATTEMPTED."""
        if status not in ATTEMPTED:
            raise ResultsError(f"an attempt cannot have status {status!r}", next=f"one of {ATTEMPTED}")
        folder = self.begin(task) / "attempts"
        with writing(folder):
            folder.mkdir(exist_ok=True)
        text = to_json({**facts, "status": status, "message": message, "finished": datetime.now(UTC).isoformat()})
        number = len(attempts_of(folder)) + 1
        while not create(folder / f"{number:03d}.json", text):  # another process took the number
            number += 1
        return folder / f"{number:03d}.json"

    def last_attempt(self, task: Mapping[str, Any]) -> dict[str, Any] | None:
        """The latest attempt, or None when there was none."""
        folder = self.find(task)
        paths = attempts_of(folder / "attempts") if folder else []
        return read_json(paths[-1]) if paths else None

    def records(self, kind: str | None = None) -> tuple[list[dict[str, Any]], list[ResultsError]]:
        """All usable records (of one kind), in the order of their folders, and what is wrong with the others."""
        found = self.read(kind)
        return list(found.records.values()), found.problems

    def read(self, kind: str | None = None) -> Read:
        """Everything (of one kind) that stands in the store. Raises ResultsError where a folder cannot be listed."""
        found = Read({}, [], [])
        with _many_objects():
            paths = [folder / "record.json" for folder in self._listed(kind)]
            for path, held in zip(paths, read_many(paths), strict=True):
                try:
                    found.records[path.parent] = _usable(path, held)
                except (FileNotFoundError, NotADirectoryError):
                    if path.parts[-3] in KINDS and _NAME.fullmatch(path.parts[-2]):
                        found.without.append(path.parent)
                except ResultsError as error:
                    found.problems.append(error)
        return found

    def _listed(self, kind: str | None) -> Iterator[Path]:
        """What stands where tasks' folders do, sorted."""
        for name in [kind] if kind else _names(self.root):
            yield from (self.root / name / task for task in _names(self.root / name))

    def _named(self, task: Mapping[str, Any]) -> Path:
        slug = re.sub(r"[^A-Za-z0-9._@=+-]+", "-", str(task.get("slug", ""))).strip("-.")[:80] or "task"
        return self.root / str(task["kind"]) / f"{slug}-{task['identity'][:PREFIX]}"

    def _candidates(self, task: Mapping[str, Any]) -> list[Path]:
        _check_address(task)
        named = self._named(task)
        if (named / "record.json").exists():  # saves listing thousands of folders
            return [named]
        return sorted(named.parent.glob(f"*-{task['identity'][:PREFIX]}"))

    def _is_of(self, folder: Path, task: Mapping[str, Any]) -> bool:
        stored = read_json(folder / "task.json", REMOVE_FOLDER)
        if stored is not None:
            check_owner(folder, stored, task)
        return True  # a folder without task.json was left by a process killed in `begin`


def check_owner(folder: Path, stored: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """Raise ResultsError when what a folder's file holds is of another task than the one asked for."""
    if stored.get("identity") != task["identity"]:
        what = f"two tasks share the first {PREFIX} digits of their identities"
        raise ResultsError(what, where=str(folder), next=f"keep {task['identity']} in another store: store=PATH")


_LIST = "see that the folder can be read, then run the same command again"
RERUN = "move the file away and run the same command again: only this task is done anew"
REMOVE_FOLDER = "move the folder away and run the same command again: only this task is done anew"


def _check_address(task: Mapping[str, Any]) -> None:
    if task.get("kind") not in KINDS:
        raise ResultsError(f"no kind of task {task.get('kind')!r}", next=f"known: {', '.join(KINDS)}")
    if not re.fullmatch(rf"[0-9a-f]{{{PREFIX},}}", str(task.get("identity"))):
        raise ResultsError(f"{task.get('identity')!r} is not the identity of a task", next="use identity(asked)")


def attempts_of(folder: Path) -> list[Path]:
    """The files of an `attempts` folder, the latest last; none where there is no such folder."""
    return sorted(folder.glob("[0-9]*.json"), key=lambda path: int(path.stem))


def _usable(path: Path, held: bytes | OSError) -> dict[str, Any]:
    if isinstance(held, FileNotFoundError | NotADirectoryError):
        raise held
    if isinstance(held, OSError):
        raise unreadable(path, held, RERUN) from held
    record = parse_json(held, path, RERUN)
    trouble = problem(record)
    if trouble:
        raise ResultsError(f"a record cannot be used: {trouble}", where=str(path), next=RERUN)
    return record


def _names(folder: Path) -> list[str]:
    """Of what stands in a folder, sorted; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ResultsError(f"cannot list a folder: {error.strerror}", where=str(folder), next=_LIST) from error


@contextmanager
def _many_objects() -> Iterator[None]:
    """Without the collector of cycles, which looks through all of them again and again: JSON has none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
