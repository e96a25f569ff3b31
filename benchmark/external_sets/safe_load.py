"""Loading .pt files from untrusted sources: only tensors, numbers, lists and dicts; no code in a file is ever run."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 -- the error alone: nothing is unpickled by pickle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.datasets.base import one_line
from benchmark.external_sets.validate import MAX_BYTES
from benchmark.utils.errors import BenchmarkError
from results import formatting

_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
_FLOATS = ("float16", "float32", "float64")


def load(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU, from its zip or its older format; or numpy's .npy or .npz, as tensors.

    Apart from tensors and plain containers only numpy's float scalars are allowed, which DC's files hold as accuracies.
    Raises BenchmarkError for a file that requires anything else, for a damaged one, and for one that inflates to more
    than MAX_BYTES.
    """
    try:
        with path.open("rb") as file:
            array = file.read(6) == b"\x93NUMPY"
        if array or _holds_arrays(path):
            arrays = np.load(path, allow_pickle=False)
            return _tensor(arrays) if array else {name: _tensor(arrays[name]) for name in arrays}
        with torch.serialization.safe_globals(_allowed()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, which only the file's author could change
            return torch.load(path, map_location="cpu", weights_only=True)
    except BenchmarkError:
        raise
    except UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:  # damaged files make it raise whatever their bytes lead to
        text = one_line(error)
        text = text if len(text) <= 158 else f"{text[:157]}…"
        raise BenchmarkError(
            f"{path.name} was not written by torch.save or numpy, or it is damaged: {text}",
            where=str(path),
            next="download or copy it again",
        ) from error


def _tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor, in the byte order of this machine."""
    return torch.as_tensor(array.astype(array.dtype.newbyteorder("="), copy=False))


def _holds_arrays(path: Path) -> bool:
    """Whether it is numpy's .npz, a zip file as those of torch are. Raises BenchmarkError if it inflates too much."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if (inflated := sum(entry.file_size for entry in entries)) > MAX_BYTES:
        raise BenchmarkError(
            f"{path.name} inflates to {formatting.size(inflated)}; at most {formatting.size(MAX_BYTES)} are read",
            where=str(path),
            next="check that the file holds a synthetic set",
        )
    return any(entry.filename.endswith(".npy") for entry in entries)


def _allowed() -> list[Any]:
    """numpy's scalar under both module names, its dtype, and the dtypes of floats: they hold bytes and call nothing."""
    scalar = np.float64(0).__reduce__()[0]
    floats = [type(np.dtype(name)) for name in _FLOATS]
    return [*((scalar, f"{module}.scalar") for module in _NUMPY_MODULES), np.dtype, *floats]


def _refused(path: Path, message: str) -> BenchmarkError:
    match = re.search(r"GLOBAL (\S+)|global [`']?([\w.]+)|callable [`']?([\w.]+)", message)
    name = next((group for group in match.groups() if group), "") if match else ""
    if not name:  # torch's own message would be advice to load the file unsafely
        return BenchmarkError(
            f"{path.name} holds more than tensors and numbers, or torch.save did not write it: nothing in it was run",
            where=str(path),
            next="wanted: tensors of images and labels, written by torch.save",
        )
    return BenchmarkError(
        f"{path.name} holds more than tensors and numbers: it requires {name}. It is refused; nothing in it was run",
        where=str(path),
        next="if you trust its source, save images and labels again: torch.save([images, labels], 'set.pt')",
    )
