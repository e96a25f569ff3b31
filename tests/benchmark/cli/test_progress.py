"""The time that is left of all tasks of a run."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmark.cli import progress
from benchmark.cli.progress import TaskProgress


def test_the_time_left_is_steps_times_measured_seconds_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    kinds = {"slow": 1, "also slow": 1, "slow, too": 1, "fast": 2, "also fast": 2, "of an unknown kind": 3}
    with TaskProgress(Console(file=io.StringIO()), kinds, workers=2, mode="none") as screen:

        def left() -> str:
            return str(screen.bars.tasks[0].fields.get("left", ""))

        screen.step("slow", 1, 100, {})
        assert left() == "", "one step has no speed"
        now += 10
        screen.step("slow", 10, 100, {})  # a step a second: 90 s are left, 100 s of another one
        screen.step("fast", 1, 24, {})
        now += 2
        screen.step("fast", 4, 24, {})  # two a second: 10 s, and 12 s of another one; their mean is 56 s
        assert left() == "0:03:04", "(90 + 100 + 100 + 10 + 12 + 56) / 2 workers"
        screen.end("slow", "done")
        assert left() == "0:02:19", "(100 + 100 + 10 + 12 + 56) / 2"
        for name in ("also slow", "slow, too", "fast", "also fast"):
            screen.end(name, "done")
        assert left() == "0:00:56", "one worker has the last task"
