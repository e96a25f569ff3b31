"""A method whose code was edited: the run says so, and `again=NAME` makes its sets again and keeps the old records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

METHOD = '''"""Random images, made brighter in every step."""
from dataclasses import dataclass
from typing import ClassVar

import torch

from methods.base import Card, Condenser, Settings, SyntheticSet


@dataclass(frozen=True)
class BrighterConfig(Settings):
    iterations: int = 100


class Brighter(Condenser):
    """A method without a paper."""

    card: ClassVar[Card] = Card("brighter", "Brighter", "ours", "", "", 2026)
    Config = BrighterConfig

    def __init__(self, problem, config):
        self.total_steps, self.ipc = config.iterations, problem.ipc
        self.images = problem.real.sample(problem.ipc, problem.generator("real")).flatten(0, 1)
        self.labels = torch.arange(problem.num_classes).repeat_interleave(problem.ipc)
        self.gain = 0.0

    def step(self):
        self.gain += 0.001
        return {"gain": self.gain}

    def synthetic(self):
        return SyntheticSet(self.images + self.gain, self.labels, self.ipc)

    def state_dict(self):
        return {"gain": self.gain}

    def load_state_dict(self, state):
        self.gain = state["gain"]
'''
WORDS = ("methods=[brighter]", "baselines=[]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "workers=1",
         "threads=1")  # fmt: skip
Call = Callable[..., str]


@pytest.fixture
def folder(plug_in: Callable[[str, str], Path]) -> Path:
    return plug_in("brighter = other_method:Brighter", METHOD)


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Call:
    """What `python -m benchmark.run` prints, when it goes well."""

    def call(*words: str) -> str:
        path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "benchmark.run", *WORDS, *words], cwd=tmp_path, capture_output=True, text=True,
            timeout=200, check=False, env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    return call


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "other_method.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_an_edited_method_is_named_and_made_again_on_request(run: Call, folder: Path, tmp_path: Path) -> None:
    first = run()
    assert "the paper's" not in first and "brighter: " not in first  # without a paper it runs in full
    assert "Brighter from other 1.0." in first
    (record,) = (tmp_path / "outputs/condense").glob("*/record.json")
    before, sound = json.loads(record.read_text()), (record.parent / "synthetic.safetensors").read_bytes()
    assert before["steps"] == 100
    edit(folder, '"""A method without a paper."""', '"""A method, and no paper."""')
    assert "other code" not in run()
    edit(folder, "0.001", "0.004")
    text = run()
    assert "1 of 1 stored sets of brighter were made by other code of it than today's (other 1.0)" in text
    assert "again=brighter makes them again" in text and text.count("was done before") == 2
    assert json.loads(record.read_text()) == before
    text = run("again=brighter")
    assert "other code of brighter made it; the old record is in condense/" in text and "was done before" not in text
    after = json.loads(record.read_text())
    assert after["identity"] == before["identity"] and after["artifacts"] != before["artifacts"]
    kept = record.parent / "replaced" / "001"
    assert json.loads((kept / "record.json").read_text()) == before
    assert (kept / "synthetic.safetensors").read_bytes() == sound
    (scored,) = (tmp_path / "outputs/evaluate").glob("*/record.json")
    assert (scored.parent / "replaced/001/record.json").exists()  # it scored the old set
    again = run("again=[brighter]")
    assert again.count("was done before") == 2 and "other code" not in again


def test_again_takes_methods_of_the_run(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.run", "methods=[dm]", "again=dn", "dry_run=true"], cwd=tmp_path,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "no method of this run 'dn'" in done.stderr and "known: dm, random" in done.stderr
