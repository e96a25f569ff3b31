"""Small experts on digits, whose tasks are done here, one by one or in lockstep, in whatever way a test needs."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmark.execution.runtime import Outcome, Runtime
from benchmark.planning import grid
from benchmark.runners.local import run_tasks
from benchmark.tasks.execute import execute
from benchmark.utils.tensor_files import load_tensors
from parts import CPU, planned
from results.store.store import Store

WORDS = ("methods=[dance]", "ipcs=[1]", "baselines=[]", "architectures=[convnet2-w4]", "seeds=[0]",
         "method.dance.experts=4", "method.dance.pretrain_epochs=1")  # fmt: skip
SLOW = 0.05  # seconds
STEPS = 23  # of 1,437 digits, 64 at a time


@lru_cache
def experts(*words: str) -> tuple[grid.Task, ...]:
    """Tasks that train experts of small networks on digits."""
    return tuple(planned(*WORDS, *words).of_kind("prepare"))


def runtime(out: Path, num_parallel: int, **more: Any) -> Runtime:
    return Runtime(out, replace(CPU, num_parallel=num_parallel), **more)


def train(out: Path, num_parallel: int, tasks: tuple[grid.Task, ...] | None = None, **more: Any) -> dict[str, Outcome]:
    """Do all tasks here; how each ended, by its name, in the order in which they did."""
    ended: dict[str, Outcome] = {}
    told = lambda name, outcome: ended.update({name: outcome})  # noqa: E731
    run_tasks(experts() if tasks is None else tasks, runtime(out, num_parallel, **more), 1, lambda *step: None, told)
    return ended


def led(by: grid.Task, alike: Sequence[grid.Task], how: Runtime) -> tuple[Outcome, dict[str, Outcome]]:
    """How a task ended, and how those did that were done along with it, by their names."""
    told: list[tuple[str, Outcome]] = []
    outcome = execute(by, replace(how, ended=lambda *end: told.append(end)), alike)
    assert len(dict(told)) == len(told), "nothing is told twice"
    return outcome, {task["slug"]: end for identity, end in told for task in alike if task["identity"] == identity}


def records(out: Path) -> list[dict[str, Any]]:
    return [record for _, record in Store(out).recorded(experts())]


def path_of(task: grid.Task, out: Path) -> Path:
    return Store(out).folder(task) / "experts.safetensors"


def log(out: Path, task: grid.Task) -> str:
    return (Store(out).folder(task) / "log.txt").read_text()


def alike(mine: Path, theirs: Path, but: int | None = None) -> None:
    """Same experts, but for rounding that some steps have let grow."""
    for place, task in enumerate(experts()):
        if place == but:
            continue
        found, expected = (load_tensors(path_of(task, out))[0] for out in (mine, theirs))
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda said, of=name: of + said)


def equal(mine: Path, theirs: Path) -> None:
    """The same experts to the last byte."""
    for task in experts():
        assert path_of(task, mine).read_bytes() == path_of(task, theirs).read_bytes(), task["slug"]


def stopping(out: Path, at: int, num_parallel: int = 4) -> Runtime:
    """How tasks are done, until so many steps are: then comes a signal to stop."""
    stopped = runtime(out, num_parallel)

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        if done == at:
            stopped.stop.signal = signal.SIGTERM

    stopped.progress = progress
    return stopped


def slowly(how: Runtime) -> Runtime:
    """The same, with steps that take SLOW seconds longer."""
    told = how.progress

    def progress(*step: Any) -> None:
        time.sleep(SLOW)
        told(*step)

    return replace(how, progress=progress)
