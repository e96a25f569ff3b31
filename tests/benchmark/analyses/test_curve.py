"""Analyses through real tasks: snapshots that survive interruption, points scored with evaluation networks."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from benchmark import datasets
from benchmark.analyses import get as analysis_of
from benchmark.compute.engine import Compute
from benchmark.condensation.contract import make_images
from benchmark.condensation.synthetic_set import load_set
from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.datasets import Dataset
from benchmark.execution import attempt
from benchmark.execution.run_steps import SnapshotSchedule, run_steps
from benchmark.execution.runtime import Runtime, Task
from benchmark.execution.stop_signals import Interrupted, StopFlag
from benchmark.planning import analyses, grid
from benchmark.tasks.execute import execute
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from helpers import CPU
from methods.dm import DistributionMatching
from results.aggregation.cells import cells
from results.store.store import Store

TINY = ("methods=[dm,dance]", "baselines=[whole,random]", "method.dm.iterations=7", "method.dance.iterations=5",
        "ipcs=[1]", "method.dance.experts=2", "method.dance.pretrain_epochs=1", "method.whole.epochs=9", "num_eval=2",
        "architectures=[convnet2-w4]", "val_fraction=0.25")  # fmt: skip
LOOKS = ("analyses=[discrepancy,interpolation,expert,embedding]", "layout=pca")


@pytest.fixture(scope="module", autouse=True)
def few_images() -> Iterator[Dataset]:
    """Digits become a few random images of three classes, and `quick` takes six epochs, so that tasks are short."""
    train, test = make_images(3, 16, (1, 8, 8)), make_images(3, 4, (1, 8, 8), seed=1)
    digits, get = datasets.load("digits", Path("data")), protocols.get
    few = replace(digits, train=train, test=test, classes=("a", "b", "c"), fingerprint="f" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda entry, root, progress=None, cache=None: few)
        patch.setattr(protocols, "get", lambda *a, **k: replace(get(*a, **k), epochs=6, lr_milestones=(4, 5)))
        attempt.load_dataset.cache_clear()
        yield few
    attempt.load_dataset.cache_clear()


def build(*words: str) -> grid.Plan:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        if any(word.startswith("analyses=") for word in words):
            resolved = options.parse_as(schema.AnalyzeConfig, compose("analyze", overrides=[*TINY, *words]))
            return analyses.reduce_to_analyses(grid.build(resolved), resolved)
        return grid.build(options.parse(compose("run", overrides=[*TINY, *words])))


def runtime(out: Path, **more: Any) -> Runtime:
    return Runtime(out, Compute(torch.device("cpu"), "fp32", threads=1), **more)


def do(planned: grid.Plan, out: Path) -> None:
    ended = {task["slug"]: execute(task, runtime(out)) for task in planned.tasks}
    assert {outcome.status for outcome in ended.values()} == {"done"}, ended


def record(task: Task, out: Path) -> dict[str, Any]:
    stored = Store(out).record(task)
    assert stored and stored["status"] == "ok", stored
    return stored


def of_row(planned: grid.Plan, row: str) -> Task:
    return next(task for task in planned.of_kind("condense") if task["display"]["display_name"].split()[0] == row)


def link_inputs(finished: tuple[grid.Plan, Path], out: Path) -> Path:
    """A store whose sets and experts are those of the finished run."""
    out.mkdir(exist_ok=True)
    for kind in ("prepare", "condense"):
        (out / kind).symlink_to(finished[1] / kind)
    return out


def curves(planned: grid.Plan) -> dict[str, Task]:
    """The curves by the identities of their sets."""
    tasks = [task for task in planned.of_kind("analyze") if task["resolved"]["analysis"] == "curve"]
    return {task["resolved"]["sets"][0]: task for task in tasks}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, few_images: Dataset) -> tuple[grid.Plan, Path]:
    planned, out = build("snapshots=3"), tmp_path_factory.mktemp("finished")
    do(planned, out)
    return planned, out


# --- snapshots --------------------------------------------------------------------------------------------------------


def test_snapshots_lead_from_the_first_images_to_the_finished_set(finished: tuple[grid.Plan, Path]) -> None:
    planned, out = finished
    task = of_row(planned, "dm")
    folder, condensed = Store(out).folder(task), record(task, out)
    assert [each["step"] for each in condensed["result"]["snapshots"]] == [0, 2, 5, 7]
    seconds = [each["seconds"] for each in condensed["result"]["snapshots"]]
    assert seconds == sorted(seconds) and seconds[-1] == pytest.approx(condensed["seconds"])
    files = {path.stem: path for path in (folder / "snapshots").iterdir()}
    assert sorted(files) == ["0", "2", "5", "7"]
    assert files["7"].read_bytes() == (folder / "synthetic.safetensors").read_bytes()
    random = load_set(Store(out).folder(of_row(planned, "random")) / "synthetic.safetensors").images
    torch.testing.assert_close(load_set(files["0"]).images, random, rtol=0, atol=1e-6)  # where DM starts
    assert not torch.equal(load_set(files["2"]).images, load_set(files["5"]).images)
    plain = of_row(build(), "dm")
    assert execute(plain, runtime(out / "plain")).status == "done"
    images = load_set(Store(out / "plain").folder(plain) / "synthetic.safetensors").images
    assert torch.equal(images, load_set(files["7"]).images), "saving snapshots changes no step"


class Steps:
    """Seven steps of a second each, by a clock of its own; its state is how many were done."""

    total_steps = 7

    def __init__(self, pass_time: Callable[[float], None]) -> None:
        self.pass_time, self.done = pass_time, 0

    def step(self) -> dict[str, float]:
        self.pass_time(1.0)
        self.done += 1
        return {"loss": 1.0}

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done = state["done"]


@pytest.mark.parametrize("stop_after", [None, 2, 3, 7])
def test_snapshots_are_neither_charged_nor_repeated(
    stop_after: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    taken_at: list[int] = []

    def run(stop: StopFlag) -> tuple[float, list[dict[str, Any]]]:
        work = Steps(pass_time)

        def take(step: int, seconds: float) -> dict[str, Any]:
            assert step == work.done
            taken_at.append(step)
            pass_time(100.0)
            return {"value": step}

        def progress(done: int, total: int, losses: dict[str, float]) -> None:
            stop.signal = 15 if done == stop_after else stop.signal

        schedule = SnapshotSchedule(frozenset({0, 2, 5, 7}), take)
        run_result = run_steps(work, tmp_path, CPU, owner={}, seconds=0.5, progress=progress, stop=stop,
                               checkpoint_seconds=1e9, owns_task=lambda: True, log=lambda text: None,
                               schedule=schedule)  # fmt: skip
        return run_result.seconds, schedule.taken

    if stop_after:
        with pytest.raises(Interrupted):
            run(StopFlag(escalates=False))
        stop_after = None
    seconds, taken = run(StopFlag())
    assert seconds == 7.5 and taken_at == [0, 2, 5, 7]
    assert taken == [{"step": step, "seconds": 0.5 + step, "value": step} for step in (0, 2, 5, 7)]


@pytest.mark.parametrize(("step", "killed"), [(1, False), (2, False), (4, False), (4, True), (6, True)])
def test_a_set_that_was_interrupted_keeps_all_its_snapshots(
    step: int, killed: bool, finished: tuple[grid.Plan, Path], tmp_path: Path
) -> None:
    """At a snapshot and between two; stopped with a checkpoint, or killed a while after the last one."""
    planned, out = finished
    task, stop = of_row(planned, "dm"), StopFlag(escalates=False)

    def interrupt(done: int, total: int, losses: dict[str, float]) -> None:
        if done == step and killed:
            raise KeyboardInterrupt
        stop.signal = 15 if done == step else stop.signal

    again = tmp_path / "again"
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        execute(task, runtime(again, progress=interrupt, stop=stop))
    folder = Store(again).folder(task)
    assert (folder / "checkpoint.safetensors").exists()
    (folder / "snapshots" / (temporary := ".5.safetensors." + "0" * 32)).write_bytes(b"half")
    written = {path.name: path.stat().st_mtime_ns for path in folder.glob("snapshots/[0-9]*")}
    assert execute(task, runtime(again)).status == "done"
    assert "resuming from step" in (folder / "log.txt").read_text() and not (folder / "snapshots" / temporary).exists()
    whole = Store(out).folder(task)
    expected = {path.name: path.read_bytes() for path in whole.glob("**/*.safetensors")}
    assert {path.name: path.read_bytes() for path in folder.glob("**/*.safetensors")} == expected and len(expected) == 5
    snapshots = record(task, again)["result"]["snapshots"]
    assert [each["step"] for each in snapshots] == [0, 2, 5, 7]
    assert all(a["seconds"] < b["seconds"] for a, b in pairwise(snapshots))
    for name, before in written.items():
        assert (folder / "snapshots" / name).stat().st_mtime_ns == before, "a snapshot was taken again"


# --- points -----------------------------------------------------------------------------------------------------------


def test_the_last_point_is_the_validation_accuracy_of_the_evaluation(finished: tuple[grid.Plan, Path]) -> None:
    planned, out = finished
    curve_of = curves(planned)
    assert len(curve_of) == len(planned.of_kind("evaluate")) == 8  # dm, dance, five random subsets, whole
    for task in planned.of_kind("evaluate"):
        accuracies = record(task, out)["result"]["validation_accuracies"]
        result = record(curve_of[task["resolved"]["set"]], out)["result"]
        assert result["split"] == "validation" and result["points"][0]["step"] == 0
        assert result["points"][-1]["accuracies"] == accuracies and len(accuracies) == 2
    points = {task["display"]["display_name"].split()[0]: record(curve_of[task["identity"]], out)["result"]["points"]
              for task in planned.of_kind("condense")}  # fmt: skip
    steps = {row: [point["step"] for point in of] for row, of in points.items()}
    assert steps == {"dm": [0, 2, 5, 7], "dance": [0, 2, 3, 5], "random": [0]}
    whole = record(curve_of["whole"], out)["result"]["points"]
    assert [point["step"] for point in whole] == [0, 2, 4, 9] and whole[0]["seconds"] == 0 < whole[1]["seconds"]
    dm = record(of_row(planned, "dm"), out)["result"]["snapshots"]
    assert [{name: point[name] for name in ("step", "seconds")} for point in points["dm"]] == dm


def test_the_first_point_of_dm_is_that_of_the_random_images_it_starts_from(finished: tuple[grid.Plan, Path]) -> None:
    planned, out = finished
    first, random = (record(curves(planned)[of_row(planned, row)["identity"]], out)["result"]["points"][0]
                     for row in ("dm", "random"))  # fmt: skip
    assert first["accuracies"] == pytest.approx(random["accuracies"], abs=0.1)  # converted to DM's units and back


def stop_early(stop: StopFlag, steps: list[int], done: int, total: int, losses: dict[str, float]) -> None:
    """Signal a stop after a third of the steps, at least two."""
    steps.append(done)
    stop.signal = 15 if len(steps) == max(2, total // 3) else stop.signal


@pytest.mark.parametrize("analysis", ["curve", "curve of whole", "discrepancy", "expert", "interpolation"])
def test_an_interrupted_analysis_has_the_same_results(
    analysis: str, finished: tuple[grid.Plan, Path], tmp_path: Path
) -> None:
    name, _, whole = analysis.partition(" of ")
    planned = build("snapshots=3", f"analyses=[{name}]", "methods=[dm,dance]")
    task = next(t for t in planned.of_kind("analyze") if (t["resolved"]["sets"] == ["whole"]) == bool(whole))
    whole_run, again = (link_inputs(finished, tmp_path / name) for name in ("whole", "again"))
    assert execute(task, runtime(whole_run)).status == "done"
    for _ in range(2):
        stop = StopFlag(escalates=False)
        steps: list[int] = []

        with pytest.raises(Interrupted):
            execute(task, runtime(again, progress=partial(stop_early, stop, steps), stop=stop))
    assert execute(task, runtime(again)).status == "done"

    def timeless(result: Any) -> Any:
        text = json.dumps(result, sort_keys=True)
        return json.loads(text, object_hook=lambda item: {k: v for k, v in item.items() if k != "seconds"})

    assert timeless(record(task, again)["result"]) == timeless(record(task, whole_run)["result"])


# --- the other analyses, through their tasks --------------------------------------------------------------------------


def test_records_of_analyses_are_complete(finished: tuple[grid.Plan, Path], tmp_path: Path) -> None:
    planned = build("snapshots=3", *LOOKS)
    link_inputs(finished, tmp_path)
    do(planned, tmp_path)
    assert not (tmp_path / "evaluate").exists()
    stored = {task["resolved"]["analysis"]: record(task, tmp_path) for task in planned.of_kind("analyze")}
    rows = {task["identity"]: task["display"]["display_name"].split()[0] for task in planned.of_kind("condense")}
    assert sorted(rows.values()) == ["dance", "dm", "random"]  # of the seed asked for, though random has five
    steps = stored["discrepancy"]["result"]["steps"]
    assert steps[0] == 0 and steps[-1] == stored["discrepancy"]["steps"] == 9
    for sets in stored["discrepancy"]["result"]["sets"].values():
        assert set(sets) == {"mean_distance", "relative_distance"} and all(len(v) == len(steps) for v in sets.values())
    result = stored["interpolation"]["result"]
    assert result["split"] == "validation" and result["images"] == 12
    assert [len(row) for row in result["accuracies"]] == [2] * 11
    result = stored["expert"]["result"]
    assert {rows[name]: each["steps"] for name, each in result["sets"].items()} == {
        "dm": [0, 2, 5, 7], "dance": [0, 2, 3, 5], "random": [0],
    }  # fmt: skip
    trained = [record(task, tmp_path)["result"]["train_accuracy"] for task in planned.of_kind("prepare")]
    assert result["real"]["train"] == pytest.approx(sum(trained) / len(trained))
    interpolated = stored["interpolation"]["result"]["accuracies"][0]
    assert result["real"]["validation"] == pytest.approx(sum(interpolated) / 2)
    result = stored["embedding"]["result"]
    assert result["method"] == "pca" and len(result["real"]["xy"]) == len(result["real"]["labels"]) == 36
    assert {rows[name]: len(each["xy"]) for name, each in result["sets"].items()} == {"dm": 3, "dance": 3, "random": 3}
    assert all(each["labels"] == [0, 1, 2] for each in result["sets"].values())


def test_the_best_on_test_scores_the_snapshots_with_the_networks_of_the_evaluation(tmp_path: Path) -> None:
    planned = build("snapshots=3", "best_on_test=true", "baselines=[whole]", "val_fraction=0", "seeds=[0,1]")
    do(planned, tmp_path)
    assert {task["resolved"]["analysis"] for task in planned.of_kind("analyze")} == {"best_on_test"}
    evaluations = {task["resolved"]["set"]: task for task in planned.of_kind("evaluate")}
    best = []
    for task in planned.of_kind("analyze"):
        points = record(task, tmp_path)["result"]["points"]
        accuracies = record(evaluations[task["resolved"]["sets"][0]], tmp_path)["result"]["accuracies"]
        assert points[0]["step"] > 0 and len(points) == 3 and points[-1]["accuracies"] == accuracies
        best.append(max(np.mean(point["accuracies"]) for point in points))
    found = cells(Store(tmp_path).records()[0]).query("role == 'method'")
    assert list(found["sets"]) == [2, 2] and found["optimistic_best_on_test"].mean() == pytest.approx(np.mean(best))
    assert (found["optimistic_best_on_test"] >= found["accuracy"]).all()


class Untouchable:
    """A test split that must not be read."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test split was read: {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was counted")


def test_no_analysis_reads_the_test_split(tmp_path: Path, few_images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = build("snapshots=2", "analyses=[discrepancy,interpolation,expert,embedding,curve]", "layout=pca")
    whole = next(task for task in build("snapshots=2").of_kind("evaluate") if task["resolved"]["set"] == "whole")
    guarded = replace(few_images, test=Untouchable())
    monkeypatch.setattr(datasets, "load", lambda entry, root, progress=None, cache=None: guarded)
    attempt.load_dataset.cache_clear()
    try:
        do(planned, tmp_path)
        evaluated = execute(whole, runtime(tmp_path))
        assert evaluated.status == "failed" and "the test split was read" in evaluated.message, "the guard fails"
    finally:
        attempt.load_dataset.cache_clear()


def test_a_set_that_diverged_is_left_out_of_an_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = build("analyses=[discrepancy,curve]", "snapshots=1")
    monkeypatch.setattr(DistributionMatching, "step", lambda self: {"match": math.nan})
    for task in planned.tasks:
        assert execute(task, runtime(tmp_path)).status == "done"
    store, dm = Store(tmp_path), of_row(planned, "dm")
    others = {of_row(planned, row)["identity"] for row in ("dance", "random")}
    assert store.record(dm)["status"] == "diverged"
    discrepancy = next(t for t in planned.of_kind("analyze") if t["resolved"]["analysis"] == "discrepancy")
    assert set(record(discrepancy, tmp_path)["result"]["sets"]) == others
    assert "left out" in (store.folder(discrepancy) / "log.txt").read_text()
    assert store.record(curves(planned)[dm["identity"]])["status"] == "diverged"


def test_an_analysis_without_its_inputs_is_blocked(tmp_path: Path) -> None:
    planned = build("analyses=[expert,discrepancy]")
    for task in planned.of_kind("analyze"):
        outcome = execute(task, runtime(tmp_path))
        assert outcome.status == "blocked" and "an input has no record" in outcome.message


# --- along the training of evaluation networks ------------------------------------------------------------------------


def test_a_training_curve_ends_at_the_evaluations_validation_accuracy(tmp_path: Path) -> None:
    """The networks are those of the evaluation; one that is interrupted and continued scores the same."""
    planned = build("analyses=[training_curve]")
    (task,) = [task for task in planned.of_kind("analyze") if task["slug"].startswith("training-curve-dm")]
    assert (
        not planned.of_kind("evaluate") and len(planned.of_kind("analyze")) == 2 + 5
    )  # DM, DANCE, five random subsets
    do(planned, tmp_path)
    points = record(task, tmp_path)["result"]["points"]
    assert points[0]["step"] == 0 and [len(point["accuracies"]) for point in points] == [2] * len(points)
    evaluated = build()
    (evaluation,) = [t for t in evaluated.of_kind("evaluate") if t["resolved"]["set"] == task["resolved"]["sets"][0]]
    assert execute(evaluation, runtime(tmp_path)).status == "done"
    stored = record(evaluation, tmp_path)
    assert points[-1]["accuracies"] == stored["result"]["validation_accuracies"]
    assert points[-1]["step"] == stored["result"]["optimizer_steps"]
    (summary,) = analysis_of("training_curve").summary(record(task, tmp_path), {task["resolved"]["sets"][0]: "dm"})
    assert summary.startswith("dm, quick: ") and f"after {points[-1]['step']} steps, at most " in summary


def test_a_training_curve_needs_withheld_images() -> None:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        words = [*TINY, "analyses=[training_curve]", "val_fraction=0"]
        config = options.parse_as(schema.AnalyzeConfig, compose("analyze", overrides=words))
    with pytest.raises(BenchmarkError, match="none are withheld"):
        analyses.check(config)
