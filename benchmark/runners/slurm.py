"""Queueing a plan on a cluster: first it is checked, then every task is queued that is neither done nor queued."""

from __future__ import annotations

import shlex
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmark.compute import environment
from benchmark.config.schema import PlanConfig
from benchmark.runners import job_groups, monitor, slurm_job
from benchmark.runners.local import inputs_of
from benchmark.utils.errors import BenchmarkError
from results.store.atomic_files import write_json_atomic, writing
from results.store.lock import TaskLock
from results.store.task_states import survey
from slurm import cluster, code_snapshot, queue, submissions, submit

_ENDING_LOOKS, _ENDING_SECONDS = 30, 2.0
_LOCK_SECONDS = 60.0  # for another driver that is submitting to the same store


@dataclass(frozen=True)
class Launched:
    """What a launch came to. `left`: tasks that failed before, and those that need them."""

    run: str
    jobs: int
    tasks: Counter[str]  # queued now, by kind
    queued_before: int
    left: int
    elsewhere: int = 0  # at work outside the queue, and those that need them


def settings(config: PlanConfig, asked: cluster.Profile) -> dict[str, Any]:
    """How jobs do their tasks, as plain values."""
    return {
        "out": str(Path(config.store).absolute()),
        "device": "cpu" if config.device == "auto" and not asked.gpus else config.device,
        "gpus": asked.gpus,
        "precision": config.precision,
        "compile": config.compile,
        "threads": config.threads or max(1, asked.cpus // asked.at_once),
        "at_once": asked.at_once,
        "checkpoint_seconds": config.checkpoint_seconds,
        "retry": config.retry,
    }


def check(config: PlanConfig) -> cluster.Profile:
    """The profile, of a cluster that takes such jobs; raises before anything is planned or queued."""
    if config.cluster is None:
        raise BenchmarkError(
            "launcher=slurm needs a profile of the cluster", where="launcher=slurm",
            next="copy slurm/clusters/example.yaml, change it, and say cluster=PATH.yaml",
        )  # fmt: skip
    if config.budget_seconds is not None:
        raise BenchmarkError(
            "budget_seconds= is measured on this machine, and jobs run on others",
            where=f"budget_seconds={config.budget_seconds}",
            next="say iterations_fraction= instead; or run the command with launcher=local inside a job",
        )
    asked = cluster.load(config.cluster)
    submit.check(asked)
    if config.dry_run:
        return asked
    folder = Path(config.store) / "slurm"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{uuid4().hex}"
        probe.touch()
        probe.unlink()
    return asked


def launch(tasks: Sequence[Mapping[str, Any]], config: PlanConfig, asked: cluster.Profile) -> Launched:
    """Queue what is neither done, nor queued, nor failed before. Raises the rooms' errors."""
    out = Path(config.store)
    folder = out / "slurm"
    lock = TaskLock(folder)
    if not lock.acquire(wait=_LOCK_SECONDS):
        holder = lock.holder or {}
        raise BenchmarkError(
            f"process {holder.get('pid')} on {holder.get('host')} is submitting to this store",
            where=str(lock.path), next="wait for it to end",
        )  # fmt: skip
    try:
        return _launch(tasks, config, asked, out, lock)
    finally:
        lock.release()


def _launch(
    tasks: Sequence[Mapping[str, Any]], config: PlanConfig, asked: cluster.Profile, out: Path, lock: TaskLock
) -> Launched:
    folder = out / "slurm"
    waiting = _in_queue(folder)  # before the store: what ends in between is done
    states = survey(out, tasks)
    done = {identity for identity, state in states.items() if state.status == "done"}
    idle = {identity: state for identity, state in states.items() if identity not in waiting}
    broken = ("unreadable",) if config.retry == "failed" else ("failed", "out_of_memory", "unreadable")
    left = job_groups.inside_out(tasks, [i for i, state in idle.items() if state.status in broken])
    elsewhere = job_groups.inside_out(tasks, [i for i, state in idle.items() if monitor.at_work(state)]) - left
    able = [task for task in tasks if task["identity"] not in left | elsewhere]
    before = sum(task["identity"] in waiting and task["identity"] not in done for task in tasks)
    found = job_groups.groups(able, done, waiting, asked.pack)
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    if not found:
        return Launched("", 0, Counter(), before, len(left), len(elsewhere))
    with writing(folder):
        code = code_snapshot.take(_packages(), (folder / "code").absolute(), environment.commit_of(Path(__file__)))
        write_request(folder / run, tasks, config, code)
    submitter = submit.Submitter(folder.absolute(), run, asked, code)
    most = min(asked.array or 10**9, queue.largest_array())
    with writing(folder):
        jobs = _submit(found, submitter, waiting, settings(config, asked), most, lock)
    kinds = Counter(task["kind"] for group in found for pack in group.packs for task in pack)
    return Launched(run, jobs, kinds, before, len(left), len(elsewhere))


def _in_queue(folder: Path) -> dict[str, str]:
    """Identity to job, of the tasks that are queued or running; what a broken-off submission left is cancelled."""
    known = submissions.entries(folder)
    for _ in range(_ENDING_LOOKS):
        live = queue.jobs()
        mine = submissions.alive(known, live)
        for entry in mine:
            if entry.array is None:
                queue.ask("scancel", "--name", entry.name)
        names = {entry.name for entry in mine}
        # Whether a job that is ending comes back, requeued, or does not, is seen when it has ended.
        if not any(job.state == "COMPLETING" for job in live.values() if job.name in names):
            return {identity: job for identity, job in submissions.jobs_of(mine).items() if job in live}
        time.sleep(_ENDING_SECONDS)
    raise BenchmarkError(
        "jobs of this store have been ending for a minute", where="squeue", next="give the same command again later"
    )


def _submit(
    found: Sequence[job_groups.JobGroup],
    to: submit.Submitter,
    waiting: Mapping[str, str],
    how: Mapping[str, Any],
    most: int,
    lock: TaskLock,
) -> int:
    """Queue groups, arrays of at most `most`; how many jobs that were."""
    job_of = dict(waiting)  # by identity
    arrays: dict[tuple[int, int], list[str]] = {}  # by group and place of its first pack: ids
    for place, group in enumerate(found):
        for start in range(0, len(group.packs), most):
            if lock.lost:
                raise BenchmarkError("another process submits to this store by now", where=str(lock.path),
                                     next="give the same command again")  # fmt: skip
            packs = group.packs[start : start + most]
            after = ""
            if group.beside is not None:
                after = _after_each(arrays[group.beside, start])
            elif wanted := sorted({job_of[identity] for identity in group.after if identity in job_of}):
                after = "afterok:" + ":".join(wanted)
            ids = to.submit(
                group.kind,
                slurm_job.FUNCTION,
                [slurm_job.values(pack, how) for pack in packs],
                [[task["identity"] for task in pack] for pack in packs],
                after,
            )
            arrays[place, start] = ids
            job_of |= {task["identity"]: job for job, pack in zip(ids, packs, strict=True) for task in pack}
    return sum(len(ids) for ids in arrays.values())


def _after_each(ids: Sequence[str]) -> str:
    """Let the k-th element of an array wait for the k-th of another."""
    return f"afterok:{ids[0]}" if len(ids) == 1 else f"aftercorr:{ids[0].partition('_')[0]}"


def _packages() -> dict[str, Path]:
    """Where the four rooms lie."""
    import benchmark
    import methods
    import results
    import slurm

    return {room.__name__: Path(room.__path__[0]) for room in (benchmark, methods, results, slurm)}


def write_request(folder: Path, tasks: Sequence[Mapping[str, Any]], config: PlanConfig, code: Path) -> None:
    """Keep what was asked of this run, for whoever looks at it later."""
    folder.mkdir(parents=True, exist_ok=True)
    named = [
        {name: task[name] for name in ("identity", "kind", "slug")} | {"inputs": sorted(inputs_of(task))}
        for task in tasks
    ]
    asked = {"tasks": named, "config": vars(config), "code": code.name, "host": socket.gethostname()}
    write_json_atomic(folder / "request.json", asked)


def preview(tasks: Sequence[Mapping[str, Any]], config: PlanConfig, asked: cluster.Profile) -> str:
    """What a launch would queue, if nothing of it is queued yet; nothing is written."""
    done = {identity for identity, state in survey(Path(config.store), tasks).items() if state.status == "done"}
    found = job_groups.groups(tasks, done, (), asked.pack)
    most = asked.array or queue.largest_array()
    arrays = sum(-(-len(group.packs) // most) for group in found)
    jobs = Counter({kind: sum(len(group.packs) for group in found if group.kind == kind) for kind in job_groups.KINDS})
    counts = ", ".join(f"{number:,} {kind}" for kind, number in jobs.items() if number) or "no"
    return f"{len(tasks):,} tasks, {len(done):,} done; would queue {counts} jobs in {arrays:,} arrays"


def summary(launched: Launched, out: str) -> str:
    """What a launch came to, and how to go on."""
    tasks = ", ".join(f"{number:,} {kind}" for kind, number in launched.tasks.items())
    lines = [f"queued {launched.jobs:,} jobs for {tasks} tasks, as run {launched.run}"] if launched.jobs else []
    if launched.queued_before:
        lines.append(f"{launched.queued_before:,} tasks were queued before")
    if launched.left:
        lines.append(f"{launched.left:,} tasks failed before, or need one that did: retry=failed tries them again")
    if launched.elsewhere:
        lines.append(f"{launched.elsewhere:,} tasks are at work outside the queue, or need one that is: later, again")
    if not lines:
        return "everything is done"
    if launched.jobs or launched.queued_before:
        lines.append(next_steps(out))
    return "\n".join(lines)


def next_steps(out: str) -> str:
    """What to do about jobs that are queued."""
    named = shlex.quote(f"store={out}")
    return f"python -m benchmark.status {named} tells how far they are; benchmark.cancel {named} cancels them"
