"""Planning curves and analyses: what is added, what is left as it was, what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from benchmark.compute.engine import Compute
from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.estimation.estimate import estimate
from benchmark.execution.runtime import Task
from benchmark.planning import analyses, grid
from benchmark.planning.plan import inputs_of
from benchmark.runners.job_groups import group_tasks
from benchmark.utils.errors import BenchmarkError
from helpers import CPU
from results.store.identity import identity
from results.store.schema import KINDS
from results.store.store import Store

GOLD = [  # kind and first digits of identities
    ("condense", "c654a3fec3871cca"),
    ("evaluate", "f065492f54e8ddfb"),
    ("evaluate", "e3323a5081b6cc3b"),
    ("prepare", "ec0214a4c76210e6"),
    ("condense", "88369f04115c6b3a"),
    ("evaluate", "8dd913de891278d5"),
]
ONE_CELL = ("ipcs=[1]", "architectures=[convnet2-w4]")


def run(*words: str) -> grid.Plan:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return grid.build(options.parse(compose("run", overrides=[*ONE_CELL, *words])))


def looks(*words: str) -> grid.Plan:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        resolved = options.parse_as(schema.AnalyzeConfig, compose("analyze", overrides=[*ONE_CELL, *words]))
    analyses.check(resolved)
    return analyses.reduce_to_analyses(grid.build(resolved), resolved)


def of(planned: grid.Plan, analysis: str) -> list[Task]:
    return [task for task in planned.of_kind("analyze") if task["resolved"]["analysis"] == analysis]


# --- identities -------------------------------------------------------------------------------------------------------


def test_stored_work_is_found_again() -> None:
    """These identities may change only together with a version (of a method, of experts, of a protocol)."""
    planned = run("methods=[dm]", "baselines=[]", "val_fraction=0.1").tasks
    planned += run("methods=[dance]", "baselines=[whole]", "method.dance.experts=1").tasks
    assert [(task["kind"], task["identity"][:16]) for task in planned] == GOLD


def test_a_curve_changes_nothing_but_the_sets_that_keep_snapshots_and_what_scores_them() -> None:
    words = ("methods=[dance,dm@f2,herding]", "val_fraction=0.1", "seeds=[0,1]")
    plain, curved = run(*words), run(*words, "snapshots=7")
    assert [task for task in curved.tasks if task["kind"] != "analyze"][: len(plain.tasks)]
    renamed: dict[str, str] = {"whole": "whole"}
    for before, after in zip(plain.tasks, curved.tasks, strict=False):
        change: dict[str, Any] = {}
        if before["kind"] == "condense" and before["display"]["card"]["family"] != "coreset":
            change = {"snapshots": 7}
        if before["kind"] == "evaluate":
            change = {"set": renamed[before["spec"]["set"]]}
        spec, resolved = before["spec"] | change, before["resolved"] | change
        assert after == before | {"spec": spec, "resolved": resolved, "identity": identity(spec)}
        renamed[before["identity"]] = after["identity"]
    added = curved.tasks[len(plain.tasks) :]
    assert {(task["kind"], task["resolved"]["analysis"]) for task in added} == {("analyze", "curve")}
    scored = [(task["resolved"]["set"], task["resolved"]["architecture"]) for task in curved.of_kind("evaluate")]
    assert [(task["resolved"]["sets"][0], task["resolved"]["architecture"]) for task in added] == scored
    unchanged = [task for task in plain.of_kind("condense") if task["identity"] in curved.by_identity]
    assert {task["display"]["card"]["name"] for task in unchanged} == {"random", "herding"}


def test_snapshots_are_stored_without_withheld_images_and_scored_with_them() -> None:
    stored = run("methods=[dm]", "snapshots=3", "baselines=[]")
    assert stored.of_kind("analyze") == [] and stored.of_kind("condense")[0]["resolved"]["snapshots"] == 3
    assert of(run("methods=[dm]", "snapshots=3", "baselines=[]", "val_fraction=0.1"), "curve")


def test_the_best_on_test_is_of_each_evaluation_of_a_set_with_snapshots() -> None:
    words = ("methods=[dm,herding]", "protocols=[quick,dsa]", "snapshots=3", "seeds=[0,1]")
    plain, best = run(*words), run(*words, "best_on_test=true")
    assert best.tasks[: len(plain.tasks)] == plain.tasks  # nothing else changes
    added = best.tasks[len(plain.tasks) :]
    assert {task["resolved"]["analysis"] for task in added} == {"best_on_test"}
    learned = {task["identity"] for task in plain.of_kind("condense") if task["resolved"]["method"] == "dm"}
    assert {(task["resolved"]["sets"][0], task["display"]["protocol"]) for task in added} == {
        (identity, protocol) for identity in learned for protocol in ("quick", "dsa")
    }
    assert any("the best of them is optimistic" in note for note in best.notes)


def test_curves_stand_for_every_network_and_protocol_and_know_their_tables() -> None:
    words = ("protocols=[quick,dsa]", "eval_architectures=[convnet2-w4,mlp]", "methods=[dm]", "baselines=[whole]")
    found = of(run(*words, "snapshots=3", "val_fraction=0.1"), "curve")
    assert len(found) == 8 and len({task["identity"] for task in found}) == 8
    whole = [task for task in found if task["resolved"]["sets"] == ["whole"]]
    assert len(whole) == 4 and all(task["resolved"]["points"] == 3 for task in whole)
    assert {task["display"]["protocol"] for task in found} == {"quick", "dsa"}
    for task in found:
        assert "display_name" not in task["display"] and task["display"]["ipc"] == (None if task in whole else 1)
        assert task["display"]["condense_architecture"] == ("" if task in whole else "convnet2-w4")


# --- what is looked at together ---------------------------------------------------------------------------------------


def test_analyses_look_at_all_rows_of_a_seed_and_only_what_they_need_is_done() -> None:
    planned = looks("methods=[dance,dm]", "ipcs=[1,2]", "seeds=[0,1]", "protocols=[dsa,quick]")
    assert not planned.of_kind("evaluate") and {task["kind"] for task in planned.tasks} < set(KINDS)
    counts = {name: len(of(planned, name)) for name in ("discrepancy", "interpolation", "expert", "embedding")}
    assert counts == {"discrepancy": 2, "interpolation": 1, "expert": 2, "embedding": 4}
    rows = {task["identity"]: (task["display"]["display_name"], task["resolved"]["ipc"], task["resolved"]["seed"])
            for task in planned.of_kind("condense")}  # fmt: skip
    assert len(rows) == 12  # of the five subsets of random, those of the seeds that were asked for
    for name in ("discrepancy", "expert"):
        for seed, task in enumerate(of(planned, name)):
            wanted = {(row, ipc, seed) for row in ("dance", "dm", "random") for ipc in (1, 2)}
            assert {rows[one] for one in task["resolved"]["sets"]} == wanted
    for task in of(planned, "embedding"):
        assert len({rows[one][1:] for one in task["resolved"]["sets"]}) == 1 and len(task["resolved"]["experts"]) == 1
    experts = {task["identity"] for task in planned.of_kind("prepare")}
    assert set(of(planned, "interpolation")[0]["resolved"]["experts"]) == experts
    assert of(planned, "discrepancy")[0]["resolved"]["protocol"]["name"] == "dsa"
    seen: set[str] = set()
    for task in planned.tasks:
        assert inputs_of(task) <= seen
        seen.add(task["identity"])


def test_interpolation_alone_condenses_nothing() -> None:
    assert {task["kind"] for task in looks("analyses=[interpolation]").tasks} == {"prepare", "analyze"}


def test_the_order_of_methods_makes_no_other_task() -> None:
    first, second = looks("methods=[dance,dm]"), looks("methods=[dm,dance]")
    assert {t["identity"] for t in first.of_kind("analyze")} == {t["identity"] for t in second.of_kind("analyze")}


def test_the_experts_that_are_looked_at_are_the_largest_pool_whoever_stands_first() -> None:
    planned = looks("methods=[herding,dance]", "analyses=[expert]")
    (task,) = of(planned, "expert")
    (dance,) = (t for t in planned.of_kind("condense") if t["display"]["display_name"] == "dance")
    assert task["resolved"]["experts"] == dance["resolved"]["experts"] and len(task["resolved"]["experts"]) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("analyses=[expert]", "methods=[dm]"), "none of the methods trains any"),
        (("analyses=[embedding]", "methods=[dm]"), "methods=[…,dance]"),
        (("analyses=[interpolation]", "methods=[herding]", "architectures=[convnet2-bn-w4]"), "batch norm"),
        (("analyses=[discrepancy]", "methods=[]", "baselines=[whole]"), "no set for discrepancy"),
        (("analyses=[discrepency]",), "Did you mean 'discrepancy'?"),
        (("analyses=[]",), "analyses is empty"),
        (("analyses=[expert,expert]",), "twice"),
        (("analyses=[curve]",), "snapshots=10"),
        (("analyses=[curve]", "snapshots=10"), "val_fraction=0.1"),
        (("layout=umap",), "'umap'"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_runs(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(BenchmarkError) as refused:
        looks(*words)
    assert told in f"{refused.value.what} {refused.value.where} {refused.value.next}"


def test_what_only_some_architectures_have_is_noted() -> None:
    planned = looks("analyses=[interpolation]", "methods=[herding]", "architectures=[convnet2-w4,convnet2-bn-w4]")
    assert len(of(planned, "interpolation")) == 1
    assert [note for note in planned.notes if "left out on digits with convnet2-bn-w4" in note]


def test_settings_of_a_run_mean_the_same_here() -> None:
    run, analyze = (
        {spec.name: (spec.default, spec.metadata) for spec in fields(config)}
        for config in (schema.RunConfig, schema.AnalyzeConfig)
    )
    assert analyze.keys() - run.keys() == {"analyses", "layout"}
    assert run.keys() - analyze.keys() == {
        "robustness_scores",
        "best_on_test",
    }  # of evaluations, and there are none here
    assert all(analyze[name] == run[name] for name in run if name in analyze)


def test_scores_add_evaluations_and_no_curves() -> None:
    words = ("methods=[dm]", "snapshots=3", "val_fraction=0.1")
    plain, scored = run(*words), run(*words, "robustness_scores=true")
    assert {task["identity"] for task in plain.tasks} < {task["identity"] for task in scored.tasks}
    assert [task["identity"] for task in of(plain, "curve")] == [task["identity"] for task in of(scored, "curve")]


# --- before it runs, and on a cluster ---------------------------------------------------------------------------------


def test_estimates_and_jobs_know_analyses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = run("methods=[dance,dm]", "snapshots=4", "val_fraction=0.1", "method.dance.iterations=3", "seeds=[0,1]")
    compute = Compute(CPU.device, "fp32", 1)
    rows = [row for row in estimate(planned, Store(tmp_path), compute, lambda *call: None) if row.kind == "analyze"]
    steps = {row.description.split(",")[0].split(" (")[0]: row.cost.steps for row in rows}
    assert steps == {"curve": 2 * 60 * 21, "curve of dance": 2 * 4 * 200, "curve of dm": 2 * 5 * 200,
                     "curve of random": 2 * 200}  # fmt: skip
    assert all(row.cost.seconds > 0 for row in rows) and sum(row.tasks for row in rows) == 10

    jobs = group_tasks(planned.tasks, (), (), 1)
    for place, group in enumerate(jobs):
        if group.kind == "analyze":
            assert group.after_group is not None or group.jobs[0][0]["resolved"]["sets"] == ["whole"]
            made = () if group.after_group is None else jobs[group.after_group].jobs
            before = {task["identity"] for (task,) in made}
            assert {one for (task,) in group.jobs for one in task["resolved"]["sets"]} - {"whole"} == before
            assert group.after_group is None or group.after_group < place


def test_an_analysis_of_several_sets_waits_for_all_of_them() -> None:
    planned = looks("methods=[dance,dm]")
    jobs = group_tasks(planned.tasks, (), (), 1)
    waits = {job[0]["identity"]: group.after for group in jobs for job in group.jobs if group.kind == "analyze"}
    assert waits == {task["identity"]: inputs_of(task) for task in planned.of_kind("analyze")}
    made = [task["identity"] for task in planned.tasks if task["kind"] != "analyze"]
    assert {job[0]["identity"] for group in group_tasks(planned.tasks, made, (), 1) for job in group.jobs} == set(waits)


def test_a_dry_run_of_analyses_has_a_line_for_each(tmp_path: Path) -> None:
    planned = looks("methods=[dance]", "method.dance.iterations=3", "val_fraction=0.1")
    rows = estimate(planned, Store(tmp_path), Compute(CPU.device, "fp32", 1), lambda *call: None)
    found = {row.description.split(",")[0]: row.cost for row in rows if row.kind == "analyze"}
    assert {name: cost.steps for name, cost in found.items()} == {
        "discrepancy": 60 * 21, "interpolation": 33, "expert": 4, "embedding": 1,
    }  # fmt: skip
    assert all(cost.seconds > 0 for cost in found.values()) and found["embedding"].note == "tsne not counted"
