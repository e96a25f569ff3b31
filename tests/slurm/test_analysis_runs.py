"""Analyses on a real cluster: each is a job that starts after its sets and experts are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loopback import LoopbackCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
SMALL = (
    "methods=[dance,dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "threads=1", "method.dance.iterations=2",
    "method.dance.experts=1", "method.dance.pretrain_epochs=1", "method.dm.iterations=2", "layout=pca",
    "baselines=[]", "snapshots=1", "val_fraction=0.1", "num_eval=1", "analyses=[expert,interpolation,curve]",
)  # fmt: skip


def test_analyses_run_after_their_sets_and_experts(
    cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    (tmp_path / "mine.yaml").write_text("partition: gpu\ntimeout_min: 30\ntasks_per_job: 2\n")
    command = [sys.executable, "-m", "benchmark.analyze", *SMALL, "launcher=slurm", "cluster=mine.yaml"]
    preview = subprocess.run(
        [*command, "dry_run=true"], cwd=tmp_path, capture_output=True, text=True, timeout=200, env=dict(os.environ)
    )
    assert preview.returncode == 0 and "analyze jobs" in preview.stdout, preview.stdout + preview.stderr
    done = subprocess.run(
        [*command, "wait=true"], cwd=tmp_path, capture_output=True, text=True, timeout=800, env=dict(os.environ)
    )
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/*/*/record.json")]
    finished = {record["identity"]: record["finished"] for record in records}
    analyses = [record for record in records if record["kind"] == "analyze"]
    assert len(analyses) == 4 and all(record["status"] == "ok" for record in records), done.stdout
    for record in analyses:
        for needed in record["resolved"]["sets"] + record["resolved"]["experts"]:
            assert finished[needed] <= record["finished"]
    lines = [line for line in done.stdout.splitlines() if ", digits, " in line]
    assert sorted(line.split(",")[0] for line in lines) == ["curve", "curve", "expert", "interpolation"]
