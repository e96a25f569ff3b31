"""The archives of ILSVRC-2012: unpacking the classes that are wanted out of 150 GB, and no others."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.base import Finding, Progress
from benchmark.datasets.download import intact
from benchmark.utils.errors import BenchmarkError

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
BYTES = {TRAIN: 147_897_477_120, VAL: 6_744_924_160}  # as published; their md5 would take many minutes
DEVKIT_MD5 = "fa75699e90414af021442c21a62c3abf"

LabelsIn = Callable[[Path], Mapping[str, str] | None]  # folder to file name → WordNet id


@dataclass(frozen=True)
class Archives:
    """The three archives, all of them there."""

    train: Path
    val: Path
    devkit: Path

    @classmethod
    def find(cls, folder: Path) -> Archives | None:
        """The archives in a folder, or None when there is none. Raises BenchmarkError when one lacks."""
        there = {name: (folder / name).is_file() for name in (TRAIN, VAL, DEVKIT)}
        if not (there[TRAIN] or there[VAL]):
            return None
        if missing := [name for name, found in there.items() if not found]:
            raise BenchmarkError(
                f"{folder} holds archives of ILSVRC-2012, but not {', '.join(missing)}",
                where=str(folder),
                next="download what is missing from image-net.org",
            )
        return cls(folder / TRAIN, folder / VAL, folder / DEVKIT)

    def unpack(self, folder: Path, classes: Sequence[str], labels_in: LabelsIn, progress: Progress | None) -> None:
        """Put the training and validation images of these classes into `folder`/train and /val, class by class.

        labels_in: reads the labels of the validation images out of the unpacked development kit in a folder.
        """
        with _readable(self.devkit), tarfile.open(self.devkit) as kit:
            kit.extractall(folder, filter="data")
        wanted = {file: wnid for file, wnid in (labels_in(folder) or {}).items() if wnid in classes}
        with _readable(self.train), tarfile.open(self.train) as outer:
            self._train(outer, folder / "train", classes, progress)
        with _readable(self.val), tarfile.open(self.val) as images:
            found = [member for member in images if member.name in wanted]
            for place, member in enumerate(found, start=1):
                target = folder / "val" / wanted[member.name]
                target.mkdir(parents=True, exist_ok=True)
                images.extract(member, target, filter="data")
                if progress:
                    progress(f"unpacking {VAL}", place, len(found))

    @staticmethod
    def _train(outer: tarfile.TarFile, folder: Path, classes: Sequence[str], progress: Progress | None) -> None:
        """The training archive is one of archives, one for each class."""
        for place, wnid in enumerate(classes, start=1):
            inner = outer.extractfile(f"{wnid}.tar")
            assert inner is not None
            aside = folder / f".{wnid}.part"  # or a kill would leave half a class, which looks like a whole one
            aside.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=inner) as images:
                images.extractall(aside, filter="data")
            if (folder / wnid).is_dir():
                for path in aside.iterdir():
                    path.replace(folder / wnid / path.name)
                aside.rmdir()
            else:
                aside.rename(folder / wnid)
            if progress:
                progress(f"unpacking {TRAIN}, classes", place, len(classes))


def examine(folder: Path) -> Iterator[Finding]:
    """Is each archive that is there whole, as far as a few seconds can tell?"""
    for name, wanted in BYTES.items():
        path = folder / name
        if path.is_file():
            have = path.stat().st_size
            state = (
                "has the published size" if have == wanted else f"has {have:,} bytes of {wanted:,}: half a download?"
            )
            yield Finding(have == wanted, f"{path} {state}", "" if have == wanted else "download it again")
    if (folder / DEVKIT).is_file():
        whole = intact(folder / DEVKIT, DEVKIT_MD5)
        state = "is the published file (md5)" if whole else "is damaged: another md5"
        yield Finding(whole, f"{folder / DEVKIT} {state}", "" if whole else "download it again")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise BenchmarkError(
            f"cannot unpack {path}: {' '.join(str(error).split())}",
            where=str(path.parent),
            next="perhaps half a download (python -m benchmark.data doctor imagenette compares sizes), or a full disk",
        ) from error
