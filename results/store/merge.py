"""Copying what one store has and another lacks. Nothing is overwritten, and a killed copy leaves both stores whole.

A task's folder is copied to a hidden place in the other store, checked there against its record, and renamed into its
own place. A task that was begun there already gets the files first and the record last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results.errors import ResultsError, UnwritableError
from results.store import choices
from results.store.artifacts import checked_artifact
from results.store.atomic_files import create, sync_folder, unreadable, writing
from results.store.inputs import changed_input
from results.store.lock import TaskLock, owner_name
from results.store.schema import KINDS
from results.store.store import OTHER_STORE, Store, read_record, same_numbers
from results.types import Json

STAGING = ".merge"  # in the store that is copied to
_RECORD = "record.json"
_OF_WORK = ("lock.json", "progress.json", "checkpoint.*")  # files of a task that is at work


@dataclass
class MergeSummary:
    """What was copied: tasks and choices, and their bytes. there: what the other store had already.

    different: names of tasks and choices that it has otherwise, or of which it has an input otherwise. problems: what
    could not be copied, and why.
    """

    copied: int = 0
    size: int = 0
    there: int = 0
    different: list[str] = field(default_factory=list)
    problems: list[ResultsError] = field(default_factory=list)


def merge(source: Store, target: Store) -> MergeSummary:
    """Copy the finished tasks and the choices of `source` that `target`, which may be new, lacks.

    Raises ResultsError, before anything is copied, for a folder that is no store, for one store twice, for records of
    another schema, and while another process copies into the target; and when the target's disk cannot be written.
    """
    records, problems = _checked_source(source, target)
    staging = target.root / STAGING
    with writing(staging):
        staging.mkdir(parents=True, exist_ok=True)
    lock = TaskLock(staging)
    if not lock.acquire():
        what = f"{owner_name(lock.holder)} copies into this store"
        raise ResultsError(what, where=str(target.root), next="wait for it to finish")
    summary = MergeSummary(problems=problems)
    try:
        shutil.rmtree(staging / "work", ignore_errors=True)  # of a killed process
        for folder, record in sorted(records.items(), key=lambda item: KINDS.index(item[1]["kind"])):  # inputs first
            try:
                _merge_task(folder, record, target, staging / "work", summary)
            except UnwritableError:
                raise
            except ResultsError as error:
                summary.problems.append(error)
        _merge_choices(source, target, summary)
    finally:
        shutil.rmtree(staging / "work", ignore_errors=True)
        lock.release()
    shutil.rmtree(staging, ignore_errors=True)
    return summary


def _checked_source(source: Store, target: Store) -> tuple[dict[Path, dict[str, Any]], list[ResultsError]]:
    """The records of the source, and why others cannot be used. Raises ResultsError as `merge`."""
    for store in (source,) if _is_new(target.root) else (source, target):
        if not any((store.root / kind).is_dir() for kind in KINDS):
            what, cure = f"there is no store at {store.root}", "name the folder that a run writes to"
            raise ResultsError(what, where=str(store.root), next=cure)
    if source.root.resolve() == target.root.resolve():
        raise ResultsError("FROM and INTO are one store", where=str(source.root), next="name two stores")
    read = {store.root: store.read() for store in (source, target)}
    for root, contents in read.items():
        other = [problem for problem in contents.problems if problem.next == OTHER_STORE]
        if other:
            what = f"{len(other):,} records are of another schema: {other[0].what.partition(': ')[2]}"
            raise ResultsError(what, where=str(root), next="merge with the version of this project that wrote them")
    return read[source.root].records, list(read[source.root].problems)


def _is_new(root: Path) -> bool:
    """Whether nothing is in the folder but what a merge left that was killed before its first task."""
    return not root.exists() or (root.is_dir() and {path.name for path in root.iterdir()} <= {STAGING})


def _merge_task(folder: Path, record: Json, target: Store, work: Path, summary: MergeSummary) -> None:
    """Copy one task, unless the target has it or cannot take it. Raises ResultsError."""
    name = f"{record['kind']}/{folder.name}"
    stored = target.record(record)
    if stored is not None:
        if same_numbers([stored, record]):
            summary.there += 1
        else:
            summary.different.append(name)
        return
    if changed_input(record, lambda kind, identity: target.record({"kind": kind, "identity": identity})):
        summary.different.append(name)
        return
    staged = work / record["kind"] / folder.name
    size = _stage(folder, record, staged)
    place = target.find(record) or target.root / record["kind"] / folder.name
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            _publish_into(place, record, staged)
        else:
            staged.rename(place)
        sync_folder(place.parent)
    summary.copied += 1
    summary.size += size


def _stage(folder: Path, record: Json, staged: Path) -> int:
    """Copy a task's files to a hidden place and check them there; returns their bytes. Raises ResultsError.

    A file that the source lacks, as cleaning removes some, is not copied.
    """
    size = 0
    for path in _files(folder):
        copy = staged / path.relative_to(folder)
        with writing(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            size += _copy(path, copy)
    if read_record(staged) != record:
        raise ResultsError("its record changed while it was copied", where=str(folder), next="merge again")
    for name in record["artifacts"]:
        if (folder / name).exists():
            try:
                checked_artifact(staged, record, name)
            except ResultsError as error:
                raise ResultsError(error.what, where=str(folder / name), next=error.next) from error
    return size


def _files(folder: Path) -> Iterator[Path]:
    """The regular files of a task, without those of work on it and hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not path.is_symlink() and not hidden and not any(map(path.match, _OF_WORK)):
            yield path


def _copy(path: Path, copy: Path) -> int:
    """Copy a file so that it survives a power cut; returns its bytes. Raises ResultsError if it cannot be read."""
    try:
        source = path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error
    with source, copy.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _publish_into(place: Path, record: Json, staged: Path) -> None:
    """Give a task that was begun in the target its files, then its record. Raises ResultsError while it is at work."""
    with TaskLock(place):
        for name in record["artifacts"]:
            if (staged / name).exists():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).replace(place / name)  # what is there has no record, so it is no result
                sync_folder((place / name).parent)
        if create(place / _RECORD, (staged / _RECORD).read_text("utf-8")):
            for checkpoint in place.glob("checkpoint.*"):
                checkpoint.unlink(missing_ok=True)


def _merge_choices(source: Store, target: Store, summary: MergeSummary) -> None:
    """Copy the settings that tuning chose."""
    for path in sorted((source.root / choices.FOLDER).glob("*/*.json")):
        try:
            choice = choices.read(path)
            stored = choices.find(target.root, choice.name, choice.tuned)
            if stored is None:
                choices.write(target.root, choice)
                summary.copied += 1
            elif stored == choice:
                summary.there += 1
            else:
                summary.different.append(f"{choices.FOLDER}/{choice.name}: {choice.title}")
        except UnwritableError:
            raise
        except ResultsError as error:
            summary.problems.append(error)
