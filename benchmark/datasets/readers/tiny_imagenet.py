"""TinyImageNet as its zip unpacks: tiny-imagenet-200/train/WNID/images, and validation images with a list of labels.

    train/n01443537/images/n01443537_0.JPEG …    val/images/val_0.JPEG …    val/val_annotations.txt    wnids.txt

Copies in which the validation images were sorted into class folders are read too. Labels are indices into the sorted
list of WordNet ids, as class folders give them; wnids.txt has another order.

The zip may have been compressed anew: what counts is that it holds every file of the dataset, each intact. The
published md5 is that of the zip alone, and none is known of the files in it.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from benchmark.datasets.base import DatasetCard, Finding, Progress, error_context
from benchmark.datasets.builtin import BUILTIN
from benchmark.datasets.download import PublishedFile, damage, download, is_intact
from benchmark.datasets.readers.image_folder import ClassFiles, FilesByClass, image_files, what_is_missing
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_content

FOLDERS = ("tiny-imagenet-200", "tinyimagenet")  # possible names of its folder under data_root
URL, MD5 = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"
_ARCHIVE = "tiny-imagenet-200.zip"
_ANNOTATIONS = "val_annotations.txt"
_MAX_UNPACKED = 2**30  # bytes; the published zip has 275 MB in it
# What zipfile raises for a damaged zip, and for one that it cannot unpack (a password, an unknown compression).
_DAMAGED = (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def find(name: str, data_root: Path) -> ClassFiles | None:
    """Its files under `data_root`, or None if there is no folder of it. Raises BenchmarkError for an incomplete one."""
    folder = _folder(data_root)
    if folder is None:
        return None
    card = BUILTIN[name]
    train, test = _train(folder, card.classes), _validation(folder, card.classes)
    for split, counts in ((train, card.train.most), (test, card.test.most)):
        for (wnid, paths), count in zip(split.items(), counts, strict=True):
            if len(paths) != count:
                where = paths[0].parent if paths and paths[0].parent.name != "images" else folder
                raise _incomplete(f"{wnid} has {len(paths)} images of {count} in {where}", folder)
    return ClassFiles(f"tiny-imagenet-200 in {folder}", folder, train, test)


def _folder(data_root: Path) -> Path | None:
    """The dataset's folder. Raises BenchmarkError if the dataset lies one level deeper."""
    folder = next((data_root / name for name in FOLDERS if (data_root / name).is_dir()), None)
    if folder is None:
        return None
    deeper = folder / FOLDERS[0]
    if not (folder / "train").is_dir() and (deeper / "train").is_dir():
        raise BenchmarkError(
            f"{folder} holds the dataset one level too deep, in {deeper}",
            where=str(folder),
            next=f"move what is in {deeper} one level up",
        )
    return folder


def fetch(name: str, data_root: Path, progress: Progress | None = None) -> None:
    """Unpack missing and truncated files; the zip is downloaded if files are missing. Raises BenchmarkError."""
    _folder(data_root)
    missing = what_is_missing(lambda: find(name, data_root))
    archive = PublishedFile(data_root / _ARCHIVE, MD5, (URL,))
    intact = is_intact(archive.path, MD5) or _holds_dataset(archive.path, BUILTIN[name])
    if missing is None and not intact:
        return
    try:
        if not intact:
            download(archive, progress)
    except BenchmarkError as error:
        first = f"{missing}; and " if missing else ""
        raise BenchmarkError(f"{first}{error.what}", where=error.where, next=error.next) from error
    try:
        with zipfile.ZipFile(archive.path) as packed:
            members = [m for m in _members(packed) if _must_unpack(m, data_root, missing=missing is not None)]
            for done, member in enumerate(members, start=1):
                packed.extract(member, data_root)
                if progress and (done % 1000 == 0 or done == len(members)):
                    progress(f"unpacking {_ARCHIVE}", done, len(members))
    except _DAMAGED as error:
        raise BenchmarkError(f"cannot unpack {archive.path}: {error}", where=f"data_root, {data_root}") from error


def _members(packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of the dataset in a zip, which may hold others, as those that macOS adds."""
    return [member for member in packed.infolist() if member.filename.startswith(f"{FOLDERS[0]}/")]


def _holds_dataset(archive: Path, card: DatasetCard) -> bool:
    """Whether a zip has every file of the dataset, each with the checksum (CRC-32) that the zip gives for it."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = _members(packed)
            found = Counter(str(PurePosixPath(member.filename).parent) for member in members if not member.is_dir())
            wanted = {f"{FOLDERS[0]}/train/{w}/images": n for w, n in zip(card.classes, card.train.most, strict=True)}
            wanted[f"{FOLDERS[0]}/val/images"] = card.test.total
            names = {member.filename for member in members}
            complete = f"{FOLDERS[0]}/val/{_ANNOTATIONS}" in names and wanted.items() <= found.items()
            small = sum(member.file_size for member in packed.infolist()) <= _MAX_UNPACKED
            return complete and small and packed.testzip() is None
    except _DAMAGED:
        return False


def _must_unpack(member: zipfile.ZipInfo, data_root: Path, *, missing: bool) -> bool:
    """Whether the file has another size than in the zip or, if `missing` files are to be unpacked, does not exist."""
    path = data_root / member.filename
    return path.stat().st_size != member.file_size if path.is_file() else missing


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """Whether the zip, if it was kept, is whole. The unpacked files have no published checksums."""
    archive = data_root / _ARCHIVE
    if not archive.is_file():
        return
    if is_intact(archive, MD5):
        yield Finding(True, f"{archive} is the published file (md5)")
    elif _holds_dataset(archive, BUILTIN[name]):
        yield Finding(True, f"{archive} is not the published file (another md5), but holds all of its files intact")
    else:
        yield Finding(False, f"{archive} is {damage(archive)}", "delete it, then prepare tinyimagenet again")


def _train(folder: Path, classes: tuple[str, ...]) -> FilesByClass:
    """WordNet id to its training images, in the order of the labels."""
    return {wnid: _class_files(folder / "train" / wnid, folder, "there is no class folder") for wnid in classes}


def _validation(folder: Path, classes: tuple[str, ...]) -> FilesByClass:
    """WordNet id to its validation images: from the list of labels, or from class folders they were sorted into."""
    listed = folder / "val" / _ANNOTATIONS
    images = folder / "val" / "images"
    if listed.is_file() and images.is_dir() and not (folder / "val" / classes[0]).is_dir():
        return _from_list(_annotations(listed), images, classes)
    missing = f"there is neither {listed} with {images} nor a class folder"
    return {wnid: _class_files(folder / "val" / wnid, folder, missing) for wnid in classes}


def _class_files(class_folder: Path, folder: Path, missing: str) -> list[Path]:
    """The images in a class folder, or in the images folder inside it."""
    if not class_folder.is_dir():
        raise _incomplete(f"{missing} {class_folder}", folder)
    images = class_folder / "images"
    return image_files(images if images.is_dir() else class_folder)


def _annotations(path: Path) -> dict[str, str]:
    """File name to WordNet id, from lines of name, WordNet id and a box, separated by tabs."""
    next = "python -m benchmark.data prepare tinyimagenet repairs it"
    with error_context(f"cannot read {path}", where=str(path), next=next):
        check_content(path)
        text = path.read_text(encoding="utf-8-sig")
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) < 2:
            raise _incomplete(f"{path} line {number} has no label", path.parents[1])
    return {row[0]: row[1].strip() for row in rows}


def _from_list(labels: Mapping[str, str], images: Path, classes: tuple[str, ...]) -> FilesByClass:
    present = {path.name for path in images.iterdir()}
    files: dict[str, list[Path]] = {wnid: [] for wnid in classes}
    for name in sorted(labels):
        if name not in present:
            raise _incomplete(f"{images / name} is missing, which {_ANNOTATIONS} lists", images.parents[1])
        if labels[name] not in files:
            raise _incomplete(f"{_ANNOTATIONS} gives {name} the unknown class {labels[name]}", images.parents[1])
        files[labels[name]].append(images / name)
    return files


def _incomplete(what: str, folder: Path) -> BenchmarkError:
    return BenchmarkError(
        f"tinyimagenet is not complete: {what}",
        where=str(folder),
        next="python -m benchmark.data prepare tinyimagenet downloads and unpacks what is missing",
    )
