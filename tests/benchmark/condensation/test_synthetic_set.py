"""Synthetic sets on disk: bit for bit, equal bytes for equal sets, and other files refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from benchmark.condensation.synthetic_set import load_set, save_preview, save_set
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from helpers import same
from methods.base import SyntheticSet


def make_set() -> SyntheticSet:
    images = torch.randn(4, 1, 3, 3, generator=seeding.generator("a set"))
    card = {"method": "dm", "resolved": {"z": 1, "a": [1, 2.5]}, "dataset": "x"}
    return SyntheticSet(images, torch.tensor([0, 0, 1, 1]), 2, 1, {"lr": 0.1, "space": "zca"}, card)


def test_a_set_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    digest = save_set(tmp_path / "set.safetensors", make_set())
    loaded = load_set(tmp_path / "set.safetensors")
    assert all(same(getattr(make_set(), name), getattr(loaded, name)) for name in ("images", "labels", "ipc", "factor"))
    assert (loaded.training, loaded.card) == (make_set().training, make_set().card)
    assert digest == hashlib.sha256((tmp_path / "set.safetensors").read_bytes()).hexdigest()


def test_equal_sets_are_equal_bytes_in_every_process(tmp_path: Path) -> None:
    program = "import sys, pathlib, test_synthetic_set as t; t.save_set(pathlib.Path(sys.argv[1]), t.make_set())"
    tests = Path(__file__).parents[2]
    folders = os.pathsep.join(map(str, (Path(__file__).parent, tests, tests.parent)))
    paths = [tmp_path / name for name in ("1", "2")]
    started = []
    for path in paths:
        env = os.environ | {"PYTHONHASHSEED": path.name, "PYTHONPATH": folders}
        started.append(subprocess.Popen([sys.executable, "-c", program, str(path)], env=env))
    assert [process.wait(timeout=100) for process in started] == [0, 0]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def other_card(card: object) -> bytes:
    tensors = {"images": torch.zeros(2, 1, 3, 3), "labels": torch.zeros(2, dtype=torch.int64)}
    return safetensors.torch.save(tensors, metadata={"card": json.dumps(card)})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a set",
        b"\x80\x02}q\x00.",
        safetensors.torch.save({"images": torch.zeros(2, 1, 3, 3)}),
        safetensors.torch.save({"images": torch.zeros(2, 1, 3, 3)}, metadata={"card": "{not json"}),
        other_card({"ipc": 1}),
        other_card({"ipc": 1, "factor": 1}),
        other_card(["ipc", "factor"]),
    ],
    ids=["empty", "text", "pickle", "no card", "broken card", "no factor", "no training", "list"],
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"foreign\.safetensors"):
        load_set(path)


def test_truncated_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    save_set(path, make_set())
    whole = path.read_bytes()
    for length in (4, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BenchmarkError, match="damaged"):
            load_set(path)
    path.unlink()
    with pytest.raises(BenchmarkError, match="no file set"):
        load_set(path)


@pytest.mark.parametrize("names", [["T-shirt/top", "Trouser"], ["x" * 300, "ö\n漢\udcff"], ["", ""], []])
def test_a_preview_names_its_classes_beside_the_images(names: list[str], tmp_path: Path) -> None:
    synthetic = SyntheticSet(torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]), 2)
    save_preview(tmp_path / "preview.png", synthetic, names)
    with Image.open(tmp_path / "preview.png") as picture:
        margin, pixels = int(picture.info["margin"]), np.asarray(picture.convert("L"))
    assert pixels.shape == (2 * 50 + 2, margin + 2 * 50 + 2) and margin < 300
    assert (pixels[:, margin:][2:50, 2:50] == 0).all()
    rows = [(half < 255).any() for half in (pixels[:51, :margin], pixels[51:, :margin])]
    assert rows == [bool(name) for name in names or ("", "")]
