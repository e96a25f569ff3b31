"""Queueing a plan on a cluster: the cluster is checked, then each task that is neither done nor queued is queued."""

from __future__ import annotations

import os
import re
import shlex
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from benchmark.compute import environment
from benchmark.compute.engine import Compute, choose_compute
from benchmark.config.shared_options import PlanConfig
from benchmark.execution.again import made_by_other_code
from benchmark.execution.runtime import Task
from benchmark.planning.plan import inputs_of
from benchmark.runners import job_groups, monitor, queued_tasks
from benchmark.runners.job_groups import JobGroup
from benchmark.utils.errors import BenchmarkError
from results.store.atomic_files import write_json, writing
from results.store.lock import TaskLock, owner_name
from results.store.schema import NEEDS_RETRY, Status
from results.store.task_states import TaskState, task_states
from slurm import cluster as clusters
from slurm import code_snapshot, queue, submissions
from slurm.cluster import Cluster
from slurm.errors import SlurmError
from slurm.submit import Submitter
from slurm.submit import check as check_cluster

_PACKAGES = ("benchmark", "methods", "results", "slurm")  # that jobs import
_COMPLETING_TRIES, _COMPLETING_SECONDS = 30, 2.0
_LOCK_SECONDS = 60.0  # to wait for another process that is submitting to the same store


@dataclass(frozen=True)
class LaunchResult:
    """What was queued. tasks: those queued now, by kind.

    skipped_failed: tasks that failed before or need one that did; running_elsewhere: tasks that run outside the queue
    or need one that does. Neither are queued.
    """

    run: str = ""
    jobs: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    queued_before: int = 0
    skipped_failed: int = 0
    running_elsewhere: int = 0


def check(config: PlanConfig) -> Cluster:
    """The cluster that a run is queued on.

    Raises BenchmarkError, SlurmError or ResultsError if it would refuse such jobs, or if the store cannot be written.
    """
    if config.cluster is None:
        raise BenchmarkError(
            "launcher=slurm needs a cluster file",
            where="launcher=slurm",
            next="copy slurm/clusters/example.yaml, change it, and add cluster=PATH.yaml",
        )
    if config.budget_seconds is not None:
        raise BenchmarkError(
            "budget_seconds= is measured on this machine, and jobs run on others",
            where=f"budget_seconds={config.budget_seconds}",
            next="use iterations_fraction= instead; or run the command with launcher=local inside a job",
        )
    cluster = clusters.load(config.cluster)
    if not config.dry_run:
        _check_log_folder(Path(config.store).absolute())
        check_cluster(cluster)
        folder = Path(config.store) / "slurm"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{uuid4().hex}"
            probe.touch()
            probe.unlink()
    return cluster


def _check_log_folder(store: Path) -> None:
    """Raise BenchmarkError where SLURM would read the store's path as a pattern, and write logs beside the store."""
    if pattern := re.search(r"%\d*[A-Za-z%]|\\", str(store)):
        raise BenchmarkError(
            f"SLURM replaces '{pattern[0]}' in the path of a job's log",
            where=f"store={store}",
            next="name a store without % and backslashes in its path",
        )


def launch(tasks: Sequence[Task], config: PlanConfig, cluster: Cluster) -> LaunchResult:
    """Queue what is neither done, nor queued, nor failed before.

    Raises BenchmarkError while another process is submitting to this store, SlurmError when the cluster refuses, and
    ResultsError for a store that cannot be read or written.
    """
    lock = TaskLock(Path(config.store) / "slurm")
    if not lock.acquire(wait=_LOCK_SECONDS):
        raise BenchmarkError(
            f"{owner_name(lock.holder)} is submitting to this store",
            where=str(lock.path),
            next="wait until it has finished",
        )
    try:
        return _launch(tasks, config, cluster, lock)
    finally:
        lock.release()


def _launch(tasks: Sequence[Task], config: PlanConfig, cluster: Cluster, lock: TaskLock) -> LaunchResult:
    store = Path(config.store)
    folder = store / "slurm"
    queued = _queued_tasks(folder)  # first: a task may end before the next line
    states = task_states(store, tasks)
    redo = [key for key, state in states.items() if _is_redone(state, config.again)]
    done = {identity for identity, state in states.items() if state.status == Status.DONE}
    done -= job_groups.with_dependents(tasks, redo)  # whether these scored other bytes is known when their jobs run
    idle = {identity: state for identity, state in states.items() if identity not in queued}
    broken = [key for key, state in idle.items() if state.status == Status.UNREADABLE]
    if config.retry != "failed":
        broken += [key for key, state in idle.items() if state.status in NEEDS_RETRY]
        broken += monitor.killed_with_their_jobs(folder, [key for key, state in idle.items() if not state.record])
    failed = job_groups.with_dependents(tasks, broken)
    elsewhere = job_groups.with_dependents(tasks, [key for key, state in idle.items() if monitor.at_work(state)])
    runnable = [task for task in tasks if task["identity"] not in failed | elsewhere]
    result = LaunchResult(
        queued_before=sum(task["identity"] in queued and task["identity"] not in done for task in tasks),
        skipped_failed=len(failed),
        running_elsewhere=len(elsewhere - failed),
    )
    groups = job_groups.group_tasks(runnable, done, queued, cluster.tasks_per_job)
    if not groups:
        return result
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    with writing(folder):
        packages = {name: Path(import_module(name).__path__[0]) for name in _PACKAGES}
        code = code_snapshot.copy_code(packages, (folder / "code").absolute(), environment.commit_of(Path(__file__)))
        write_request(folder / run, tasks, config, code)
        submitter = Submitter(folder.absolute(), run, cluster, code)
        max_array_size = min(cluster.max_array_size or 10**9, queue.max_array_size())
        jobs = _submit(groups, submitter, queued, job_settings(config, cluster), max_array_size, lock)
    kinds = Counter(task["kind"] for group in groups for job in group.jobs for task in job)
    return replace(result, run=run, jobs=jobs, tasks=kinds)


def _is_redone(state: TaskState, again: Sequence[str]) -> bool:
    """Whether a task with a record is done again: an input changed, or `again` asks for it."""
    if state.status == Status.OUTDATED:
        return True
    return state.status == Status.DONE and bool(made_by_other_code({**state.task, **(state.record or {})}, again))


def job_settings(config: PlanConfig, cluster: Cluster) -> dict[str, Any]:
    """How jobs run their tasks, as plain values."""
    return {
        "store": str(Path(config.store).absolute()),
        "device": "cpu" if config.device == "auto" and not cluster.gpus else config.device,
        "gpus": cluster.gpus,
        "precision": config.precision,
        "compile": config.compile,
        "threads": config.threads or max(1, cluster.cpus // cluster.concurrent_tasks),
        "concurrent_tasks": cluster.concurrent_tasks,
        "checkpoint_seconds": config.checkpoint_seconds,
        "max_wait_seconds": config.max_wait_seconds,
        "retry": config.retry,
        "again": config.again,
        "tracker": config.tracker,
    }


def compute_here(config: PlanConfig, cluster: Cluster) -> tuple[Compute, int] | None:
    """What a job computes on and how many tasks at a time, as far as this machine has it; None if it lacks a GPU."""
    job = job_settings(config, cluster)
    if job["device"] != "cpu" and not torch.cuda.is_available():
        return None
    threads = min(job["threads"], os.cpu_count() or 1)
    return choose_compute(job["device"], job["precision"], threads, job["concurrent_tasks"], job["compile"])


def _queued_tasks(folder: Path) -> dict[str, str]:
    """The job of each task that is queued or running, by the task's identity.

    Jobs of a submission that was interrupted before their id was written down are cancelled.
    """
    submitted = submissions.read(folder)
    for _ in range(_COMPLETING_TRIES):
        queued = queue.jobs()
        mine = submissions.in_queue(submitted, queued)
        for submission in mine:
            if submission.array is None:
                queue.cancel_named(submission.name)
        names = {submission.name for submission in mine}
        # Only after a job has completed is it known whether it was requeued.
        if not any(job.state == "COMPLETING" for job in queued.values() if job.name in names):
            return {identity: job for identity, job in submissions.job_by_task(mine).items() if job in queued}
        time.sleep(_COMPLETING_SECONDS)
    raise BenchmarkError(
        "jobs of this store have been completing for a minute",
        where="squeue",
        next="run the same command again later",
    )


def _submit(
    groups: Sequence[JobGroup],
    submitter: Submitter,
    queued: Mapping[str, str],
    settings: Mapping[str, Any],
    max_array_size: int,
    lock: TaskLock,
) -> int:
    """Submit groups in arrays of at most `max_array_size`; returns the number of jobs."""
    job_of = dict(queued)  # by the task's identity
    arrays: dict[tuple[int, int], list[str]] = {}  # job ids by the group's index and that of the array's first job
    for index, group in enumerate(groups):
        for start in range(0, len(group.jobs), max_array_size):
            if lock.lost:
                raise BenchmarkError(
                    "another process has taken over submitting to this store",
                    where=str(lock.path),
                    next="run the same command again",
                )
            jobs = group.jobs[start : start + max_array_size]
            dependency = ""
            if group.after_group is not None:
                dependency = _after_each(arrays[group.after_group, start])
            elif inputs := sorted({job_of[identity] for identity in group.after if identity in job_of}):
                dependency = "afterok:" + ":".join(inputs)
            ids = submitter.submit(
                group.kind,
                queued_tasks.FUNCTION,
                [queued_tasks.arguments(tasks, settings) for tasks in jobs],
                [[task["identity"] for task in tasks] for tasks in jobs],
                dependency,
            )
            arrays[index, start] = ids
            job_of |= {task["identity"]: id for id, tasks in zip(ids, jobs, strict=True) for task in tasks}
    return sum(len(ids) for ids in arrays.values())


def _after_each(ids: Sequence[str]) -> str:
    """The dependency that makes the k-th element of an array wait for the k-th of another."""
    return f"afterok:{ids[0]}" if len(ids) == 1 else f"aftercorr:{ids[0].partition('_')[0]}"


def write_request(folder: Path, tasks: Sequence[Task], config: PlanConfig, code: Path) -> None:
    """Write request.json, which `monitor.read_status` reads: the tasks of a run, its options and the code it runs."""
    folder.mkdir(parents=True, exist_ok=True)
    planned = [
        {name: task[name] for name in ("identity", "kind", "slug")} | {"inputs": sorted(inputs_of(task))}
        for task in tasks
    ]
    request = {"tasks": planned, "config": vars(config), "code": code.name, "host": socket.gethostname()}
    write_json(folder / "request.json", request)


# --- messages ---------------------------------------------------------------------------------------------------------


def preview(tasks: Sequence[Task], config: PlanConfig, cluster: Cluster) -> str:
    """What a launch would queue if nothing of it were queued yet, also where the cluster cannot be asked.

    Nothing is written. Raises SlurmError if the cluster answers and would refuse such jobs.
    """
    largest, unchecked = cluster.max_array_size, ""
    try:
        largest = largest or queue.max_array_size(())
        queue.partitions(())
    except SlurmError as error:
        unchecked = f"\nnote: not checked with the cluster: {error.what}; {error.next}"
    else:
        check_cluster(cluster)
    done = {
        identity for identity, state in task_states(Path(config.store), tasks).items() if state.status == Status.DONE
    }
    groups = job_groups.group_tasks(tasks, done, (), cluster.tasks_per_job)
    arrays = sum(-(-len(group.jobs) // (largest or queue.USUAL_ARRAY_SIZE)) for group in groups)
    jobs = Counter(
        {kind: sum(len(group.jobs) for group in groups if group.kind == kind) for kind in job_groups.JOB_KINDS}
    )
    counts = ", ".join(f"{number:,} {kind}" for kind, number in jobs.items() if number) or "no"
    return f"{len(tasks):,} tasks, {len(done):,} done; would queue {counts} jobs in {arrays:,} arrays{unchecked}"


def summary(launched: LaunchResult, store: str) -> str:
    """What a launch queued and skipped, and which commands come next."""
    tasks = ", ".join(f"{number:,} {kind}" for kind, number in launched.tasks.items())
    lines = [f"queued {launched.jobs:,} jobs for {tasks} tasks, as run {launched.run}"] if launched.jobs else []
    if launched.queued_before:
        lines.append(f"{launched.queued_before:,} tasks were queued before")
    if launched.skipped_failed:
        lines.append(f"{launched.skipped_failed:,} tasks failed before or need one that did: retry=failed retries them")
    if launched.running_elsewhere:
        lines.append(
            f"{launched.running_elsewhere:,} tasks are running outside the queue or need one that is: "
            "run the same command again later"
        )
    if not lines:
        return "everything is done"
    if launched.jobs or launched.queued_before:
        lines.append(next_steps(store))
    return "\n".join(lines)


def next_steps(store: str) -> str:
    """The commands that show and cancel queued jobs."""
    option = shlex.quote(f"store={store}")
    return f"python -m benchmark.status {option} shows their progress; benchmark.cancel {option} cancels them"
