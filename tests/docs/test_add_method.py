"""A method added by the five steps of docs/extend/method.md works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from doc_pages import ROOT, blocks

GUIDE = (ROOT / "docs/extend/method.md").read_text()


def test_a_method_added_by_the_five_steps_runs_and_keeps_the_contract(tmp_path: Path) -> None:
    assert re.findall(r"^## (\d)\. ", GUIDE, re.M) == ["1", "2", "3", "4", "5"]
    (code,), (settings,), (project,) = (blocks(GUIDE, language) for language in ("python", "yaml", "toml"))
    (tmp_path / "mean_images.py").write_text(code)
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "mean.yaml").write_text(settings)
    points = tomllib.loads(project)["project"]["entry-points"]["condensation_benchmark.methods"]
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
               "architectures=[convnet3-w8]", "method.mean.iterations=3", "workers=1", "threads=1"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Mean images" in done.stdout
