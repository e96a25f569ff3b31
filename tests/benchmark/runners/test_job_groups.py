"""A plan as jobs: everything is queued once, after its inputs, and each set's evaluations wait for that set alone."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from benchmark.runners.job_groups import JobGroup, groups, inside_out
from benchmark.runners.local import inputs_of
from benchmark.utils.errors import BenchmarkError

Task = Mapping[str, Any]


def make(kind: str, identity: str, **asked: Any) -> Task:
    return {"kind": kind, "identity": identity, "slug": identity, "resolved": asked}


def grid(experts: int = 3, sets: int = 4, evaluations: int = 2, looks: bool = False) -> list[Task]:
    """Experts e*, sets s* of which the even ones need the experts, evaluations of each, and of the whole set.

    looks: a curve of each set, of the whole set, and an analysis of all sets and experts.
    """
    pool = [f"e{i}" for i in range(experts)]
    found = [make("evaluate", f"w{k}", set="whole") for k in range(evaluations)]
    found += [make("prepare", name) for name in pool]
    for place in range(sets):
        found.append(make("condense", f"s{place}", experts=[] if place % 2 else pool))
        found += [make("evaluate", f"s{place}v{k}", set=f"s{place}") for k in range(evaluations)]
    if looks:
        names = [f"s{place}" for place in range(sets)]
        found += [make("analyze", f"{name}c", sets=[name], experts=[]) for name in ["whole", *names]]
        found.append(make("analyze", "all", sets=names, experts=pool))
    return found


def waits(found: Sequence[JobGroup], place: int, job: int) -> set[str]:
    """Identities of the tasks that have ended before a job of a group starts."""
    group = found[place]
    before = set(group.after)
    if group.beside is not None:
        before |= {task["identity"] for task in found[group.beside].packs[job]}
    return before


def names(found: Sequence[JobGroup]) -> list[str]:
    return [task["identity"] for group in found for pack in group.packs for task in pack]


@pytest.mark.parametrize("pack", [1, 2, 3, 100])
@pytest.mark.parametrize("done", [(), ("e0", "s1"), ("e0", "e1", "e2"), ("s0v1", "s3v0", "w0")])
@pytest.mark.parametrize("looks", [False, True])
def test_every_task_is_in_one_job_that_starts_after_its_inputs(pack: int, done: Collection[str], looks: bool) -> None:
    tasks = grid(looks=looks)
    found = groups(tasks, done, (), pack)
    assert sorted(names(found)) == sorted(task["identity"] for task in tasks if task["identity"] not in done)
    for place, group in enumerate(found):
        assert all(len(one) <= pack for one in group.packs)
        assert group.beside is None or group.beside < place
        for job, one in enumerate(group.packs):
            for task in one:
                assert (inputs_of(task) - {"whole", *done}) <= waits(found, place, job), task["identity"]


def test_a_set_is_evaluated_as_soon_as_it_is_made() -> None:
    found = groups(grid(), (), (), 1)
    for place, group in enumerate(found):
        for job, (task,) in enumerate(group.packs):
            assert waits(found, place, job) == inputs_of(task) - {"whole"}, "and waits for nothing else"
    assert [group.kind for group in found] == ["prepare", *["condense", "evaluate", "evaluate"] * 2, "evaluate"]


def test_a_curve_waits_for_its_set_alone_and_an_analysis_for_all() -> None:
    found = groups(grid(looks=True), (), (), 1)
    for place, group in enumerate(found):
        for job, (task,) in enumerate(group.packs):
            assert waits(found, place, job) == inputs_of(task) - {"whole"}
    kinds = ["prepare", *["condense", "evaluate", "evaluate", "analyze"] * 2, "evaluate", "analyze", "analyze"]
    assert [group.kind for group in found] == kinds


def test_what_another_run_queued_is_waited_for_and_not_queued_again() -> None:
    found = groups(grid(), ("s1",), ("e0", "e1", "e2", "s0"), 1)
    assert not {"e0", "s0", "s1"} & set(names(found))
    jobs = [(place, job, task) for place, g in enumerate(found) for job, (task,) in enumerate(g.packs)]
    after = {task["identity"]: waits(found, place, job) for place, job, task in jobs}
    assert after["s2"] == {"e0", "e1", "e2"} and after["s0v0"] == {"s0"} and after["s1v0"] == set()


def test_a_failure_leaves_out_only_what_needs_it() -> None:
    tasks = grid()
    assert inside_out(tasks, {"e1"}) == {"e1", "s0", "s2", *(f"s{p}v{k}" for p in (0, 2) for k in (0, 1))}
    assert inside_out(tasks, {"s1"}) == {"s1", "s1v0", "s1v1"}
    assert inside_out(tasks, {"s1v0"}) == {"s1v0"} and inside_out(tasks, ()) == set()


def test_random_grids_hold_the_same_promises() -> None:
    draw = random.Random(0)
    for _ in range(50):
        tasks = grid(draw.randrange(1, 5), draw.randrange(0, 9), draw.randrange(1, 4), draw.random() < 0.5)
        done = {task["identity"] for task in tasks if draw.random() < 0.3}
        found = groups(tasks, done, (), draw.randrange(1, 4))
        assert len(names(found)) == len(set(names(found))) == len(tasks) - len(done)
        for place, group in enumerate(found):
            for job, pack in enumerate(group.packs):
                for task in pack:
                    assert (inputs_of(task) - {"whole", *done}) <= waits(found, place, job)


def test_a_task_that_jobs_do_not_do_is_told_not_dropped() -> None:
    with pytest.raises(BenchmarkError, match="cannot do a task of kind 'import'"):
        groups([*grid(), make("import", "given")], (), (), 1)
