"""A stop signal that arrives while a worker is being started reaches that worker, too."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest

from benchmark.execution.runtime import Runtime
from benchmark.runners import local
from benchmark.runners.local import run_tasks
from benchmark.utils.stopping import Stopped
from helpers import CPU, planned
from results.store.store import Store

LONG = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "seeds=[0,1]",
        "method.dm.iterations=10000000")  # fmt: skip


def with_signal(function: Callable[..., Any], number: int, call: int) -> Callable[..., Any]:
    """The function, at the `call`-th call of which a signal arrives in this process, at the end of the call."""
    calls = []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return result

    return wrapped


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("place", "call", "number", "status"), [
    ("the process starts", 1, signal.SIGTERM, "interrupted"),
    ("the worker is made", 2, signal.SIGUSR2, "timed_out"),
    ("the task is sent", 1, signal.SIGINT, "interrupted"),
])  # fmt: skip
def test_a_signal_during_the_start_of_a_worker_stops_its_task(
    place: str, call: int, number: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = {
        "the process starts": (SpawnProcess, "start"),
        "the worker is made": (local._Worker, "__init__"),
        "the task is sent": (local._Worker, "start"),
    }[place]
    monkeypatch.setattr(owner, name, with_signal(getattr(owner, name), number, call))
    tasks = planned(*LONG, f"store={tmp_path}", f"data_root={tmp_path / 'data'}").of_kind("condense")
    ended: list[str] = []
    with pytest.raises(Stopped) as stopped:
        run_tasks(tasks, Runtime(tmp_path, CPU), 2, lambda *step: None, lambda name, outcome: ended.append(name))
    assert stopped.value.number == number and not ended
    attempts = [attempt for task in tasks if (attempt := Store(tmp_path).last_attempt(task))]
    assert len(attempts) <= call and all(attempt["status"] == status for attempt in attempts)
    assert not list(tmp_path.glob("*/*/lock.json"))
