"""A plan as jobs: everything is queued once, after its inputs, and each set's evaluations wait for that set alone."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest

from benchmark.execution.runtime import Task
from benchmark.planning.plan import inputs_of
from benchmark.runners.job_groups import JobGroup, JobTasks, group_tasks, with_dependents
from benchmark.utils.errors import BenchmarkError


def make(kind: str, identity: str, **resolved: Any) -> Task:
    return {"kind": kind, "identity": identity, "slug": identity, "resolved": resolved}


def make_plan(experts: int = 3, sets: int = 4, evaluations: int = 2, analyses: bool = False) -> list[Task]:
    """Experts e*, sets s* of which the even ones need the experts, evaluations of each, and of the whole set.

    analyses: a curve of each set, of the whole set, and an analysis of all sets and experts.
    """
    pool = [f"e{i}" for i in range(experts)]
    tasks = [make("evaluate", f"w{k}", set="whole") for k in range(evaluations)]
    tasks += [make("prepare", name) for name in pool]
    for i in range(sets):
        tasks.append(make("condense", f"s{i}", experts=[] if i % 2 else pool))
        tasks += [make("evaluate", f"s{i}v{k}", set=f"s{i}") for k in range(evaluations)]
    if analyses:
        names = [f"s{i}" for i in range(sets)]
        tasks += [make("analyze", f"{name}c", sets=[name], experts=[]) for name in ["whole", *names]]
        tasks.append(make("analyze", "all", sets=names, experts=pool))
    return tasks


def jobs_of(groups: Sequence[JobGroup], *, indirectly: bool = False) -> Iterator[tuple[JobTasks, set[str]]]:
    """The tasks of each job, and the identities of those that it waits for, and indirectly of those these wait for."""
    for group in groups:
        for index, tasks in enumerate(group.jobs):
            before = set(group.after)
            if group.after_group is not None:
                first = groups[group.after_group]
                before |= {task["identity"] for task in first.jobs[index]} | (first.after if indirectly else set())
            yield tasks, before


def names(groups: Sequence[JobGroup]) -> list[str]:
    return [task["identity"] for group in groups for job in group.jobs for task in job]


@pytest.mark.parametrize("tasks_per_job", [1, 2, 3, 100])
@pytest.mark.parametrize("done", [(), ("e0", "s1"), ("e0", "e1", "e2"), ("s0v1", "s3v0", "w0")])
@pytest.mark.parametrize("analyses", [False, True])
def test_every_task_is_in_one_job_that_starts_after_its_inputs(
    tasks_per_job: int, done: Collection[str], analyses: bool
) -> None:
    plan = make_plan(analyses=analyses)
    groups = group_tasks(plan, done, (), tasks_per_job)
    assert sorted(names(groups)) == sorted(task["identity"] for task in plan if task["identity"] not in done)
    for index, group in enumerate(groups):
        assert group.after_group is None or group.after_group < index
    for tasks, before in jobs_of(groups, indirectly=True):
        assert len(tasks) <= tasks_per_job
        for task in tasks:
            assert (inputs_of(task) - {"whole", *done}) <= before, task["identity"]


def test_a_set_is_evaluated_as_soon_as_it_is_made() -> None:
    groups = group_tasks(make_plan(), (), (), 1)
    for (task,), before in jobs_of(groups):
        assert before == inputs_of(task) - {"whole"}, "and waits for nothing else"
    assert [group.kind for group in groups] == ["prepare", *["condense", "evaluate", "evaluate"] * 2, "evaluate"]


def test_an_evaluation_on_whitened_images_waits_for_its_set_alone() -> None:
    seen = {"whitening": "z"}
    plan = [make("whiten", "z"), make("prepare", "e", dataset=seen), make("evaluate", "w", set="whole", dataset=seen)]
    for i in range(3):
        plan.append(make("condense", f"s{i}", experts=["e"], dataset=seen))
        plan.append(make("evaluate", f"s{i}v", set=f"s{i}", dataset=seen))
    groups = group_tasks(plan, (), (), 1)
    found = [(group.kind, len(group.jobs), group.after, group.after_group) for group in groups]
    assert found == [
        ("whiten", 1, set(), None),
        ("prepare", 1, {"z"}, None),
        ("condense", 3, {"z", "e"}, None),
        ("evaluate", 3, set(), 2),
        ("evaluate", 1, {"z"}, None),
    ]
    later = group_tasks(plan, ("e", "s0", "s1", "s2"), (), 1)  # the whitening was removed
    assert [(group.kind, group.after) for group in later] == [("whiten", frozenset()), ("evaluate", frozenset({"z"}))]


def test_a_curve_waits_for_its_set_alone_and_an_analysis_for_all() -> None:
    groups = group_tasks(make_plan(analyses=True), (), (), 1)
    for (task,), before in jobs_of(groups):
        assert before == inputs_of(task) - {"whole"}
    kinds = ["prepare", *["condense", "evaluate", "evaluate", "analyze"] * 2, "evaluate", "analyze", "analyze"]
    assert [group.kind for group in groups] == kinds


def test_tasks_that_another_run_queued_are_waited_for_and_not_queued_again() -> None:
    groups = group_tasks(make_plan(), ("s1",), ("e0", "e1", "e2", "s0"), 1)
    assert not {"e0", "s0", "s1"} & set(names(groups))
    after = {task["identity"]: before for (task,), before in jobs_of(groups)}
    assert after["s2"] == {"e0", "e1", "e2"} and after["s0v0"] == {"s0"} and after["s1v0"] == set()


def test_a_failure_leaves_out_only_tasks_that_need_it() -> None:
    plan = make_plan()
    assert with_dependents(plan, {"e1"}) == {"e1", "s0", "s2", *(f"s{i}v{k}" for i in (0, 2) for k in (0, 1))}
    assert with_dependents(plan, {"s1"}) == {"s1", "s1v0", "s1v1"}
    assert with_dependents(plan, {"s1v0"}) == {"s1v0"} and with_dependents(plan, ()) == set()


def test_random_plans_keep_the_same_order() -> None:
    draw = random.Random(0)
    for _ in range(50):
        plan = make_plan(draw.randrange(1, 5), draw.randrange(0, 9), draw.randrange(1, 4), draw.random() < 0.5)
        done = {task["identity"] for task in plan if draw.random() < 0.3}
        groups = group_tasks(plan, done, (), draw.randrange(1, 4))
        assert len(names(groups)) == len(set(names(groups))) == len(plan) - len(done)
        for tasks, before in jobs_of(groups, indirectly=True):
            for task in tasks:
                assert (inputs_of(task) - {"whole", *done}) <= before


def test_a_task_that_jobs_do_not_run_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="cannot run a task of kind 'import'"):
        group_tasks([*make_plan(), make("import", "external")], (), (), 1)
