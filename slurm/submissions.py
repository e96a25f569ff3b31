"""What was queued for a store: in OUT/slurm/RUN/queued.jsonl two lines for each array, its tasks and then its id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slurm.errors import SlurmError
from slurm.queue import Queued

FILE = "queued.jsonl"


@dataclass(frozen=True)
class Entry:
    """One array: the identities of the tasks that each of its jobs does; `array` is None where submitting broke off."""

    run: str
    name: str
    jobs: tuple[tuple[str, ...], ...]
    array: str | None = None

    @property
    def ids(self) -> list[str]:
        """The id of each job: elements of an array, or the one job itself. Empty where submitting broke off."""
        if self.array is None:
            return []
        return [self.array] if len(self.jobs) == 1 else [f"{self.array}_{place}" for place in range(len(self.jobs))]


def intend(folder: Path, run: str, name: str, jobs: Sequence[Sequence[str]]) -> None:
    """Note what is about to be submitted, before it is. Raises OSError."""
    _append(folder / run, {"name": name, "jobs": [list(job) for job in jobs]})


def submitted(folder: Path, run: str, name: str, array: str) -> None:
    """Note the id it got. Raises OSError."""
    _append(folder / run, {"name": name, "array": array})


def entries(folder: Path, run: str | None = None) -> list[Entry]:
    """All arrays of all runs, or of one, oldest first. A line that a power cut left half-written is passed over."""
    found: dict[tuple[str, str], Entry] = {}
    for path in sorted(folder.glob(f"{run or '*'}/{FILE}")):
        for line in _lines(path):
            key = (path.parent.name, str(line.get("name")))
            if "jobs" in line:
                found[key] = Entry(*key, tuple(tuple(job) for job in line["jobs"]))
            elif key in found:
                found[key] = replace(found[key], array=str(line["array"]))
    return list(found.values())


def runs(folder: Path) -> list[str]:
    """The runs that queued something, oldest first."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def alive(found: Sequence[Entry], live: Mapping[str, Queued]) -> list[Entry]:
    """Those arrays with jobs in the queue, by name: another cluster, or this one reset, gives the same ids again."""
    names = {job.name for job in live.values()}
    return [entry for entry in found if entry.name in names]


def jobs_of(found: Sequence[Entry]) -> dict[str, str]:
    """The job that was queued last for each task's identity."""
    return {
        identity: job
        for entry in found
        for job, tasks in zip(entry.ids, entry.jobs, strict=False)
        for identity in tasks
    }


def _append(folder: Path, line: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> Iterator[dict[str, list[list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SlurmError(f"cannot read what was queued: {error.strerror}", where=str(path)) from error
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
