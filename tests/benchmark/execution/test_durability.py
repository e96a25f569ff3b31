"""What survives a stop and a power cut: steps, files synced before they get their names, folders synced after."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.compute.compilation import COMPILER
from benchmark.execution.run_steps import CHECKPOINT, run_steps
from benchmark.execution.runtime import Runtime
from benchmark.execution.stop_signals import Interrupted, StopFlag
from benchmark.execution.work import IndependentSteps
from benchmark.runners.local import run_tasks
from benchmark.utils.stopping import Stopped
from helpers import CPU, planned
from results.store.store import Store

SMALL = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "seeds=[0,1]")


def test_a_stopped_job_does_only_the_steps_that_are_left(tmp_path: Path) -> None:
    done: list[int] = []
    work = IndependentSteps([lambda step=step: done.append(step) for step in range(10)])  # type: ignore[misc]

    def run(stop_at: int | None) -> None:
        stop = StopFlag(escalates=False)

        def progress(step: int, total: int, losses: dict[str, float]) -> None:
            stop.signal = signal.SIGTERM if step == stop_at else 0

        run_steps(
            IndependentSteps(work.functions), tmp_path, CPU, owner={}, seconds=0.0, progress=progress, stop=stop,
            checkpoint_seconds=3600.0, owns_task=lambda: True, log=lambda text: None,
        )  # fmt: skip

    with pytest.raises(Interrupted, match="after step 3 of 10"):
        run(stop_at=3)
    assert done == [0, 1, 2]
    run(stop_at=None)
    assert done == [*range(10)], "exactly seven more"


def test_a_step_whose_compiler_a_signal_may_have_killed_is_dropped(tmp_path: Path, monkeypatch: Any) -> None:
    """Uncompiled it has other last bits, and a resumed task would compile the rest."""
    monkeypatch.setattr(COMPILER, "uncompiled", [])

    def run(stop_in: int | None, interrupted_compiler: bool) -> list[str]:
        stop, made = StopFlag(escalates=False), list[str]()

        def step(index: int) -> None:
            if index == stop_in:
                stop.signal = signal.SIGUSR2
                if interrupted_compiler:
                    COMPILER.uncompiled.append("the C++ compiler (g++ or clang++) fails")
            made.append(str(index))

        work = IndependentSteps([lambda index=index: step(index) for index in range(6)])  # type: ignore[misc]
        run_steps(
            work, tmp_path, CPU, owner={}, seconds=0.0, progress=lambda *call: None, stop=stop,
            checkpoint_seconds=3600.0, owns_task=lambda: True, log=lambda text: None,
        )  # fmt: skip
        return made

    with pytest.raises(Interrupted, match="after step 2 of 6"):
        run(stop_in=1, interrupted_compiler=False)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(Interrupted, match="after step 2 of 6, while compiling") as stopped:
        run(stop_in=4, interrupted_compiler=True)
    assert stopped.value.done == 2 and (tmp_path / CHECKPOINT).read_bytes() == before
    COMPILER.uncompiled.clear()
    assert run(stop_in=None, interrupted_compiler=False) == ["2", "3", "4", "5"]


class Spy:
    """The order in which files and folders are made, get their names and are synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, Path]] = []  # what happened to which path
        self.asides: dict[int, Path] = {}  # by the index of the event in which a file got its name: its name before

        def naming(function: Callable[..., Any]) -> Callable[..., Any]:
            def named(old: Any, new: Any, **more: Any) -> Any:
                self.asides[len(self.events)] = Path(old)
                self.events.append(("named", Path(new)))
                return function(old, new, **more)

            return named

        fsync, mkdir = os.fsync, os.mkdir

        def synced(handle: int) -> None:
            self.events.append(("synced", Path(f"/proc/self/fd/{handle}").readlink()))
            fsync(handle)

        def made(path: Any, *more: Any) -> None:
            mkdir(path, *more)
            self.events.append(("made", Path(path)))

        for name in ("replace", "rename", "link"):
            monkeypatch.setattr(os, name, naming(getattr(os, name)))
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "mkdir", made)

    def check(self, root: Path) -> set[str]:
        """Assert that every file was synced before it got its name, and every folder after; returns all new names."""
        names = set()
        for index, (event, path) in enumerate(self.events):
            if event == "synced" or not path.is_relative_to(root) or "lock.json" in path.name:
                continue  # a lock need not survive
            if event == "named" and self.asides[index].name != path.name:  # a moved file was synced when it was new
                assert ("synced", self.asides[index]) in self.events[:index], f"{path} had its name before its content"
            assert ("synced", path.parent) in self.events[index:], f"the name of {path} can be lost"
            names.add(path.name)
        return names


def test_files_are_synced_before_their_names_and_folders_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "new" / "store"
    tasks = planned(*SMALL, "snapshots=2", "method.dm.iterations=4", f"store={root}", f"data_root={tmp_path}").tasks
    spy = Spy(monkeypatch)
    ended = []
    runtime = Runtime(root, CPU, checkpoint_seconds=1e-9)
    run_tasks(tasks, runtime, 1, lambda *step: None, lambda name, outcome: ended.append(outcome.new))
    assert ended == [True] * len(tasks)
    Store(root).attempt(tasks[0], "failed", "for its folder")
    kept = Store(root).set_aside(tasks[0])
    monkeypatch.undo()
    assert kept is not None
    names = spy.check(tmp_path)
    files = {
        "task.json",
        "record.json",
        "synthetic.safetensors",
        "preview.png",
        "4.safetensors",
        CHECKPOINT,
        "001.json",
    }
    folders = {"new", "store", "condense", "snapshots", "attempts", "replaced", "001"}
    assert names >= files | folders | {Store(root).folder(task).name for task in tasks}


def test_two_workers_note_a_time_limit(tmp_path: Path) -> None:
    words = (*SMALL, "method.dm.iterations=10000000", f"store={tmp_path}", f"data_root={tmp_path / 'data'}")
    tasks, seen = planned(*words).of_kind("condense"), set[str]()

    def on_step(name: str, *step: Any) -> None:
        if name not in seen:
            seen.add(name)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGUSR2)

    with pytest.raises(Stopped) as stopped:
        run_tasks(tasks, Runtime(tmp_path, replace(CPU)), 2, on_step, lambda *end: None)
    assert stopped.value.number == signal.SIGUSR2
    attempts = [Store(tmp_path).last_attempt(task) for task in tasks]
    assert [attempt and attempt["status"] for attempt in attempts] == ["timed_out"] * 2
