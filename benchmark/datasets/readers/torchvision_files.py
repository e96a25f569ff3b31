"""MNIST, FashionMNIST, SVHN and CIFAR as published, checked by md5 and read by torchvision."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.datasets.base import Content, Finding, Progress, Split, to_split
from benchmark.datasets.builtin import KNOWN
from benchmark.datasets.download import Published, download, intact
from benchmark.utils.errors import BenchmarkError

_KINDS = {
    "mnist": "MNIST",
    "fashionmnist": "FashionMNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
# Of the unpacked files, which torchvision does not check once they are there. Public facts; those of MNIST were
# compared with the files themselves.
_UNPACKED_MD5 = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}

# What torchvision lets out when a file is damaged; the assertions, look-ups and the like come from its reader of
# MNIST's format, which checks little before it reads.
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
)


@dataclass(frozen=True)
class VisionFiles:
    """The unpacked files of one of torchvision's datasets, all of them there; methods as `datasets.Source`."""

    name: str
    root: Path

    @property
    def kind(self) -> str:
        return f"torchvision {_KINDS[self.name]} in {self.root}"

    def read(self, progress: Progress | None) -> Content:
        """Both splits, uint8. Raises BenchmarkError for damaged files."""
        report, label = progress or (lambda label, done, total: None), f"reading {self.name}"
        report(label, 0, 2)
        with _understood(self.name, self.root):
            train = _split(self.name, self.root, train=True)
            report(label, 1, 2)
            test = _split(self.name, self.root, train=False)
        report(label, 2, 2)
        return Content(train, test, KNOWN[self.name].classes, self.kind)


def find(name: str, data_root: Path) -> VisionFiles | None:
    """The dataset's files under `data_root`, or None when one is missing."""
    root = _root(name, data_root)
    return VisionFiles(name, root) if all(path.is_file() for path, _ in _unpacked(name, root)) else None


def fetch(name: str, data_root: Path, progress: Progress | None = None) -> None:
    """Download what is missing or damaged, and unpack it. Raises BenchmarkError with the ways out when that fails."""
    from torchvision.datasets.utils import extract_archive

    root = _root(name, data_root)
    for archive, made in _archives(name, root):
        wrong = [path for path, md5 in made if not intact(path, md5)]
        if not wrong:
            continue
        _misplaced(wrong[0])
        try:
            download(archive, progress)
        except BenchmarkError as error:
            known = wrong[0].is_file() and wrong[0] != archive.path  # of the archive itself `download` says so
            first = f"{wrong[0]} is damaged (another md5); and " if known else ""
            parquet = "; or give a folder with train.parquet and test.parquet: 'datasets=[PATH]'"
            raise BenchmarkError(f"{first}{error.what}", where=error.where, next=error.next + parquet) from error
        if archive.path not in [path for path, _ in made]:
            with _understood(name, root):
                extract_archive(archive.path, archive.path.parent)


def _misplaced(path: Path) -> None:
    """Raise BenchmarkError when a file that is not where torchvision looks for it lies one level above or below."""
    folder = path.parent
    for other in (folder.parent / path.name, folder / folder.name / path.name):
        if not path.exists() and other.is_file():
            raise BenchmarkError(
                f"{path.name} lies in {other.parent}, but is looked for in {folder}",
                where=f"data_root, {folder}",
                next=f"move the files from {other.parent} to {folder}",
            )


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """Is every file there and whole? The published archives need not be kept once they are unpacked."""
    root = _root(name, data_root)
    for path, md5 in _unpacked(name, root):
        state = "is missing" if not path.is_file() else "" if intact(path, md5) else "is damaged: another md5"
        cure = f"python -m benchmark.data prepare {name} brings it back"
        yield Finding(not state, f"{path} {state or 'is the published file (md5)'}", cure if state else "")


def _root(name: str, data_root: Path) -> Path:
    """What torchvision is given as root: SVHN's file names are too plain to lie among other datasets."""
    return data_root / "svhn" if name == "svhn" else data_root


def _class(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, _KINDS[name])


def _archives(name: str, root: Path) -> list[tuple[Published, list[tuple[Path, str | None]]]]:
    """Each published file with the files that come out of it, and their md5 (an archive of its own: itself)."""
    kind = _class(name)
    if name == "svhn":
        files = [(url, root / file, md5) for url, file, md5 in (kind.split_list[part] for part in ("train", "test"))]
        return [(Published(path, md5, (url,)), [(path, md5)]) for url, path, md5 in files]
    if name in ("mnist", "fashionmnist"):
        raw = root / _KINDS[name] / "raw"
        known = _UNPACKED_MD5[_KINDS[name]]
        return [
            (
                Published(raw / file, md5, [mirror + file for mirror in kind.mirrors]),
                [(raw / file.removesuffix(".gz"), known[file.removesuffix(".gz")])],
            )
            for file, md5 in kind.resources
        ]
    listed = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    made = [(root / kind.base_folder / file, md5) for file, md5 in listed]
    return [(Published(root / kind.filename, kind.tgz_md5, (kind.url,)), made)]


def _unpacked(name: str, root: Path) -> list[tuple[Path, str | None]]:
    return [file for _, made in _archives(name, root) for file in made]


def _split(name: str, root: Path, *, train: bool) -> Split:
    if name == "svhn":
        found = _class(name)(root, split="train" if train else "test")
        return to_split(np.ascontiguousarray(found.data), found.labels)
    found = _class(name)(root, train=train)
    if name in ("mnist", "fashionmnist"):
        return to_split(found.data.unsqueeze(1), found.targets)
    return to_split(torch.from_numpy(found.data).permute(0, 3, 1, 2), found.targets)


@contextmanager
def _understood(name: str, root: Path) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BenchmarkError(
            f"the files of {name} in {root} are damaged: {reason}",
            where=f"data_root, {root}",
            next=f"python -m benchmark.data prepare {name} checks every file and brings back what is damaged",
        ) from error
