"""ImageNet subsets, out of a copy of ILSVRC-2012 as people have it: class folders, Kaggle's layout, or the archives.

    imagenet/train/WNID/*.JPEG    imagenet/val/WNID/*.JPEG                            class folders
    imagenet/train/WNID/*.JPEG    imagenet/val/*.JPEG    and one of these lists of the labels of val:
        LOC_val_solution.csv                                                          Kaggle
        ILSVRC2012_devkit_t12/data/…                                                  the development kit
    imagenet/ILSVRC2012_img_train.tar, …_img_val.tar, …_devkit_t12.tar.gz             unpacked where needed

How many training images each class must have is read in meta.mat of the development kit, or in ImageSets/CLS-LOC/
train_cls.txt of Kaggle's layout. Everything the ten classes do not need is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.datasets.base import Finding, Progress
from benchmark.datasets.builtin import KNOWN, Counts, name_of
from benchmark.datasets.readers import imagenet_archives
from benchmark.datasets.readers.image_folder import Classes, ClassFiles, images_of, lacking
from benchmark.datasets.readers.imagenet_labels import DEVKIT, counts_of_training, labels_of_validation
from benchmark.utils.errors import BenchmarkError

FOLDERS = ("imagenet", "ILSVRC2012", "ILSVRC")  # where it may lie under data_root
_SPLITS = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")  # where train and val may lie in that


def find(name: str, data_root: Path) -> ClassFiles | None:
    """The files of a subset under `data_root`, or None when there are no class folders of ILSVRC-2012.

    Raises BenchmarkError for a copy that is not complete, or not the original split.
    """
    card = KNOWN[name]
    found = _split_folders(data_root)
    if found is None:
        _misplaced(data_root, name)
        return None
    base, inner = found
    train = {wnid: _class_folder(inner / "train" / wnid, name) for wnid in card.classes}
    test = _validation(base, inner / "val", name, card.classes)
    listed = counts_of_training(base, card.classes)
    _counted(train, listed.counts if listed else card.train, inner / "train", name)
    _counted(test, card.test, inner / "val", name, ": perhaps another split, as fast.ai's imagenette2?")
    counted_by = listed.path if listed else None
    return ClassFiles(f"ILSVRC-2012 in {inner}", inner, train, test, card.image_shape[1], counted_by)


def fetch(name: str, data_root: Path, progress: Progress | None = None) -> None:
    """Unpack what the subset needs of the archives, if there are any. It cannot be downloaded: it must be asked for.

    Raises BenchmarkError that says how to come by it.
    """
    if lacking(lambda: find(name, data_root)) is None:
        return
    base = next((data_root / place for place in FOLDERS if (data_root / place).is_dir()), data_root / FOLDERS[0])
    archives = imagenet_archives.Archives.find(base)
    if archives:
        archives.unpack(base, KNOWN[name].classes, labels_of_validation, progress)
    elif _split_folders(data_root) is None:
        _misplaced(data_root, name)
        raise BenchmarkError(
            f"{name_of(name)} is cut out of ILSVRC-2012, of which there is no copy in {base}",
            where=f"data_root, {data_root}",
            next=f"ask for it at image-net.org or Kaggle, then put (or link) its folder or its archives at {base}",
        )


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """Are the archives, where they were kept, the published ones?"""
    for place in FOLDERS:
        if (data_root / place).is_dir():
            yield from imagenet_archives.examine(data_root / place)


def _split_folders(data_root: Path) -> tuple[Path, Path] | None:
    """The copy's folder, and the folder in it that holds train and val."""
    for place in FOLDERS:
        for inner in _SPLITS:
            folder = data_root / place / inner
            if (folder / "train").is_dir() and (folder / "val").is_dir():
                return data_root / place, folder
    return None


def _misplaced(data_root: Path, name: str) -> None:
    """Raise BenchmarkError for a copy that lacks a split, or lies one level too high or too deep."""
    for folder in (data_root / place / inner for place in FOLDERS for inner in _SPLITS):
        there = [part for part in ("train", "val") if (folder / part).is_dir()]
        if there:
            raise _wrong(f"{folder} holds {there[0]}, but no {'val' if there == ['train'] else 'train'}", name, folder)
    wnid, where = KNOWN[name].classes[0], f"data_root, {data_root}"
    if (data_root / "train" / wnid).is_dir():
        cure = f"set data_root={data_root.parent}" if data_root.name in FOLDERS else f"call it {FOLDERS[0]}"
        raise BenchmarkError(f"{data_root} is a copy of ILSVRC-2012, not the folder it lies in", where=where, next=cure)
    for place in FOLDERS:
        if found := next((data_root / place).glob(f"*/train/{wnid}"), None):
            deep = found.parents[1]
            raise BenchmarkError(
                f"{data_root / place} holds the dataset one level too deep, in {deep}",
                where=where,
                next=f"move what is in {deep} one level up",
            )


def _class_folder(folder: Path, name: str) -> list[Path]:
    if not folder.is_dir():
        raise _wrong(f"there is no class folder {folder}", name, folder.parent)
    return images_of(folder)


def _validation(base: Path, val: Path, name: str, classes: tuple[str, ...]) -> Classes:
    """WordNet id to its validation images: from class folders, or from a list of labels."""
    if any((val / wnid).is_dir() for wnid in classes):
        return {wnid: _class_folder(val / wnid, name) for wnid in classes}
    labels = labels_of_validation(base)
    if labels is None:
        raise BenchmarkError(
            f"the images in {val} are not sorted into class folders, and no list says what they show",
            where=str(val),
            next=f"put LOC_val_solution.csv (Kaggle) or {DEVKIT} (image-net.org) into {base}",
        )
    there = {path.name for path in val.iterdir()}
    found: dict[str, list[Path]] = {wnid: [] for wnid in classes}
    for file in sorted(file for file, wnid in labels.items() if wnid in found):
        if file not in there:
            raise _wrong(f"{val / file} is missing", name, val)
        found[labels[file]].append(val / file)
    return found


def _counted(split: Classes, wanted: Counts, folder: Path, name: str, hint: str = "") -> None:
    """Raise BenchmarkError for a class with too few or too many images."""
    for (wnid, paths), least, most in zip(split.items(), wanted.least, wanted.most, strict=True):
        if not least <= len(paths) <= most:
            has = str(most) if least == most else f"{least:,} to {most:,}"
            raise _wrong(
                f"{folder / wnid} has {len(paths)} images where the original split has {has}{hint}", name, folder
            )


def _wrong(what: str, name: str, folder: Path) -> BenchmarkError:
    return BenchmarkError(
        f"{name_of(name)} is not as published: {what}",
        where=str(folder),
        next=f"unpack ILSVRC-2012 again (python -m benchmark.data prepare {name} does, from its archives)",
    )
