"""A profile adds up, names its phases, changes nothing of what it runs, and writes a trace only on request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module

from benchmark import profile
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import ConcreteProblem
from benchmark.config import compose as options
from benchmark.config.compose import parse_profile
from benchmark.config.schema import ProfileConfig
from benchmark.estimation import step_profile
from benchmark.planning import grid
from benchmark.utils.errors import BenchmarkError
from helpers import CPU
from methods import registry

TINY = ("ipcs=[2]", "architectures=[convnet2-w4]", "steps=2", "threads=1", "method.dm.batch_real=4",
        "method.dance.experts=2", "method.dance.batch_real=4", "method.dsa.inner_loop=2", "method.dc.inner_loop=2",
        "method.idm.batch_real=4", "method.idm.train_steps=2", "method.idm.batch_train=8",
        "method.idm.generate_interval=1")  # fmt: skip
SHARED = {"draw real images", "augment", "real pass", "synthetic pass", "optimizer step", "other"}


def asked(*words: str) -> ProfileConfig:
    methods = next(word for word in words if word.startswith("methods="))
    kept = [word for word in TINY if not word.startswith("method.") or re.search(rf"\b{word.split('.')[1]}\b", methods)]
    given = {word.split("=")[0] for word in words}
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        said = [word for word in kept if word.split("=")[0] not in given]
        return parse_profile(compose("profile", overrides=[*said, *words]))


def profiled(*words: str, compute: Compute = CPU) -> tuple[step_profile.Profile, list[str]]:
    found = asked(*words)
    (task,) = (built := grid.build(found.run_config())).of_kind("condense")
    outline = built.outlines[task["display"]["dataset"]]
    return step_profile.profile_task(task, outline, compute, found.steps, lambda *call: None)


# --- phases -----------------------------------------------------------------------------------------------------------


def test_a_phase_excludes_the_phases_inside_it() -> None:
    backward = "autograd::engine::evaluate_function: MulBackward0"
    step = [
        (0.0, 100.0, "condensation step"),
        (0.0, 40.0, "real pass"),
        (5.0, 15.0, "draw real images"),
        (6.0, 10.0, "draw real images"),  # a verb that calls another of the same phase
        (20.0, 30.0, backward),  # of the real pass: it is a part of that
        (20.0, 25.0, "aten::mul"),
        (40.0, 60.0, "synthetic pass"),
        (60.0, 70.0, backward),  # of the method itself
        (61.0, 69.0, backward),
        (70.0, 75.0, "optimizer step"),
    ]
    later = [(start + 100.0, end + 100.0, name) for start, end, name in step]
    found = step_profile.phases([*later, *step], 2)
    assert {name: share for name, (share, _) in found.items()} == {
        "draw real images": 0.1, "real pass": 0.3, "synthetic pass": 0.3, "optimizer step": 0.05, "other": 0.25
    }  # fmt: skip
    assert {calls for _, calls in found.values()} == {1.0}


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("dm", {"new network"}),
        ("dance", {"new network"}),
        ("dm@f2", {"new network"}),
        ("idm", {"new network", "train networks"}),
        ("dc", {"new network", "train networks"}),  # at ipc 2 every other step begins with a new network
        ("dsa", {"new network", "train networks"}),
    ],
)
def test_every_phase_of_a_step_is_there_and_they_add_up(method: str, more: set[str]) -> None:
    found, (how,) = profiled(f"methods=[{method}]")
    assert set(found.phases) == SHARED | more
    assert list(found.phases) == [name for name in step_profile.PHASES if name in found.phases]
    assert sum(share for share, _ in found.phases.values()) == pytest.approx(1)
    assert all(share > 0 for share, _ in found.phases.values()) and found.seconds > 0
    views = 2 if method == "dance" else 1
    assert found.phases["real pass"][1] == 1 and found.phases["synthetic pass"][1] == views
    assert how.startswith("mean of 2 steps on ") and "1 thread, fp32, not compiled" in how


def test_what_is_profiled_is_still_compiled() -> None:
    found, lines = profiled("methods=[dm]", "steps=1", compute=replace(CPU, compile=True))
    assert len(lines) == 1, "nothing is computed uncompiled"
    assert ", compiled" in lines[0] and set(found.phases) == SHARED | {"new network"}


# --- changes nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dance", "dc", "dm", "dsa", "idm"])
def test_profiling_leaves_the_synthetic_images_as_they_are(method: str, make_problem: Callable[..., ConcreteProblem]):
    found = registry.get(method)
    settings = replace(found.Config.tiny(), iterations=4)  # type: ignore[call-arg]  # all of these have iterations
    recorder = step_profile.PhaseRecorder(torch.device("cpu"))
    plain, seen = found(make_problem(), settings), found(recorder.problem(make_problem()), settings)
    step_profile.profile_steps(seen, recorder, 2, lambda *call: None)
    for _ in range(step_profile.WARMUP_STEPS + 2):
        plain.step()
    assert torch.equal(seen.synthetic().images, plain.synthetic().images)
    assert seen.state_dict()["done"] == plain.state_dict()["done"]


def test_a_recorded_call_waits_for_the_device_under_the_profiler_only(monkeypatch) -> None:
    waits: list[str] = []
    monkeypatch.setattr(step_profile, "now", lambda device: waits.append(device.type))
    recorder = step_profile.PhaseRecorder(torch.device("cuda"))
    double = recorder.recorded(lambda number: 2 * number, "new network")
    assert double(2) == 4 and not waits
    recorder.on = True
    assert double(3) == 6 and waits == ["cuda", "cuda"]


# --- the command ------------------------------------------------------------------------------------------------------


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "benchmark.profile", *words], cwd=folder, capture_output=True,
                          text=True, timeout=250, check=False, env=os.environ | {"COLUMNS": "80"})  # fmt: skip


def test_the_command_prints_a_table_for_each_task_and_writes_the_traces_alone(tmp_path: Path) -> None:
    words = ("methods=[dance,dm]", "datasets=[digits]", "architectures=[convnet3-w8]", "steps=1")
    done = call(tmp_path, *words, "trace=t.json")
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert "dance on digits at ipc 10, convnet3-w8" in done.stdout and "dm on digits at ipc 10" in done.stdout
    for name in (*SHARED, "new network", "step"):
        assert done.stdout.count(f"\n  {name} ") == 2, name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-t.json", "2-t.json"]
    assert "The trace is in 1-t.json." in done.stdout and "The trace is in 2-t.json." in done.stdout
    for path in tmp_path.iterdir():
        names = {event.get("name") for event in json.loads(path.read_text())["traceEvents"]}
        assert (SHARED - {"other"}) | {"new network", "condensation step"} <= names


def test_help_lists_the_settings(tmp_path: Path) -> None:
    told = call(tmp_path, "--help")
    assert (
        told.returncode == 0
        and "method.NAME.SETTING=VALUE" in told.stdout
        and "iterations_fraction: 1.0" in told.stdout
    )
    assert "trace: null" in told.stdout and "protocols" not in told.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["methods=[dnace]"], "Did you mean 'dance'?"),
        (["methods=[dm,random]"], "no step to profile"),
        (["methods=[whole]"], "condenses nothing"),
        (["methods=[]"], "methods is empty"),
        (["methods=[dm]", "ipcs=[0]"], "ipcs must be from 1 to 1,000,000"),
        (["methods=[dm]", "steps=0"], "steps must be from 1 to 1,000,000"),
        (["methods=[dm]", "preset=papre"], "no preset 'papre'"),
        (["methods=[dm]", "seeds=[1]"], "no option 'seeds'"),
        (["methods=[dm]", "protocols=[dsa]", "preset=paper"], "no option 'protocols'"),
        (["methods=[dm]", "precision=fp8"], "'fp8'"),
        (["methods=[dm]", "datasets=[digit]"], "Did you mean 'digits'?"),
        (["methods=[dance]", "architectures=[convnet2-bn]"], "batch norm"),
        (["methods=[dm]", "method.dm.iterations=2"], "2 steps in all"),
        (["methods=[dm]", "method.dm.batch=2"], "batch"),
        (["methods=[dm]", "trace=folder"], "is a folder"),
        (["methods=[dm,dance]", "trace=folder"], "is a folder"),
        (["methods=[dm]", "trace="], "trace must be a name"),
        (["methods=[dm]", "trace=nowhere/t.json"], "no file can be written there"),
        (["methods=[dm,dance]", "trace=file/t.json"], "no file can be written there"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(words: list[str], said: str, tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["profile.py", *words])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as ended:
        profile.main.launch(profile.profile, "profile")
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == ""
    assert told.err.startswith("error: ") and said in told.err and told.err.count("\n") <= 3


def test_running_out_of_memory_is_reported(monkeypatch) -> None:
    def none_left(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step_profile, "dummy_problem", none_left)
    with pytest.raises(BenchmarkError, match="memory ran out"):
        profiled("methods=[dm]")
