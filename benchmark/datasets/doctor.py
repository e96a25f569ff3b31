"""Examining a dataset: which files exist, whether they are intact, and how to repair them."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from pathlib import Path

from benchmark.datasets.base import (
    DatasetFiles,
    DecodedSplits,
    Finding,
    Progress,
    Split,
    error_context,
    fingerprint,
)
from benchmark.datasets.builtin import card_of, key_of, name_of
from benchmark.datasets.cache import read_cache
from benchmark.datasets.custom import find_files, find_folder
from benchmark.datasets.dataset_yaml import FILE, read_description
from benchmark.datasets.readers.decoding import find_undecodable
from benchmark.datasets.readers.image_folder import ClassFolders
from benchmark.datasets.registry import cache_path, completeness, differences, reader_of
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.paths import expand_user

_MOST_NAMED = 20  # files named one by one
_FEW = 20  # test images of a class, below which its accuracy is uncertain


def examine(
    entry: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None
) -> Iterator[Finding]:
    """Findings about a dataset's files, which are all read anew; the cache is compared with them, never trusted.

    `entry` is a built-in name or the path of a folder. Raises BenchmarkError only for an entry that is neither.
    """
    root, key = expand_user(data_root), key_of(entry)
    folder = root if key else find_folder(entry)
    try:
        next = "check the rights of its files, and what they hold"
        with error_context(f"cannot read {entry}", where=entry, next=next):
            yield from _builtin(key, root, cache_path(key, root, cache), progress) if key else _folder(folder, progress)
    except BenchmarkError as error:
        yield Finding(False, error.what, error.next)


def _builtin(key: str, root: Path, cache: Path, progress: Progress | None) -> Iterator[Finding]:
    reader = reader_of(key)
    if examine_files := getattr(reader, "examine", None):
        yield from examine_files(key, root)
    cached = read_cache(cache, "") if cache.exists() else None
    if cache.exists():
        state, cure = ("intact", "") if cached else ("damaged", f"python -m benchmark.data prepare {key} decodes again")
        yield Finding(cached is not None, f"decoded images in {cache}: {state}", cure)
    try:
        files = reader.find(key, root)
    except BenchmarkError as error:
        yield Finding(False, error.what, error.next)
        return
    if files is not None:
        decoded = yield from _decode(files, progress)
    elif cached:
        yield Finding(True, f"the files of {name_of(key)} are no longer in {root}; the decoded images suffice")
        decoded = cached[0]
    else:
        cure = f"python -m benchmark.data prepare {key} fetches them, or says how to obtain them"
        yield Finding(False, f"the files of {name_of(key)} are not in {root}", cure)
        return
    if decoded is None:
        return
    digest = fingerprint(decoded)
    yield from _compare_with_card(key, root, decoded, digest)
    if cached and files is not None:
        same = cached[1] == digest
        cure = "" if same else f"delete {cache}, then prepare {key} again"
        yield Finding(same, f"the decoded images are {'those' if same else 'not those'} of the files", cure)


def _compare_with_card(key: str, root: Path, decoded: DecodedSplits, digest: str) -> Iterator[Finding]:
    card = card_of(key)
    wrong = list(differences(card, decoded, digest))
    cure = f"python -m benchmark.data prepare {key} fetches the published files"
    yield from (Finding(False, text, cure) for text in wrong)
    if wrong:
        return
    counts = f"{len(decoded.train):,} training and {len(decoded.test):,} test images"
    yield Finding(True, f"{counts}, {len(decoded.classes)} classes in their order, as the card says")
    if note := completeness(key, root, len(decoded.train)):
        yield Finding(True, note)
    if card.fingerprint is None:
        yield Finding(True, f"fingerprint {digest}; none is pinned, since this project has not read these images")
    elif digest == card.fingerprint:
        yield Finding(True, f"fingerprint {digest}, the pinned one")
    else:
        why = "another JPEG decoder than libjpeg-turbo, or other images" if card.lossy else "other images"
        yield Finding(card.lossy, f"fingerprint {digest}, not the pinned {card.fingerprint[:16]}…: {why}")


def _folder(folder: Path, progress: Progress | None) -> Iterator[Finding]:
    try:
        description = read_description(folder)
        files = find_files(folder, description)
        count = len(files.files())
    except BenchmarkError as error:
        yield Finding(False, error.what, error.next)
        return
    yield Finding(True, f"{files.kind}: {count:,} files")
    if files.note:
        yield Finding(True, files.note)
    if isinstance(files, ClassFolders) and (others := files.ignored()):
        names = ", ".join(str(path.relative_to(folder)) for path in others[:_MOST_NAMED])
        more = ", …" if len(others) > _MOST_NAMED else ""
        yield Finding(True, f"{len(others):,} files are ignored, as their names are not those of images: {names}{more}")
    if not (folder / FILE).is_file():
        yield Finding(True, f"no {FILE}: named {description.name}, images may be mirrored, constants are computed")
    decoded = yield from _decode(files, progress)
    if decoded is None:
        return
    shape = "×".join(map(str, decoded.image_shape))
    classes = f"{', '.join(decoded.classes[:12])}{', …' if len(decoded.classes) > 12 else ''}"
    yield Finding(
        True,
        f"{len(decoded.train):,} training and {len(decoded.test):,} test images, {shape}; "
        f"{len(decoded.classes)} classes: {classes}",
    )
    yield from _class_sizes(decoded)
    yield from _duplicates(decoded)
    yield Finding(True, f"fingerprint {fingerprint(decoded)}")


def _decode(files: DatasetFiles, progress: Progress | None) -> Generator[Finding, None, DecodedSplits | None]:
    """The decoded splits; if that fails, yields a finding for each damaged image and returns None."""
    try:
        return files.read(progress)
    except BenchmarkError as error:
        first = error
    damaged: list[BenchmarkError] = []
    try:
        if images := getattr(files, "images", None):  # torchvision's files have none
            damaged = find_undecodable(images(), "checking every image", getattr(files, "side", None), progress)
    except BenchmarkError as error:
        first = error
    yield from (Finding(False, error.what, f"replace or remove {error.where}") for error in damaged[:_MOST_NAMED])
    if len(damaged) > _MOST_NAMED:
        yield Finding(False, f"and {len(damaged) - _MOST_NAMED:,} more images that cannot be decoded")
    if not damaged:
        yield Finding(False, first.what, first.next)
    return None


def _class_sizes(decoded: DecodedSplits) -> Iterator[Finding]:
    for name, split in (("train", decoded.train), ("test", decoded.test)):
        counts = split.counts(len(decoded.classes))
        smallest = min(range(len(counts)), key=counts.__getitem__)
        note = ": few, its accuracy will be uncertain" if name == "test" and counts[smallest] < _FEW else ""
        size = f"{counts[smallest]:,} ({decoded.classes[smallest]}) to {max(counts):,} a class"
        yield Finding(True, f"{name}: {size}{note}")


def _duplicates(decoded: DecodedSplits) -> Iterator[Finding]:
    """Test images that are training images too, pixel by pixel: an accuracy on them would measure memorization."""
    train = set(_hashes(decoded.train))
    leaked = sum(image in train for image in _hashes(decoded.test))
    if leaked:
        what = f"{leaked:,} test images are training images too, pixel by pixel"
        yield Finding(False, what, "remove them from one split")
    else:
        yield Finding(True, "no test image is a training image too, pixel by pixel")
    if len(train) < len(decoded.train):
        yield Finding(True, f"{len(decoded.train) - len(train):,} training images are copies of others")


def _hashes(split: Split) -> Iterator[bytes]:
    for image in split.images:
        yield hashlib.sha256(image.numpy().tobytes()).digest()
