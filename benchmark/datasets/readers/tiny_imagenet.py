"""TinyImageNet as its zip unpacks: tiny-imagenet-200/train/WNID/images, and validation images with a list of labels.

    train/n01443537/images/n01443537_0.JPEG …    val/images/val_0.JPEG …    val/val_annotations.txt    wnids.txt

Copies in which the validation images were sorted into class folders are read too. Labels are places in the sorted list
of WordNet ids, as class folders give them; wnids.txt has another order.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmark.datasets.base import Finding, Progress, told
from benchmark.datasets.builtin import KNOWN
from benchmark.datasets.download import Published, download, intact
from benchmark.datasets.readers.image_folder import Classes, ClassFiles, images_of, lacking
from benchmark.utils.errors import BenchmarkError

FOLDERS = ("tiny-imagenet-200", "tinyimagenet")  # where it may lie under data_root
URL, MD5 = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"
_ANNOTATIONS = "val_annotations.txt"


def find(name: str, data_root: Path) -> ClassFiles | None:
    """Its files under `data_root`, or None when there is no folder of it. Raises BenchmarkError for half of them."""
    folder = _folder(data_root)
    if folder is None:
        return None
    card = KNOWN[name]
    train, test = _train(folder, card.classes), _validation(folder, card.classes)
    for split, counts in ((train, card.train.most), (test, card.test.most)):
        for (wnid, paths), wanted in zip(split.items(), counts, strict=True):
            if len(paths) != wanted:
                where = paths[0].parent if paths and paths[0].parent.name != "images" else folder
                raise _incomplete(f"{wnid} has {len(paths)} images of {wanted} in {where}", folder)
    return ClassFiles(f"tiny-imagenet-200 in {folder}", folder, train, test)


def _folder(data_root: Path) -> Path | None:
    """Where it lies. Raises BenchmarkError when that is one level too deep."""
    folder = next((data_root / place for place in FOLDERS if (data_root / place).is_dir()), None)
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
    """Unpack what is missing or cut short. The zip is downloaded where files are missing. Raises BenchmarkError."""
    _folder(data_root)
    wrong = lacking(lambda: find(name, data_root))
    archive = Published(data_root / "tiny-imagenet-200.zip", MD5, (URL,))
    if wrong is None and not intact(archive.path, MD5):
        return
    try:
        download(archive, progress)
    except BenchmarkError as error:
        first = f"{wrong}; and " if wrong else ""
        raise BenchmarkError(f"{first}{error.what}", where=error.where, next=error.next) from error
    try:
        with zipfile.ZipFile(archive.path) as packed:
            members = [one for one in packed.infolist() if _wanted(one, data_root, missing=wrong is not None)]
            for place, member in enumerate(members, start=1):
                packed.extract(member, data_root)
                if progress and (place % 1000 == 0 or place == len(members)):
                    progress(f"unpacking {archive.path.name}", place, len(members))
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"cannot unpack {archive.path}: {error}", where=f"data_root, {data_root}") from error


def _wanted(member: zipfile.ZipInfo, data_root: Path, *, missing: bool) -> bool:
    """Is the file of another size than in the zip, or, where `missing` ones are wanted, not there?"""
    path = data_root / member.filename
    return path.stat().st_size != member.file_size if path.is_file() else missing


def examine(name: str, data_root: Path) -> Iterator[Finding]:
    """Is the zip, where it was kept, the published one? The unpacked files have no published checksums."""
    archive = data_root / "tiny-imagenet-200.zip"
    if archive.is_file():
        whole = intact(archive, MD5)
        state = "is the published file (md5)" if whole else "is damaged: another md5"
        yield Finding(whole, f"{archive} {state}", "" if whole else "delete it, then prepare tinyimagenet again")


def _train(folder: Path, classes: tuple[str, ...]) -> Classes:
    """WordNet id to its training images, in the order of the labels."""
    return {wnid: _class(folder / "train" / wnid, folder, "there is no class folder") for wnid in classes}


def _validation(folder: Path, classes: tuple[str, ...]) -> Classes:
    """WordNet id to its validation images: by the list of labels, or by class folders somebody sorted them into."""
    listed = folder / "val" / _ANNOTATIONS
    flat = folder / "val" / "images"
    if listed.is_file() and flat.is_dir() and not (folder / "val" / classes[0]).is_dir():
        return _by_list(_annotations(listed), flat, classes)
    without = f"there is neither {listed} with {flat} nor a class folder"
    return {wnid: _class(folder / "val" / wnid, folder, without) for wnid in classes}


def _class(own: Path, folder: Path, without: str) -> list[Path]:
    """The images of a class folder, or of the images folder in it."""
    if not own.is_dir():
        raise _incomplete(f"{without} {own}", folder)
    return images_of(own / "images" if (own / "images").is_dir() else own)


def _annotations(path: Path) -> dict[str, str]:
    """File name to WordNet id, from lines of name, WordNet id and a box, divided by tabs."""
    with told(f"cannot read {path}", where=str(path), next="python -m benchmark.data prepare tinyimagenet mends it"):
        text = path.read_text(encoding="utf-8-sig")
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) < 2:
            raise _incomplete(f"{path} line {number} has no label", path.parents[1])
    return {row[0]: row[1].strip() for row in rows}


def _by_list(labels: Mapping[str, str], flat: Path, classes: tuple[str, ...]) -> Classes:
    there = {path.name for path in flat.iterdir()}
    found: dict[str, list[Path]] = {wnid: [] for wnid in classes}
    for name in sorted(labels):
        if name not in there:
            raise _incomplete(f"{flat / name} is missing, which {_ANNOTATIONS} lists", flat.parents[1])
        if labels[name] not in found:
            raise _incomplete(f"{_ANNOTATIONS} gives {name} the unknown class {labels[name]}", flat.parents[1])
        found[labels[name]].append(flat / name)
    return found


def _incomplete(what: str, folder: Path) -> BenchmarkError:
    return BenchmarkError(
        f"tinyimagenet is not complete: {what}",
        where=str(folder),
        next="python -m benchmark.data prepare tinyimagenet downloads and unpacks what is missing",
    )
