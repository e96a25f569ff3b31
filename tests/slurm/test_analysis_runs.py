"""Analyses on a real cluster: each is a job that starts after its sets and experts are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loopback import LoopbackCluster
from results.store.identity import sealed

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

    def call(word: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, word], cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False)

    preview = call("dry_run=true")
    assert preview.returncode == 0 and "analyze jobs" in preview.stdout, preview.stdout + preview.stderr
    done = call("wait=true")
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
    made_by_other_code(next(tmp_path.glob("outputs/condense/dm*/record.json")))
    preview = call("dry_run=true")
    assert "1 of 1 stored sets of dm were made by other code of it than today's" in preview.stdout, preview.stderr


def made_by_other_code(path: Path) -> None:
    record = json.loads(path.read_text())
    record["code"]["sha256"] = "0" * 64
    path.write_text(json.dumps(sealed(record)))
