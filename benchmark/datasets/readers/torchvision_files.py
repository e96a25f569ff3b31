"""MNIST, FashionMNIST, SVHN and CIFAR as published, checked by md5 and read by torchvision.

The gzip files of MNIST and FashionMNIST are read without unpacking them, and however they were compressed: the md5 of
their content counts.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.datasets.base import DecodedSplits, Finding, Progress, Split, one_line, to_split
from benchmark.datasets.builtin import BUILTIN
from benchmark.datasets.download import PublishedFile, damage, download
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_content

_CLASSES = {
    "mnist": "MNIST",
    "fashionmnist": "FashionMNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
_IDX = ("mnist", "fashionmnist")  # in MNIST's file format, each file compressed by itself
# Of the unpacked files, which torchvision does not check once they exist. Public facts; those of MNIST were compared
# with the files themselves.
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

# Folders outside data_root with the gzip files of a dataset: Debian's package dataset-fashion-mnist, which compresses
# them anew.
SYSTEM_FOLDERS = {"fashionmnist": Path("/usr/share/datasets/fashion-mnist")}

# What torchvision raises when a file is damaged; the assertions, look-up errors and the like come from its reader of
# MNIST's format, which checks little before it reads.
_DAMAGED = (
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
class TorchvisionFiles:
    """The unpacked files of one of torchvision's datasets, which all exist; methods as `base.DatasetFiles`."""

    name: str
    root: Path

    @property
    def kind(self) -> str:
        return f"torchvision {_CLASSES[self.name]} in {self.root}"

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits, uint8. Raises BenchmarkError for damaged files."""
        report, label = progress or (lambda label, done, total: None), f"reading {self.name}"
        report(label, 0, 2)
        with _error_context(self.name, self.root):
            for path, _ in _unpacked(self.name, self.root):
                check_content(path)
            train = _split(self.name, self.root, train=True)
            report(label, 1, 2)
            test = _split(self.name, self.root, train=False)
        report(label, 2, 2)
        return DecodedSplits(train, test, BUILTIN[self.name].classes, self.kind)


@dataclass(frozen=True)
class GzipFiles:
    """The four files of MNIST or FashionMNIST, some as gzip files, which all exist; methods as `base.DatasetFiles`.

    files: path and md5 of the content, in the order of `_UNPACKED_MD5`.
    """

    name: str
    files: tuple[tuple[Path, str | None], ...]

    @property
    def kind(self) -> str:
        return (
            f"gzip files of {_CLASSES[self.name]} in {' and '.join({str(path.parent): None for path, _ in self.files})}"
        )

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits, uint8. Raises BenchmarkError for a file whose content is not the published one."""
        report, label = progress or (lambda label, done, total: None), f"reading {self.name}"
        arrays = []
        for done, (path, md5) in enumerate(self.files):
            report(label, done, len(self.files))
            arrays.append(self._read_file(path, md5))
        report(label, len(self.files), len(self.files))
        train, test = (to_split(images[:, None], labels) for images, labels in (arrays[:2], arrays[2:]))
        return DecodedSplits(train, test, BUILTIN[self.name].classes, self.kind)

    def _read_file(self, path: Path, md5: str | None) -> np.ndarray:
        """The array of a file in MNIST's format: uint8 (N, H, W) or (N,)."""
        with _error_context(self.name, path):
            check_content(path)
            with _open_content(path) as file:
                content = file.read()
            if md5 is not None and hashlib.md5(content).hexdigest() != md5:
                raise ValueError("its content is not that of the published file (another md5)")
            start = 4 + 4 * content[3]  # two zeros, the type, the number of dimensions; the shape as big-endian int32
            shape = np.frombuffer(content[4:start], ">i4").tolist()
            return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def find(name: str, data_root: Path) -> TorchvisionFiles | GzipFiles | None:
    """The dataset's files under `data_root`, else in the folder of the system's package; None if one is missing."""
    root = _root(name, data_root)
    unpacked = _unpacked(name, root)
    if all(path.is_file() for path, _ in unpacked):
        return TorchvisionFiles(name, root)
    if name not in _IDX:
        return None
    existing = [(_existing(name, path), md5) for path, md5 in unpacked]
    return GzipFiles(name, tuple(existing)) if all(path.is_file() for path, _ in existing) else None


def has_content(path: Path, md5: str | None) -> bool:
    """Whether the file exists and its content, that of a gzip file unpacked, has this md5; None: any content."""
    try:
        with _open_content(path) as file:
            return md5 is None or hashlib.file_digest(file, "md5").hexdigest() == md5
    except _DAMAGED:
        return False


def _open_content(path: Path) -> BufferedReader | gzip.GzipFile:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _existing(name: str, unpacked: Path) -> Path:
    """The first that exists of an unpacked file, its gzip file, and that of the system's package; else `unpacked`."""
    return next((path for path in _copies(name, unpacked) if path.is_file()), unpacked)


def _copies(name: str, unpacked: Path) -> list[Path]:
    """Where the content of an unpacked file may be, in the order in which they are read."""
    if name not in _IDX:
        return [unpacked]
    packed = unpacked.with_name(f"{unpacked.name}.gz")
    return [unpacked, packed, *([SYSTEM_FOLDERS[name] / packed.name] if name in SYSTEM_FOLDERS else [])]


def fetch(name: str, data_root: Path, progress: Progress | None = None) -> None:
    """Download and unpack what is missing or damaged. Raises BenchmarkError, with what to do, if that fails."""
    from torchvision.datasets.utils import extract_archive

    root = _root(name, data_root)
    for archive, unpacked in _archives(name, root):
        wrong = [path for path, md5 in unpacked if not _restore(name, path, md5)]
        if not wrong:
            continue
        _reject_misplaced(wrong[0])
        _unpack_copy(archive.path, [path for path, _ in unpacked])
        if all(has_content(path, md5) for path, md5 in unpacked):
            continue
        try:
            download(archive, progress)
        except BenchmarkError as error:
            damaged = wrong[0].is_file() and wrong[0] != archive.path  # if it is the archive, `download` says so
            first = f"{wrong[0]} is {damage(wrong[0])}; and " if damaged else ""
            parquet = "; or give a folder with train.parquet and test.parquet: 'datasets=[PATH]'"
            raise BenchmarkError(f"{first}{error.what}", where=error.where, next=error.next + parquet) from error
        if archive.path not in [path for path, _ in unpacked]:
            with _error_context(name, root):
                extract_archive(archive.path, archive.path.parent)


def _restore(name: str, unpacked: Path, md5: str | None) -> bool:
    """Whether the content of an unpacked file is there; a damaged copy that would be read first is replaced by it."""
    intact = next((copy for copy in _copies(name, unpacked) if has_content(copy, md5)), None)
    if intact is None:
        return False
    if intact != _existing(name, unpacked):
        with _open_content(intact) as source:
            part = unpacked.with_name(f"{unpacked.name}.part")
            part.write_bytes(source.read())
        part.replace(unpacked)
    return True


def _unpack_copy(archive: Path, unpacked: list[Path]) -> None:
    """Unpack these files from an archive that is there; it may have been compressed anew, and so have another md5."""
    names = {path.relative_to(archive.parent).as_posix() for path in unpacked}
    with suppress(*_DAMAGED), tarfile.open(archive) as tar:  # what is damaged is downloaded
        tar.extractall(archive.parent, [member for member in tar if member.name in names], filter="data")


def _reject_misplaced(path: Path) -> None:
    """Raise BenchmarkError if the file that torchvision does not find lies one level above or below."""
    folder = path.parent
    for name in (path.name, f"{path.name}.gz"):
        for other in (folder.parent / name, folder / folder.name / name):
            if not path.exists() and other.is_file():
                raise BenchmarkError(
                    f"{name} lies in {other.parent}, but is expected in {folder}",
                    where=f"data_root, {folder}",
                    next=f"move the files from {other.parent} to {folder}",
                )


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """Whether every file exists and is intact. The published archives need not be kept once they are unpacked."""
    root = _root(name, data_root)
    for unpacked, md5 in _unpacked(name, root):
        path = _existing(name, unpacked)
        state = "is missing" if not path.is_file() else "" if has_content(path, md5) else f"is {damage(path)}"
        intact = "has the published content (md5)" if path.suffix == ".gz" else "is the published file (md5)"
        cure = f"python -m benchmark.data prepare {name} restores it"
        yield Finding(not state, f"{path} {state or intact}", cure if state else "")


def _root(name: str, data_root: Path) -> Path:
    """The root for torchvision: SVHN gets a folder, since its file names do not tell which dataset they belong to."""
    return data_root / "svhn" if name == "svhn" else data_root


def _class(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, _CLASSES[name])


def _archives(name: str, root: Path) -> list[tuple[PublishedFile, list[tuple[Path, str | None]]]]:
    """Each published file with the files it unpacks to and their md5 (a file that is not packed: itself)."""
    cls = _class(name)
    if name == "svhn":
        files = [(url, root / file, md5) for url, file, md5 in (cls.split_list[split] for split in ("train", "test"))]
        return [(PublishedFile(path, md5, (url,)), [(path, md5)]) for url, path, md5 in files]
    if name in _IDX:
        raw = root / _CLASSES[name] / "raw"
        unpacked_md5 = _UNPACKED_MD5[_CLASSES[name]]
        return [
            (
                PublishedFile(raw / file, md5, [mirror + file for mirror in cls.mirrors]),
                [(raw / file.removesuffix(".gz"), unpacked_md5[file.removesuffix(".gz")])],
            )
            for file, md5 in cls.resources
        ]
    listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
    unpacked = [(root / cls.base_folder / file, md5) for file, md5 in listed]
    return [(PublishedFile(root / cls.filename, cls.tgz_md5, (cls.url,)), unpacked)]


def _unpacked(name: str, root: Path) -> list[tuple[Path, str | None]]:
    return [file for _, files in _archives(name, root) for file in files]


def _split(name: str, root: Path, *, train: bool) -> Split:
    if name == "svhn":
        svhn = _class(name)(root, split="train" if train else "test")
        return to_split(np.ascontiguousarray(svhn.data), svhn.labels)
    dataset = _class(name)(root, train=train)
    if name in _IDX:
        return to_split(dataset.data.unsqueeze(1), dataset.targets)
    return to_split(torch.from_numpy(dataset.data).permute(0, 3, 1, 2), dataset.targets)


@contextmanager
def _error_context(name: str, root: Path) -> Iterator[None]:
    """Raise BenchmarkError for what a damaged file raises. root: a folder with files of the dataset, or one of them."""
    what = f"{root} is" if root.is_file() else f"the files of {name} in {root} are"
    try:
        yield
    except _DAMAGED as error:
        raise BenchmarkError(
            f"{what} damaged: {one_line(error)}",
            where=f"data_root, {root}",
            next=f"python -m benchmark.data prepare {name} checks every file and restores what is damaged",
        ) from error
