"""SLURM's own commands: the queue as it is, requeueing, cancelling; patient with a controller that is busy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from slurm.errors import SlurmError

# What the commands say when the controller did not answer, as opposed to having refused.
_BUSY = re.compile(
    r"socket timed out|unable to contact slurm controller|connection (refused|reset|timed out)|zero bytes were"
    r"|resource temporarily unavailable|temporarily unable to (accept job|contact)|transport endpoint"
    r"|communication connection failure|message receive failure|standby mode",
    re.I,
)
_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # seconds before each further try
_AT_ONCE = 500  # job ids on one command line


@dataclass(frozen=True)
class Queued:
    """A job that is in the queue; an element of an array is ARRAY_INDEX."""

    job: str
    name: str
    state: str  # PENDING, RUNNING, COMPLETING, …
    reason: str  # why it waits, or "None"


def there() -> bool:
    """Are SLURM's commands on the path?"""
    return all(shutil.which(command) for command in ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo"))


def ask(*words: str, waits: Sequence[float] = _WAITS) -> str:
    """What a command prints. A controller that is busy is asked again, ever later; SlurmError for a refusal."""
    for wait in (*waits, None):
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise SlurmError(
                f"there is no {words[0]} on this machine", next="log in where SLURM is, or use launcher=local"
            ) from error
        if done.returncode == 0:
            return done.stdout
        if wait is None or not busy(done.stderr):
            break
        time.sleep(wait)
    said = " ".join(done.stderr.replace(f"{words[0]}: error:", "").split()) or f"exit status {done.returncode}"
    raise SlurmError(f"{words[0]}: {said}", where=" ".join(words)[:200])


def busy(said: str) -> bool:
    """Whether such a message of a command is about a controller that did not answer."""
    return _BUSY.search(said) is not None


def jobs() -> dict[str, Queued]:
    """This user's jobs that are queued or at work, by id, arrays taken apart; those that can never start are not."""
    found = {}
    for line in ask("squeue", "-h", "-r", "-u", str(os.getuid()), "-o", "%i|%j|%T|%r").splitlines():
        job, name, state, reason = line.strip().split("|", 3)
        if reason != "DependencyNeverSatisfied":
            found[job] = Queued(job, name, state, reason)
    return found


def ended(ids: Iterable[str]) -> dict[str, str]:
    """How jobs that left the queue ended (COMPLETED, TIMEOUT, OUT_OF_MEMORY, …), as far as SLURM still knows."""
    wanted = set(ids)
    if not wanted:
        return {}
    try:
        return dict(_accounted(sorted(wanted)))
    except SlurmError:  # a cluster without accounting: the controller remembers for some minutes
        pass
    try:
        return {job: state for job, state in _remembered() if job in wanted}
    except SlurmError:
        return {}


def _accounted(ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(ids), _AT_ONCE):
        some = ",".join(ids[start : start + _AT_ONCE])
        said = ask("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", some, waits=())
        for line in said.splitlines():
            job, state = line.split("|", 1)
            yield job, state.split()[0]


def _remembered() -> Iterator[tuple[str, str]]:
    for line in ask("scontrol", "-o", "show", "job", waits=()).splitlines():
        said = dict(word.split("=", 1) for word in line.split() if "=" in word)
        array, index = said.get("ArrayJobId"), said.get("ArrayTaskId")
        yield (f"{array}_{index}" if array and index else said.get("JobId", "")), said.get("JobState", "")


def job_facts(job: str) -> dict[str, str]:
    """What scontrol says of one job: JobState, PreemptTime, Partition, …"""
    said = ask("scontrol", "-o", "show", "job", job)
    return dict(word.split("=", 1) for word in said.split() if "=" in word)


def requeue(job: str) -> None:
    """Put a running job back into the queue; it is ended. SlurmError where the cluster forbids it."""
    ask("scontrol", "requeue", job)


def cancel(ids: Iterable[str]) -> int:
    """Cancel these jobs; how many were asked for."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _AT_ONCE):
        ask("scancel", *wanted[start : start + _AT_ONCE])
    return len(wanted)


def partitions() -> list[str]:
    """The partitions of the cluster, hidden ones too."""
    return ask("sinfo", "-h", "-a", "-o", "%R").split()


def largest_array() -> int:
    """How many elements an array may have: MaxArraySize is one above the highest index."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.M)
    return max(1, int(found[1])) if found else 1001
