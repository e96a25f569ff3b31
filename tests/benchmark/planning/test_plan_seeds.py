"""What seeds mean, through real tasks: which sets and scores share their draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import datasets
from benchmark.augmentation import dc
from benchmark.augmentation.strategies import parse
from benchmark.compute.engine import Compute
from benchmark.condensation.synthetic_set import load_set
from benchmark.datasets import Dataset
from benchmark.execution.runtime import Runtime, Task
from benchmark.tasks.execute import execute
from plan_parts import build, of_row, rows
from record_parts import changed
from results.store.store import Store


def runtime(out: Path) -> Runtime:
    return Runtime(out, Compute(torch.device("cpu"), "fp32", threads=1))


def done(task: Task, out: Path) -> dict[str, Any]:
    assert execute(task, runtime(out)).status == "done"
    record = Store(out).record(task)
    assert record and record["status"] == "ok"
    return record


def test_equal_sets_get_equal_accuracies_whatever_method_made_them(tmp_path: Path) -> None:
    planned = build("methods=[dm]", "baselines=[random]", "method.dm.iterations=1", "num_eval=2")
    sets, accuracies = [], []
    for row in ("random", "dm (iterations=1)"):
        done(condensed := of_row(planned, "condense", row), tmp_path)
        sets.append(Store(tmp_path).folder(condensed) / "synthetic.safetensors")
    assert sets[0].read_bytes() != sets[1].read_bytes()
    sets[1].write_bytes(sets[0].read_bytes())
    record = json.loads((path := sets[1].with_name("record.json")).read_text())
    digest = hashlib.sha256(sets[0].read_bytes()).hexdigest()
    path.write_text(json.dumps(changed(record, artifacts=record["artifacts"] | {sets[1].name: digest})))
    for row in ("random", "dm (iterations=1)"):
        accuracies.append(done(of_row(planned, "evaluate", row), tmp_path)["result"]["right_per_class"])
    assert accuracies[0] == accuracies[1] and accuracies[0][0] != accuracies[0][1]


@pytest.mark.parametrize(
    ("architecture", "like", "augmentation"),
    [("convnet2-w4-bn", "digits", "dc:crop_noise"), ("convnet2-w4", "mnist", "dc:crop_scale_rotate")],
)
def test_dc_scores_with_its_own_augmentation(
    architecture: str, like: str, augmentation: str, tmp_path: Path, use_dataset: Callable[[Dataset], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A whole evaluation: 1,001 steps of a tiny network, every batch augmented."""
    use_dataset(replace(datasets.load("digits", Path("data")), published_as=like))
    planned = build("methods=[random]", "baselines=[]", "protocols=[dc]", f"eval_architectures=[{architecture}]",
                    "num_eval=1")  # fmt: skip
    done(of_row(planned, "condense", "random"), tmp_path)
    asked: list[tuple[str, ...]] = []
    real = dc.augment_each
    monkeypatch.setattr(dc, "augment_each", lambda x, names, g: asked.append(tuple(names)) or real(x, names, g))
    result = done(of_row(planned, "evaluate", "random"), tmp_path)["result"]
    assert asked == [parse(augmentation).operations] * 1001
    assert len(result["accuracies"]) == 1 and 0.3 < result["accuracies"][0] < 0.95  # chance is 0.1


def test_random_at_a_seed_holds_the_images_that_dm_starts_from(tmp_path: Path) -> None:
    words = ("methods=[dm]", "baselines=[random]", "method.dm.iterations=1", "method.dm.lr_img=1e-20", "seeds=[0,3]")
    planned = build(*words)
    row = next(row for row, _ in rows(planned) if row.startswith("dm"))
    images = {}
    for name, seed in ((row, 3), ("random", 3), ("random", 0)):
        done(task := of_row(planned, "condense", name, seed), tmp_path)
        images[name, seed] = load_set(Store(tmp_path).folder(task) / "synthetic.safetensors").images
    torch.testing.assert_close(images[row, 3], images["random", 3], rtol=0, atol=1e-6)
    assert not torch.allclose(images["random", 0], images["random", 3])
