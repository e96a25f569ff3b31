"""Prepare tasks of small experts on digits, and ways to execute them one by one or in lockstep."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmark.execution.runtime import Outcome, Runtime, Task
from benchmark.runners.local import run_tasks
from benchmark.tasks.execute import execute
from benchmark.utils.tensor_files import load_tensors
from helpers import CPU, planned
from results.store.store import Store

WORDS = ("methods=[dance]", "ipcs=[1]", "baselines=[]", "architectures=[convnet2-w4]", "seeds=[0]",
         "method.dance.experts=4", "method.dance.pretrain_epochs=1")  # fmt: skip
SLOW = 0.05  # seconds of a CPU
STEPS = 23  # of 1,437 digits, 64 at a time


@lru_cache
def experts(*words: str) -> tuple[Task, ...]:
    """The prepare tasks of four small experts on digits."""
    return tuple(planned(*WORDS, *words).of_kind("prepare"))


def runtime(out: Path, num_parallel: int, **more: Any) -> Runtime:
    return Runtime(out, replace(CPU, num_parallel=num_parallel), **more)


def train(out: Path, num_parallel: int, tasks: tuple[Task, ...] | None = None, **more: Any) -> dict[str, Outcome]:
    """Execute all tasks in this process; the outcome of each by its name, in the order of their ends."""
    ended: dict[str, Outcome] = {}
    on_end = lambda name, outcome: ended.update({name: outcome})  # noqa: E731
    run_tasks(experts() if tasks is None else tasks, runtime(out, num_parallel, **more), 1, lambda *step: None, on_end)
    return ended


def train_together(task: Task, companions: Sequence[Task], runtime: Runtime) -> tuple[Outcome, dict[str, Outcome]]:
    """The outcome of a task, and those of the companions that were finished with it, by their slugs."""
    ends: list[tuple[str, Outcome]] = []
    outcome = execute(task, replace(runtime, on_companion_end=lambda *end: ends.append(end)), companions)
    assert len(dict(ends)) == len(ends), "no end is reported twice"
    slugs = {companion["identity"]: companion["slug"] for companion in companions}
    return outcome, {slugs[identity]: end for identity, end in ends}


def records(out: Path) -> list[dict[str, Any]]:
    return [record for _, record in Store(out).recorded(experts())]


def path_of(task: Task, out: Path) -> Path:
    return Store(out).folder(task) / "experts.safetensors"


def log(out: Path, task: Task) -> str:
    return (Store(out).folder(task) / "log.txt").read_text()


def assert_close(mine: Path, theirs: Path, but: int | None = None) -> None:
    """The same experts up to rounding errors, which grow with the steps; except for one of them."""
    for index, task in enumerate(experts()):
        if index == but:
            continue
        tensors, expected = (load_tensors(path_of(task, out))[0] for out in (mine, theirs))
        assert tensors.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(tensors[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda text, of=name: of + text)


def assert_equal(mine: Path, theirs: Path) -> None:
    """The same experts, byte by byte."""
    for task in experts():
        assert path_of(task, mine).read_bytes() == path_of(task, theirs).read_bytes(), task["slug"]


def stopping(out: Path, at: int, num_parallel: int = 4) -> Runtime:
    """A runtime that is signalled to stop after so many steps."""
    stopped = runtime(out, num_parallel)

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        if done == at:
            stopped.stop.signal = signal.SIGTERM

    stopped.progress = progress
    return stopped


def slowed(runtime: Runtime) -> Runtime:
    """The same runtime, with steps that take SLOW seconds longer."""
    report = runtime.progress

    def progress(*step: Any) -> None:
        start = time.process_time()
        while time.process_time() - start < SLOW:  # a step that slept would not be charged for it
            pass
        report(*step)

    return replace(runtime, progress=progress)
