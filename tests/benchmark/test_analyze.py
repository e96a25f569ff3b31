"""`python -m benchmark.analyze` as a person runs it: from the request to a line for each analysis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TINY = ("ipcs=[1]", "architectures=[convnet2-w4]", "workers=1", "threads=1", "method.dance.iterations=2",
        "method.dance.experts=2", "method.dance.pretrain_epochs=1", "method.dm.iterations=3", "layout=pca",
        "method.whole.epochs=1")  # fmt: skip


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark.analyze", *TINY, *words],
        cwd=folder, capture_output=True, text=True, timeout=250, check=False, env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip


def test_the_command_condenses_looks_and_tells(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert "2 prepare (0 done), 3 condense (0 done), 4 analyze (0 done)" in done.stdout
    said = {line.split(",")[0]: line for line in done.stdout.splitlines() if ", digits, " in line}
    assert set(said) == {"discrepancy", "interpolation", "expert", "embedding"}
    for name, words in {
        "discrepancy": ["dance", "dm", "random at ipc 1", "→"],
        "interpolation": ["λ = 0 (the expert)", "λ = 1 (untrained)", "1,438 train images, 2 experts"],
        "expert": ["dm", "% (train)"],
        "embedding": ["pca of 1,000 real images", "10 of random at ipc 1"],
    }.items():
        assert all(word in said[name] for word in words), said[name]
    assert "python -m benchmark.report store=outputs draws them" in done.stdout
    out = tmp_path / "outputs"
    assert sorted(path.name for path in out.iterdir()) == ["analyze", "condense", "prepare"]
    records = {path: path.read_bytes() for path in out.glob("*/*/record.json")}
    assert len(records) == 9 and all(json.loads(text)["status"] == "ok" for text in records.values())
    again = call(tmp_path, "analyses=[discrepancy]")
    assert again.returncode == 0 and again.stdout.count("was done before") == 6, again.stdout
    assert {path: path.read_bytes() for path in out.glob("*/*/record.json")} == records


def test_what_it_refuses_is_told_once_and_leaves_nothing(tmp_path: Path) -> None:
    done = call(tmp_path, "methods=[dm,dance]", "baselines=[random,whole]", "analyses=[expret]")
    assert done.returncode == 2 and done.stdout == "" and not list(tmp_path.iterdir())
    assert done.stderr.startswith("error: ") and "Did you mean 'expert'?" in done.stderr
