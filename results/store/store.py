"""The store: one folder for each task with its specification (task.json) and its outcome (record.json)."""

from __future__ import annotations

import gc
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.artifacts import checked_artifact
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
from results.store.identity import PREFIX, canonical, sealed
from results.store.inputs import changed_input
from results.store.schema import ATTEMPTED, KINDS, RECORDED, SCHEMA, Status
from results.store.validation import problem, problem_of_attempt, problem_of_stored_task
from results.types import Json

RERUN = "move the file away and run the same command again: only this task is repeated"
CONTINUE = "move the file away and run the same command again: the task continues from its checkpoint"
REMOVE_FOLDER = "move the folder away and run the same command again: only this task is repeated"
REPLACED = "replaced"  # folder, in a task's own, of records that were made again, each with the files it names
OTHER_STORE = "use the version that wrote it, or another store: store=PATH"
_NAME = re.compile(rf".*-([0-9a-f]{{{PREFIX}}})")  # of a task's folder


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

    @property
    def reports(self) -> Path:
        """The folder for tables, figures and page of everything stored."""
        return self.root / "report"

    def task_folders(self) -> dict[tuple[str, str], list[Path]]:
        """The folders of tasks by kind and the first digits of the identity. Raises ResultsError."""
        return task_folders(self.root)

    def find(self, task: Json) -> Path | None:
        """The task's folder, whatever its slug, or None. Raises ResultsError if the folder is another task's."""
        folders = self._candidates(task)
        done = [folder for folder in folders if os.path.lexists(folder / "record.json")]
        for folder in folders:
            if folder not in done:  # a record has all that task.json has
                _check_stored_task(folder, task)
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
            _make_folder(folder)
        stored = read_json(path, CONTINUE)
        if stored is None and create(path, to_json(dict(task))):
            return folder
        stored = stored or read_json(path, CONTINUE) or {}
        if reason := problem_of_stored_task(stored):
            raise ResultsError(f"task.json cannot be used: {reason}", where=str(path), next=CONTINUE)
        if canonical(stored["spec"]) != canonical(task["spec"]):
            raise ResultsError("the stored task has another specification", where=str(path), next=REMOVE_FOLDER)
        return folder

    def record(self, task: Json) -> dict[str, Any] | None:
        """The task's record, None when it has none.

        Raises ResultsError if it cannot be used, or if two folders have different ones.
        """
        return _record_of(task, self._candidates(task))

    def artifact(self, task: Json, name: str) -> Path:
        """The path of a file that the task made. Raises ResultsError if its record names no such file or another."""
        folder, record = self.folder(task), self.record(task)
        if record is None:
            raise ResultsError("its record is gone", where=str(folder))
        return checked_artifact(folder, record, name)

    def recorded(
        self, tasks: Iterable[Json], on_problem: Callable[[ResultsError], None] = lambda error: None
    ) -> Iterator[tuple[Json, dict[str, Any]]]:
        """Those of the tasks that are done, each with its record. Each kind's folders are listed once for all of them.

        Left out are a task whose record cannot be used, after `on_problem` was called with the reason; and a task with
        an input that was made again since, as `outdated` says.
        """
        folders = task_folders(self.root)
        read: dict[tuple[str, str], dict[str, Any] | None] = {}

        def record_of(kind: str, identity: str) -> dict[str, Any] | None:
            key = (kind, identity[:PREFIX])
            if key not in read:
                try:
                    read[key] = _record_of({"kind": kind, "identity": identity}, folders.get(key, []))
                except ResultsError as error:
                    read[key] = None
                    on_problem(error)
            return read[key]

        for task in tasks:
            _check_address(task)
            record = record_of(task["kind"], task["identity"])
            if record is not None and not changed_input(record, record_of):
                yield task, record

    def outdated(self, record: Json) -> str:
        """A sentence on an input that was made again with other bytes since the record was written, "" without one."""

        def record_of(kind: str, identity: str) -> Json | None:
            try:
                return self.record({"kind": kind, "identity": identity})
            except ResultsError:  # reported where the input itself is read
                return None

        return changed_input(record, record_of)

    def commit(self, task: Json, record: Json) -> bool:
        """Write record.json, which makes the task done, and delete its checkpoints. Its files must be on disk before.

        The record gets its schema and checksum here. Returns False when there is a record already, which is kept.
        """
        if record.get("status") not in RECORDED:
            raise ResultsError(f"a record cannot have status '{record.get('status')}'", next=_one_of(RECORDED))
        if (record.get("kind"), record.get("identity")) != (task["kind"], task["identity"]):
            raise ResultsError("the record is of another task", where=str(task["identity"]))
        folder = self.begin(task)
        plain = json.loads(to_json({**record, "schema": SCHEMA}))  # as it will be read: without NaN, keys as text
        if not create(folder / "record.json", to_json(sealed(plain))):
            return False
        with writing(folder):
            for checkpoint in folder.glob("checkpoint.*"):
                checkpoint.unlink(missing_ok=True)
            sync_folder(folder)
        return True

    def set_aside(self, task: Json) -> Path | None:
        """Move the task's record and the files that it names to replaced/NNN in its folder, so that it is not done.

        The caller holds the task's lock. Returns that folder, None without a record. Raises ResultsError.
        """
        folder, record = self.find(task), self.record(task)
        if folder is None or record is None:
            return None
        number = 1 + len(_names(folder / REPLACED))
        kept = folder / REPLACED / f"{number:03d}"
        files = [Path(name) for name in record["artifacts"] if (folder / name).is_file()]
        with writing(kept):
            for parent in dict.fromkeys([kept, *((kept / name).parent for name in files)]):
                _make_folder(parent)
            for name in files:
                (kept / name).hardlink_to(folder / name)
                sync_folder((kept / name).parent)
            (folder / "record.json").rename(kept / "record.json")  # last: what is kept is whole at every moment
            for name in files:
                (folder / name).unlink()
            sync_folder(kept)
            sync_folder(folder)
        return kept

    def attempt(self, task: Json, status: str, message: str, **facts: Any) -> Path:
        """Add attempts/NNN.json for an attempt without a result. `status` is one of schema.ATTEMPTED."""
        if status not in ATTEMPTED:
            raise ResultsError(f"an attempt cannot have status '{status}'", next=_one_of(ATTEMPTED))
        folder = self.begin(task) / "attempts"
        with writing(folder):
            _make_folder(folder)
        text = to_json({**facts, "status": status, "message": message, "finished": datetime.now(UTC).isoformat()})
        number = len(attempt_files(folder)) + 1
        while not create(folder / f"{number:03d}.json", text):  # another process took the number
            number += 1
        return folder / f"{number:03d}.json"

    def last_attempt(self, task: Json) -> dict[str, Any] | None:
        """The latest attempt, or None when there was none."""
        folder = self.find(task)
        paths = attempt_files(folder / "attempts") if folder else []
        return read_attempt(paths[-1]) if paths else None

    def records(self) -> tuple[list[dict[str, Any]], list[ResultsError]]:
        """All usable records, in the order of their folders, and why the others are unusable."""
        contents = self.read()
        return list(contents.records.values()), contents.problems

    def read(self) -> StoreContents:
        """All that the store has. Raises ResultsError if a folder cannot be listed."""
        contents = StoreContents({}, [], [])
        with _no_garbage_collection():
            self._read_into(contents)
            _drop_copies(contents)
            _drop_outdated(contents)
        return contents

    def _read_into(self, contents: StoreContents) -> None:
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

    def _default_folder(self, task: Json) -> Path:
        slug = re.sub(r"[^A-Za-z0-9._@=+-]+", "-", str(task.get("slug", ""))).strip("-.")[:80] or "task"
        return self.root / str(task["kind"]) / f"{slug}-{task['identity'][:PREFIX]}"

    def _candidates(self, task: Json) -> list[Path]:
        _check_address(task)
        return sorted((self.root / str(task["kind"])).glob(f"*-{task['identity'][:PREFIX]}"))


def read_record(folder: Path) -> dict[str, Any] | None:
    """A folder's record, None without one. Raises ResultsError if it cannot be used."""
    path = folder / "record.json"
    record = read_json(path, RERUN)
    return None if record is None else _checked(path, record)


def _check_stored_task(folder: Path, task: Json) -> None:
    stored = read_json(folder / "task.json", CONTINUE)
    if stored is not None:  # a process that was killed in `begin` left none
        check_identity(folder, stored, task)


def _record_of(task: Json, folders: Sequence[Path]) -> dict[str, Any] | None:
    """The record of a task from its folders, of which there is seldom more than one."""
    records = {folder: record for folder in folders if (record := read_record(folder)) is not None}
    for folder, record in records.items():
        check_identity(folder, record, task)
    if not same_numbers(list(records.values())):
        raise different_records(list(records))
    return next(iter(records.values()), None)


def same_numbers(records: Sequence[Json]) -> bool:
    """Whether records of one task agree in their outcome, results and files."""
    keys = ("status", "result", "artifacts")
    return len(records) < 2 or len({canonical({key: record[key] for key in keys}) for record in records}) == 1


def different_records(folders: Sequence[Path]) -> ResultsError:
    """The error for folders that have different records of one task."""
    return ResultsError(
        "these folders have different records of one task, none of which is used",
        where=", ".join(map(str, folders)),
        next="move all but one of them to another store",
    )


def _drop_copies(contents: StoreContents) -> None:
    """Keep one of equal records of a task; of different ones none, and name their folders."""
    same_task: dict[tuple[str, str], list[Path]] = {}
    for folder, record in contents.records.items():
        same_task.setdefault((record["kind"], record["identity"]), []).append(folder)
    for folders in same_task.values():
        if len(folders) > 1:
            equal = same_numbers([contents.records[folder] for folder in folders])
            if not equal:
                contents.problems.append(different_records(folders))
            for folder in folders[1 if equal else 0 :]:
                del contents.records[folder]


def _drop_outdated(contents: StoreContents) -> None:
    """Leave out records of inputs that were made again since, and say so."""
    by_task = {(record["kind"], record["identity"]): record for record in contents.records.values()}
    for folder, record in list(contents.records.items()):
        if changed_input(record, lambda kind, identity: by_task.get((kind, identity))):
            what = "a record is not shown: one of its inputs was made again since, with another content"
            cure = "run the same command again: it does this task again and keeps the old record aside"
            contents.problems.append(ResultsError(what, where=str(folder / "record.json"), next=cure))
            del contents.records[folder]


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
    return sorted(
        (folder / name for name in _names(folder) if re.fullmatch(r"[0-9]+\.json", name)),
        key=lambda path: int(path.stem),
    )


def read_attempt(path: Path) -> dict[str, Any] | None:
    """An attempt's file, None if there is none. Raises ResultsError if it cannot be used."""
    attempt = read_json(path)
    if attempt is not None and (reason := problem_of_attempt(attempt)):
        raise ResultsError(f"an attempt cannot be used: {reason}", where=str(path), next="move the file away")
    return attempt


def _usable(path: Path, content: bytes | OSError) -> dict[str, Any]:
    if isinstance(content, OSError):
        if isinstance(content, FileNotFoundError | NotADirectoryError) and not path.is_symlink():
            raise content
        raise unreadable(path, content, RERUN) from content
    return _checked(path, parse_json(content, path, RERUN))


def _checked(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    if reason := problem(record, path.parent):
        cure = RERUN if record.get("schema") == SCHEMA else OTHER_STORE
        raise ResultsError(f"a record cannot be used: {reason}", where=str(path), next=cure)
    return record


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that their names survive a power cut. Raises OSError."""
    missing = list(takewhile(lambda path: not path.is_dir(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


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
