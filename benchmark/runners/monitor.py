"""The state of every task of a store, from its files and the cluster's queue. Nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.atomic_files import read_json
from results.store.lock import abandoned
from results.store.schema import NEEDS_RETRY, Status
from results.store.task_states import TaskState, task_states
from results.store.validation import problem_of_request
from slurm import queue, submissions
from slurm.errors import SlurmError
from slurm.job_log import killed_for_memory
from slurm.submissions import Submission

# Of a task, in the order of the status table's columns.
STATES = (Status.DONE, Status.RUNNING, Status.QUEUED, Status.STOPPED, Status.FAILED, Status.BLOCKED, Status.TO_DO)
# A lock or progress file that is older does not show that a task is running; nor does one whose time lies further in
# the future, which no clock error of the file system explains.
_ALIVE_SECONDS = 60.0
_LOG_LINES = 3
_OUT_OF_MEMORY = "OUT_OF_MEMORY"  # SLURM's state
_NO_REQUEST = "its tasks that were not begun are not counted; remove the file to ignore it"
_PENDING_REASONS = {  # SLURM's words
    "Dependency": "waits for its inputs",
    "BeginTime": "requeued, starts again shortly",
    "JobArrayTaskLimit": "waits for other jobs of its array (array_parallelism)",
    "Resources": "waits for resources",
    "Priority": "waits for jobs of higher priority",
}


@dataclass(frozen=True)
class TaskStatus:
    """The state of one task and the reason for it."""

    name: str
    kind: str
    state: Status  # one of STATES
    reason: str = ""
    progress: Mapping[str, Any] | None = None  # done, total, rate (steps a second), losses
    job: str = ""  # the id of its job, if it is queued or running
    folder: Path | None = None
    log: Path | None = None  # the output of its job, if that has ended and the task is not done

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the speed of this attempt; None if that is unknown."""
        if not self.progress or not self.progress.get("rate"):
            return None
        return float((self.progress["total"] - self.progress["done"]) / self.progress["rate"])

    @property
    def log_end(self) -> list[str]:
        """The last lines of the task's own log."""
        try:
            text = (self.folder / "log.txt").read_text(errors="replace") if self.folder else ""
        except OSError:
            return []
        return text.splitlines()[-_LOG_LINES:]


@dataclass(frozen=True)
class StoreStatus:
    """All tasks of a store by identity.

    queue_problem: why the queue could not be read, "" if it could. problems: of files on queued runs.
    """

    tasks: Mapping[str, TaskStatus]
    queue_problem: str = ""
    problems: Sequence[SlurmError | ResultsError] = ()

    def in_state(self, state: Status) -> list[TaskStatus]:
        return [task for task in self.tasks.values() if task.state == state]

    def counts(self, kind: str) -> dict[Status, int]:
        """The number of tasks of a kind in each state."""
        states = [task.state for task in self.tasks.values() if task.kind == kind]
        return {state: states.count(state) for state in STATES}


@dataclass(frozen=True)
class _LastJob:
    """A task's last job. queued: None if it has left the queue; final_state: how it ended, "" if that is unknown."""

    id: str = ""
    queued: queue.QueuedJob | None = None
    final_state: str = ""
    log: Path | None = None


def read_status(store: Path) -> StoreStatus:
    """The status of a store's tasks and of all tasks that were queued for it.

    Raises ResultsError and SlurmError if folders cannot be listed. A damaged file costs what it alone says.
    """
    folder, problems = store / "slurm", list[SlurmError | ResultsError]()
    submitted = submissions.read(folder, on_problem=problems.append)
    queued, queue_problem = _read_queue() if submitted else ({}, "")  # first: a task may end before the next line
    stored, planned = task_states(store), _planned(folder, problems)
    undone = [identity for identity, state in stored.items() if state.status != Status.DONE]
    undone += [identity for identity in planned if identity not in stored]
    jobs = _last_jobs(folder, submitted, queued, undone, ask_slurm=not queue_problem)
    tasks: dict[str, TaskStatus] = {}
    for identity in {**stored, **planned}:
        job = jobs.get(identity, _LastJob())
        tasks[identity] = _task_status(stored.get(identity), planned.get(identity, {}), job, bool(queue_problem))
    failed = {identity for identity, status in tasks.items() if status.state == Status.FAILED}
    for identity, task in planned.items():  # in the plan's order: inputs come first
        status = tasks[identity]
        if status.state in (Status.TO_DO, Status.STOPPED) and failed & set(task["inputs"]):
            failed.add(identity)
            tasks[identity] = TaskStatus(
                status.name, status.kind, Status.BLOCKED, "an input failed", folder=status.folder
            )
    return StoreStatus(tasks, queue_problem, problems)


def combined(statuses: Sequence[StoreStatus]) -> StoreStatus:
    """The status of several stores: each task once, as it is in the store where it is furthest."""
    tasks: dict[str, TaskStatus] = {}
    for status in statuses:
        for identity, task in status.tasks.items():
            known = tasks.get(identity)
            if known is None or STATES.index(task.state) < STATES.index(known.state):
                tasks[identity] = task
    queue_problem = next((status.queue_problem for status in statuses if status.queue_problem), "")
    return StoreStatus(tasks, queue_problem, [problem for status in statuses for problem in status.problems])


def _read_queue() -> tuple[dict[str, queue.QueuedJob], str]:
    """This user's jobs, and why they could not be read."""
    if not queue.available():
        return {}, "there are no SLURM commands here: this is from the store alone"
    try:
        return queue.jobs(), ""
    except SlurmError as error:
        return {}, f"the queue cannot be read: {error.what}"


def queued_inputs(store: Path) -> set[str]:
    """Identities of the tasks whose files the unfinished tasks of queued runs read."""
    planned = _planned(store / "slurm", [])
    states = task_states(store, planned.values()) if planned else {}
    undone = [task for identity, task in planned.items() if states[identity].status != Status.DONE]
    return {identity for task in undone for identity in task["inputs"]}


def _planned(folder: Path, problems: list[SlurmError | ResultsError]) -> dict[str, dict[str, Any]]:
    """The tasks of all queued runs by identity: kind, slug and inputs. Errors of files are added to `problems`."""
    tasks: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/request.json")):
        try:
            request = read_json(path, _NO_REQUEST)
            if request is None:  # removed meanwhile
                continue
            if reason := problem_of_request(request):
                raise ResultsError(
                    f"the request of a queued run is damaged: {reason}", where=str(path), next=_NO_REQUEST
                )
        except ResultsError as error:
            problems.append(error)
            continue
        for task in request["tasks"]:
            tasks.setdefault(task["identity"], task)
    return tasks


def _last_jobs(
    folder: Path,
    submitted: list[Submission],
    queued: Mapping[str, queue.QueuedJob],
    undone: Collection[str],
    ask_slurm: bool,
) -> dict[str, _LastJob]:
    """The last job of each undone task that was ever queued; one that is in the queue comes before later ones."""
    in_queue = submissions.job_by_task(submissions.in_queue(submitted, queued))
    last = submissions.job_by_task(submitted) | {task: job for task, job in in_queue.items() if job in queued}
    run_of = {job: submission.run for submission in submitted for job in submission.ids}
    ended = {last[identity] for identity in undone if identity in last} - queued.keys()
    final_states = queue.final_states(ended) if ask_slurm else {}

    def last_job(job: str) -> _LastJob:
        if job not in ended:
            return _LastJob(job, queued.get(job))
        log = folder / run_of[job] / "jobs" / f"{job}_0_log.err"
        state = final_states.get(job, "")
        return _LastJob(job, None, _OUT_OF_MEMORY if state in ("", "FAILED") and killed_for_memory(log) else state, log)

    last_jobs = {job: last_job(job) for job in {last[identity] for identity in undone if identity in last}}
    return {identity: last_jobs[last[identity]] for identity in undone if identity in last}


def killed_with_their_jobs(folder: Path, undone: Collection[str]) -> list[str]:
    """Those of some tasks that are neither done nor queued whose last job used more than its memory. Asks SLURM."""
    jobs = _last_jobs(folder, submissions.read(folder), {}, undone, ask_slurm=True)
    return [identity for identity, job in jobs.items() if job.final_state == _OUT_OF_MEMORY]


def at_work(state: TaskState) -> bool:
    """Whether a process is running a task: the task's lock is recent, and its owner is not known to be dead."""
    recent = state.modified is not None and abs(datetime.now(UTC).timestamp() - state.modified) < _ALIVE_SECONDS
    return bool(state.owner) and recent and not abandoned(dict(state.owner or {}))


def _task_status(state: TaskState | None, planned: Mapping[str, Any], job: _LastJob, no_queue: bool) -> TaskStatus:
    task = state.task if state else planned
    kind = str(task.get("kind"))
    stored, message = (state.status, state.message) if state else (Status.NEW, "")
    status = TaskStatus(
        f"{kind} {task.get('slug', '')}".strip(),
        kind,
        Status.QUEUED,
        job=job.id,
        folder=state.folder if state else None,
        log=job.log,
    )
    if stored == Status.DONE:
        return replace(status, state=Status.DONE, reason=message, job="")
    if job.queued and job.queued.state == "PENDING":
        return replace(status, reason=_PENDING_REASONS.get(job.queued.reason, job.queued.reason))
    if state and at_work(state):
        return replace(status, state=Status.RUNNING, progress=state.progress)
    if job.queued:
        failed_before = stored in NEEDS_RETRY
        return replace(status, reason=f"{message} (in a running job)" if failed_before else "in a running job")
    if stored in (*NEEDS_RETRY, Status.UNREADABLE):
        return replace(status, state=Status.FAILED, reason=message, job="")
    if job.final_state == _OUT_OF_MEMORY:
        text = "was killed as it used more than its memory: raise memory in the cluster file, or lower concurrent_tasks"
        return replace(status, state=Status.FAILED, reason=f"job {job.id} {text}; then retry=failed", job="")
    if no_queue and job.id:
        return replace(status, reason=f"as job {job.id}, which may have ended: the queue cannot be read here")
    return replace(_stopped(status, stored, message, job), job="")


def _stopped(status: TaskStatus, stored: Status, message: str, job: _LastJob) -> TaskStatus:
    """The status of a task that was begun or queued, and is neither running nor in the queue."""
    ending = f"job {job.id} ended as {job.final_state}" if job.final_state else ""
    if job.final_state == "TIMEOUT":
        ending += ": a step took longer than signal_seconds, raise it in the cluster file"
    if stored == Status.NEW and job.final_state in ("", "CANCELLED"):
        return replace(status, state=Status.TO_DO, reason=ending)
    unknown = "" if job.final_state else "it ended without a message: killed, or out of memory"
    return replace(status, state=Status.STOPPED, reason="; ".join(filter(None, (ending, message))) or unknown)
