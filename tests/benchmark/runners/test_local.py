"""Two workers: the same bytes as with one, and real processes that are stopped and killed with real signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import outcome

REQUEST = [
    "methods=[dance]", "ipcs=[2]", "seeds=[0,1]", "baselines=[]", "num_eval=1", "threads=1", "checkpoint_seconds=0.05",
    "method.dance.iterations=120", "method.dance.experts=2", "method.dance.pretrain_epochs=2",
    "architectures=[convnet3-w16]",
]  # fmt: skip
INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL


class Run:
    """A real run in a session of its own, as a terminal would start it."""

    def __init__(self, out: Path, workers: int = 2) -> None:
        self.out = out
        command = [sys.executable, "-m", "benchmark.run", f"store={out}", f"workers={workers}", *REQUEST]
        with (out.parent / "output.txt").open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=out.parent, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def text(self) -> str:
        return (self.out.parent / "output.txt").read_text()

    def wait(self, timeout: float = 200) -> int:
        status = self.process.wait(timeout)
        assert "Traceback" not in self.text, self.text
        return status

    def wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 200
        while not ready():
            assert self.process.poll() is None and time.monotonic() < deadline, self.text
            time.sleep(0.01)

    def wait_until_both_condense(self) -> None:
        """Wait until both condense tasks have a checkpoint and a lock."""
        self.wait_until(
            lambda: all(len(list(self.out.glob(f"condense/*/{name}.*"))) == 2 for name in ("checkpoint", "lock"))
        )

    def workers(self) -> list[int]:
        """The process ids of the workers: children that multiprocessing spawned."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    """Starts runs; kills their processes after the test."""
    runs: list[Run] = []

    def start_run(out: Path, workers: int = 2) -> Run:
        runs.append(Run(out, workers))
        return runs[-1]

    yield start_run
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, KILL)
        run.process.wait()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def attempts(out: Path) -> list[str]:
    return sorted(f"{path.parts[-4]} {json.loads(path.read_text())['status']}" for path in out.glob("*/*/attempts/*"))


@pytest.fixture(scope="module")
def sequential_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("sequential") / "out"
    run = Run(out, workers=1)
    assert run.wait() == 0, run.text
    results = outcome(out)
    assert len(results) == 6
    return results


@pytest.mark.timeout(600)  # four runs with two workers each, which import torch
def test_stopped_and_killed_runs_resume_to_the_same_bytes(
    start: Callable[..., Run], sequential_results: dict[str, object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for count, (number, to_all) in enumerate([(TERM, False), (INT, True)], 1):  # Ctrl-C reaches the whole group
        run = start(out)
        run.wait_until_both_condense()
        workers = run.workers()
        assert len(workers) == 2
        os.killpg(run.process.pid, number) if to_all else run.process.send_signal(number)
        assert run.wait(60) == 128 + number and "stopping, saving…" in run.text, run.text
        assert "continues from here" in run.text
        assert not any(map(alive, workers)), "a worker outlived the run"
        assert attempts(out) == ["condense interrupted"] * 2 * count
        assert not list(out.glob("condense/*/record.json")) and not list(out.glob("*/*/lock.json"))

    run = start(out)
    run.wait_until_both_condense()
    workers = run.workers()
    run.process.kill()
    assert run.process.wait(60) == -KILL
    deadline = time.monotonic() + 20
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "workers outlived the killed run"
        time.sleep(0.05)

    run = start(out)
    assert run.wait() == 0, run.text
    assert outcome(out) == sequential_results
    for path in out.glob("condense/*/log.txt"):
        assert path.read_text().count("resuming from step") >= 2


def test_a_killed_worker_is_reported_and_the_same_command_completes(
    start: Callable[..., Run], sequential_results: dict[str, object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = start(out)
    run.wait_until_both_condense()
    workers = run.workers()
    os.kill(workers[0], KILL)
    assert run.wait() == 1, run.text
    assert "its process died" in run.text.partition("failed: condense dance")[2], run.text
    assert len(list(out.glob("evaluate/*/record.json"))) == 1, "the other worker completes its tasks"
    assert not any(map(alive, workers)) and not attempts(out)
    run = start(out)
    assert run.wait() == 0, run.text
    assert outcome(out) == sequential_results
    records = [json.loads(path.read_text()) for path in out.glob("*/*/record.json")]
    assert len(records) == 6 and all(record["environment"]["shared"] for record in records)
