"""How long grids of 10,000 tasks take to plan and to look through. CONTRIBUTING.md says how to run it in full.

An ordinary test run does the same once with few tasks, to see that it works; no time is asserted.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hydra import compose, initialize_config_module
from submitit.core.utils import DelayedSubmission

from benchmark.config import compose as options
from benchmark.config.schema import RunConfig
from benchmark.execution.runtime import Task
from benchmark.planning import grid
from benchmark.runners import job_groups, monitor, queued_tasks
from record_parts import changed, make_record, scores, validation_scores
from results.store.atomic_files import to_json
from results.store.store import Store
from results.store.task_states import task_states
from slurm.job import run_job

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed: pip install -e '.[test]'")

SEEDS, FEW_SEEDS = 280, 1  # each adds 36 tasks: ten sets for two protocols, and two random ones
DATASETS = "[cifar10,cifar100,fashionmnist,tinyimagenet]"
Measure = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def measured(benchmark: Any, in_full: bool, capsys: pytest.CaptureFixture[str]) -> Iterator[Measure]:
    """Calls a function: timed without tracing, then, for its peak of Python's memory, once more with it."""

    def measure(act: Callable[[], Any]) -> Any:
        made = benchmark.pedantic(act, rounds=3 if in_full else 1)
        tracemalloc.start()
        act()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        benchmark.extra_info.update(found=len(made), peak_megabytes=round(peak, 1))
        return made

    yield measure
    if in_full:
        with capsys.disabled():
            seconds = min(benchmark.stats.stats.data)
            print(f"\n{benchmark.name}: {seconds:.2f} s, {benchmark.extra_info}")


def asked(*words: str) -> RunConfig:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        composed = compose("run", overrides=["methods=[dance,dm,idm,dc,dsa]", *words])
    return options.parse(composed)


def deep(in_full: bool) -> RunConfig:
    """Few cells with many seeds."""
    seeds = ",".join(map(str, range(SEEDS if in_full else FEW_SEEDS)))
    return asked("ipcs=[1,10]", f"seeds=[{seeds}]", "architectures=[convnet1-w4]", "protocols=[quick,dsa]")


def test_planning_many_seeds(measured: Measure, in_full: bool) -> None:
    request = deep(in_full)
    planned = measured(lambda: grid.build(request).tasks)
    assert len(planned) > (10_000 if in_full else 36)


def test_planning_many_cells(measured: Measure, in_full: bool, tmp_path: Path) -> None:
    ipcs = "ipcs=[1,2,3,5,7,10,20,30,40,50]" if in_full else "ipcs=[1]"
    request = asked(f"datasets={DATASETS}", ipcs, "architectures=[convnet3,convnet3-bn]", "preset=paper",
                    "dry_run=true", f"data_root={tmp_path}")  # fmt: skip
    planned = measured(lambda: grid.build(request).tasks)
    assert len(planned) > (10_000 if in_full else 100)


def test_preparing_a_submission(measured: Measure, in_full: bool, tmp_path: Path) -> None:
    """From an empty store to files that jobs would read, all but sbatch itself."""
    request = deep(in_full)
    planned = grid.build(request).tasks

    def prepare() -> list[bytes]:
        done = {identity for identity, state in task_states(tmp_path, planned).items() if state.status == "done"}
        found = job_groups.group_tasks(planned, done, (), 1)
        assert len(found) < 50, "arrays, not a submission for each task"
        carried = [
            (queued_tasks.FUNCTION, queued_tasks.arguments(tasks, {})) for group in found for tasks in group.jobs
        ]
        return [cloudpickle.dumps(DelayedSubmission(run_job, *words)) for words in carried]

    assert len(measured(prepare)) == len(planned)


# --- a finished store -------------------------------------------------------------------------------------------------

RESULTS = {
    "prepare": {"train_accuracy": 0.93},
    "condense": {"stored_images": 10, "decoded_images": 10, "factor": 1, "bytes": 122_880, "losses": {}},
    "evaluate": {**scores([0.5] * 2), **validation_scores([]), "optimizer_steps": 1000, "decoded_images": 100},
}


@pytest.fixture(scope="session")
def tasks(in_full: bool) -> list[Task]:
    return grid.build(deep(in_full)).tasks


@pytest.fixture(scope="session")
def finished(tasks: list[Task], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Every task with a record, as `Store.commit` writes them but for waiting for the disk."""
    store = Store(tmp_path_factory.mktemp("store"))
    for task in tasks:
        folder = store.root / task["kind"] / f"{task['slug']}-{task['identity'][:12]}"
        folder.mkdir(parents=True)
        (folder / "task.json").write_text(to_json(task))
        record = make_record(task["kind"], task["resolved"], task["display"], RESULTS[task["kind"]])
        record = changed(record, identity=task["identity"], spec=task["spec"], resolved=task["resolved"])
        (folder / "record.json").write_text(to_json(record))
    return store


def test_states_of_a_finished_store(measured: Measure, finished: Store, tasks: list[Task]) -> None:
    found = measured(lambda: task_states(finished.root))
    assert {state.status for state in found.values()} == {"done"} and len(found) == len(tasks)


def test_states_of_a_finished_plan(measured: Measure, finished: Store, tasks: list[Task]) -> None:
    found = measured(lambda: task_states(finished.root, tasks))
    assert {state.status for state in found.values()} == {"done"} and len(found) == len(tasks)


def test_the_status_of_a_finished_store(measured: Measure, finished: Store, tasks: list[Task]) -> None:
    assert {one.state for one in measured(lambda: monitor.read_status(finished.root).tasks).values()} == {"done"}


def test_reading_the_records_of_a_finished_plan(measured: Measure, finished: Store, tasks: list[Task]) -> None:
    assert len(measured(lambda: list(finished.recorded(tasks)))) == len(tasks)


def test_looking_for_the_records_of_a_new_plan(measured: Measure, finished: Store, tasks: list[Task]) -> None:
    """Beside as many folders of other tasks."""
    others = [{**task, "identity": task["identity"][::-1]} for task in tasks]
    assert measured(lambda: list(finished.recorded(others))) == []
