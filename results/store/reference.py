"""The results that are shipped with the package: records of full-budget runs, and the sets of their first seeds.

`results/reference/DATASET.jsonl` has a record in each line, as a store's record.json has it. `sets.json` names
the files in `sets/` by the names that `set=reference:NAME` takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from results.errors import ResultsError
from results.store.atomic_files import parse_json, read_json, unreadable
from results.store.combined import CombinedStore
from results.store.schema import SCHEMA, Sha256
from results.store.store import OTHER_STORE, Store, StoreContents
from results.store.validation import problem
from results.types import Json

StoreName = str | Path
NAME = "reference:"  # of the shipped results, in place of a store's folder
FOLDER = Path(str(files("results"))) / "reference"
SETS, INDEX = "sets", "sets.json"
REPORTS = "reference-report"  # a folder in the working directory
_REINSTALL = "install the package again: its files were changed or damaged"
_SET = "synthetic.safetensors"


class ReferenceSet(TypedDict):
    """A shipped set, in sets.json."""

    file: str  #: its name in the folder of sets
    identity: Sha256  #: of the condense task
    sha256: Sha256  #: of the file
    original: Sha256  #: of the file that the record names
    pixels: str  #: float16, float32; indices: of real training images, which are not shipped
    check: Json  #: what decided between the two: protocol, accuracy with float16, accuracies, sd


def is_reference(store: str | Path) -> bool:
    """Whether an option names the shipped results, and not a folder."""
    return str(store) == NAME


def open_store(store: StoreName | Sequence[StoreName]) -> Store:
    """The store in a folder, or the shipped results if it is called `reference:`; of a list, all of them as one.

    Raises ResultsError for a folder that is not there.
    """
    names = [store] if isinstance(store, str | Path) else list(store)
    members = [ReferenceStore() if is_reference(name) else Store(Path(name).expanduser()) for name in names]
    for member in members:
        if not member.root.is_dir():
            cure = "name the folder that a run writes to"
            raise ResultsError(f"there is no store at {member.root}", where=f"store={member.root}", next=cure)
    return members[0] if len(members) == 1 else CombinedStore(members)


def sets() -> dict[str, ReferenceSet]:
    """The shipped sets by their names, METHOD/DATASET/IPC. Raises ResultsError for a damaged list."""
    path = FOLDER / INDEX
    try:
        return msgspec.convert(read_json(path, _REINSTALL) or {}, dict[str, ReferenceSet])
    except msgspec.ValidationError as error:
        raise ResultsError(f"{INDEX} is damaged: {error}", where=str(path), next=_REINSTALL) from error


def set_file(name: str) -> Path:
    """The file of a shipped set. Raises ResultsError for an unknown name and for a file that was changed."""
    known = sets()
    if name not in known:
        what = f"there is no reference set '{name}'"
        raise ResultsError(what, where=f"set={NAME}{name}", next=f"known: {', '.join(known) or 'none'}")
    return _checked_file(known[name])


def _checked_file(shipped: ReferenceSet) -> Path:
    path = FOLDER / SETS / shipped["file"]
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error, _REINSTALL) from error
    if sha256 != shipped["sha256"]:
        raise ResultsError("its checksum is not the one in the list of sets", where=str(path), next=_REINSTALL)
    return path


@dataclass(frozen=True)
class ReferenceLine:
    """A line of a file of records: the record, or why it cannot be used."""

    place: Path  # the file and the line's number
    record: dict[str, Any]
    error: ResultsError | None = None


def read_lines(path: Path) -> Iterator[ReferenceLine]:
    """The lines of a file of records, each checked as a record.json is. Raises ResultsError for an unreadable file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, _REINSTALL) from error
    for number, text in enumerate(content.splitlines(), 1):
        place = path / f"line {number}"
        try:
            record = parse_json(text, place, _REINSTALL)
        except ResultsError as error:
            yield ReferenceLine(place, {}, error)
            continue
        cure = _REINSTALL if record.get("schema") == SCHEMA else OTHER_STORE
        reason = problem(record)
        what = f"a reference record is left out: {reason}"
        yield ReferenceLine(place, record, ResultsError(what, where=str(place), next=cure) if reason else None)


class ReferenceStore(Store):
    """The shipped results, read as a store. Nothing can be written into it."""

    def __init__(self) -> None:
        super().__init__(FOLDER)

    @property
    def reports(self) -> Path:
        return Path(REPORTS)

    def record(self, task: Json) -> dict[str, Any] | None:
        """The task's record, without the files that are not shipped."""
        records = self.read().records.values()
        record = next((record for record in records if record["identity"] == task["identity"]), None)
        if record is None:
            return None
        shipped = {name: sha256 for name, sha256 in record["artifacts"].items() if name == _SET}
        return {**record, "artifacts": shipped}

    def artifact(self, task: Json, name: str) -> Path:
        """The shipped file of a set. Raises ResultsError if there is none with pixels."""
        shipped = next((s for s in sets().values() if s["identity"] == task["identity"]), None)
        if shipped is None or name != _SET:
            raise ResultsError(f"its {name} is not shipped", where=NAME)
        if shipped["pixels"] == "indices":
            raise ResultsError("its images are real ones, of which only the indices are shipped", where=NAME)
        return _checked_file(shipped)

    def _read_into(self, contents: StoreContents) -> None:
        for path in sorted(self.root.glob("*.jsonl")):
            for line in read_lines(path):
                if line.error:
                    contents.problems.append(line.error)
                else:
                    # Other work ran on the machine meanwhile, which no task can know of: tables compare no seconds.
                    environment = {**line.record["environment"], "shared": True}
                    contents.records[line.place] = {**line.record, "environment": environment}
