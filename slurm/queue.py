"""SLURM's commands: list the queue, requeue, cancel; repeated when the controller does not answer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from slurm.errors import SlurmError

COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
# What the commands print when the controller did not answer; a refusal has another message.
_NO_ANSWER = re.compile(
    r"socket timed out|unable to contact slurm controller|connection (refused|reset|timed out)|zero bytes were"
    r"|resource temporarily unavailable|temporarily unable to (accept job|contact)|transport endpoint"
    r"|communication connection failure|message receive failure|standby mode",
    re.I,
)
_NO_CONTROLLER = re.compile("configuration source|fetch_config|resolve_ctls", re.I)  # none is configured here
_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # before each further try
_IDS_PER_COMMAND = 500
USUAL_ARRAY_SIZE = 1001  # elements of an array in SLURM's own default, where a cluster does not say


@dataclass(frozen=True)
class QueuedJob:
    """A job in the queue. An element of an array has the id ARRAY_INDEX."""

    id: str
    name: str
    state: str  # PENDING, RUNNING, COMPLETING, …
    reason: str  # why it is pending, or "None"


def available() -> bool:
    """Whether SLURM's commands are on the path."""
    return all(shutil.which(command) for command in COMMANDS)


def run(*command: str, retry_seconds: Sequence[float] = _RETRY_SECONDS) -> str:
    """The standard output of a SLURM command, which is repeated while the controller does not answer.

    Raises SlurmError when the command is missing, is refused or stays without an answer.
    """
    for pause in (*retry_seconds, None):
        try:
            process = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise SlurmError(
                f"there is no {command[0]} on this machine", next="log in where SLURM is, or use launcher=local"
            ) from error
        if process.returncode == 0:
            return process.stdout
        if pause is None or not is_unanswered(process.stderr):
            break
        time.sleep(pause)
    message = " ".join(process.stderr.replace(f"{command[0]}: error:", "").split())
    message = message or f"exit status {process.returncode}"
    silent = "SLURM's controller does not answer here: try later or on a login node, or use launcher=local"
    advice = silent if is_unanswered(message) or _NO_CONTROLLER.search(message) else ""
    raise SlurmError(f"{command[0]}: {message}", where=" ".join(command)[:200], next=advice)


def is_unanswered(message: str) -> bool:
    """Whether a command's error message means that the controller did not answer."""
    return _NO_ANSWER.search(message) is not None


def jobs() -> dict[str, QueuedJob]:
    """This user's pending and running jobs by id, array elements one by one, without those that can never start."""
    queued = {}
    for line in run("squeue", "-h", "-r", "-u", str(os.getuid()), "-o", "%i|%j|%T|%r").splitlines():
        job = QueuedJob(*line.strip().split("|", 3))
        if job.reason != "DependencyNeverSatisfied":
            queued[job.id] = job
    return queued


def final_states(ids: Iterable[str]) -> dict[str, str]:
    """The state (COMPLETED, TIMEOUT, OUT_OF_MEMORY, …) of jobs that left the queue, of those that SLURM still knows."""
    wanted = set(ids)
    if not wanted:
        return {}
    try:
        return dict(_accounted_states(sorted(wanted)))
    except SlurmError:  # a cluster without accounting: the controller remembers jobs for some minutes
        pass
    try:
        return {job: state for job, state in _remembered_states() if job in wanted}
    except SlurmError:
        return {}


def _accounted_states(ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(ids), _IDS_PER_COMMAND):
        chunk = ",".join(ids[start : start + _IDS_PER_COMMAND])
        listing = run("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", chunk, retry_seconds=())
        for line in listing.splitlines():
            job, state = line.split("|", 1)
            yield job, state.split()[0]


def _remembered_states() -> Iterator[tuple[str, str]]:
    for line in run("scontrol", "-o", "show", "job", retry_seconds=()).splitlines():
        job = _fields(line)
        array, index = job.get("ArrayJobId"), job.get("ArrayTaskId")
        yield (f"{array}_{index}" if array and index else job.get("JobId", "")), job.get("JobState", "")


def show_job(job: str) -> dict[str, str]:
    """The fields that scontrol shows of one job: JobState, Reason, Partition, …"""
    return _fields(run("scontrol", "-o", "show", "job", job))


def _fields(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def requeue(job: str) -> None:
    """End a running job and put it back into the queue. Raises SlurmError where the cluster forbids it."""
    run("scontrol", "requeue", job)


def cancel(ids: Iterable[str]) -> int:
    """Cancel these jobs; returns their number."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _IDS_PER_COMMAND):
        run("scancel", *wanted[start : start + _IDS_PER_COMMAND])
    return len(wanted)


def cancel_named(name: str) -> None:
    """Cancel the jobs with this name, if there are any."""
    run("scancel", "--name", name)


def partitions(retry_seconds: Sequence[float] = _RETRY_SECONDS) -> list[str]:
    """The partitions of the cluster, hidden ones too."""
    return run("sinfo", "-h", "-a", "-o", "%R", retry_seconds=retry_seconds).split()


def max_array_size(retry_seconds: Sequence[float] = _RETRY_SECONDS) -> int:
    """How many elements an array may have. SLURM's MaxArraySize is one above the highest index."""
    shown = run("scontrol", "show", "config", retry_seconds=retry_seconds)
    setting = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.M)
    return max(1, int(setting[1])) if setting else USUAL_ARRAY_SIZE
