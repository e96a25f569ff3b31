"""Stopping real processes with real signals in every kind of task, and going on to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import outcome

REQUEST = [
    "methods=[dance]", "ipcs=[2]", "baselines=[]", "num_eval=1", "workers=1", "threads=1", "checkpoint_seconds=0.05",
    "method.dance.iterations=40", "method.dance.experts=1", "method.dance.pretrain_epochs=6",
    "architectures=[convnet3-w16]",
]  # fmt: skip
KINDS = ("prepare", "condense", "evaluate")


def start(out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmark.run", f"store={out}", f"data_root={out.parent / 'data'}", *REQUEST]
    return subprocess.Popen(
        command, cwd=out.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )


def finish(out: Path) -> None:
    process = start(out)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0, text


def stop_in(kind: str, number: signal.Signals, out: Path) -> int:
    """Start the run, send the signal once the task of that kind has a checkpoint, return the exit status."""
    process = start(out)
    deadline = time.monotonic() + 200
    while not list(out.glob(f"{kind}/*/checkpoint.*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    assert "Traceback" not in text and ("stopping, saving…" in text) == (number != KILL), text
    return process.returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("whole") / "out"
    finish(out)
    made = outcome(out)
    assert len(made) == 3
    return made


INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL


@pytest.mark.parametrize("signals", [(INT, TERM, KILL), (KILL, KILL, TERM)])
def test_a_run_stopped_in_every_kind_of_task_ends_as_if_it_had_not_been(
    signals: tuple[signal.Signals, ...], uninterrupted: dict[str, object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    finished: dict[Path, int] = {}
    for kind, number in zip(KINDS, signals, strict=True):
        status = stop_in(kind, number, out)
        assert status == (-KILL if number == KILL else 128 + number)
        attempts = list(out.glob(f"{kind}/*/attempts/*.json"))
        assert len(attempts) == (0 if number == KILL else 1)
        assert all(json.loads(path.read_text())["status"] == "interrupted" for path in attempts)
        assert not list(out.glob(f"{kind}/*/record.json")), "the task was over before the signal"
        for path, before in finished.items():
            assert path.stat().st_mtime_ns == before, "something finished was done twice"
        finished = {path: path.stat().st_mtime_ns for path in out.glob("*/*/record.json")}
    finish(out)
    assert outcome(out) == uninterrupted
    for path, before in finished.items():
        assert path.stat().st_mtime_ns == before
    for kind in KINDS:
        assert "resuming from step" in next(out.glob(f"{kind}/*/log.txt")).read_text()
    leftovers = [p for p in out.rglob("*") if p.name.startswith(("checkpoint", "lock", "."))]
    assert not leftovers
