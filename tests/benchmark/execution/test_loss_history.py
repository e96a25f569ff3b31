"""The losses of a set's steps: in its folder, thinned, the same after an interruption, and in TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
import signal
import threading
from pathlib import Path

import pytest

from benchmark.execution.loss_history import MOST_ROWS, LossHistory, tracked
from benchmark.execution.runtime import Runtime, Task
from benchmark.execution.stop_signals import Interrupted
from benchmark.tasks.execute import execute
from benchmark.utils.errors import BenchmarkError
from helpers import CPU, planned
from results.store.store import Store


def dm(steps: int, *words: str) -> Task:
    asked = (f"methods=[dm@iterations:{steps}]", "datasets=[digits]", "ipcs=[1]", "architectures=[convnet2-w4]")
    (task,) = planned(*asked, "num_eval=1", "baselines=[]", "protocols=[quick]", *words).of_kind("condense")
    return task


def rows_of(store: Path, task: Task) -> list[dict[str, str]]:
    with (Store(store).folder(task) / "losses.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("steps", [1, MOST_ROWS, MOST_ROWS + 1, 5 * MOST_ROWS + 3])
def test_many_steps_are_thinned_to_equal_distances(steps: int) -> None:
    history = LossHistory()
    for step in range(1, steps + 1):
        history.add(step, {"matching": step / 2})
    kept = [step for step, _ in history.rows]
    assert len(kept) <= MOST_ROWS and len(kept) > min(steps, MOST_ROWS) / 2 - 1
    assert kept == list(range(1, steps + 1, history.stride))
    assert LossHistory.of(history.state()) == history
    assert history.to_csv().splitlines()[:2] == ["step,matching", "1,0.5"]


def test_a_loss_that_some_steps_lack_is_left_empty() -> None:
    history = LossHistory([(1, {"a": 1.0}), (2, {"a": 2.0, "b": 0.5})])
    assert history.to_csv() == "step,a,b\n1,1.0,\n2,2.0,0.5\n"


def test_an_interrupted_set_has_the_losses_of_one_that_was_not(tmp_path: Path) -> None:
    task = dm(6)
    assert execute(task, Runtime(tmp_path / "whole", CPU)).status == "done"
    runtime = Runtime(tmp_path / "parts", CPU)

    def stop_after_three(done: int, total: int, losses: dict[str, float]) -> None:
        if done == 3:
            runtime.stop.signal = signal.SIGTERM

    runtime.progress = stop_after_three
    with pytest.raises(Interrupted):
        execute(task, runtime)
    assert execute(task, Runtime(tmp_path / "parts", CPU)).status == "done"
    whole, parts = rows_of(tmp_path / "whole", task), rows_of(tmp_path / "parts", task)
    assert whole == parts and [row["step"] for row in whole] == ["1", "2", "3", "4", "5", "6"]
    record = Store(tmp_path / "whole").record(task)
    assert record and float(whole[-1]["matching"]) == record["result"]["losses"]["matching"]
    assert "losses.csv" in record["artifacts"]


def logged(folder: Path, name: str) -> list[tuple[int, float]]:
    """The steps and values that TensorBoard shows of a loss."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_shows_the_losses(tmp_path: Path) -> None:
    task = dm(4)
    assert execute(task, Runtime(tmp_path, CPU, tracker="tensorboard")).status == "done"
    (folder,) = (tmp_path / "tensorboard" / "condense").iterdir()
    assert folder.name == Store(tmp_path).folder(task).name
    expected = [(int(row["step"]), pytest.approx(float(row["matching"]))) for row in rows_of(tmp_path, task)]
    assert logged(folder, "matching") == expected


def test_tensorboard_has_all_losses_of_a_task_that_fails_and_of_one_that_goes_on(tmp_path: Path) -> None:
    threads = threading.enumerate()
    for steps in ((1, 2, 3), (3, 4)):  # the second one from a checkpoint after step 2
        with pytest.raises(ZeroDivisionError), tracked(lambda *step: None, "tensorboard", tmp_path) as progress:
            for step in steps:
                progress(step, 9, {"matching": step / len(steps)})
            raise ZeroDivisionError
        assert set(threading.enumerate()) <= set(threads), "the writer's thread has ended"
    assert logged(tmp_path, "matching") == [(1, pytest.approx(1 / 3)), (2, pytest.approx(2 / 3)), (3, 1.5), (4, 2.0)]


def test_a_tracker_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchmarkError, match="tensorbord"):
        dm(1, "tracker=tensorbord")
    dm(1, "tracker=tensorboard")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match="the package tensorboard is not installed"):
        dm(1, "tracker=tensorboard")
