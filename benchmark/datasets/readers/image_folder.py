"""Datasets as class folders: train/CLASS/*.png and test/CLASS/*.png, classes in the order of their names."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.datasets.base import Content, Progress, to_split
from benchmark.datasets.readers.decoding import Encoded, common_mode, decode
from benchmark.utils.errors import BenchmarkError

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_NOT_OURS = ("__MACOSX",)  # what a Mac leaves beside what it packs
_NOTHING = ("Thumbs.db", "desktop.ini")
TEST_NAMES = ("test", "val", "valid", "validation")


Classes = Mapping[str, Sequence[Path]]  # class name to its image files, in the order of the labels


@dataclass(frozen=True)
class ClassFolders:
    """A folder with class folders; `train` and `test` are the two split folders."""

    folder: Path
    train: Path
    test: Path
    side: int | None = None  # to which images are resized and cut

    @classmethod
    def find(cls, folder: Path, side: int | None = None) -> ClassFolders | None:
        """The layout, or None when `folder` has neither a train nor a test folder. BenchmarkError when one lacks."""
        train = folder / "train"
        tests = [folder / name for name in TEST_NAMES if (folder / name).is_dir()]
        if train.is_dir() and tests:
            return cls(folder, train, tests[0], side)
        if not train.is_dir() and not tests:
            return None
        there, missing = (train, "test (or val)") if train.is_dir() else (tests[0], "train")
        raise BenchmarkError(
            f"{there} has no {missing} folder beside it",
            where=str(folder),
            next=f"put class folders of the other split into {folder / missing.split()[0]}",
        )

    @property
    def kind(self) -> str:
        return f"class folders ({self.train.name}, {self.test.name})"

    def files(self) -> list[Path]:
        """All image files, those of the training split first. Raises BenchmarkError for folders that do not fit."""
        return [path for split in self._splits().values() for paths in split.values() for path in paths]

    def read(self, progress: Progress | None) -> Content:
        """Both splits decoded, class by class, in the order of the file names."""
        return read_classes(self.folder, *self._splits().values(), side=self.side, kind=self.kind, progress=progress)

    def images(self) -> Iterator[Encoded]:
        """Every image of both splits, not decoded."""
        for split in self._splits().values():
            yield from encoded(self.folder, split)

    def ignored(self) -> list[Path]:
        """The files in class folders that are not read, since their names are not those of images."""
        folders = [child for split in (self.train, self.test) for child in children(split) if child.is_dir()]
        files = [path for folder in folders for path in children(folder) if path.suffix.lower() not in SUFFIXES]
        return [path for path in files if path.name not in _NOTHING]

    def _splits(self) -> dict[str, dict[str, list[Path]]]:
        train, test = _classes(self.train), _classes(self.test)
        # One system writes é as one character, another as two: the names of train/ stand for both.
        alike = {unicodedata.normalize("NFC", name): paths for name, paths in test.items()}
        composed = {name: unicodedata.normalize("NFC", name) for name in train}
        if len(alike) == len(test) and sorted(composed.values()) == sorted(alike):
            test = {name: alike[composed[name]] for name in train}
        if set(train) != set(test):
            only = [f"{min(a.keys() - b.keys())} is only in {where}" for a, b, where in
                    ((train, test, self.train), (test, train, self.test)) if a.keys() - b.keys()]  # fmt: skip
            cased = sorted(name.casefold() for name in composed.values()) == sorted(name.casefold() for name in alike)
            raise BenchmarkError(
                f"the classes of the two splits differ{' in upper and lower case' if cased else ''}: {'; '.join(only)}",
                where=str(self.folder),
                next=f"give {self.train.name}/ and {self.test.name}/ the same class folders",
            )
        if len(train) < 2:
            raise BenchmarkError(f"{self.train} has one class only: {next(iter(train))}", where=str(self.train))
        return {"train": train, "test": test}


@dataclass(frozen=True)
class ClassFiles:
    """The image files of a known dataset by class, already counted; methods as `base.Source`.

    counted_by: the list beside them that says how many training images there are, where the dataset's card does not.
    """

    kind: str
    folder: Path
    train: Classes
    test: Classes
    side: int | None = None
    counted_by: Path | None = None

    def files(self) -> list[Path]:
        """All image files, those of the training split first."""
        return [path for split in (self.train, self.test) for paths in split.values() for path in paths]

    def read(self, progress: Progress | None) -> Content:
        """Both splits decoded, class by class."""
        return read_classes(self.folder, self.train, self.test, side=self.side, kind=self.kind, progress=progress)

    def images(self) -> Iterator[Encoded]:
        """Every image of both splits, not decoded."""
        yield from encoded(self.folder, self.train)
        yield from encoded(self.folder, self.test)


def lacking(find: Callable[[], ClassFiles | None]) -> str | None:
    """None when `find` finds a dataset, with nothing missing; else what it says is wrong, "" when nothing is there."""
    try:
        return "" if find() is None else None
    except BenchmarkError as error:
        return error.what


def read_classes(
    folder: Path, train: Classes, test: Classes, *, side: int | None, kind: str, progress: Progress | None
) -> Content:
    """Both splits decoded, class by class; `train` and `test` have the same classes in the same order."""
    first = decode(encoded(folder, train), _count(train), "decoding train", side=side, progress=progress)
    second = decode(encoded(folder, test), _count(test), "decoding test", side=side, like=first, progress=progress)
    images = common_mode(first, second)
    return Content(to_split(images[0], _labels(train)), to_split(images[1], _labels(test)), tuple(train), kind)


def encoded(folder: Path, split: Classes) -> Iterator[Encoded]:
    """The images of a split, not decoded, each called by its path within `folder`."""
    for paths in split.values():
        for path in paths:
            yield Encoded(str(path.relative_to(folder)), path)


def holds_images(folder: Path) -> bool:
    """Does an image file lie directly in the folder?"""
    return any(child.suffix.lower() in SUFFIXES for child in children(folder))


def children(folder: Path) -> list[Path]:
    """What lies in a folder, by name; what is hidden (.DS_Store, .ipynb_checkpoints) or a Mac's does not count."""
    inside = (child for child in folder.iterdir() if not child.name.startswith(".") and child.name not in _NOT_OURS)
    return sorted(inside, key=lambda path: path.name)


def _classes(split: Path) -> dict[str, list[Path]]:
    """Class name to its image files, both sorted by name. Raises BenchmarkError when there are none."""
    found = {}
    for child in children(split):
        if child.is_symlink() and not child.exists():
            raise BenchmarkError(
                f"{child} is a link to {child.readlink()}, which is not there",
                where=str(split),
                next="mend the link, or remove it from both splits",
            )
        if child.is_dir():
            found[child.name] = images_of(child)
        elif child.suffix.lower() in SUFFIXES:
            raise BenchmarkError(
                f"{child.name} lies directly in {split}, so its class is unknown",
                where=str(split),
                next=f"move the images into class folders, such as {split / 'CLASS' / child.name}",
            )
    if not found:
        raise BenchmarkError(
            f"{split} holds no class folders", where=str(split), next=f"put images into {split / 'CLASS'} folders"
        )
    return found


def images_of(folder: Path) -> list[Path]:
    """The image files in a class folder, by name. Raises BenchmarkError for none, and for more in a folder inside."""
    inside = children(folder)
    images = [path for path in inside if path.suffix.lower() in SUFFIXES]
    deeper = [path for path in inside if path.suffix.lower() not in SUFFIXES and path.is_dir()]
    if images:
        if more := next((path for path in deeper if _images_inside(path)), None):
            raise BenchmarkError(
                f"class folder {folder} holds images, and more of them in {more.name}",
                where=str(folder),
                next=f"move the images of {more} into {folder}, or elsewhere",
            )
        return images
    if deeper:
        what = f"class folder {folder} holds folders ({deeper[0].name}) instead of images"
        cure = f"move the images of {deeper[0]} one level up, or give the folder whose train/CLASS/ holds images"
    else:
        other = f" (only {inside[0].name} and the like)" if inside else ""
        what = f"class folder {folder} holds no images{other}"
        cure = f"add images ({', '.join(SUFFIXES)}) or remove the folder from both splits"
    raise BenchmarkError(what, where=str(folder), next=cure)


def _images_inside(folder: Path) -> bool:
    return holds_images(folder) or any(_images_inside(child) for child in children(folder) if child.is_dir())


def _count(split: Classes) -> int:
    return sum(len(paths) for paths in split.values())


def _labels(split: Classes) -> np.ndarray:
    return np.repeat(np.arange(len(split)), [len(paths) for paths in split.values()])
