"""Which jobs were submitted for a store: two lines of STORE/slurm/RUN/queued.jsonl for each array.

The first line has the array's name and the tasks of each job, and is written before sbatch; the second has the id.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from slurm.errors import SlurmError
from slurm.queue import QueuedJob

FILE = "queued.jsonl"
_ARRAY = re.compile(r"[0-9]+")  # an id of SLURM's


class _Line(msgspec.Struct):
    """One line of the file: `jobs` before sbatch, `array` after it."""

    name: str
    jobs: tuple[tuple[str, ...], ...] | None = None
    array: str | None = None

    @property
    def problem(self) -> str:
        if (self.jobs is None) == (self.array is None):
            return "it has neither jobs nor an array, or both"
        return "" if self.array is None or _ARRAY.fullmatch(self.array) else f"its array is {self.array!r}"


@dataclass(frozen=True)
class Submission:
    """One array. jobs: the identities of each job's tasks. array: its id, None if the submission was interrupted."""

    run: str
    name: str
    jobs: tuple[tuple[str, ...], ...]
    array: str | None = None

    @property
    def ids(self) -> list[str]:
        """The id of each job: elements of an array, or the only job itself. Empty without an id."""
        if self.array is None:
            return []
        return [self.array] if len(self.jobs) == 1 else [f"{self.array}_{index}" for index in range(len(self.jobs))]


def record_intent(folder: Path, run: str, name: str, jobs: Sequence[Sequence[str]]) -> None:
    """Write down an array that is about to be submitted. Raises OSError."""
    _append(folder / run, {"name": name, "jobs": [list(job) for job in jobs]})


def record_id(folder: Path, run: str, name: str, array: str) -> None:
    """Write down the id of an array that was submitted. Raises OSError."""
    _append(folder / run, {"name": name, "array": array})


def _fail(error: SlurmError) -> None:
    raise error


def read(folder: Path, run: str | None = None, on_problem: Callable[[SlurmError], None] = _fail) -> list[Submission]:
    """The arrays of all runs, or of one, oldest first. A half-written line (after a power cut) is skipped.

    on_problem: called with an error for a file that cannot be read and for a line that is none of ours; it raises the
    error, since jobs that are not known of would be submitted twice, or not be cancelled.
    """
    submissions: dict[tuple[str, str], Submission] = {}
    for path in sorted(folder.glob(f"{run or '*'}/{FILE}")):
        for line in _lines(path, on_problem):
            key = (path.parent.name, line.name)
            if line.jobs is not None:
                submissions[key] = Submission(*key, line.jobs)
            elif key in submissions:
                submissions[key] = replace(submissions[key], array=line.array)
    return list(submissions.values())


def runs(folder: Path) -> list[str]:
    """The runs that submitted something, oldest first."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def in_queue(submissions: Sequence[Submission], queued: Mapping[str, QueuedJob]) -> list[Submission]:
    """The arrays with jobs in the queue, matched by name: after a reset the same ids are given again."""
    names = {job.name for job in queued.values()}
    return [submission for submission in submissions if submission.name in names]


def job_by_task(submissions: Sequence[Submission]) -> dict[str, str]:
    """The id of the job that was submitted last for each task, by the task's identity."""
    return {
        identity: job
        for submission in submissions
        for job, tasks in zip(submission.ids, submission.jobs, strict=False)
        for identity in tasks
    }


def _append(folder: Path, line: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path, on_problem: Callable[[SlurmError], None]) -> Iterator[_Line]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        on_problem(SlurmError(f"cannot read the submissions: {error.strerror}", where=str(path)))
        return
    for number, text in enumerate(lines, start=1):
        try:
            line = msgspec.json.decode(text, type=_Line)
            problem = line.problem
        except msgspec.ValidationError as error:
            problem = str(error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if not problem:
            yield line
            continue
        on_problem(
            SlurmError(
                f"a line on what was submitted is wrong: {problem}",
                where=f"{path}, line {number}",
                next="cancel its jobs with scancel if there are any (squeue --me lists them), then remove the line",
            )
        )
