"""Small runs for the tests on a cluster: their options, cluster files and methods, and how to start them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_module

from benchmark.config import compose as options
from benchmark.config.schema import RunConfig
from benchmark.planning import grid
from benchmark.runners import slurm

SMALL = (
    "methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "threads=1",
    "checkpoint_seconds=2",
)  # fmt: skip


def make_config(out: Path, *words: str, scored: bool = True) -> RunConfig:
    """The options of a run with its store in `out`; scored: whether its sets are evaluated."""
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        config = options.parse(compose("run", [*SMALL, f"store={out}", f"data_root={out.parent / 'data'}", *words]))
    return config if scored else replace(config, protocols=[])


def cluster_file(folder: Path, **settings: object) -> str:
    """The option cluster=PATH, with a new file for the settings."""
    values = {"partition": "gpu", "timeout_min": 30} | settings
    path = folder / f"cluster{len(list(folder.glob('cluster*')))}.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    return f"cluster={path}"


def start(out: Path, *words: str, scored: bool = True) -> tuple[grid.Plan, slurm.LaunchResult]:
    """Queue a run as the command does."""
    config = make_config(out, "launcher=slurm", *words, scored=scored)
    planned = grid.build(config)
    return planned, slurm.launch(planned.tasks, config, slurm.check(config))


def install(folder: Path, name: str, source: str) -> Path:
    """A package with one method; returns its folder."""
    (meta := folder / f"plugin/{name}-1.0.dist-info").mkdir(parents=True)
    (folder / f"plugin/{name}.py").write_text(source)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[condensation_benchmark.methods]\n{name} = {name}:{name.title()}\n")
    return folder / "plugin"


def call(folder: Path, command: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmark.{command}", *words],
        cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=os.environ | env,
    )  # fmt: skip
