"""Odd files on queued runs: each is named, `benchmark.status` shows the rest, no job is cancelled or queued twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cancel import cancel
from benchmark.cli import main
from benchmark.status import status
from many_records import many_records, write_store
from slurm import submissions
from slurm.errors import SlurmError

Command = Callable[[str], tuple[int, str, str]]  # name to (status, stdout, stderr)
TASK = {"identity": "a" * 64, "kind": "condense", "slug": "dm-digits", "inputs": []}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def launch(name: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", f"store={tmp_path / 'out'}"])
        with pytest.raises(SystemExit) as ended:
            main.launch({"status": status, "cancel": cancel}[name], name)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return launch


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a queued run in a store with finished tasks."""
    write_store(tmp_path / "out", many_records(2, 1, ("svhn",), (1,)))
    folder = tmp_path / "out" / "slurm" / "run1"
    folder.mkdir(parents=True)
    return folder


REQUESTS = {
    "no JSON": "{",
    "null": "null",
    "list": "[]",
    "no tasks": "{}",
    "tasks of another type": '{"tasks": 3}',
    "task of another type": '{"tasks": [3]}',
    "no inputs": json.dumps({"tasks": [{key: TASK[key] for key in ("identity", "kind", "slug")}]}),
    "inputs of another type": json.dumps({"tasks": [TASK | {"inputs": None}]}),
    "kind": json.dumps({"tasks": [TASK | {"kind": "cook"}]}),
    "identity": json.dumps({"tasks": [TASK | {"identity": ["a"]}]}),
    "no text": "\x00\xff",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_damaged_request_is_named_and_the_rest_is_shown(name: str, run_folder: Path, command: Command) -> None:
    path = run_folder / "request.json"
    path.write_text(REQUESTS[name])
    code, out, err = command("status")
    assert code == 1 and err.count("error: ") == 1 and str(path) in err and "remove the file" in err, out + err
    assert "evaluate" in out and "Traceback" not in out + err
    path.unlink()
    assert command("status")[0] == 0


def test_a_sound_request_is_counted(run_folder: Path, command: Command) -> None:
    (run_folder / "request.json").write_text(json.dumps({"tasks": [TASK], "config": {}}))
    code, out, err = command("status")
    assert (code, err) == (0, "") and "condense     2        –       –        –       –        –      1" in out


LINES = {
    "null": "null",
    "number": "3",
    "no name": '{"array": "7"}',
    "name of another type": '{"name": 3, "array": "7"}',
    "jobs of another type": '{"name": "b", "jobs": 3}',
    "job of another type": '{"name": "b", "jobs": [3]}',
    "array of another type": '{"name": "b", "array": null}',
    "array that is no id": '{"name": "b", "array": "7; rm"}',
    "nothing": '{"name": "b"}',
}


@pytest.mark.parametrize("name", LINES)
def test_an_odd_line_on_submissions_is_named(name: str, run_folder: Path, command: Command) -> None:
    submissions.record_intent(run_folder.parent, "run1", "a", [["a" * 64]])
    path = run_folder / submissions.FILE
    path.write_text(path.read_text() + LINES[name] + "\n")
    submissions.record_id(run_folder.parent, "run1", "a", "12")
    code, out, err = command("status")
    assert code == 1 and f"{path}, line 2" in err and "remove the line" in err and "evaluate" in out, out + err
    with pytest.raises(SlurmError, match="a line on what was submitted is wrong"):
        submissions.read(run_folder.parent)
    problems: list[SlurmError] = []
    (known,) = submissions.read(run_folder.parent, on_problem=problems.append)
    assert known.ids == ["12"] and len(problems) == 1


def test_a_half_written_line_is_skipped(run_folder: Path) -> None:
    submissions.record_intent(run_folder.parent, "run1", "a", [["a" * 64]])
    path = run_folder / submissions.FILE
    path.write_bytes(path.read_bytes() + b'{"name": "a", "arr\xc3')
    (known,) = submissions.read(run_folder.parent)
    assert known.array is None


def test_nothing_is_cancelled_where_a_line_is_odd(run_folder: Path, command: Command, monkeypatch) -> None:
    monkeypatch.setattr("slurm.queue.jobs", dict)
    (run_folder / submissions.FILE).write_text("[]\n")
    code, _, err = command("cancel")
    assert code == 2 and "line 1" in err and len(err.splitlines()) <= 3
