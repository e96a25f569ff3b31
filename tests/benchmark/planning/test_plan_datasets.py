"""Datasets of one name are told apart in a plan, and equal images are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.planning.plan_datasets import distinct_names
from helpers import planned

WORDS = ("methods=[dm]", "ipcs=[1]", "baselines=[random]", "architectures=[convnet2-w4]", "seeds=[0]")


def write_images(folder: Path, seed: int) -> Path:
    """Two classes of four images in each split."""
    draw = np.random.default_rng(seed)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            for index in range(4):
                pixels = draw.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{index}.png")
    return folder


def test_two_folders_of_one_name_are_two_datasets(tmp_path: Path) -> None:
    easy, hard = (write_images(tmp_path / name / "data", seed) for seed, name in enumerate(("easy", "hard")))
    plan = planned(*WORDS, f"datasets=[{easy},{hard}]", f"data_root={tmp_path}")
    assert list(plan.outlines) == ["easy/data", "hard/data"]
    shown = {(task["display"]["dataset"], task["requested"]["dataset"]) for task in plan.of_kind("evaluate")}
    assert shown == {("easy/data", str(easy)), ("hard/data", str(hard))}
    alone = planned(*WORDS, f"datasets=[{hard}]", f"data_root={tmp_path}")
    assert list(alone.outlines) == ["data"] and alone.by_identity.keys() <= plan.by_identity.keys()
    assert not any("same images" in note for note in plan.notes)


def test_equal_images_under_two_names_are_named(tmp_path: Path) -> None:
    one, other = (write_images(tmp_path / name, 0) for name in ("one", "other"))
    plan = planned(*WORDS, f"datasets=[{one},{other}]", f"data_root={tmp_path}")
    assert any(note.startswith("one and other hold the same images") for note in plan.notes)


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        (["/a/data", "/b/other"], ["data", "other"]),
        (["/a/data", "/b/data"], ["a/data", "b/data"]),
        (["/x/a/data", "/y/a/data", "/z/b/data"], ["x/a/data", "y/a/data", "b/data"]),
        (["/a/data", "/a/data"], ["a/data", "a/data"]),
    ],
)
def test_as_many_folders_as_needed_tell_names_apart(entries: list[str], names: list[str]) -> None:
    assert distinct_names(entries, [Path(entry).name for entry in entries]) == names
