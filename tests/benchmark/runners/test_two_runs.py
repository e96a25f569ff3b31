"""Two runs of one request at a time: the second waits for what the first works on, and both end in the same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.execution.runtime import Outcome, Runtime, Task
from benchmark.runners.local import run_tasks
from benchmark.utils.stopping import Stopped
from helpers import CPU, planned
from results.store.schema import Status
from results.store.store import Store

SMALL = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "seeds=[0,1]",
         "method.dm.iterations=2", "threads=1")  # fmt: skip
HOLD = """
import sys, time
from pathlib import Path
from results.store.lock import TaskLock
print(TaskLock(Path(sys.argv[1])).acquire(), flush=True)
time.sleep(float(sys.argv[2]))
"""
Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts Python processes; kills those that are left after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
        command = [sys.executable, *words]
        processes.append(
            subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def run(spawn: Spawn, folder: Path, *words: str) -> subprocess.Popen[str]:
    return spawn("-u", "-m", "benchmark.run", "store=out", *SMALL, *words, cwd=folder)


def hold(spawn: Spawn, folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that has locked a task's folder."""
    process = spawn("-c", HOLD, str(folder), str(seconds), cwd=Path(__file__).parents[3])
    assert process.stdout and process.stdout.readline() == "True\n"
    return process


def wait_for_line(process: subprocess.Popen[str], text: str) -> list[str]:
    """The lines of a process up to the first with a text."""
    lines: list[str] = []
    assert process.stdout
    while not lines or text not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], f"{text!r} was not printed: {lines}"
    return lines


def tasks(out: Path) -> list[Task]:
    return planned(*SMALL, f"store={out}", f"data_root={out.parent / 'data'}").tasks


def test_the_second_run_waits_for_the_first(spawn: Spawn, tmp_path: Path) -> None:
    words = ("workers=1", "seeds=[0]", "method.dm.iterations=100")
    first = run(spawn, tmp_path, *words)
    while not list(tmp_path.glob("out/condense/*/lock.json")):
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # it keeps its lock, and cannot finish before the second run comes to it
    second = run(spawn, tmp_path, *words)
    said = wait_for_line(second, f"waits for process {first.pid} on ")
    first.send_signal(signal.SIGCONT)
    outputs = [first.communicate(timeout=200)[0], "".join(said) + second.communicate(timeout=200)[0]]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert outputs[1].count(f"waits for process {first.pid}") == 1, outputs[1]
    assert not any(word in text for text in outputs for word in ("held", "blocked", "Traceback"))
    assert len(list(tmp_path.glob("out/*/*/record.json"))) == 2 and not list(tmp_path.glob("out/*/*/attempts"))


@pytest.mark.parametrize("workers", [1, 2])
def test_other_tasks_go_on_and_a_killed_holder_is_replaced(workers: int, spawn: Spawn, tmp_path: Path) -> None:
    held, *others = tasks(tmp_path)
    holder = hold(spawn, Store(tmp_path).begin(held), 100)
    ended: dict[str, Outcome] = {}
    said: list[str] = []

    def kill_holder() -> None:
        if len(ended) == 2 and said:  # the other seed's set and its evaluation are done, and this run waits
            assert Store(tmp_path).record(held) is None
            holder.kill()
            holder.wait()

    def end(name: str, outcome: Outcome) -> None:
        ended[name] = outcome
        kill_holder()

    def say(text: str) -> None:
        said.append(text)
        kill_holder()

    run_tasks([held, *others], Runtime(tmp_path, CPU), workers, lambda *step: None, end, say)
    assert [outcome.status for outcome in ended.values()] == [Status.DONE] * 4
    assert len(said) == 1 and f"waits for process {holder.pid} on" in said[0] and held["slug"] in said[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_wait_has_a_limit(workers: int, spawn: Spawn, tmp_path: Path) -> None:
    held, *others = tasks(tmp_path)
    hold(spawn, Store(tmp_path).begin(held), 100)
    ended: list[tuple[str, Outcome]] = []
    runtime = Runtime(tmp_path, CPU, max_wait_seconds=0.5)
    run_tasks([held, *others], runtime, workers, lambda *step: None, lambda *end: ended.append(end))
    assert [outcome.status for _, outcome in ended] == [Status.DONE, Status.DONE, Status.HELD, Status.BLOCKED]
    assert "raise max_wait_seconds" in ended[2][1].message


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_ends_the_wait(workers: int, number: int, spawn: Spawn, tmp_path: Path) -> None:
    held = tasks(tmp_path)[0]
    hold(spawn, Store(tmp_path).begin(held), 100)

    def say(text: str) -> None:
        if "waits for" in text:
            stop_soon(number)

    with pytest.raises(Stopped) as stopped:
        run_tasks([held], Runtime(tmp_path, CPU), workers, lambda *step: None, lambda *end: None, say)
    assert stopped.value.number == number and Store(tmp_path).last_attempt(held) is None


def stop_soon(number: int) -> None:
    """Send this process a signal a little later, when it waits."""
    script = "import os, sys, time; time.sleep(1); os.kill(int(sys.argv[1]), int(sys.argv[2]))"
    subprocess.Popen([sys.executable, "-c", script, str(os.getpid()), str(int(number))])
