"""Scoring arrays from Python: the numbers of the command, and one clear error for what is no set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.condensation.synthetic_set import load_dataset, save_set
from benchmark.external_sets.score import score
from benchmark.utils.errors import BenchmarkError
from doc_pages import ROOT, blocks
from external_set_files import subset
from methods.base import SyntheticSet
from methods.multi_formation import decode
from results.frame import load

SMALL: dict[str, Any] = {"architecture": "convnet2-w4", "num_eval": 2, "device": "cpu", "threads": 1}


@pytest.mark.parametrize(("factor", "protocol"), [(1, "quick"), (2, "quick@plain")])
def test_the_numbers_are_those_of_the_command(factor: int, protocol: str, tmp_path: Path) -> None:
    images, labels = subset(3)
    path = tmp_path / "synthetic.safetensors"
    save_set(path, SyntheticSet(images, labels, len(labels) // 10, factor))
    words = [f"set={path}", "dataset=digits", f"protocols=[{protocol}]", "baselines=[]", "num_eval=2", "workers=1",
             "threads=1", "device=cpu", "eval_architectures=[convnet2-w4]"]  # fmt: skip
    subprocess.run([sys.executable, "-m", "benchmark.evaluate", *words], cwd=tmp_path, check=True, capture_output=True)
    ours = score(images, labels, "digits", protocol, factor=factor, **SMALL)
    assert ours == list(load(tmp_path / "outputs")["accuracy"]) and len(ours) == 2
    reverse = np.flip(images.flip(0).numpy(), 0), np.flip(labels.flip(0).numpy(), 0)
    assert ours[:1] == score(*reverse, "digits", protocol, factor=factor, **SMALL | {"num_eval": 1})
    assert ours != score(images, labels, "digits", protocol, factor=factor, seed=1, **SMALL)


def test_a_stored_set_is_a_dataset_of_what_networks_see(tmp_path: Path) -> None:
    images, labels = torch.rand(20, 1, 8, 8), torch.arange(10).repeat_interleave(2)
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, 2, factor=2))
    dataset = load_dataset(tmp_path / "synthetic.safetensors")
    assert len(dataset) == 80
    for index in (0, 25, 79):
        image, label = dataset[index]
        assert torch.equal(image, decode(images, 2)[index]) and label == labels[index % 20]


def test_soft_labels_are_repeated_with_the_images(tmp_path: Path) -> None:
    images, labels, soft = torch.rand(20, 1, 8, 8), torch.arange(10).repeat_interleave(2), torch.randn(80, 10)
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, 2, factor=2, soft=soft))
    dataset = load_dataset(tmp_path / "synthetic.safetensors")
    assert len(dataset) == 80
    for index in range(80):
        torch.testing.assert_close(dataset[index][1], soft[index].softmax(0))


def test_soft_labels_are_scored_as_probabilities_or_logits_alike(tmp_path: Path) -> None:
    images, labels = subset()
    probabilities = 0.9 * torch.eye(10)[labels] + 0.01
    options: dict[str, Any] = {"architecture": "convnet2-w4", "num_eval": 1, "device": "cpu", "threads": 1}
    soft = score(images, probabilities, "digits", "quick", **options)
    assert score(images, probabilities.log() + 3, "digits", "quick", **options) == soft  # a softmax takes the 3 out
    assert score(images, probabilities, "digits", "quick@hard", **options) == score(
        images, labels, "digits", "quick", **options
    )
    assert soft != score(images, labels, "digits", "quick", **options)


def test_the_examples_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "docs/dataframe.md").read_text().partition("## Sets and scores in Python")[2]
    load, score_arrays = blocks(section, "python")
    images, labels = subset()
    path = tmp_path / "outputs/condense/NAME/synthetic.safetensors"
    path.parent.mkdir(parents=True)
    save_set(path, SyntheticSet(images, labels, 2, factor=2))
    np.save(tmp_path / "images.npy", images.numpy())
    np.save(tmp_path / "labels.npy", labels.numpy())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(load, names)
    assert names["images"].shape == (80 - 64, 1, 8, 8) and len(names["labels"]) == 80 - 64  # the last batch
    exec(score_arrays, names)
    assert len(names["accuracies"]) == 2 and all(0 < accuracy < 1 for accuracy in names["accuracies"])
    assert {path.name for path in tmp_path.iterdir()} == {"outputs", "images.npy", "labels.npy"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"images": np.zeros((20, 1, 8, 8), dtype=np.uint8)}, "pixels are torch.uint8"),
        ({"images": torch.rand(20, 3, 8, 8)}, "its images are 3x8x8, those of digits 1x8x8"),
        ({"images": torch.full((20, 1, 8, 8), torch.nan)}, "not finite"),
        ({"images": 255 * torch.rand(20, 1, 8, 8)}, "to be from 0 to 1"),
        ({"images": np.full((20, 1, 8, 8), "white")}, "images cannot be read"),
        ({"images": np.zeros((20, 1, 8, 8), dtype=">f4")}, "images cannot be read: given numpy array has byte order"),
        ({"labels": np.array([*map(str, range(20))])}, "labels cannot be read"),
        ({"labels": torch.rand(20, 10)}, "its soft labels are from 0 to 1, but those of image"),
        ({"labels": torch.zeros(20)}, "class"),
        ({"labels": torch.arange(3)}, "20 images and 3 labels"),
        ({"dataset": "digit"}, "digit"),
        ({"protocol": "quik"}, "quik"),
        ({"protocol": "native"}, "no protocol of their own"),
        ({"factor": 9}, "factor 9 does not fit"),
        ({"num_eval": 0}, "num_eval must be at least 1"),
        ({"architecture": "convnet2-q4"}, "convnet2-q4"),
        ({"device": "cup"}, "cup"),
    ],
)
def test_what_is_no_set_is_named(change: dict[str, Any], what: str) -> None:
    images, labels = torch.rand(20, 1, 8, 8), torch.arange(10).repeat_interleave(2)
    words = {"images": images, "labels": labels, "dataset": "digits", "protocol": "quick"} | SMALL | change
    with pytest.raises(BenchmarkError) as caught:
        score(**words)
    assert what in caught.value.what + caught.value.where
