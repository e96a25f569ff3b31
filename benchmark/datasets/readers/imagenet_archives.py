"""The archives of ILSVRC-2012: unpacking the selected classes out of 150 GB, and no others."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.base import Finding, Progress, one_line
from benchmark.datasets.download import damage, is_intact
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_content

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
BYTES = {TRAIN: 147_897_477_120, VAL: 6_744_924_160}  # as published; checking their md5 would take many minutes
DEVKIT_MD5 = "fa75699e90414af021442c21a62c3abf"

ReadLabels = Callable[[Path], Mapping[str, str] | None]  # folder to file name → WordNet id


@dataclass(frozen=True)
class Archives:
    """The three archives, which all exist."""

    train: Path
    val: Path
    devkit: Path

    @classmethod
    def find(cls, folder: Path) -> Archives | None:
        """The archives in a folder, or None if it has none of images. Raises BenchmarkError if one is missing."""
        exists = {name: (folder / name).is_file() for name in (TRAIN, VAL, DEVKIT)}
        if not (exists[TRAIN] or exists[VAL]):
            return None
        if missing := [name for name in exists if not exists[name]]:
            raise BenchmarkError(
                f"{folder} holds archives of ILSVRC-2012, but not {', '.join(missing)}",
                where=str(folder),
                next="download what is missing from image-net.org",
            )
        return cls(folder / TRAIN, folder / VAL, folder / DEVKIT)

    def unpack(self, folder: Path, classes: Sequence[str], read_labels: ReadLabels, progress: Progress | None) -> None:
        """Put the training and validation images of these classes into `folder`/train and /val, class by class.

        read_labels: reads the labels of the validation images from the unpacked development kit in a folder.
        """
        with _error_context(self.devkit), tarfile.open(self.devkit) as kit:
            kit.extractall(folder, filter="data")
        labels = {file: wnid for file, wnid in (read_labels(folder) or {}).items() if wnid in classes}
        with _error_context(self.train), tarfile.open(self.train) as outer:
            self._unpack_train(outer, folder / "train", classes, progress)
        with _error_context(self.val), tarfile.open(self.val) as images:
            members = [member for member in images if member.name in labels]
            for done, member in enumerate(members, start=1):
                target = folder / "val" / labels[member.name]
                target.mkdir(parents=True, exist_ok=True)
                images.extract(member, target, filter="data")
                if progress:
                    progress(f"unpacking {VAL}", done, len(members))

    @staticmethod
    def _unpack_train(outer: tarfile.TarFile, folder: Path, classes: Sequence[str], progress: Progress | None) -> None:
        """The training archive is an archive of archives, one for each class."""
        for done, wnid in enumerate(classes, start=1):
            inner = outer.extractfile(f"{wnid}.tar")
            assert inner is not None
            temporary = folder / f".{wnid}.part"  # else a kill would leave half a class, which looks like a whole one
            temporary.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=inner) as images:
                images.extractall(temporary, filter="data")
            if (folder / wnid).is_dir():
                for path in temporary.iterdir():
                    path.replace(folder / wnid / path.name)
                temporary.rmdir()
            else:
                temporary.rename(folder / wnid)
            if progress:
                progress(f"unpacking {TRAIN}, classes", done, len(classes))


def examine(folder: Path) -> Iterator[Finding]:
    """Whether each archive in the folder is intact, as far as its size (or the md5 of the small one) shows."""
    for name, size in BYTES.items():
        path = folder / name
        if path.is_file():
            actual = path.stat().st_size
            state = (
                "has the published size" if actual == size else f"has {actual:,} bytes of {size:,}: half a download?"
            )
            yield Finding(actual == size, f"{path} {state}", "" if actual == size else "download it again")
    if (folder / DEVKIT).is_file():
        intact = is_intact(folder / DEVKIT, DEVKIT_MD5)
        state = "is the published file (md5)" if intact else f"is {damage(folder / DEVKIT)}"
        yield Finding(intact, f"{folder / DEVKIT} {state}", "" if intact else "download it again")


@contextmanager
def _error_context(path: Path) -> Iterator[None]:
    try:
        check_content(path)
        yield
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise BenchmarkError(
            f"cannot unpack {path}: {one_line(error)}",
            where=str(path.parent),
            next="perhaps half a download (python -m benchmark.data doctor imagenette compares sizes), or a full disk",
        ) from error
