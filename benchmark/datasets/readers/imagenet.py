"""ImageNet subsets from a copy of ILSVRC-2012, in one of three layouts: class folders, Kaggle's, or the archives.

    imagenet/train/WNID/*.JPEG    imagenet/val/WNID/*.JPEG                            class folders
    imagenet/train/WNID/*.JPEG    imagenet/val/*.JPEG    and one of these lists of the labels of val:
        LOC_val_solution.csv                                                          Kaggle
        ILSVRC2012_devkit_t12/data/…                                                  the development kit
    imagenet/ILSVRC2012_img_train.tar, …_img_val.tar, …_devkit_t12.tar.gz             unpacked where needed

The number of training images of each class is read from meta.mat of the development kit, or from ImageSets/CLS-LOC/
train_cls.txt of Kaggle's layout. Files that the ten classes do not need are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.datasets.base import ClassCounts, Finding, Progress
from benchmark.datasets.builtin import BUILTIN, name_of
from benchmark.datasets.readers import imagenet_archives
from benchmark.datasets.readers.image_folder import ClassFiles, FilesByClass, image_files, what_is_missing
from benchmark.datasets.readers.imagenet_labels import DEVKIT, training_counts, validation_labels
from benchmark.utils.errors import BenchmarkError

FOLDERS = ("imagenet", "ILSVRC2012", "ILSVRC")  # possible names of the copy under data_root
_INNER = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")  # where train and val may lie in the copy


def find(name: str, data_root: Path) -> ClassFiles | None:
    """The files of a subset under `data_root`, or None if there are no class folders of ILSVRC-2012.

    Raises BenchmarkError for a copy that is not complete, or not the original split.
    """
    card = BUILTIN[name]
    folders = _split_folders(data_root)
    if folders is None:
        _reject_misplaced(data_root, name)
        return None
    base, inner = folders
    train = {wnid: _class_files(inner / "train" / wnid, name) for wnid in card.classes}
    test = _validation(base, inner / "val", name, card.classes)
    listed = training_counts(base, card.classes)
    _check_counts(train, listed.counts if listed else card.train, inner / "train", name)
    _check_counts(test, card.test, inner / "val", name, ": perhaps another split, as fast.ai's imagenette2?")
    counted_by = listed.path if listed else None
    return ClassFiles(f"ILSVRC-2012 in {inner}", inner, train, test, card.image_shape[1], counted_by)


def fetch(name: str, data_root: Path, progress: Progress | None = None) -> None:
    """Unpack what the subset needs of the archives, if there are any. It cannot be downloaded without a registration.

    Raises BenchmarkError that says how to obtain it.
    """
    if what_is_missing(lambda: find(name, data_root)) is None:
        return
    base = next((data_root / folder for folder in FOLDERS if (data_root / folder).is_dir()), data_root / FOLDERS[0])
    archives = imagenet_archives.Archives.find(base)
    if archives:
        archives.unpack(base, BUILTIN[name].classes, validation_labels, progress)
    elif _split_folders(data_root) is None:
        _reject_misplaced(data_root, name)
        raise BenchmarkError(
            f"{name_of(name)} is a part of ILSVRC-2012, of which there is no copy in {base}",
            where=f"data_root, {data_root}",
            next=f"request it at image-net.org or Kaggle, then put (or link) its folder or its archives at {base}",
        )


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """Whether the archives, if they were kept, are the published ones."""
    for folder in FOLDERS:
        if (data_root / folder).is_dir():
            yield from imagenet_archives.examine(data_root / folder)


def _split_folders(data_root: Path) -> tuple[Path, Path] | None:
    """The copy's folder, and the folder in it that holds train and val."""
    for name in FOLDERS:
        for inner in _INNER:
            folder = data_root / name / inner
            if (folder / "train").is_dir() and (folder / "val").is_dir():
                return data_root / name, folder
    return None


def _reject_misplaced(data_root: Path, name: str) -> None:
    """Raise BenchmarkError for a copy that lacks a split, or lies one level too high or too deep."""
    for folder in (data_root / copy / inner for copy in FOLDERS for inner in _INNER):
        present = [split for split in ("train", "val") if (folder / split).is_dir()]
        if present:
            missing = "val" if present == ["train"] else "train"
            raise _not_as_published(f"{folder} holds {present[0]}, but no {missing}", name, folder)
    wnid, where = BUILTIN[name].classes[0], f"data_root, {data_root}"
    if (data_root / "train" / wnid).is_dir():
        cure = f"set data_root={data_root.parent}" if data_root.name in FOLDERS else f"rename it to {FOLDERS[0]}"
        raise BenchmarkError(f"{data_root} is a copy of ILSVRC-2012, not the folder it lies in", where=where, next=cure)
    for copy in FOLDERS:
        if nested := next((data_root / copy).glob(f"*/train/{wnid}"), None):
            folder = nested.parents[1]
            raise BenchmarkError(
                f"{data_root / copy} holds the dataset one level too deep, in {folder}",
                where=where,
                next=f"move what is in {folder} one level up",
            )


def _class_files(folder: Path, name: str) -> list[Path]:
    if not folder.is_dir():
        raise _not_as_published(f"there is no class folder {folder}", name, folder.parent)
    return image_files(folder)


def _validation(base: Path, val: Path, name: str, classes: tuple[str, ...]) -> FilesByClass:
    """WordNet id to its validation images: from class folders, or from a list of labels."""
    if any((val / wnid).is_dir() for wnid in classes):
        return {wnid: _class_files(val / wnid, name) for wnid in classes}
    labels = validation_labels(base)
    if labels is None:
        raise BenchmarkError(
            f"the images in {val} are not sorted into class folders, and no list gives their labels",
            where=str(val),
            next=f"put LOC_val_solution.csv (Kaggle) or {DEVKIT} (image-net.org) into {base}",
        )
    present = {path.name for path in val.iterdir()}
    files: dict[str, list[Path]] = {wnid: [] for wnid in classes}
    for file in sorted(file for file, wnid in labels.items() if wnid in files):
        if file not in present:
            raise _not_as_published(f"{val / file} is missing", name, val)
        files[labels[file]].append(val / file)
    return files


def _check_counts(split: FilesByClass, expected: ClassCounts, folder: Path, name: str, hint: str = "") -> None:
    """Raise BenchmarkError for a class with too few or too many images."""
    for (wnid, paths), least, most in zip(split.items(), expected.least, expected.most, strict=True):
        if not least <= len(paths) <= most:
            count = str(most) if least == most else f"{least:,} to {most:,}"
            what = f"{folder / wnid} has {len(paths)} images where the original split has {count}{hint}"
            raise _not_as_published(what, name, folder)


def _not_as_published(what: str, name: str, folder: Path) -> BenchmarkError:
    return BenchmarkError(
        f"{name_of(name)} is not as published: {what}",
        where=str(folder),
        next=f"unpack ILSVRC-2012 again (python -m benchmark.data prepare {name} does, from its archives)",
    )
