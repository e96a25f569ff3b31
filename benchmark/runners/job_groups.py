"""A plan as jobs of a cluster: which tasks share a job, which jobs are alike, and which jobs wait for which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.execution.runtime import Task
from benchmark.planning.plan import inputs_of, task_name
from benchmark.utils.errors import BenchmarkError

JOB_KINDS = ("whiten", "prepare", "condense", "label", "evaluate", "analyze")  # import tasks run where their files are
JobTasks = tuple[Task, ...]  # the tasks of one job


@dataclass(frozen=True)
class JobGroup:
    """Jobs of one kind with the same dependencies, which can be one array (or several, if it is too long).

    after: identities of tasks that all of these jobs wait for. after_group: the index of the group whose k-th job the
    k-th job of this group waits for.
    """

    kind: str
    jobs: tuple[JobTasks, ...]
    after: frozenset[str] = frozenset()
    after_group: int | None = None


def with_dependents(tasks: Iterable[Task], identities: Collection[str]) -> set[str]:
    """These identities, and those of all tasks that need their results directly or indirectly."""
    closure = set(identities)
    for task in tasks:  # in the plan's order, inputs come first
        if closure & inputs_of(task):
            closure.add(task["identity"])
    return closure


def group_tasks(
    tasks: Sequence[Task], done: Collection[str], queued: Collection[str], tasks_per_job: int
) -> list[JobGroup]:
    """Jobs for the tasks that are neither done nor queued, in an order in which inputs come first.

    Sets that wait for the same experts share an array. The evaluations of its sets are arrays of the same length, one
    for each evaluation that a set still lacks, so that every job waits for its own set alone; so are the curves. An
    analysis of several sets waits for all of them and for its experts.

    Raises BenchmarkError for a task of a kind that jobs do not run.
    """
    if unfit := next((task for task in tasks if task["kind"] not in JOB_KINDS), None):
        raise BenchmarkError(
            f"a job cannot run a task of kind '{unfit['kind']}'",
            where=task_name(unfit),
            next=f"run it on this machine; jobs run: {', '.join(JOB_KINDS)}",
        )
    undone = {task["identity"] for task in tasks} - set(done)
    todo = [task for task in tasks if task["identity"] not in done and task["identity"] not in queued]
    missing = {task["identity"]: frozenset(inputs_of(task) & undone) for task in todo}
    new_sets = {task["identity"] for task in todo if task["kind"] == "condense"}
    after_set: dict[str, list[Task]] = defaultdict(list)  # tasks that wait for one set of this plan and nothing else
    others: dict[str, list[Task]] = {"label": [], "evaluate": [], "analyze": []}  # each after its inputs
    for task in todo:
        if task["kind"] in others:
            inputs = missing[task["identity"]]
            only_set = next(iter(inputs & new_sets)) if len(inputs & new_sets) == 1 else ""
            alone = only_set and inputs <= {only_set, *missing[only_set]}  # the set waits for the others itself
            (after_set[only_set] if alone else others[task["kind"]]).append(task)
    groups = list[JobGroup]()
    for kind in ("whiten", "prepare"):
        groups += _grouped(kind, [task for task in todo if task["kind"] == kind], missing, tasks_per_job)
    alike: dict[tuple[frozenset[str], tuple[str, ...]], list[Task]] = defaultdict(list)
    for task in todo:
        if task["kind"] == "condense":
            kinds = tuple(follower["kind"] for follower in after_set[task["identity"]])
            alike[missing[task["identity"]], kinds].append(task)
    for (after, kinds), sets in alike.items():
        index, jobs = len(groups), _jobs(sets, tasks_per_job)
        groups.append(JobGroup("condense", jobs, after))
        for slot, kind in enumerate(kinds):
            followers = tuple(tuple(after_set[task["identity"]][slot] for task in job) for job in jobs)
            groups.append(JobGroup(kind, followers, after_group=index))
    for kind, tasks in others.items():
        groups += _grouped(kind, tasks, missing, tasks_per_job)
    return groups


def _grouped(
    kind: str, tasks: Sequence[Task], missing: Mapping[str, frozenset[str]], tasks_per_job: int
) -> list[JobGroup]:
    """One group for all tasks that wait for the same inputs."""
    alike: dict[frozenset[str], list[Task]] = defaultdict(list)
    for task in tasks:
        alike[missing[task["identity"]]].append(task)
    return [JobGroup(kind, _jobs(members, tasks_per_job), after) for after, members in alike.items()]


def _jobs(tasks: Sequence[Task], tasks_per_job: int) -> tuple[JobTasks, ...]:
    return tuple(tuple(tasks[start : start + tasks_per_job]) for start in range(0, len(tasks), tasks_per_job))
