"""Nested dicts of tensors and JSON values as one safetensors file, replaced atomically: a kill leaves old or new."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_file
from methods.base import Tree
from results.store.artifacts import MAKE_AGAIN
from results.store.atomic_files import replace

_SHA256 = "sha256"  # key, among a tree's values, of the SHA-256 of its tensors and other values


def write_bytes(path: Path, content: bytes) -> str:
    """Write the file atomically. Returns the content's SHA-256, 64 hexadecimal digits. Raises ResultsError."""
    replace(path, content)
    return hashlib.sha256(content).hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write tensors by name, and metadata as sorted JSON under one key.

    safetensors orders several metadata keys differently in each process; one key keeps equal content equal bytes.
    Returns the file's SHA-256, 64 hexadecimal digits. Raises ResultsError if the file cannot be written.
    """
    card = json.dumps(metadata, sort_keys=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_bytes(path, safetensors.torch.save(plain, metadata={"card": card}))


def load_tensors(
    path: Path, device: torch.device | str = "cpu", prefix: str = ""
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a `save_tensors` file. Raises BenchmarkError if it is missing, foreign or damaged.

    With a prefix, only the tensors whose names begin with it are read; their names are given without it.
    """
    with _opened(path, device) as (file, names, card):
        chosen = [name for name in names if name.startswith(prefix)]
        return {name.removeprefix(prefix): file.get_tensor(name) for name in chosen}, card


def load_names(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Names of the tensors and metadata of a `save_tensors` file; no tensor is read. Raises as `load_tensors`."""
    with _opened(path, "cpu") as (_, names, card):
        return names, card


@contextmanager
def _opened(path: Path, device: torch.device | str) -> Iterator[tuple[Any, list[str], dict[str, Any]]]:
    """The open file, the names of its tensors, and its metadata."""
    try:
        check_file(path, sys.maxsize)
        with safetensors.safe_open(path, framework="pt", device=str(device)) as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            if not isinstance(card, dict):
                raise ValueError("its metadata is no JSON object")
            yield file, list(file.keys()), card
    except FileNotFoundError as error:
        raise BenchmarkError(f"there is no file {path.name}", where=str(path.parent), transient=True) from error
    except (safetensors.SafetensorError, ValueError, RecursionError, OSError) as error:
        raise BenchmarkError(
            f"{path.name} is damaged or not a safetensors file: {str(error)[:200]}",
            where=str(path.parent),
            next=MAKE_AGAIN,
            transient=True,
        ) from error


def save_tree(path: Path, tree: Tree) -> None:
    """Write a nested dict of tensors and JSON values. Raises ResultsError if the file cannot be written."""
    tensors: dict[str, Tensor] = {}
    values = _move_tensors(tree, "", tensors)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(path, tensors, {**values, _SHA256: _digest(tensors, values)})


def load_tree(path: Path, device: torch.device | str = "cpu") -> Tree:
    """The dict that `save_tree` wrote. Raises BenchmarkError if the file is missing, foreign, damaged or changed."""
    tensors, values = load_tensors(path)
    if values.pop(_SHA256, None) != _digest(tensors, values):
        raise BenchmarkError(f"{path.name} was changed after it was written", where=str(path.parent))
    return _insert_tensors(values, "", {name: tensor.to(device) for name, tensor in tensors.items()})


def _digest(tensors: Mapping[str, Tensor], values: Tree) -> str:
    """SHA-256 of the tensors, which are contiguous and on the CPU, and of the values."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _move_tensors(tree: Mapping[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Tree:
    """The tree without its tensors, which go into `tensors` under their paths, joined by slashes."""
    values: Tree = {}
    for key, value in tree.items():
        if "/" in key:
            raise ValueError(f"a key of a tree must not contain '/': {key!r}")
        if isinstance(value, Tensor):
            tensors[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping):
            values[key] = _move_tensors(value, f"{prefix}{key}/", tensors)
        else:
            values[key] = value
    return values


def _insert_tensors(values: Tree, prefix: str, tensors: Mapping[str, Tensor]) -> Tree:
    tree = {
        key: _insert_tensors(value, f"{prefix}{key}/", tensors) if isinstance(value, dict) else value
        for key, value in values.items()
    }
    for name, tensor in tensors.items():
        if name.startswith(prefix) and "/" not in name[len(prefix) :]:
            tree[name[len(prefix) :]] = tensor
    return tree
