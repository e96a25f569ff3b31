"""MNIST, FashionMNIST, SVHN and CIFAR: downloaded once by torchvision, which checks their md5, read as uint8."""

from __future__ import annotations

import http.client
import socket
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.datasets.base import Content, Progress, Split, to_split
from benchmark.datasets.known import KNOWN
from benchmark.errors import BenchmarkError

_KINDS = {
    "mnist": "MNIST",
    "fashionmnist": "FashionMNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
_PATIENCE = (
    60.0  # seconds without an answer from a server, after which a download has failed (torchvision waits forever)
)
_DIGITS = tuple(str(digit) for digit in range(10))

# What torchvision lets out when a download fails or a file is damaged. URLError is an OSError; the assertions, look-ups
# and the like come from its reader of MNIST's format, which checks little before it reads.
_FAILURES = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    http.client.HTTPException,
)


def read(name: str, data_root: Path, progress: Progress | None = None) -> Content:
    """Both splits of a torchvision dataset, downloaded into `data_root` when they are not there yet.

    Raises BenchmarkError when it can neither be found nor downloaded, or when what is there is damaged.
    """
    kind, root = _KINDS[name], _root(name, data_root)
    report = progress or (lambda label, done, total: None)
    report(f"reading {name}", 0, 2)
    try:
        with _impatient():
            train, classes = _split(kind, root, train=True)
            report(f"reading {name}", 1, 2)
            test, _ = _split(kind, root, train=False)
        for split in (train, test):
            _check(name, split)
    except _FAILURES as error:
        raise _unreadable(name, root, error) from error
    report(f"reading {name}", 2, 2)
    return Content(train, test, classes, f"torchvision {kind} in {root}")


def _root(name: str, data_root: Path) -> Path:
    """What torchvision is given as root: SVHN's file names are too plain to lie among other datasets."""
    return data_root / "svhn" if name == "svhn" else data_root


def _split(kind: str, root: Path, *, train: bool) -> tuple[Split, tuple[str, ...]]:
    from torchvision import datasets

    if kind == "SVHN":
        found: Any = datasets.SVHN(root, split="train" if train else "test", download=True)
        return to_split(np.ascontiguousarray(found.data), found.labels), _DIGITS
    found = getattr(datasets, kind)(root, train=train, download=True)
    if kind in ("MNIST", "FashionMNIST"):
        return to_split(found.data.unsqueeze(1), found.targets), _DIGITS if kind == "MNIST" else tuple(found.classes)
    return to_split(torch.from_numpy(found.data).permute(0, 3, 1, 2), found.targets), tuple(found.classes)


@contextmanager
def _impatient() -> Iterator[None]:
    """A server that does not answer is an error, not a wait without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _check(name: str, split: Split) -> None:
    """MNIST's files are never checked again once unpacked: see that images and labels belong together."""
    known, shape = KNOWN[name], tuple(split.images.shape[1:])
    if shape != known.image_shape:
        raise ValueError(f"images of shape {shape} instead of {known.image_shape}")
    if not len(split.images) == len(split.labels) > 0:
        raise ValueError(f"{len(split.images)} images and {len(split.labels)} labels")
    if int(split.labels.min()) < 0 or int(split.labels.max()) >= known.num_classes:
        raise ValueError(f"labels outside 0..{known.num_classes - 1}")


def _archives(kind: str, root: Path) -> list[tuple[Path, str]]:
    """The files that torchvision downloads, and their md5."""
    from torchvision import datasets

    if kind == "SVHN":
        return [(root / file, md5) for _, file, md5 in (datasets.SVHN.split_list[part] for part in ("train", "test"))]
    found = getattr(datasets, kind)
    if kind in ("MNIST", "FashionMNIST"):
        return [(root / kind / "raw" / file, md5) for file, md5 in found.resources]
    return [(root / found.filename, found.tgz_md5)]


def _unreadable(name: str, root: Path, error: BaseException) -> BenchmarkError:
    """One message for what failed, where the files are looked for, and the ways out."""
    from torchvision.datasets.utils import check_integrity

    kind = _KINDS[name]
    reason = " ".join(str(error).split()) or type(error).__name__
    archives = _archives(kind, root)
    damaged = [str(path) for path, md5 in archives if path.is_file() and not check_integrity(path, md5)]
    looked_for = ", ".join(str(path) for path, _ in archives)
    cure = f"download elsewhere and copy to {looked_for}; or give a folder with train.parquet and test.parquet: "
    cure += "'datasets=[PATH]'"
    if damaged:
        what = f"{', '.join(damaged)} is damaged (not the published md5: a half download?)"
        what += f", and downloading {name} again failed: {reason}"
    elif kind in ("MNIST", "FashionMNIST") and all(path.with_suffix("").is_file() for path, _ in archives):
        folder = root / kind / "raw"
        what = f"the unpacked files of {name} in {folder} are damaged: {reason}"
        cure = f"delete {folder} and run again, or {cure}"
    else:
        what = f"{name} is not complete in {root} and downloading it failed: {reason}"
    return BenchmarkError(what, where=f"data_root, {root}", next=cure)
