"""Tuning on a real cluster: trials are jobs; the same command chooses when they are done, and queues what it chose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loopback import LoopbackCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
SMALL = (
    "methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "threads=1", "method.dm.iterations=2", "baselines=[]",
    "num_eval=1", "seeds=[0]", "protocols=[quick]", "trials=2",
)  # fmt: skip


def test_trials_are_jobs_and_the_second_command_queues_the_choice(
    cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    (tmp_path / "mine.yaml").write_text("partition: gpu\ntimeout_min: 30\ntasks_per_job: 4\n")
    command = [sys.executable, "-m", "benchmark.tune", *SMALL, "launcher=slurm", "cluster=mine.yaml"]

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False
        )

    queued = call()
    assert queued.returncode == 0 and not list(tmp_path.glob("outputs/tuned/*")), queued.stdout + queued.stderr
    done = call("wait=true")  # waits for the jobs of the first command, then for those of the choice
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    (path,) = tmp_path.glob("outputs/tuned/tuned/*.json")
    assert len(json.loads(path.read_text())["trials"]) == 2
    assert "(iterations=2, tuned)" in (tmp_path / "outputs/tables.csv").read_text()
    assert len(list(tmp_path.glob("outputs/evaluate/*/record.json"))) == 2
