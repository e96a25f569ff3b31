"""Submitting jobs through submitit: arrays that call one function on plain values, with their dependencies."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from slurm import queue, submissions
from slurm.cluster import Cluster
from slurm.errors import SlurmError
from slurm.job import run_job

# A signal would kill Python before its handlers are installed, so it starts with both ignored. Schedulers repeat them.
_IGNORE_SIGNALS = """sh -c 'trap "" TERM USR2; exec "$0" "$@"'"""
_REFUSED_ACCOUNT = re.compile("invalid (account|qos)", re.I)
_OWN_ACCOUNTS = (
    "set account and qos in the cluster file to yours, which "
    "sacctmgr show associations user=$USER format=account,partition,qos lists"
)
_RETRY_SECONDS = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0)  # before each further try when the controller is silent


def check(cluster: Cluster) -> None:
    """Raise SlurmError if there is no SLURM here or it would refuse such jobs. Nothing is submitted."""
    if not queue.available():
        raise SlurmError(
            f"SLURM's commands ({', '.join(queue.COMMANDS)}) are not on the path",
            where="launcher=slurm",
            next="log in where they are, or use launcher=local",
        )
    known = queue.partitions()
    if cluster.partition and not set(cluster.partition.split(",")) <= set(known):
        raise SlurmError(
            f"there is no partition '{cluster.partition}'",
            where="partition, in the cluster file",
            next=f"known: {', '.join(sorted(known))}",
        )
    parameters = cluster.submitit_parameters()
    options = {"cpus-per-task": cluster.cpus, "time": cluster.timeout_min, **cluster.extra_options}
    for name in ("gpus_per_node", "mem", "partition", "account", "qos", "constraint"):
        if name in parameters:
            options[name.replace("_", "-")] = parameters[name]
    flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
    try:
        queue.run("sbatch", "--test-only", *flags, "--wrap", "true")
    except SlurmError as error:
        raise SlurmError(
            f"the cluster refuses such jobs: {error.what.removeprefix('sbatch: ')}",
            where="the cluster file: " + " ".join(flags),
            next=error.next
            or (_OWN_ACCOUNTS if _REFUSED_ACCOUNT.search(error.what) else "change the cluster file")
            + "; nothing was queued",
        ) from error


class Submitter:
    """Submits the arrays of one run of a store, and writes each down before and after."""

    def __init__(self, folder: Path, run: str, cluster: Cluster, code: Path) -> None:
        """folder: the store's `slurm` folder. code: the snapshot that jobs import."""
        self.folder, self.run, self.cluster, self.code = folder, run, cluster, code
        self.number = 0

    def submit(
        self,
        kind: str,
        function: str,
        arguments: Sequence[Mapping[str, Any]],
        tasks: Sequence[Sequence[str]],
        dependency: str,
    ) -> list[str]:
        """Submit a job for each of `arguments`, all in one array; returns the job ids.

        function: called by slurm.job.run_job. tasks: the identities of each job's tasks. dependency: as sbatch takes
        it, or "". Raises SlurmError when the cluster refuses, or does not answer for some minutes.
        """
        self.number += 1
        name = f"{self.run}-{self.number}-{kind}"
        submissions.record_intent(self.folder, self.run, name, tasks)
        for pause in (*_RETRY_SECONDS, None):
            try:
                executor = self._executor(name, dependency)
                jobs = executor.map_array(run_job, [function] * len(arguments), list(arguments))
                break
            except (FailedJobError, FailedSubmissionError) as error:
                message = " ".join(str(error).split())
                if pause is None or not queue.is_unanswered(message):
                    raise SlurmError(
                        f"sbatch: {message}", where=name, next="see the cluster file; jobs that are queued stay"
                    ) from error
            time.sleep(pause)
            queue.cancel_named(name)  # the jobs may have been accepted although the answer was lost
        array = str(jobs[0].job_id).partition("_")[0]
        submissions.record_id(self.folder, self.run, name, array)
        return submissions.Submission(self.run, name, tuple(tuple(job) for job in tasks), array).ids

    def _executor(self, name: str, dependency: str) -> submitit.SlurmExecutor:
        python = self.cluster.python or shlex.quote(sys.executable)
        executor = submitit.SlurmExecutor(self.folder / self.run / "jobs", python=f"{_IGNORE_SIGNALS} {python}")
        code = shlex.quote(str(self.code))
        options = {**self.cluster.extra_options, "requeue": True}
        if dependency:
            options |= {"dependency": dependency, "kill-on-invalid-dep": "yes"}
        executor.update_parameters(
            **self.cluster.submitit_parameters(),
            job_name=name,
            # The snapshot is first on the path; the folder that the job starts in is not on it.
            setup=[*self.cluster.setup, f'export PYTHONPATH={code}"${{PYTHONPATH:+:$PYTHONPATH}}" PYTHONSAFEPATH=1'],
            srun_args=[f"--cpus-per-task={self.cluster.cpus}"],  # some versions' srun does not take it from sbatch
            additional_parameters=options,
        )
        return executor
