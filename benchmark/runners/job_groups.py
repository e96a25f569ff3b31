"""A plan as jobs of a cluster: which tasks go into one job, and which jobs wait for which. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.runners.local import inputs_of, name_of
from benchmark.utils.errors import BenchmarkError

Task = Mapping[str, Any]
Pack = tuple[Task, ...]  # tasks of one job
KINDS = ("prepare", "condense", "evaluate", "analyze")  # that jobs do: sets are taken in where their files are


@dataclass(frozen=True)
class JobGroup:
    """Jobs that are alike: they can be one array."""

    kind: str
    packs: tuple[Pack, ...]
    after: frozenset[str] = frozenset()  # identities of tasks that all of these jobs wait for
    beside: int | None = None  # the group, by its place, whose k-th job the k-th one of this group waits for


def inside_out(tasks: Iterable[Task], failed: Collection[str]) -> set[str]:
    """Identities of tasks that cannot be done: those that failed, and all that read what those would have made."""
    lost = set(failed)
    for task in tasks:  # in the plan's order, inputs come first
        if lost & inputs_of(task):
            lost.add(task["identity"])
    return lost


def groups(tasks: Sequence[Task], done: Collection[str], queued: Collection[str], pack: int) -> list[JobGroup]:
    """What is neither done nor queued, packed `pack` tasks to a job, in an order in which inputs come first.

    Sets that wait for the same experts share an array. The evaluations and curves of its sets are arrays of the same
    length, one for each that a set still lacks, so that each waits for its own set alone. An analysis of several sets
    waits for all of them and for its experts.

    Raises BenchmarkError for a task of a kind that jobs do not do.
    """
    if strange := next((task for task in tasks if task["kind"] not in KINDS), None):
        raise BenchmarkError(
            f"a job cannot do a task of kind '{strange['kind']}'", where=name_of(strange),
            next=f"do it on this machine; jobs do: {', '.join(KINDS)}",
        )  # fmt: skip
    undone = {task["identity"] for task in tasks} - set(done)
    todo = [task for task in tasks if task["identity"] not in done and task["identity"] not in queued]
    missing = {task["identity"]: frozenset(inputs_of(task) & undone) for task in todo}
    being_made = {task["identity"] for task in todo if task["kind"] == "condense"}
    after_one: dict[str, list[Task]] = defaultdict(list)  # to do as soon as a set is there that is still to be made
    free: dict[str, list[Task]] = {"evaluate": [], "analyze": []}
    for task in todo:
        if task["kind"] in free:
            waits = missing[task["identity"]]
            alone = next(iter(waits)) if len(waits) == 1 and waits <= being_made else None
            (after_one[alone] if alone else free[task["kind"]]).append(task)
    found = _alike("prepare", [task for task in todo if task["kind"] == "prepare"], missing, pack)
    alike: dict[tuple[frozenset[str], tuple[str, ...]], list[Task]] = defaultdict(list)
    for task in todo:
        if task["kind"] == "condense":
            kinds = tuple(each["kind"] for each in after_one[task["identity"]])
            alike[missing[task["identity"]], kinds].append(task)
    for (after, kinds), members in alike.items():
        place, packs = len(found), _packs(members, pack)
        found.append(JobGroup("condense", packs, after))
        found += [
            JobGroup(
                kind, tuple(tuple(after_one[task["identity"]][slot] for task in job) for job in packs), beside=place
            )
            for slot, kind in enumerate(kinds)
        ]
    for kind, tasks in free.items():
        found += _alike(kind, tasks, missing, pack)
    return found


def _alike(kind: str, tasks: Sequence[Task], missing: Mapping[str, frozenset[str]], pack: int) -> list[JobGroup]:
    """Groups of tasks that wait for the same inputs."""
    found: dict[frozenset[str], list[Task]] = defaultdict(list)
    for task in tasks:
        found[missing[task["identity"]]].append(task)
    return [JobGroup(kind, _packs(members, pack), after) for after, members in found.items()]


def _packs(tasks: Sequence[Task], pack: int) -> tuple[Pack, ...]:
    return tuple(tuple(tasks[start : start + pack]) for start in range(0, len(tasks), pack))
