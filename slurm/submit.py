"""Submitting jobs through submitit: arrays of one function on plain values, with what they wait for."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from slurm import queue, submissions
from slurm.cluster import Profile
from slurm.errors import SlurmError
from slurm.job import work

# Python starts deaf to signals, which would kill it before its handlers are there; a scheduler repeats them.
_DEAF = """sh -c 'trap "" TERM USR2; exec "$0" "$@"'"""
_WAITS = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0)  # seconds before each further try at a busy controller


def check(profile: Profile) -> None:
    """Raise SlurmError for a cluster that is not there, or that would refuse such jobs; nothing is queued."""
    if not queue.there():
        raise SlurmError(
            "SLURM's commands (sbatch, srun, squeue, scontrol, scancel, sinfo) are not on the path",
            where="launcher=slurm",
            next="log in where they are, or use launcher=local",
        )
    known = queue.partitions()
    if profile.partition and not set(profile.partition.split(",")) <= set(known):
        raise SlurmError(
            f"there is no partition '{profile.partition}'",
            where="partition, in the profile",
            next=f"known: {', '.join(sorted(known))}",
        )
    flags = {"cpus-per-task": profile.cpus, "time": profile.minutes, **profile.more}
    names = {"gpus_per_node": "gpus-per-node", "mem": "mem", "partition": "partition", "account": "account",
             "qos": "qos", "constraint": "constraint"}  # fmt: skip
    flags |= {names[name]: value for name, value in profile.parameters().items() if name in names}
    try:
        queue.ask("sbatch", "--test-only", *(_flag(*pair) for pair in flags.items()), "--wrap", "true")
    except SlurmError as error:
        raise SlurmError(
            f"the cluster refuses such jobs: {error.what.removeprefix('sbatch: ')}",
            where="the profile: " + " ".join(_flag(*pair) for pair in flags.items()),
            next="mend the profile; nothing was queued",
        ) from error


def _flag(name: str, value: object) -> str:
    return f"--{name}" if value is True else f"--{name}={value}"


class Submitter:
    """Queues arrays for one run of a store; each is noted in the ledger before and after."""

    def __init__(self, folder: Path, run: str, profile: Profile, code: Path) -> None:
        """folder: the store's `slurm` folder. code: the snapshot that jobs import."""
        self.folder, self.run, self.profile, self.code = folder, run, profile, code
        self.number = 0

    def submit(
        self, kind: str, function: str, values: Sequence[Mapping[str, Any]], tasks: Sequence[Sequence[str]], after: str
    ) -> list[str]:
        """Queue a job for each of `values`, all in one array; the job ids. `after`: a SLURM dependency, or "".

        Raises SlurmError when the cluster refuses, or does not answer for some minutes.
        """
        self.number += 1
        name = f"{self.run}-{self.number}-{kind}"
        submissions.intend(self.folder, self.run, name, tasks)
        for wait in (*_WAITS, None):
            try:
                found = self._executor(name, after).map_array(work, [function] * len(values), list(values))
                break
            except (FailedJobError, FailedSubmissionError) as error:
                said = " ".join(str(error).split())
                if wait is None or not queue.busy(said):
                    raise SlurmError(
                        f"sbatch: {said}", where=name, next="see the profile; what is queued stays"
                    ) from error
            time.sleep(wait)
            queue.ask("scancel", "--name", name)  # an answer that was lost may have been a yes
        array = str(found[0].job_id).partition("_")[0]
        submissions.submitted(self.folder, self.run, name, array)
        return submissions.Entry(self.run, name, tuple(tuple(job) for job in tasks), array).ids

    def _executor(self, name: str, after: str) -> submitit.SlurmExecutor:
        python = self.profile.python or shlex.quote(sys.executable)
        executor = submitit.SlurmExecutor(self.folder / self.run / "jobs", python=f"{_DEAF} {python}")
        code = shlex.quote(str(self.code))
        more = {**self.profile.more, "requeue": True}
        if after:
            more |= {"dependency": after, "kill-on-invalid-dep": "yes"}
        executor.update_parameters(
            **self.profile.parameters(),
            job_name=name,
            # The snapshot stands first on the path, and the folder that the job starts in is not on it at all.
            setup=[*self.profile.setup, f'export PYTHONPATH={code}"${{PYTHONPATH:+:$PYTHONPATH}}" PYTHONSAFEPATH=1'],
            srun_args=[f"--cpus-per-task={self.profile.cpus}"],  # some versions' srun does not take it from sbatch
            additional_parameters=more,
        )
        return executor
