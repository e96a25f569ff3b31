"""How far everything is, from the store and the queue: what each task waits for, or how it ended. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.store.atomic_files import read_json
from results.store.lock import abandoned
from results.store.task_states import State, survey
from slurm import queue, submissions
from slurm.errors import SlurmError

STATES = ("done", "running", "queued", "stopped", "failed", "blocked", "to do")
_ALIVE_SECONDS = 60.0  # since the last sign of life of a task that no queue knows
_LOG_LINES = 3


@dataclass(frozen=True)
class TaskStatus:
    """One task. state: one of STATES; `stopped` goes on with the same command, `to do` waits for one."""

    name: str
    kind: str
    state: str
    why: str = ""
    progress: Mapping[str, Any] | None = None  # done, total, rate, losses
    job: str = ""
    folder: Path | None = None
    log: Path | None = None  # what its job printed, where that is over and the task is not done

    @property
    def seconds_left(self) -> float | None:
        """At the speed of this try; None when nothing is known."""
        if not self.progress or not self.progress.get("rate"):
            return None
        return float((self.progress["total"] - self.progress["done"]) / self.progress["rate"])

    @property
    def log_end(self) -> list[str]:
        """The last lines of the task's log."""
        try:
            text = (self.folder / "log.txt").read_text(errors="replace") if self.folder else ""
        except OSError:
            return []
        return text.splitlines()[-_LOG_LINES:]


@dataclass(frozen=True)
class StoreStatus:
    """All tasks of a store by identity, and why the queue is not part of the picture, if it is not."""

    tasks: Mapping[str, TaskStatus]
    no_queue: str = ""

    def of(self, state: str) -> list[TaskStatus]:
        return [seen for seen in self.tasks.values() if seen.state == state]

    def counts(self, kind: str) -> dict[str, int]:
        """How many tasks of a kind are in each state."""
        states = [seen.state for seen in self.tasks.values() if seen.kind == kind]
        return {state: states.count(state) for state in STATES}


def view(out: Path) -> StoreStatus:
    """The store's tasks and whatever was queued for it. Raises ResultsError, SlurmError for what cannot be read."""
    folder = out / "slurm"
    known = submissions.entries(folder)
    live, no_queue = _live(bool(known))  # before the store: what ends in between is done
    found = survey(out)
    planned = _planned(folder)
    last = submissions.jobs_of(known) | {
        identity: job for identity, job in submissions.jobs_of(submissions.alive(known, live)).items() if job in live
    }
    gone = {job for identity, job in last.items() if job not in live and not _done(found.get(identity))}
    ended = queue.ended(gone) if not no_queue else {}
    run_of = {job: entry.run for entry in known for job in entry.ids}
    seen: dict[str, TaskStatus] = {}
    for identity in {**found, **planned}:
        job = last.get(identity, "")
        log = folder / run_of[job] / "jobs" / f"{job}_0_log.err" if job in gone else None
        about = _About(job, live.get(job), ended.get(job, ""), no_queue, log)
        seen[identity] = _seen(found.get(identity), planned.get(identity, {}), about)
    failed = {identity for identity, one in seen.items() if one.state == "failed"}
    for identity, task in planned.items():  # in the plan's order: inputs come first
        one = seen[identity]
        if one.state in ("to do", "stopped") and failed & set(task["inputs"]):
            failed.add(identity)
            seen[identity] = TaskStatus(one.name, one.kind, "blocked", "what it needs has failed", folder=one.folder)
    return StoreStatus(seen, no_queue)


def _live(asked: bool) -> tuple[dict[str, queue.Queued], str]:
    if not asked:
        return {}, ""
    if not queue.there():
        return {}, "no SLURM commands here: this is from the store alone"
    try:
        return queue.jobs(), ""
    except SlurmError as error:
        return {}, f"the queue cannot be read: {error.what}"


def _planned(folder: Path) -> dict[str, dict[str, Any]]:
    """What runs asked for, by identity: kind, slug and inputs."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/request.json")):
        for task in (read_json(path) or {}).get("tasks", []):
            found.setdefault(task["identity"], task)
    return found


def _done(state: State | None) -> bool:
    return state is not None and state.status == "done"


@dataclass(frozen=True)
class _About:
    """What is known of a task's last job: itself while it is queued or at work, else how it ended."""

    job: str
    queued: queue.Queued | None
    ended: str
    no_queue: str
    log: Path | None


def at_work(state: State) -> bool:
    """Whether some process does a task, as far as its folder tells: its lock is young, and its owner not known dead."""
    young = state.modified is not None and datetime.now(UTC).timestamp() - state.modified < _ALIVE_SECONDS
    return bool(state.owner) and young and not abandoned(dict(state.owner or {}))


def _seen(state: State | None, planned: Mapping[str, Any], about: _About) -> TaskStatus:
    task = state.task if state else planned
    kind = str(task.get("kind"))
    status, message = (state.status, state.message) if state else ("new", "")
    folder = state.folder if state else None

    def say(state: str, why: str = "", progress: Mapping[str, Any] | None = None, job: str = "") -> TaskStatus:
        return TaskStatus(f"{kind} {task.get('slug', '')}".strip(), kind, state, why, progress, job, folder, about.log)

    if status == "done":
        return say("done", message)
    if about.queued and about.queued.state == "PENDING":
        return say("queued", _waits(about.queued.reason), job=about.job)
    if state and at_work(state):
        return say("running", progress=state.progress, job=about.job)
    if about.queued:
        failed = status in ("failed", "out_of_memory")
        return say("queued", f"{message} (in a job that runs)" if failed else "in a job that runs", job=about.job)
    if status in ("failed", "out_of_memory", "unreadable"):
        return say("failed", message)
    if about.no_queue and about.job:
        return say("queued", f"as job {about.job} or over: the queue cannot be asked here", job=about.job)
    return _stopped(say, status, message, about)


def _stopped(say: Callable[..., TaskStatus], status: str, message: str, about: _About) -> TaskStatus:
    """A task that was begun or queued, and that nothing is at any more."""
    ended = f"job {about.job} ended as {about.ended}" if about.ended else ""
    if about.ended == "OUT_OF_MEMORY":
        ended += ": raise memory in the profile"
    if status == "new" and about.ended in ("", "CANCELLED"):
        return say("to do", ended)
    told = "" if about.ended else "it ended without a word: killed, or out of memory"
    return say("stopped", "; ".join(filter(None, (ended, message))) or told)


def _waits(reason: str) -> str:
    return {
        "Dependency": "waits for its inputs",
        "BeginTime": "requeued, to go on shortly",
        "JobArrayTaskLimit": "as many run as the profile allows",
        "Resources": "waits for resources",
        "Priority": "others come first",
    }.get(reason, reason)
