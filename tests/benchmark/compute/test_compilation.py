"""Compilation: compiled functions compute what plain ones do; what cannot be compiled is logged and runs uncompiled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.compute import compilation
from benchmark.compute.compilation import COMPILER, Compiler
from benchmark.compute.engine import WORTH_COMPILING, Compute
from benchmark.condensation.problem import ConcreteProblem, choose_compile
from benchmark.execution.runtime import Runtime
from benchmark.execution.stop_signals import Interrupted
from benchmark.tasks.execute import execute
from benchmark.utils import seeding
from helpers import CPU, planned
from methods import registry
from methods.dm import DMConfig
from results.store.store import Store

Make = Callable[..., ConcreteProblem]
needs_compiler = pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="no C++ compiler")


@pytest.fixture
def log_lines() -> list[str]:
    lines: list[str] = []
    COMPILER.begin_task(lines.append)
    return lines


def train_method(name: str, make_problem: Make, monkeypatch: pytest.MonkeyPatch, *, compile: bool) -> tuple[Any, Any]:
    """The images after some steps, and the losses of the last one."""
    monkeypatch.setattr(CPU, "compile", compile)
    method = registry.get(name)
    changes = {"iterations": 3, "batch_real": 9} | ({"train_steps": 1} if name == "idm" else {})
    work = method(make_problem(architecture="convnet1-w4"), replace(method.Config.tiny(), **changes))
    losses = [work.step() for _ in range(work.total_steps)]
    return work.synthetic().images, losses[-1]


@needs_compiler
@pytest.mark.parametrize("name", ["dance", "idm", "dsa"])
def test_a_method_learns_the_same_images_compiled(name, make_problem: Make, monkeypatch, log_lines: list[str]) -> None:
    plain, losses = train_method(name, make_problem, monkeypatch, compile=False)
    again, same = train_method(name, make_problem, monkeypatch, compile=True)
    assert log_lines == []  # nothing was left uncompiled
    assert not torch.equal(plain, again)  # something was compiled: other last bits
    torch.testing.assert_close(again, plain, rtol=1e-4, atol=1e-4)
    assert same == pytest.approx(losses, rel=1e-3)


@needs_compiler
def test_compiled_functions_serve_all_steps_and_networks(make_problem: Make, monkeypatch, log_lines: list[str]) -> None:
    train_method("dm", make_problem, monkeypatch, compile=True)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    train_method("dm", lambda **more: make_problem(seed=1, **more), monkeypatch, compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before > 0 and log_lines == []


@needs_compiler
def test_the_last_chunk_is_padded_to_the_compiled_shape(make_problem: Make, log_lines: list[str]) -> None:
    """Ten images in chunks of four: two full ones and a padded one."""
    problem = make_problem()
    network = problem.new_network(0)
    images = torch.randn(10, 3, 8, 8, generator=seeding.generator("images"))
    features = Compute(CPU.device, "fp32", 1, chunk=4 * 64, compile=True).embed(network, images)
    torch.testing.assert_close(features, network.embed(images), rtol=1e-4, atol=1e-5)


def test_whether_to_compile_follows_from_images_and_their_size_unless_it_is_set() -> None:
    for images, size, wanted in ((100, (3, 32, 32), False), (10**6, (3, 32, 32), True), (10**6, (1, 8, 8), False)):
        compute = replace(CPU, compile=None)
        assert not compute.compiled
        compute.choose_compile(images, size)
        assert compute.compile is wanted is (images * size[1] * size[2] >= WORTH_COMPILING)
        compute.choose_compile(10**12, size)
        assert compute.compile is wanted, "decided once"
    many: dict[str, Any] = {"ipc": 10**4, "image_shape": (3, 32, 32)}
    for counts, wanted in ((range(100, 200), True), (range(1, 101), False), ([20] * 50, True)):
        compute = replace(CPU, compile=None)
        choose_compile(compute, 10**6, DMConfig(batch_real=60), counts=[*counts], **many)
        assert compute.compile is wanted, "not where real batches have many sizes: each is compiled anew"
    for compile in (True, False):
        compute = replace(CPU, compile=compile)
        compute.choose_compile(1 if compile else 10**12, (3, 32, 32))
        assert compute.compile is compile


@needs_compiler
def test_a_number_that_changes_in_every_step_is_logged_and_compiled_only_a_few_times(monkeypatch) -> None:
    monkeypatch.setattr(compilation, "MAX_VARIANTS", 3)
    torch._dynamo.reset()
    compiler, lines, seen = Compiler(), [], []
    compiler.begin_task(lines.append)
    images = torch.arange(4.0)

    def scaled_by(factor: float) -> Callable[[Tensor], Tensor]:
        def losses(images: Tensor) -> Tensor:
            return images * factor

        return losses

    for step in range(6):
        losses = scaled_by(step + 0.5)
        seen.append(compiler.call(_outer, losses, images, inner=losses))
    assert torch.equal(torch.stack(seen), torch.stack([images * (step + 0.5) for step in range(6)]))
    (line,) = lines
    assert "losses" in line and "uncompiled" in line and "no tensor differs from step to step" in line
    assert not compiler.compiles(losses)
    compiler.begin_task(lines.append)
    assert compiler.compiles(losses), "the next task is compiled as it would be in a process of its own"
    torch._dynamo.reset()


@needs_compiler
def test_default_arguments_are_never_compiled_in() -> None:
    compiler, lines = Compiler(), []
    compiler.begin_task(lines.append)
    images = torch.arange(4.0)
    for step in range(2):

        def losses(images: Tensor, step: int = step) -> Tensor:
            return images * (step + 0.5)

        assert torch.equal(compiler.call(_outer, losses, images, inner=losses), images * (step + 0.5))
    assert len(lines) == 1 and "default arguments" in lines[0]


def _outer(losses: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return losses(images)


@needs_compiler
def test_what_cannot_be_compiled_runs_uncompiled_and_is_logged_once_a_task() -> None:
    compiler, lines = Compiler(), []
    compiler.begin_task(lines.append)

    def reads_a_value(images: Tensor) -> Tensor:
        return images * float(os.environ.get("HOME", "") != "") if images.sum().item() > 0 else -images

    for _ in range(3):
        assert torch.equal(compiler.call(reads_a_value, torch.ones(2)), torch.ones(2))
    assert len(lines) == 1 and "reads_a_value" in lines[0]
    compiler.begin_task(lines.append)
    compiler.call(reads_a_value, torch.ones(2))
    assert len(lines) == 2, "logged in the next task, too"


@needs_compiler
def test_losses_may_call_functions_that_themselves_go_class_by_class(make_problem: Make, log_lines: list[str]) -> None:
    problem = make_problem()
    network, labels = problem.new_network(0), torch.arange(problem.num_classes)
    images = torch.randn(problem.num_classes, 2, 3, 8, 8, generator=seeding.generator("images"))

    def losses(images: Tensor, labels: Tensor) -> Tensor:
        return 2 * problem.class_losses(network, images)[:1].expand(len(labels)) if len(images) == 1 else None

    def gradient(compile: bool) -> Tensor:
        problem.compute.compile, problem.compute.graph = compile, 1  # one class at a time
        leaf = images.clone().requires_grad_()
        return torch.autograd.grad(problem.losses_by_class(network, losses, leaf, labels).sum(), leaf)[0]

    assert gradient(False).abs().sum() > 0
    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-4, atol=1e-5)
    assert log_lines == []


@needs_compiler
def test_losses_that_cannot_be_compiled_have_the_same_gradients(make_problem, log_lines: list[str]) -> None:
    """Gradient matching written by hand, which only plain autograd differentiates twice."""
    problem = make_problem()
    network = problem.new_network(0).requires_grad_()
    images = torch.randn(problem.num_classes, 2, 3, 8, 8, generator=seeding.generator("images"))

    def losses(images: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(
            network.embed(images[0]).sum(), [network.blocks[0][0].weight], create_graph=True
        )
        return gradient.square().sum()[None]

    def image_gradient(compile: bool) -> Tensor:
        problem.compute.compile, problem.compute.graph = compile, 1
        leaf = images.clone().requires_grad_()
        return torch.autograd.grad(problem.losses_by_class(network, losses, leaf).sum(), leaf)[0]

    assert torch.equal(image_gradient(True), image_gradient(False))
    assert len(log_lines) == 1 and "uncompiled" in log_lines[0]


@needs_compiler
def test_losses_may_be_anything_that_can_be_called(make_problem: Make, log_lines: list[str]) -> None:
    problem = make_problem()
    network = problem.new_network(0)
    images = torch.randn(problem.num_classes, 2, 3, 8, 8, generator=seeding.generator("images"))

    class Scaled:
        def __call__(self, images: Tensor, by: float = 2.0) -> Tensor:
            return by * problem.mean_embedding(network, images).square().sum(1)

    for losses in (Scaled(), partial(Scaled.__call__, Scaled(), by=2.0)):
        gradients = []
        for problem.compute.compile in (True, False):
            leaf = images.clone().requires_grad_()
            gradients += torch.autograd.grad(problem.losses_by_class(network, losses, leaf).sum(), leaf)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def failing_compiler(folder: Path, times: int) -> str:
    """A C++ compiler that dies the first so many times that it is to make a library, as one dies of a Ctrl-C.

    Of another signal: a shell in the background ignores a Ctrl-C.
    """
    script = folder / "g++"
    script.write_text(
        f"""#!/bin/bash
if [[ " $* " == *kernel* || " $* " == *".main.cpp"* ]] && (( $(wc -l < {folder}/deaths) < {times} )); then
    echo >> {folder}/deaths
    kill -TERM $$
fi
exec {shutil.which("g++")} "$@"
"""
    )
    (folder / "deaths").touch()
    script.chmod(0o755)
    return str(script)


CALLS = """
import torch
import torch._inductor.config
from benchmark.compute.compilation import Compiler

torch._inductor.config.cpp_cache_precompile_headers = False  # this compiler would take ten seconds for them
torch.set_num_threads(1)
compiler = Compiler()
compiler.begin_task(lambda line: print("logged:", line))
for function in (torch.sin, torch.cos):
    assert torch.allclose(compiler.call(function, torch.ones(4)), function(torch.ones(4)))
print("uncompiled:", compiler.uncompiled)
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
@pytest.mark.parametrize("times", [1, 10**6])
def test_a_compiler_that_was_killed_is_called_again(tmp_path: Path, times: int) -> None:
    environment = {"CXX": failing_compiler(tmp_path, times), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", CALLS], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "deaths").read_text(), "it was never killed: nothing was tested"
    reason = "the C++ compiler (g++ or clang++) fails"
    assert done.stdout.count("logged: ") == done.stdout.count(
        f"logged: computing uncompiled, which is slower: {reason}"
    )
    assert done.stdout.count("logged: ") == (times > 1)
    assert f"uncompiled: {[reason] if times > 1 else []}" in done.stdout


def command(out: Path, *words: str) -> list[str]:
    """A small run of DM on the digits."""
    words = ("methods=[dm]", "ipcs=[1]", "baselines=[]", "num_eval=1", "method.dm.iterations=3", "workers=1", *words)
    words += "threads=1", "architectures=[convnet1-w4]", f"store={out}"
    return [sys.executable, "-m", "benchmark.run", *words]


def run(out: Path, *words: str, **environment: str) -> dict[str, Any]:
    """Run it; returns the record of its condense task, with its log."""
    process = subprocess.run(command(out, *words), capture_output=True, text=True, env=os.environ | environment)
    assert process.returncode == 0, process.stderr
    return condensed(out)


def condensed(out: Path) -> dict[str, Any]:
    """The record of the only condense task of a store, with its log."""
    (folder,) = out.glob("condense/*")
    return json.loads((folder / "record.json").read_text()) | {"log": (folder / "log.txt").read_text()}


def test_without_a_compiler_one_line_is_logged_and_results_are_those_of_uncompiled_passes(tmp_path: Path) -> None:
    nowhere = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    without = run(tmp_path / "without", "compile=true", **nowhere)
    plain = run(tmp_path / "plain")  # small runs are not compiled
    assert without["log"].count("uncompiled") == 1 and "no working C++ compiler" in without["log"]
    (path,) = tmp_path.glob("without/evaluate/*/record.json")  # the next task of the process
    for record in (without, json.loads(path.read_text())):
        assert record["environment"]["uncompiled"] == ["there is no working C++ compiler (g++ or clang++)"]
    assert plain["environment"]["uncompiled"] == []
    assert "uncompiled" not in plain["log"]
    assert not without["environment"]["compiled"] and not plain["environment"]["compiled"]
    assert without["artifacts"]["synthetic.safetensors"] == plain["artifacts"]["synthetic.safetensors"]
    assert without["identity"] == plain["identity"], "how a task is computed is no part of its identity"


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    blocked = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "file/cache"), "TMPDIR": str(tmp_path / "tmp")}
    record = run(tmp_path / "out", "compile=true", **blocked)
    assert record["log"].count("the compiler's cache cannot be written (") == 1 and record["environment"]["compiled"]
    assert not list((tmp_path / "tmp").glob("torchinductor-*")), "it is deleted when the process ends"
    (path,) = tmp_path.glob("out/evaluate/*/log.txt")  # the next task of the process
    assert path.read_text().count("cannot be written") == 1


def test_a_record_names_what_ran_uncompiled_also_before_the_task_was_stopped(tmp_path: Path, monkeypatch) -> None:
    words = ("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "seeds=[0,1]", "method.dm.iterations=2")
    first, second = planned(*words).of_kind("condense")[:2]

    def cannot_compile(self: Compiler, *args: Any) -> None:
        raise compilation._CannotCompile("it is too new", this_task_only=True)

    def uncompiled_of(task: dict[str, Any]) -> list[str]:
        execute(task, Runtime(tmp_path, replace(CPU, compile=True)))
        environment = Store(tmp_path).record(task)["environment"]
        assert environment["compiled"] is True
        return environment["uncompiled"]

    monkeypatch.setattr(Compiler, "_call_compiled", cannot_compile)
    stopped = Runtime(tmp_path, replace(CPU, compile=True))
    stopped.progress = lambda *step: setattr(stopped.stop, "signal", signal.SIGTERM)
    with pytest.raises(Interrupted, match="after step 1 of 2"):
        execute(first, stopped)
    monkeypatch.setattr(
        Compiler,
        "_call_compiled",
        lambda self, function, args, then: then(function(*args)) if then else function(*args),
    )
    before = uncompiled_of(first)
    assert len(before) == 2 and all(text.endswith(": it is too new") for text in before) and "embed" in before[0]
    assert uncompiled_of(second) == [], "it is another task"


@needs_compiler
def test_a_compiled_task_resumes_compiled_to_the_same_bytes(tmp_path: Path) -> None:
    """Also if the resuming command sets compile=false, as the last bits would differ."""
    (task,) = planned("methods=[dm]", "ipcs=[1]", "architectures=[convnet1-w4]", "baselines=[]",
                      "method.dm.iterations=4").of_kind("condense")  # fmt: skip

    def run_task(out: Path, *, compile: bool, stop_after: int = 0) -> dict[str, Any]:
        runtime = Runtime(out, replace(CPU, compile=compile))

        def progress(done: int, total: int, losses: dict[str, float]) -> None:
            runtime.stop.signal = signal.SIGTERM if done == stop_after else runtime.stop.signal

        runtime.progress = progress
        execute(task, runtime)
        return Store(out).record(task)

    whole = run_task(tmp_path / "whole", compile=True)
    with pytest.raises(Interrupted, match="after step 2 of 4"):
        run_task(tmp_path / "out", compile=True, stop_after=2)
    again = run_task(tmp_path / "out", compile=False)
    (log,) = tmp_path.glob("out/condense/*/log.txt")
    assert "resuming from step 2" in log.read_text() and again["environment"]["compiled"] is True
    assert again["artifacts"]["synthetic.safetensors"] == whole["artifacts"]["synthetic.safetensors"]
    plain = run_task(tmp_path / "plain", compile=False)
    assert plain["artifacts"]["synthetic.safetensors"] != whole["artifacts"]["synthetic.safetensors"]
