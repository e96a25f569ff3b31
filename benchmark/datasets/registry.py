"""Datasets with a card: found under data_root or fetched, checked against their card, and cached."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

from benchmark.datasets.base import (
    ClassCounts,
    Dataset,
    DatasetCard,
    DatasetFiles,
    DecodedSplits,
    Finding,
    Outline,
    Progress,
    error_context,
    fingerprint,
)
from benchmark.datasets.builtin import PLUG_INS, card_of, name_of
from benchmark.datasets.cache import builtin_cache_file, cache_file, caches_of, file_states, load_or_decode, read_cache
from benchmark.datasets.readers.image_folder import ClassFiles
from benchmark.utils.errors import BenchmarkError
from methods.plug_ins import package_of


class Reader(Protocol):
    """What a module offers for the datasets that it reads, by their names.

    One that has no files to download needs no `fetch`, and one whose files decoding examines fully no `examine`.
    """

    def find(self, name: str, data_root: Path) -> DatasetFiles | None:
        """The dataset's files, or None if there are none. Raises BenchmarkError for an incomplete copy."""
        ...

    def fetch(self, name: str, data_root: Path, progress: Progress | None = None) -> None:
        """Download or unpack what is missing or damaged. Raises BenchmarkError, with what to do, if that fails."""
        ...

    def examine(self, name: str, data_root: Path) -> Iterator[Finding]:
        """Findings about the files that decoding them would not give."""
        ...


def reader_of(key: str) -> Reader:
    """The module that reads a dataset, imported on demand. Raises BenchmarkError if that of a plug-in fails."""
    try:
        return cast(Reader, importlib.import_module(card_of(key).reader))
    except ImportError as error:
        if key in PLUG_INS.points():
            raise PLUG_INS.wrong(key, f"has a reader that does not import: {error}") from error
        raise


def fetch(key: str, data_root: Path, progress: Progress | None = None) -> None:
    """`Reader.fetch`, if the reader has it. Raises BenchmarkError."""
    if fetch := getattr(reader_of(key), "fetch", None):
        fetch(key, data_root, progress)


def load(key: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
    """A built-in dataset: from the cache, else from its files, which are fetched first if necessary.

    Raises BenchmarkError if it can neither be found nor fetched, and if its images are not those of its card.
    """
    with _error_context(key, data_root):
        return _load(key, data_root, progress, cache)


def _error_context(key: str, data_root: Path) -> AbstractContextManager[None]:
    next = "check the rights of the files there, and what they hold; or set data_root=PATH to another folder"
    return error_context(f"cannot read {name_of(key)} in {data_root}", where=f"data_root, {data_root}", next=next)


def _load(key: str, data_root: Path, progress: Progress | None, cache: Path | None) -> Dataset:
    card = card_of(key)
    if card.embedded:
        decoded = decode(key, data_root, progress)
        return _dataset(key, decoded, fingerprint(decoded))
    if not cache_path(key, data_root, cache).exists():
        _find_or_fetch(key, data_root, progress)
    path = cache_path(key, data_root, cache)
    source = f"{card.source}; decoded images in {path}"
    decoded, digest = load_or_decode(path, source, lambda: decode(key, data_root, progress), _cache_owner(key))
    return _dataset(key, decoded, digest)


def cache_path(key: str, data_root: Path, cache: Path | None = None) -> Path:
    """The file in which the decoded images of a built-in dataset are cached, or will be.

    If its card does not give the number of images, an incomplete copy looks like a complete one: the path then depends
    on the files, so that a copy that has grown is decoded again. Once they are gone, it is the latest cache.
    """
    path, owner = builtin_cache_file(data_root, _cache_name(key), cache), _cache_owner(key)
    if not owner:
        return path
    if files := _class_files(key, data_root):
        return cache_file(data_root, key, files.folder.resolve(), file_states(files.folder, files.files()), cache)
    folders = (path.parent, data_root / "cache") if cache is None else (cache,)
    return next((cached for folder in folders for cached in caches_of(owner, folder)), path)


def _cache_name(key: str) -> str:
    """The key; of a plug-in with its package and version, which may have other images."""
    point = PLUG_INS.points().get(key)
    return f"{key}-{package_of(point).replace(' ', '-')}" if point else key


def _cache_owner(key: str) -> str:
    return "" if card_of(key).train.exact else builtin_cache_file(Path(), _cache_name(key)).stem


def decode(key: str, data_root: Path, progress: Progress | None = None) -> DecodedSplits:
    """The images of a built-in dataset from its files, not the cache. Raises BenchmarkError if they are not its card's.

    The files are fetched first if necessary.
    """
    decoded = _find_or_fetch(key, data_root, progress).read(progress)
    if different := list(differences(card_of(key), decoded, fingerprint(decoded))):
        raise BenchmarkError(
            f"the images of {name_of(key)} are not the published ones: {'; '.join(different)}",
            where=decoded.source,
            next=f"python -m benchmark.data doctor {key} says how to repair it",
        )
    return decoded


def _find_or_fetch(key: str, data_root: Path, progress: Progress | None) -> DatasetFiles:
    reader = reader_of(key)
    files = reader.find(key, data_root)
    if files is None:
        fetch(key, data_root, progress)
        files = reader.find(key, data_root)
    if files is None:
        raise BenchmarkError(
            f"{name_of(key)} is not there, even after fetching it",
            where=f"data_root, {data_root}",
            next=f"get its files: {card_of(key).source}",
        )
    return files


def prepare(key: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
    """Fetch what is missing or damaged, decode and cache; nothing is fetched if the cache is intact."""
    with _error_context(key, data_root):
        if not card_of(key).embedded and read_cache(cache_path(key, data_root, cache), "") is None:
            fetch(key, data_root, progress)
    return load(key, data_root, progress, cache)


def is_cached(key: str, data_root: Path, cache: Path | None = None) -> bool:
    """Whether the decoded images exist; they are not checked."""
    with _error_context(key, data_root):
        return card_of(key).embedded or cache_path(key, data_root, cache).exists()


def completeness(key: str, data_root: Path, images: int) -> str:
    """A note on whether this number of training images is complete; "" if the card gives their number."""
    card = card_of(key)
    if card.train.exact:
        return ""
    files = _class_files(key, data_root)
    if files and files.counted_by:
        return f"{images:,} training images, as {files.counted_by} lists"
    return f"{images:,} of {card.train} training images: whether the copy is complete has not been verified"


def _class_files(key: str, data_root: Path) -> ClassFiles | None:
    """The image files of a built-in dataset, if it consists of class folders and they are complete."""
    try:
        files = reader_of(key).find(key, data_root)
    except BenchmarkError:
        return None
    return files if isinstance(files, ClassFiles) else None


def differences(card: DatasetCard, decoded: DecodedSplits, digest: str) -> Iterator[str]:
    """Descriptions of how these images, of fingerprint `digest`, differ from their card."""
    if decoded.image_shape != card.image_shape:
        yield f"images are {'x'.join(map(str, decoded.image_shape))}, not {'x'.join(map(str, card.image_shape))}"
    if decoded.classes != card.classes:
        pairs = zip(decoded.classes, card.classes, strict=False)
        first = next(((have, want) for have, want in pairs if have != want), None)
        yield f"there is class {first[0]} in place of {first[1]}" if first else f"{len(decoded.classes)} classes"
        return
    for name, split, expected in (("train", decoded.train, card.train), ("test", decoded.test, card.test)):
        if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(card.classes):
            yield f"{name} has labels outside 0..{len(card.classes) - 1}"
            return
        yield from _wrong_counts(name, split.counts(len(card.classes)), expected, card.classes)
    if card.fingerprint and digest != card.fingerprint and not card.lossy:
        yield f"their fingerprint is {digest[:16]}…, not {card.fingerprint[:16]}…"


def _wrong_counts(name: str, counts: tuple[int, ...], expected: ClassCounts, classes: tuple[str, ...]) -> Iterator[str]:
    bounds = zip(counts, expected.least, expected.most, strict=True)
    wrong = [label for label, (count, least, most) in enumerate(bounds) if not least <= count <= most]
    if wrong:
        first = wrong[0]
        more = f", and {len(wrong) - 1} more classes are off" if len(wrong) > 1 else ""
        yield f"{sum(counts):,} {name} images, expected {expected}: {classes[first]} has {counts[first]:,}{more}"


def outline_from_card(key: str) -> Outline:
    """The outline that the card alone gives, for planning before the images are there."""
    card = card_of(key)
    return Outline(
        name=name_of(key),
        title=card.title,
        published_as=key,
        constants=card.constants,
        flip=card.flip,
        image_shape=card.image_shape,
        train=card.train.most,
        test=card.test.most,
        fingerprint=card.fingerprint or f"not seen yet: {name_of(key)}",
        seen=False,
    )


def _dataset(key: str, decoded: DecodedSplits, digest: str) -> Dataset:
    card = card_of(key)
    return Dataset(
        name=name_of(key),
        title=card.title,
        like=None,
        published_as=key,
        train=decoded.train,
        test=decoded.test,
        classes=decoded.classes,
        constants=card.constants,
        flip=card.flip,
        fingerprint=digest,
        source=decoded.source,
    )
