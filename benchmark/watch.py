"""How far everything is, from the store and the queue: what each task waits for, or how it ended. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.files import read_json
from results.survey import State, survey
from slurm import ledger, queue
from slurm.errors import SlurmError

STATES = ("done", "running", "queued", "stopped", "failed", "blocked", "to do")
_ALIVE_SECONDS = 60.0  # since the last sign of life of a task that no queue knows
_LOG_LINES = 3


@dataclass(frozen=True)
class Seen:
    """One task. state: one of STATES; `stopped` goes on with the same command, `to do` waits for one."""

    name: str
    kind: str
    state: str
    why: str = ""
    progress: Mapping[str, Any] | None = None  # done, total, rate, losses
    job: str = ""
    folder: Path | None = None

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
class View:
    """All tasks of a store by identity, and why the queue is not part of the picture, if it is not."""

    tasks: Mapping[str, Seen]
    no_queue: str = ""

    def of(self, state: str) -> list[Seen]:
        return [seen for seen in self.tasks.values() if seen.state == state]

    def counts(self, kind: str) -> dict[str, int]:
        """How many tasks of a kind are in each state."""
        states = [seen.state for seen in self.tasks.values() if seen.kind == kind]
        return {state: states.count(state) for state in STATES}


def view(out: Path) -> View:
    """The store's tasks and whatever was queued for it. Raises ResultsError, SlurmError for what cannot be read."""
    folder = out / "slurm"
    known = ledger.entries(folder)
    live, no_queue = _live(bool(known))
    found = survey(out)
    planned = _planned(folder)
    job_of = ledger.jobs_of(known)
    gone = sorted({job for identity, job in job_of.items() if job not in live and not _done(found.get(identity))})
    ended = queue.ended(gone) if gone and not no_queue else {}
    seen: dict[str, Seen] = {}
    for identity in {**found, **planned}:
        job = job_of.get(identity, "")
        seen[identity] = _seen(found.get(identity), planned.get(identity, {}), job, live.get(job), ended.get(job, ""))
    failed = {identity for identity, one in seen.items() if one.state == "failed"}
    for identity, task in planned.items():  # in the plan's order: inputs come first
        one = seen[identity]
        if one.state in ("to do", "stopped") and failed & set(task["inputs"]):
            failed.add(identity)
            seen[identity] = Seen(one.name, one.kind, "blocked", "what it needs has failed", folder=one.folder)
    return View(seen, no_queue)


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


def _seen(state: State | None, planned: Mapping[str, Any], job: str, queued: queue.Queued | None, ended: str) -> Seen:
    task = state.task if state else planned
    kind = str(task.get("kind"))
    name = f"{kind} {task.get('slug', '')}".strip()
    status = state.status if state else "new"
    message = state.message if state else ""
    folder, progress = (state.folder, state.progress) if state else (None, None)
    if status == "done":
        return Seen(name, kind, "done", message, folder=folder)
    if queued and queued.state == "PENDING":
        return Seen(name, kind, "queued", _waits(queued.reason), job=job, folder=folder)
    if queued:
        begun = state is not None and state.owner is not None
        return Seen(
            name, kind, "running" if begun else "queued", "" if begun else "in a job that runs", progress, job, folder
        )
    if state and state.owner and state.modified and datetime.now(UTC).timestamp() - state.modified < _ALIVE_SECONDS:
        return Seen(name, kind, "running", "", progress, folder=folder)
    if status in ("failed", "out_of_memory", "unreadable"):
        return Seen(name, kind, "failed", message, folder=folder)
    if ended and ended not in ("COMPLETED", "CANCELLED"):
        return Seen(name, kind, "stopped", f"job {job} ended as {ended}", folder=folder)
    if status == "new":
        return Seen(name, kind, "to do", f"job {job} was cancelled" if ended == "CANCELLED" else "", folder=folder)
    return Seen(name, kind, "stopped", message or "it ended without a word: killed, or out of memory", folder=folder)


def _waits(reason: str) -> str:
    return {
        "Dependency": "waits for its inputs",
        "BeginTime": "requeued, to go on shortly",
        "JobArrayTaskLimit": "as many run as the profile allows",
        "Resources": "waits for resources",
        "Priority": "others come first",
    }.get(reason, reason)
