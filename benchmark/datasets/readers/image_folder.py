"""Datasets as class folders: train/CLASS/*.png and test/CLASS/*.png, classes in the order of their names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.datasets.base import DecodedSplits, Progress
from benchmark.datasets.readers.decoding import EncodedImage, decode_splits
from benchmark.datasets.readers.split_names import TEST, TRAIN, VALIDATION, choose_test, split_folder
from benchmark.utils.errors import BenchmarkError

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_NO_CLASSES = ("__MACOSX",)  # macOS adds this folder to archives
_SYSTEM_FILES = ("Thumbs.db", "desktop.ini")

FilesByClass = Mapping[str, Sequence[Path]]  # class name to its image files, in the order of the labels


@dataclass(frozen=True)
class ClassFolders:
    """A folder with class folders; `train` and `test` are the two split folders. Methods as `base.DatasetFiles`.

    side: to which images are resized and cropped. note: why another split than the test split is `test`, or "".
    """

    folder: Path
    train: Path
    test: Path
    side: int | None = None
    note: str = ""

    @classmethod
    def find(cls, folder: Path, side: int | None = None) -> ClassFolders | None:
        """The split folders, or None if `folder` has neither. Raises BenchmarkError if one of them is missing."""
        train = split_folder(folder, TRAIN)
        tests = [split for names in (TEST, VALIDATION) if (split := split_folder(folder, names))]
        if train and tests:
            classes = _folder_names(train)
            test, note = choose_test(tests, lambda split: _has_labels(split, classes), lambda split: f"{split.name}/")
            return cls(folder, train, test, side, note)
        if not train and not tests:
            return None
        present, missing = (train, "test (or val)") if train else (tests[0], "train")
        raise BenchmarkError(
            f"{present} has no {missing} folder beside it",
            where=str(folder),
            next=f"put class folders of the other split into {folder / missing.split()[0]}",
        )

    @property
    def kind(self) -> str:
        return f"class folders ({self.train.name}, {self.test.name})"

    def files(self) -> list[Path]:
        """All image files, those of the training split first. Raises BenchmarkError for splits that do not match."""
        return [path for split in self._splits() for paths in split.values() for path in paths]

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits decoded, class by class, in the order of the file names."""
        return read_classes(self.folder, *self._splits(), side=self.side, kind=self.kind, progress=progress)

    def images(self) -> Iterator[EncodedImage]:
        """Every image of both splits, not decoded."""
        for split in self._splits():
            yield from encoded_images(self.folder, split)

    def ignored(self) -> list[Path]:
        """The files in class folders that are not read, since their suffixes are not those of images."""
        folders = [child for split in (self.train, self.test) for child in visible_children(split) if child.is_dir()]
        files = [path for folder in folders for path in visible_children(folder) if not _is_image(path)]
        return [path for path in files if path.name not in _SYSTEM_FILES]

    def _splits(self) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """The files of both splits by class, in the same order. Raises BenchmarkError if their classes differ."""
        train, test = _files_by_class(self.train), _files_by_class(self.test)
        # One system writes é as one character, another as two: equal names after composition are the same class.
        composed = {name: unicodedata.normalize("NFC", name) for name in train}
        test_composed = {unicodedata.normalize("NFC", name): paths for name, paths in test.items()}
        if len(test_composed) == len(test) and sorted(composed.values()) == sorted(test_composed):
            test = {name: test_composed[composed[name]] for name in train}
        if set(train) != set(test):
            folders = ((train, test, self.train), (test, train, self.test))
            only = [f"{min(a.keys() - b.keys())} is only in {path}" for a, b, path in folders if a.keys() - b.keys()]
            folded, test_folded = (sorted(map(str.casefold, names)) for names in (composed.values(), test_composed))
            raise BenchmarkError(
                f"the classes of the two splits differ{' in upper and lower case' if folded == test_folded else ''}: "
                f"{'; '.join(only)}",
                where=str(self.folder),
                next=f"give {self.train.name}/ and {self.test.name}/ the same class folders",
            )
        if len(train) < 2:
            raise BenchmarkError(f"{self.train} has one class only: {next(iter(train))}", where=str(self.train))
        return train, test


@dataclass(frozen=True)
class ClassFiles:
    """The image files of a built-in dataset by class, already counted; methods as `base.DatasetFiles`.

    counted_by: the list beside them that gives the number of training images, if the dataset's card does not.
    """

    kind: str
    folder: Path
    train: FilesByClass
    test: FilesByClass
    side: int | None = None
    counted_by: Path | None = None

    def files(self) -> list[Path]:
        """All image files, those of the training split first."""
        return [path for split in (self.train, self.test) for paths in split.values() for path in paths]

    def read(self, progress: Progress | None) -> DecodedSplits:
        """Both splits decoded, class by class."""
        return read_classes(self.folder, self.train, self.test, side=self.side, kind=self.kind, progress=progress)

    def images(self) -> Iterator[EncodedImage]:
        """Every image of both splits, not decoded."""
        yield from encoded_images(self.folder, self.train)
        yield from encoded_images(self.folder, self.test)


def what_is_missing(find: Callable[[], ClassFiles | None]) -> str | None:
    """None if `find` finds a complete dataset; else its error, or "" if there are no files at all."""
    try:
        return "" if find() is None else None
    except BenchmarkError as error:
        return error.what


def read_classes(
    folder: Path, train: FilesByClass, test: FilesByClass, *, side: int | None, kind: str, progress: Progress | None
) -> DecodedSplits:
    """Both splits decoded, class by class; `train` and `test` have the same classes in the same order."""
    train_images = encoded_images(folder, train), labels_of(train)
    test_images = encoded_images(folder, test), labels_of(test)
    return decode_splits(train_images, test_images, tuple(train), kind, side, progress)


def encoded_images(folder: Path, split: FilesByClass) -> Iterator[EncodedImage]:
    """The images of a split, not decoded, each named by its path within `folder`."""
    for paths in split.values():
        for path in paths:
            yield EncodedImage(str(path.relative_to(folder)), path)


def labels_of(split: FilesByClass) -> np.ndarray:
    """The labels (N,) of a split's files, class by class."""
    return np.repeat(np.arange(len(split)), [len(paths) for paths in split.values()])


def holds_images(folder: Path) -> bool:
    """Whether an image file lies directly in the folder."""
    return any(_is_image(child) for child in visible_children(folder))


def visible_children(folder: Path) -> list[Path]:
    """What lies in a folder, by name, without hidden files (.DS_Store, .ipynb_checkpoints) and those of macOS."""
    children = (child for child in folder.iterdir() if not child.name.startswith(".") and child.name not in _NO_CLASSES)
    return sorted(children, key=lambda path: path.name)


def image_files(folder: Path) -> list[Path]:
    """The image files in a class folder, by name. Raises BenchmarkError for none, and for more in a folder inside."""
    children = visible_children(folder)
    images = [path for path in children if _is_image(path)]
    folders = [path for path in children if not _is_image(path) and path.is_dir()]
    if images:
        if nested := next((path for path in folders if _holds_images_inside(path)), None):
            raise BenchmarkError(
                f"class folder {folder} holds images, and more of them in {nested.name}",
                where=str(folder),
                next=f"move the images of {nested} into {folder}, or elsewhere",
            )
        return images
    if folders:
        what = f"class folder {folder} holds folders ({folders[0].name}) instead of images"
        cure = f"move the images of {folders[0]} one level up, or give the folder whose train/CLASS/ holds images"
    else:
        other = f" (only {children[0].name} and the like)" if children else ""
        what = f"class folder {folder} holds no images{other}"
        cure = f"add images ({', '.join(SUFFIXES)}) or remove the folder from both splits"
    raise BenchmarkError(what, where=str(folder), next=cure)


def _has_labels(split: Path, classes: Set[str]) -> bool:
    """Whether a split has class folders: one of the training split's, or several, whose names an error then compares.

    Images without labels lie in the split itself, or in one folder that is called `images` or `unknown`.
    """
    names = _folder_names(split)
    return len(names) > 1 or bool(names & classes)


def _folder_names(split: Path) -> set[str]:
    return {unicodedata.normalize("NFC", child.name) for child in visible_children(split) if child.is_dir()}


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _holds_images_inside(folder: Path) -> bool:
    return any(holds_images(Path(inside)) for inside, _, _ in os.walk(folder))  # links in it are not followed


def _files_by_class(split: Path) -> dict[str, list[Path]]:
    """Class name to its image files, both sorted by name. Raises BenchmarkError if there are no class folders."""
    classes = {}
    for child in visible_children(split):
        if child.is_symlink() and not child.exists():
            raise BenchmarkError(
                f"{child} is a link to {child.readlink()}, which does not exist",
                where=str(split),
                next="repair the link, or remove it from both splits",
            )
        if child.is_dir():
            classes[child.name] = image_files(child)
        elif _is_image(child):
            raise BenchmarkError(
                f"{child.name} lies directly in {split}, so its class is unknown",
                where=str(split),
                next=f"move the images into class folders, such as {split / 'CLASS' / child.name}",
            )
    if not classes:
        raise BenchmarkError(
            f"{split} holds no class folders", where=str(split), next=f"put images into {split / 'CLASS'} folders"
        )
    return classes
