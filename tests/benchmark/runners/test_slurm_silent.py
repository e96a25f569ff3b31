"""A machine with SLURM's commands and no controller, and a store in whose path SLURM would replace letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark.runners import slurm as runner
from benchmark.utils.errors import BenchmarkError
from queued_runs import SMALL, make_config
from slurm import queue
from slurm.cluster import Cluster
from slurm.errors import SlurmError


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands that say what SLURM's say without a controller, first on the path."""
    (folder := tmp_path / "bin").mkdir()
    for name in queue.COMMANDS:
        text = f"#!/bin/sh\necho '{name}: error: Unable to contact slurm controller (connect failure)' >&2\nexit 1\n"
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_a_silent_controller_is_one_sentence_with_a_next_step(silent: Path) -> None:
    with pytest.raises(SlurmError) as raised:
        queue.partitions(())
    assert raised.value.what == "sinfo: Unable to contact slurm controller (connect failure)"
    assert "launcher=local" in raised.value.next


def test_a_dry_run_says_what_it_would_queue_all_the_same(silent: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("cpus: 2\nmemory: 0.1\n")
    words = ["launcher=slurm", "cluster=mine.yaml", "dry_run=true", "store=a%jb"]
    command = [sys.executable, "-m", "benchmark.run", *SMALL, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "would queue" in done.stdout and "not checked with the cluster: scontrol: Unable to contact" in done.stdout
    assert "s / step" in done.stdout and "measured on this machine; those of the cluster may" in done.stdout
    assert "warning: more than a job has (102 MiB): condense digits ipc 1" in done.stdout
    done = subprocess.run(
        [word for word in command if word != "dry_run=true"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: SLURM replaces '%j' in the path of a job's log")
    assert not (tmp_path / "a%jb").exists()


def test_steps_of_jobs_on_gpus_are_not_measured_on_a_machine_without(tmp_path: Path) -> None:
    config = make_config(tmp_path / "out", "launcher=slurm", "cluster=mine.yaml")
    assert (runner.compute_here(config, Cluster(gpus=1)) is None) != torch.cuda.is_available()
    compute, workers = runner.compute_here(config, Cluster(cpus=4, concurrent_tasks=2)) or pytest.fail()
    assert (compute.device.type, workers) == ("cpu", 2)


@pytest.mark.parametrize("name", ["%j", "a%4t", "50%%", "back\\slash"])
def test_a_path_that_slurm_would_change_is_refused(name: str) -> None:
    with pytest.raises(BenchmarkError):
        runner._check_log_folder(Path("/x") / name)
    runner._check_log_folder(Path("/x/50%/é b"))
