"""Checkpoints: nested dicts of tensors and values come back bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tree, save_tree
from helpers import same
from results.errors import ResultsError


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"empty": {}, "deeper": {"empty": {}, "beside": {"a": torch.ones(2)}}},
        {"odd": torch.tensor([float("nan"), -0.0, 1e-45, float("-inf")]), "none": torch.zeros(0, 3)},
        {"one": torch.tensor(7), "yes": torch.tensor([True, False])},
        {"kinds": {str(kind): torch.ones(3).to(kind) for kind in (torch.bfloat16, torch.float64, torch.int64)}},
        {"strided": torch.arange(12.0).view(3, 4).t(), "a.b": torch.ones(1), "a": {"b": torch.zeros(1), "c": 1}},
        {"values": {"text": "é/", "none": None, "list": [1, 0.1 + 0.2, "x", []], "big": 2**60, "flag": True}},
    ],
)  # fmt: skip
def test_a_tree_is_loaded_as_it_was_saved(tree: dict[str, Any], tmp_path: Path) -> None:
    save_tree(tmp_path / "tree.safetensors", tree)
    assert same(tree, load_tree(tmp_path / "tree.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["tree.safetensors"]


def test_a_file_that_cannot_be_written_says_so_and_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"cannot write tree\.safetensors"):
        save_tree(tmp_path / "absent" / "tree.safetensors", {"a": 1})
    path = tmp_path / "tree.safetensors"
    save_tree(path, {"a": 1})
    with pytest.raises(TypeError):
        save_tree(path, {"a": object()})
    assert load_tree(path) == {"a": 1} and len(list(tmp_path.iterdir())) == 1


def test_a_changed_bit_of_a_tensor_or_a_value_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tree.safetensors"
    save_tree(path, {"weights": torch.ones(4), "done": 12345})
    for old, new in ((b"12345", b"12346"), (torch.ones(1).numpy().tobytes(), b"\x00\x00\x80\x3e")):
        sound = path.read_bytes()
        assert old in sound
        path.write_bytes(sound.replace(old, new, 1))
        with pytest.raises(BenchmarkError, match="was changed after it was written"):
            load_tree(path)
        path.write_bytes(sound)
    assert load_tree(path)["done"] == 12345
