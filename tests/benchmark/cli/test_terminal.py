"""What a person sees on a real terminal of 80, 100 and 120 columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

DRAW = """
import sys, time
from benchmark.cli.progress import TaskProgress, open_console
name = "evaluate random-digits-ipc10-convnet3-w128-seed4-quick-convnet3-w128"
with TaskProgress(open_console(), {name: 1, "another": 1, "third": 2}, workers=2) as screen:
    for done in range(741, 744):
        screen.step(name, done, 10_000, {"loss": 2.3025851, "discrepancy of the features": 123.45})
        time.sleep(0.2)
    screen.bars.refresh()
    screen.say("note: " + "words " * 40)
"""
DEBUG = """
import runpy, sys
from methods.dm import DistributionMatching
step = DistributionMatching.step
def stopping(self):
    breakpoint()
    return step(self)
DistributionMatching.step = stopping
sys.argv = ["run", *sys.argv[1:]]
runpy.run_module("benchmark.run", run_name="__main__", alter_sys=True)
"""
RUN = ("-m", "benchmark.run", "methods=dm", "ipcs=1", "architectures=convnet2-w4", "num_eval=1", "workers=1",
       "threads=1", "method.dm.iterations=2", "store=out put")  # fmt: skip


def screen(columns: int, folder: Path, *words: str) -> tuple[int, list[str]]:
    """The exit status of Python with these words on a terminal of its own, and the lines it drew, without styles."""
    main, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color"}
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen([sys.executable, *words], stdin=end, stdout=end, stderr=end, cwd=folder, env=environment)
    os.close(end)
    drawn = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        drawn += part
    os.close(main)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())
    return process.wait(), re.split(r"[\r\n]+", text)


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_bars_counts_and_the_time_left_are_never_cut(columns: int, tmp_path: Path) -> None:
    status, lines = screen(columns, tmp_path, "-c", DRAW)
    assert status == 0, lines
    assert max(map(len, lines)) <= columns
    (last,) = [line for line in lines if "743/" in line][-1:]
    assert re.match(r"evaluate random-\S*… [━╸╺]{10} +743/10000 left \d+:\d\d:\d\d \S+ steps/s .*", last), last
    whole = [line for line in lines if line.startswith("all tasks")]
    assert re.search(r"[━╸╺]{10} +0/3 +left \d+:\d\d:\d\d", whole[-1]), whole[-1]
    assert "goes on from step 740 of 10,000" in " ".join(" ".join(lines).split())
    notes = [line for line in lines if "words" in line]
    assert len(notes) > 1 and {word for line in notes for word in line.split()} == {"note:", "words"}


def test_a_run_says_what_it_finds_and_what_comes_next(tmp_path: Path) -> None:
    status, lines = screen(80, tmp_path, *RUN)
    assert status == 0, lines
    assert lines[0] == "loading …"
    ended = re.findall(r"\[(\d+)/\d+\] evaluate (\w+)\S+ done, ([\d.]+) %", " ".join(" ".join(lines).split()))
    assert [name for _, name, _ in ended] == ["dm", *["random"] * 5, "whole"], "the whole set takes longest"
    assert "next: python -m benchmark.report 'store=out put'" in lines
    again = subprocess.run([sys.executable, *RUN], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "loading" not in again.stdout and "was done before" in again.stdout


def test_a_step_can_be_debugged_and_leaving_it_blocks_nothing(tmp_path: Path) -> None:
    def run(typed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DEBUG, *RUN[2:], "baselines=[]", "progress=none"]
        return subprocess.run(command, cwd=tmp_path, input=typed, capture_output=True, text=True)

    left = run("q\n")
    assert left.returncode == 130 and "(Pdb)" in left.stdout and "the same command continues" in left.stderr, (
        left.stderr
    )
    done = run("p 6 * 7\nc\nc\n")
    assert done.returncode == 0 and "(Pdb) 42" in done.stdout, done.stdout + done.stderr


def test_plain_progress_draws_no_bar_on_a_terminal(tmp_path: Path) -> None:
    status, lines = screen(80, tmp_path, "-c", DRAW.replace("workers=2", "mode='plain'"))
    assert status == 0 and not [line for line in lines if "━" in line]
    status, lines = screen(80, tmp_path, *RUN, "progress=bars")
    assert status == 2 and "Did you mean 'bar'?" in " ".join(lines)
