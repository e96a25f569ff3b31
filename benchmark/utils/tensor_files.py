"""Nested dicts of tensors and JSON values as one safetensors file, replaced atomically: a kill leaves old or new."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from benchmark.utils.errors import BenchmarkError
from methods.base import Tree


def write_bytes(path: Path, content: bytes) -> str:
    """Write the file atomically: a temporary file in the same folder, fsync, rename.

    Returns the content's SHA-256, 64 hexadecimal digits. Raises BenchmarkError if the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror)
        raise BenchmarkError(
            f"{path.name} could not be written: {reason}",
            where=str(path.parent),
            next="make room or choose another folder (store=PATH), then run the same command again",
            transient=True,
        ) from error
    return hashlib.sha256(content).hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write tensors by name, and metadata as sorted JSON under one key.

    safetensors orders several metadata keys differently in each process; one key keeps equal content equal bytes.
    Returns the file's SHA-256, 64 hexadecimal digits. Raises BenchmarkError if the file cannot be written.
    """
    card = json.dumps(metadata, sort_keys=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_bytes(path, safetensors.torch.save(plain, metadata={"card": card}))


def load_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a `save_tensors` file. Raises BenchmarkError if it is missing, foreign or damaged."""
    try:
        with safetensors.safe_open(path, framework="pt", device=str(device)) as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118 -- not a dict
    except FileNotFoundError as error:
        raise BenchmarkError(f"there is no file {path.name}", where=str(path.parent)) from error
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        raise BenchmarkError(
            f"{path.name} is damaged or not a safetensors file: {error}",
            where=str(path.parent),
            next="move its folder away and run the same command again with retry=failed",
        ) from error


def save_tree(path: Path, tree: Tree) -> None:
    """Write a nested dict of tensors and JSON values. Raises BenchmarkError if the file cannot be written."""
    tensors: dict[str, Tensor] = {}
    values = _move_tensors(tree, "", tensors)
    save_tensors(path, tensors, values)


def load_tree(path: Path, device: torch.device | str = "cpu") -> Tree:
    """The dict that `save_tree` wrote. Raises BenchmarkError if the file is missing, foreign or damaged."""
    tensors, values = load_tensors(path, device)
    return _insert_tensors(values, "", tensors)


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
