"""The README's promises: a method added by its five steps works, and its commands and links are real."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from hydra import compose, initialize_config_module

from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.planning import grid
from methods import registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def block(language: str, text: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.S)
    assert found, f"no {language} block"
    return found[1]


def test_a_method_added_by_the_five_steps_runs_and_keeps_the_contract(tmp_path: Path) -> None:
    steps = section("Add a method")
    assert re.findall(r"^(\d)\. ", steps, re.M) == ["1", "2", "3", "4", "5"]
    (tmp_path / "mean_images.py").write_text(block("python", steps))
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "mean.yaml").write_text(block("yaml", steps))
    points = tomllib.loads(block("toml", steps))["project"]["entry-points"]["condensation_benchmark.methods"]
    meta = tmp_path / "mean_images-1.0.dist-info"  # what installing the package leaves
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-images\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in points.items()]
    (meta / "entry_points.txt").write_text("\n".join(["[condensation_benchmark.methods]", *lines]))

    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    contract = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests/methods/test_contract.py"), "-k", "mean"]
    done = subprocess.run(contract, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and re.search(r"\d+ passed", done.stdout), done.stdout
    command = [sys.executable, "-m", "benchmark.run", "methods=[mean]", "ipcs=[1]", "baselines=[]", "num_eval=1",
               "architectures=[convnet3-w8]", "method.mean.iterations=3"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Mean images" in done.stdout


def test_commands_of_the_readme_compose_into_requests() -> None:
    commands = re.findall(r"^    (?:.*&& )?python -m benchmark\.run(.*)$", README, re.M)
    assert len(commands) >= 8
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        for line in commands:
            words = [word for word in shlex.split(line.split("   #")[0]) if word != "-m"]
            single = [word if "[" in word else word.split(",")[0] for word in words]  # one job of a sweep
            asked = options.parse(compose("run", overrides=single))
            for name in asked.methods:
                row = grid.parse_row(name)
                registry.resolve(
                    row.method, dataset="cifar10", ipc=10, preset=asked.preset, overrides=asked.method.get(row.method)
                )


def test_sets_of_the_readme_compose_into_requests() -> None:
    commands = re.findall(r"^    python -m benchmark\.evaluate(.*)$", README, re.M)
    assert len(commands) >= 4
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        for line in commands:
            assert options.parse_as(schema.EvaluateConfig, compose("evaluate", overrides=shlex.split(line))).paths


def test_files_the_readme_names_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
