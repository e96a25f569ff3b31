"""A checkpoint says whose it is: that of another task, of other code or with a changed bit is dropped with a note."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.runtime import Outcome, Runtime, Task
from benchmark.execution.stop_signals import Interrupted, StopFlag
from benchmark.tasks.execute import execute
from benchmark.utils.tensor_files import load_tree, save_tree
from helpers import CPU, planned
from results.store.store import Store

WORDS = ("methods=[dm,dc]", "ipcs=[1]", "baselines=[]", "architectures=[convnet2-w4]", "seeds=[0,1]", "num_eval=1",
         "method.dm.iterations=6", "method.dc.iterations=6")  # fmt: skip


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """Condense tasks by method and seed: dm0, dm1, dc0, dc1."""
    of_kind = planned(*WORDS).of_kind("condense")
    return {f"{task['resolved']['method']}{task['resolved']['seed']}": task for task in of_kind}


def stop_after(task: Task, store: Path, steps: int = 3) -> Path:
    """Execute a task until it is stopped after some steps; returns its checkpoint."""
    stop = StopFlag(escalates=False)

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        if done == steps:
            stop.signal = signal.SIGTERM

    with pytest.raises(Interrupted):
        execute(task, Runtime(store, CPU, stop=stop, progress=progress))
    return Store(store).folder(task) / CHECKPOINT


def finish(task: Task, store: Path) -> tuple[Outcome, bytes]:
    """The outcome of a task, and the bytes of its set."""
    outcome = execute(task, Runtime(store, CPU))
    assert outcome.status == "done", outcome.message
    return outcome, (Store(store).folder(task) / "synthetic.safetensors").read_bytes()


def replaced_by_another(other: str) -> Callable[[Path, dict[str, Task], Path], None]:
    def harm(checkpoint: Path, tasks: dict[str, Task], tmp_path: Path) -> None:
        shutil.copy(stop_after(tasks[other], tmp_path / "other"), checkpoint)

    return harm


def one_bit(checkpoint: Path, tasks: dict[str, Task], tmp_path: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 1
    checkpoint.write_bytes(content)


def other_code(checkpoint: Path, tasks: dict[str, Task], tmp_path: Path) -> None:
    state = load_tree(checkpoint)
    save_tree(checkpoint, state | {"owner": state["owner"] | {"code": "0" * 64}})


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (replaced_by_another("dc0"), "it is that of another task"),
        (replaced_by_another("dm1"), "it is that of another task"),
        (one_bit, "was changed after it was written"),
        (other_code, "the method's code was changed since"),
        (lambda checkpoint, *_: checkpoint.write_bytes(b"half"), "is damaged"),
    ],
    ids=["method", "seed", "bit", "code", "damaged"],
)
def test_a_checkpoint_that_is_not_the_tasks_own_is_dropped_with_a_note(
    tasks: dict[str, Task], tmp_path: Path, harm: Callable[..., None], reason: str
) -> None:
    checkpoint = stop_after(tasks["dm0"], tmp_path / "store")
    harm(checkpoint, tasks, tmp_path)
    outcome, made = finish(tasks["dm0"], tmp_path / "store")
    assert "its checkpoint was dropped, the task starts from its beginning" in outcome.message
    assert reason in outcome.message
    assert made == finish(tasks["dm0"], tmp_path / "fresh")[1] and not checkpoint.exists()


def test_its_own_checkpoint_is_gone_on_with_in_silence(tasks: dict[str, Task], tmp_path: Path) -> None:
    stop_after(tasks["dm0"], tmp_path / "store")
    outcome, made = finish(tasks["dm0"], tmp_path / "store")
    assert outcome.message == "" and made == finish(tasks["dm0"], tmp_path / "fresh")[1]
    assert "resuming from step 3 of 6" in (Store(tmp_path / "store").folder(tasks["dm0"]) / "log.txt").read_text()


def test_a_checkpoint_that_does_not_fit_never_fails_twice(tasks: dict[str, Task], tmp_path: Path) -> None:
    checkpoint = stop_after(tasks["dm0"], tmp_path / "store")
    state = load_tree(checkpoint)
    del state["work"]["images"]
    save_tree(checkpoint, state)
    outcome = execute(tasks["dm0"], Runtime(tmp_path / "store", CPU))
    assert outcome.status == "failed" and "does not fit the task and was removed" in outcome.message
    assert finish(tasks["dm0"], tmp_path / "store")[1] == finish(tasks["dm0"], tmp_path / "fresh")[1]
