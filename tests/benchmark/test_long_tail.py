"""A run on digits with a long tail, as a person makes it, from the request to the table and back to the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WORDS = (
    *("methods=[dm,datadam]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=2", "workers=1", "threads=1"),
    *("method.dm.iterations=2", "method.datadam.iterations=2", "method.whole.epochs=3", "baselines=[whole]"),
    *("imbalance=10", "val_fraction=0.1"),
)


def test_a_run_with_a_long_tail_prints_the_accuracy_of_head_middle_and_tail(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.run", *WORDS],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    head = next(line for line in done.stdout.splitlines() if "Tail" in line)
    assert "digits-lt10, condensed with" in done.stdout and "Head" in head and "Middle" in head
    assert "Head, middle, tail: thirds of the classes by training images." in " ".join(done.stdout.split())

    records = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/evaluate/*/record.json")]
    counts = {tuple(record["result"]["train_images_per_class"]) for record in records}
    assert counts == {(128, 101, 78, 60, 47, 36, 28, 21, 16, 13)}, "sets and the whole set have the same images"
    withheld = records[0]["result"]["validation_images_per_class"]
    assert min(withheld) >= 13 and max(withheld) <= 15, "withheld images stay balanced"
    assert records[0]["result"]["test_images"] == 359, "the test split stays whole"
