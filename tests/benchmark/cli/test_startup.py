"""How commands start: --help loads nothing heavy, and one command lists and runs all others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module

from benchmark.__main__ import COMMANDS
from benchmark.config import compose
from benchmark.config.schema import SCHEMAS

HEAVY = ("hydra", "torch", "torchvision", "matplotlib", "pandas", "scipy", "sklearn", "plotly", "submitit")
LOADED = """
import json, runpy, sys
sys.argv = [sys.argv[1], *sys.argv[3:]]
try:
    runpy.run_module(f"benchmark.{sys.argv[0]}", run_name="__main__")
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]))
"""


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)


def loaded(folder: Path, command: str, *words: str) -> tuple[int, set[str], str]:
    """The exit status of a command, the modules it loaded, and what it printed."""
    done = call(folder, "-c", LOADED, command, "--", *words)
    *printed, last = done.stdout.splitlines()
    code, names = json.loads(last)
    return code, set(names), "\n".join(printed)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str, tmp_path: Path) -> None:
    code, names, printed = loaded(tmp_path, command, "--help")
    assert not names & set(HEAVY), f"benchmark.{command} --help loads {names & set(HEAVY)}"
    assert not code and f"python -m benchmark.{command}" in printed and not list(tmp_path.iterdir())


def test_a_run_loads_nothing_of_figures_pages_and_compilers(tmp_path: Path) -> None:
    """Nor torchvision, which only some readers need: each takes about a second, in every worker anew."""
    words = ("methods=[dm]", "ipcs=[1]", "num_eval=1", "architectures=[convnet1-w2]", "baselines=[]", "workers=1",
             "threads=1", "method.dm.iterations=1")  # fmt: skip
    code, names, _ = loaded(tmp_path, "run", *words)
    assert code == 0 and not names & {"matplotlib", "plotly", "torchvision", "sklearn", "sympy", "torch._dynamo"}


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_looking_at_a_store_loads_nothing_heavy(command: str, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    _, names, _ = loaded(tmp_path, command)
    assert not names & set(HEAVY)


@pytest.mark.parametrize(("command", "words"), [
    ("status", []), ("status", ["store=some/where.d"]), ("status", ["tables=true", "store=/a/b-c_d"]),
    ("status", ["tables=YES"]), ("cancel", ["run=r1", "store=x"]), ("report", ["order=name", "page=false"]),
])  # fmt: skip
def test_plain_options_mean_what_they_mean_to_hydra(command: str, words: list[str]) -> None:
    compose.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        composed = hydra_compose(command, words)
    plain = compose.plain_options(command, words)
    assert plain is not None
    assert compose.parse_as(SCHEMAS[command], plain) == compose.parse_as(SCHEMAS[command], composed)


@pytest.mark.parametrize(("command", "words"), [
    ("status", ["-m"]), ("status", ["--cfg", "job"]), ("status", ["store=a,b"]), ("status", ["stor=a"]),
    ("status", ["store=7"]), ("status", ["+store=a"]), ("status", ["store=a", "store=b"]), ("status", ["store=[a]"]),
    ("status", ["store=${oc.env:HOME}"]), ("status", ["store="]), ("cancel", ["run=null"]), ("run", []),
])  # fmt: skip
def test_all_else_is_left_to_hydra(command: str, words: list[str]) -> None:
    assert compose.plain_options(command, words) is None


def test_help_prints_every_option() -> None:
    for name, schema in SCHEMAS.items():
        printed = compose.options_of(name)
        assert not [
            spec.name for spec in fields(schema) if spec.name not in HIDDEN[name] and f"{spec.name}: " not in printed
        ]


HIDDEN = {name: {"preset", "method"} for name in SCHEMAS} | {"evaluate": {"preset", "variants", "iterations_fraction"}}


def test_one_command_lists_and_runs_the_others(tmp_path: Path) -> None:
    overview = call(tmp_path, "-m", "benchmark")
    assert overview.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in overview.stdout
    for words in (["benchmark", "status"], ["benchmark.status"]):
        done = call(tmp_path, "-m", *words, "store=nowhere")
        assert done.returncode == 2 and done.stderr.startswith("error: there is no store at nowhere")
    wrong = call(tmp_path, "-m", "benchmark", "statsu")
    assert wrong.returncode == 2 and "Did you mean 'status'?" in wrong.stderr and len(wrong.stderr.splitlines()) == 3


def test_the_console_script_does_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("condensation-benchmark")
    if not script.exists():
        pytest.skip("the package is not installed with its script")
    done = subprocess.run([script, "report", "store=nowhere"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: there is no store at nowhere")


@pytest.mark.parametrize("name", ["methods/__init__.py", "results/__init__.py", "results.py", "slurm.py"])
def test_a_module_of_the_user_that_hides_one_of_ours_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    done = call(tmp_path, "-m", "benchmark.status")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 3
    assert str(tmp_path / name) in done.stderr and "condensation-benchmark COMMAND" in done.stderr


def test_folders_of_data_hide_nothing_and_the_console_script_nothing_at_all(tmp_path: Path) -> None:
    for folder in ("methods", "benchmark", "results", "slurm"):
        (tmp_path / folder).mkdir()
    assert call(tmp_path, "-m", "benchmark.status").stderr.startswith("error: there is no store")
    for folder in ("methods", "benchmark", "results", "slurm"):
        (tmp_path / folder / "__init__.py").touch()
    script = Path(sys.executable).with_name("condensation-benchmark")
    if not script.exists():
        pytest.skip("the package is not installed with its script")
    done = subprocess.run([script, "status"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.startswith("error: there is no store"), done.stderr


@pytest.mark.parametrize("words", [*(["-m", f"benchmark.{name}"] for name in COMMANDS), ["-m", "benchmark"]])
def test_on_windows_a_command_ends_in_one_sentence(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.platform = 'win32'\n")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(
        [sys.executable, *words, "--help"], env=os.environ | environment, capture_output=True, text=True
    )
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr.startswith(
        "error: this suite runs on Linux and macOS, not on Windows\n  next:  install it in WSL"
    )
    assert len(ended.stderr.splitlines()) == 2
