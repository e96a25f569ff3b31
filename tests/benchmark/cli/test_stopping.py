"""Signals at any moment of a command: it ends soon, without a traceback, with 130 (Ctrl-C) or 143 (SIGTERM)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = ["run", "methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]", "threads=1",
       "method.dm.iterations=1000000"]  # fmt: skip
INT, TERM = signal.SIGINT, signal.SIGTERM


def start(folder: Path, command: str, *words: str) -> subprocess.Popen[str]:
    """A command that handles signals already; before, Python itself is starting, which no code of ours changes."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmark.{command}", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    status = Path(f"/proc/{process.pid}/status")
    while not caught(status.read_text()) >> (TERM - 1) & 1:
        assert process.poll() is None
        time.sleep(0.001)
    return process


def caught(status: str) -> int:
    """The mask of signals that a process handles, from its file in /proc."""
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)


@pytest.mark.parametrize(("words", "seconds", "number"), [
    (RUN, 0.0, INT), (RUN, 0.05, TERM), (RUN, 0.3, INT), (RUN, 1.0, TERM), (RUN, 2.5, INT), (RUN, 4.0, TERM),
    ([*RUN, "dry_run=true"], 3.0, INT), ([*RUN, "dry_run=true"], 6.0, TERM), (["report"], 0.3, INT),
    (["evaluate", "set=x.pt"], 0.3, TERM), (["data", "list"], 0.1, INT), (["methods"], 0.3, TERM),
    (["analyze", *RUN[1:]], 1.5, INT), (["profile", "methods=[dm]", "preset=paper", "steps=10000"], 3.0, TERM),
])  # fmt: skip
def test_a_command_ends_without_a_traceback(words: list[str], seconds: float, number: int, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    process = start(tmp_path, *words)
    time.sleep(seconds)
    ended = process.poll() is not None
    process.send_signal(number)
    began = time.monotonic()
    text, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 20 and "Traceback" not in text and "Exception ignored" not in text, text
    if not ended:  # a fast machine
        assert process.returncode == 128 + number and "stopped" in text, text


def read_to(process: subprocess.Popen[str], text: str) -> None:
    """Read lines up to the first with a text."""
    assert process.stdout
    while text not in (line := process.stdout.readline()):
        assert line, f"{text!r} was not printed"


@pytest.mark.parametrize(("workers", "number"), [(1, INT), (2, INT), (2, TERM)])
def test_a_run_says_at_once_that_it_saves(workers: int, number: int, tmp_path: Path) -> None:
    """As soon as its tasks are described; workers are still being started then."""
    process = start(tmp_path, *RUN, f"workers={workers}", "seeds=[0,1]")
    read_to(process, "store:")
    time.sleep(0.5)
    process.send_signal(number)
    began = time.monotonic()
    read_to(process, "stopping, saving…")
    assert time.monotonic() - began < 3
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in text and "continues from here" in text, text


def test_another_program_that_imports_the_package_keeps_its_own_handlers(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "__init__.py").write_text("import benchmark\n")
    main = "import signal\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    (tmp_path / "other" / "__main__.py").write_text(main)
    for words in (["-m", "other"], ["-m", "other", "-m", "benchmark.run"]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
