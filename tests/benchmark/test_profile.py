"""What a profile says adds up, counts right, and changes nothing of what it looks at; and its command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn
from torch.func import functional_call, grad, vmap

from benchmark import networks, profile, profiling
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import ConcreteProblem
from benchmark.config import compose as options
from benchmark.config.compose import parse_profile
from benchmark.config.schema import ProfileConfig
from benchmark.floor import Counter, Peaks
from benchmark.measured import PARTS, Parts, Used, measured_problem, watched
from benchmark.planning import grid
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from methods import momentum, registry
from parts import CPU

TINY = ("ipcs=[2]", "architectures=[convnet2-w4]", "steps=1", "threads=1", "method.dance.experts=2",
        "method.dm.batch_real=4", "method.dance.batch_real=4", "method.dsa.inner_loop=2", "method.idm.batch_real=4",
        "method.idm.train_steps=2", "method.idm.batch_train=8", "method.dc.inner_loop=2")  # fmt: skip
SHARED = {"drawing real images", "augmentation", "real pass", "synthetic pass", "optimizer", "the rest"}


def asked(*words: str) -> ProfileConfig:
    methods = next(word for word in words if word.startswith("methods="))
    kept = [word for word in TINY if not word.startswith("method.") or re.search(rf"\b{word.split('.')[1]}\b", methods)]
    given = {word.split("=")[0] for word in words}
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        said = [word for word in kept if word.split("=")[0] not in given]
        return parse_profile(compose("profile", overrides=[*said, *words]))


def profiled(*words: str, compute: Compute = CPU) -> profiling.Profile:
    found = asked(*words)
    (task,) = (built := grid.build(found.run_config())).of_kind("condense")
    outline = built.outlines[task["display"]["dataset"]]
    return profiling.profile(task, outline, compute, found.steps, lambda *call: None)


# --- parts ------------------------------------------------------------------------------------------------------------


def test_a_part_inside_a_part_is_taken_off_the_outer_one() -> None:
    clock = count()
    parts = Parts(lambda: Used(seconds=float(next(clock))))  # a second passes between two looks
    with parts.step(), parts.part("optimizer"):
        with parts.part("augmentation"):
            pass
        with parts.part("real pass"), parts.part("synthetic pass"), parts.part("augmentation"):
            parts.moved(7.0)
    seconds = {name: used.seconds for name, used in parts.used.items()}
    assert seconds == {"the rest": 2.0, "optimizer": 3.0, "augmentation": 2.0, "real pass": 4.0}
    assert parts.used["augmentation"].moved == 7.0
    with parts.step():
        pass
    assert set(parts.used) == {"the rest"}, "the last step alone"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("dm", {"building networks"}),
        ("dance", {"building networks"}),
        ("dm@f2", {"building networks"}),
        ("idm", {"training networks"}),
        ("dsa", {"training networks", "building networks"}),  # at ipc 2 every other step begins with a new network
    ],
)
def test_every_part_of_a_step_is_there_and_they_add_up(method: str, more: set[str]) -> None:
    found = profiled(f"methods=[{method}]")
    assert set(found.parts) == SHARED | more and list(found.parts) == [name for name in PARTS if name in found.parts]
    assert len(found.steps) == 1 and found.whole.seconds == pytest.approx(found.steps[0], rel=1e-9)
    assert all(used.seconds > 0 for used in found.parts.values())
    passes = {name for name, used in found.parts.items() if used.operations}
    assert passes == {name for name in found.parts if name in ("real pass", "training networks", "synthetic pass")}
    assert all(used.moved > 0 for name, used in found.parts.items() if name != "the rest")
    assert found.compiled.startswith("nothing is compiled") and not found.told


def test_the_median_step_is_the_one_that_is_told() -> None:
    found = profiled("methods=[dm]", "steps=5", "method.dm.iterations=7")
    assert len(found.steps) == 5 and found.whole.seconds == pytest.approx(sorted(found.steps)[2], rel=1e-9)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_operations_and_bytes_of_a_convnet_are_those_counted_by_hand() -> None:
    network = networks.build("convnet2-w8", (3, 8, 8), 5, seeding.generator("test")).requires_grad_(False)
    images = torch.rand(6, 3, 8, 8)
    with Counter() as forward:
        network(images)
    first, second, last = 8 * 8 * 8 * 3 * 9, 4 * 4 * 8 * 8 * 9, 5 * 8 * 2 * 2  # outputs × inputs of each
    assert forward.operations == 2 * 6 * (first + second + last)
    weights = sum(weight.numel() for name, weight in network.named_parameters() if weight.ndim > 1)
    maps = 6 * (3 * 8 * 8 + 8 * 8 * 8 + 8 * 4 * 4 + 8 * 4 * 4 + 8 * 2 * 2 + 5)
    assert forward.moved == 4 * (weights + 5 + maps)  # the linear layer's product adds its 5 biases
    with Counter() as both:
        leaf = images.requires_grad_()
        torch.autograd.grad(network(leaf).sum(), leaf)
    assert both.operations == 2 * forward.operations, "constant weights: one gradient for each layer"


def test_gradients_of_each_class_cost_what_they_cost_one_by_one() -> None:
    """vmap runs them as groups of one convolution, which torch's own formula counts as if each saw all channels."""
    layer, images = nn.Conv2d(3, 4, 3, padding=1, bias=False), torch.rand(5, 2, 3, 8, 8)
    held = {"weight": layer.weight.detach()}

    def loss(weights: dict[str, torch.Tensor], seen: torch.Tensor) -> torch.Tensor:
        return functional_call(layer, weights, (seen,)).square().sum()

    with Counter() as num_parallel:
        vmap(grad(loss), in_dims=(None, 0))(held, images)
    assert num_parallel.operations == 2 * 2 * 5 * 2 * 4 * 8 * 8 * 3 * 9  # forward and the weights' gradient


def test_dm_on_digits_counts_every_image_once_forward_and_synthetic_ones_back() -> None:
    found = profiled("methods=[dm]", "architectures=[convnet2-w4]")
    each = 2 * (8 * 8 * 4 * 9 + 4 * 4 * 4 * 4 * 9)
    assert found.parts["real pass"].operations == 10 * 4 * each
    assert found.parts["synthetic pass"].operations == 10 * 2 * 2 * each
    assert found.parts["drawing real images"].moved == 10 * 4 * 64 * (1 + 4)
    assert found.parts["optimizer"].moved == 5 * 4 * 10 * 2 * 64


def test_the_floor_is_what_takes_longer() -> None:
    peaks = Peaks(operations=100.0, moved=10.0)
    assert peaks.seconds(200.0, 10.0) == 2.0 and peaks.seconds(200.0, 30.0) == 3.0


# --- changes nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dance", "dc", "dm", "dsa", "idm"])
def test_a_measured_problem_yields_the_same_bytes(method: str, make_problem: Callable[..., ConcreteProblem]) -> None:
    found = registry.get(method)
    plain = found(make_problem(), found.Config.tiny())
    parts = Parts(Used)
    seen = found(measured_problem(make_problem(), parts), found.Config.tiny())
    before = torch.autograd.grad, momentum.joint_step, momentum.class_pass
    with watched(found, parts):
        for _ in range(plain.total_steps):
            with parts.step():
                losses = seen.step()
            assert losses == plain.step()
    assert torch.equal(seen.synthetic().images, plain.synthetic().images)
    assert (torch.autograd.grad, momentum.joint_step, momentum.class_pass) == before and "call" not in vars(COMPILER)


def test_what_is_measured_is_still_compiled() -> None:
    found = profiled("methods=[dm]", "steps=1", compute=replace(CPU, compile=True))
    assert not found.told and "losses of synthetic images with their gradient" in found.compiled
    plain = profiled("methods=[dm]", "steps=1")
    operations = {name: used.operations for name, used in found.parts.items()}
    assert operations == {name: used.operations for name, used in plain.parts.items()}


# --- the command ------------------------------------------------------------------------------------------------------


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "benchmark.profile", *words], cwd=folder, capture_output=True,
                          text=True, timeout=250, check=False, env=os.environ | {"COLUMNS": "80"})  # fmt: skip


def test_the_command_prints_a_table_for_each_cell_and_writes_nothing(tmp_path: Path) -> None:
    words = ("methods=[dance,dm]", "datasets=[digits]", "architectures=[convnet3-w8]", "steps=1")
    done = call(tmp_path, *words)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert "dance on digits at ipc 10, convnet3-w8" in done.stdout and "dm on digits at ipc 10" in done.stdout
    for name in (*SHARED, "building networks", "whole step"):
        assert done.stdout.count(f"  {name} ") == 2, name
    assert done.stdout.count("GFLOP/s in a large matrix product") == done.stdout.count("nothing is compiled:") == 2
    told = call(tmp_path, "--help")
    assert told.returncode == 0 and "method.NAME.SETTING=VALUE" in told.stdout and "fraction: 1.0" in told.stdout
    assert "protocols" not in told.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["methods=[dnace]"], "Did you mean 'dance'?"),
        (["methods=[random]"], "no step to profile"),
        (["methods=[whole]"], "condenses nothing"),
        (["methods=[]"], "methods is empty"),
        (["methods=[dm]", "ipcs=[0]"], "at least 1"),
        (["methods=[dm]", "steps=0"], "steps must be at least 1"),
        (["methods=[dm]", "preset=papre"], "no preset 'papre'"),
        (["methods=[dm]", "seeds=[1]"], "no setting 'seeds'"),
        (["methods=[dm]", "protocols=[dsa]", "preset=paper"], "no setting 'protocols'"),
        (["methods=[dm]", "precision=fp8"], "'fp8'"),
        (["methods=[dm]", "datasets=[digit]"], "Did you mean 'digits'?"),
        (["methods=[dance]", "architectures=[convnet2-bn]"], "batch norm"),
        (["methods=[dm]", "method.dm.iterations=2"], "2 steps in all"),
        (["methods=[dm]", "method.dm.batch=2"], "batch"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(words: list[str], said: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(profile.floor, "measure", lambda compute: Peaks(1.0, 1.0))  # half a second each
    monkeypatch.setattr(sys, "argv", ["profile.py", *words])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as ended:
        profile.cli.launch(profile.profile, "profile")
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == ""
    assert told.err.startswith("error: ") and said in told.err and told.err.count("\n") <= 3


def test_running_out_of_memory_is_told(monkeypatch) -> None:
    def none_left(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(profiling, "dummy_problem", none_left)
    with pytest.raises(BenchmarkError, match="memory ran out"):
        profiled("methods=[dm]")
