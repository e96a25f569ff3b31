"""Datasets known by name: found under data_root, fetched where they can be, checked against their card, cached."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

from benchmark.datasets.base import Content, Dataset, Finding, Outline, Progress, Source, fingerprint, told
from benchmark.datasets.builtin import KNOWN, Counts, Known, name_of
from benchmark.datasets.cache import cache_file, known_file, listing, recall, remembered, states_of
from benchmark.datasets.readers.image_folder import ClassFiles
from benchmark.utils.errors import BenchmarkError


class Reader(Protocol):
    """What a reading module offers for the datasets it knows."""

    def find(self, name: str, data_root: Path) -> Source | None:
        """The dataset's files, or None when they are not there. Raises BenchmarkError for half of them."""
        ...

    def fetch(self, name: str, data_root: Path, progress: Progress | None = None) -> None:
        """Bring what is missing or damaged. Raises BenchmarkError when that cannot be done, with the ways out."""
        ...

    def examine(self, name: str, data_root: Path) -> Iterator[Finding]:
        """What a look at the files says that decoding them would not."""
        ...


def reader_of(key: str) -> Reader:
    """The module that reads a known dataset, imported when asked for."""
    return cast(Reader, importlib.import_module(KNOWN[key].reader))


def load(key: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """A known dataset: from the cache, else from its files, which are fetched first if they are not there.

    Raises BenchmarkError when it can neither be found nor fetched, and for images that are not those of its card.
    """
    with _told(key, data_root):
        return _load(key, data_root, progress)


def _told(key: str, data_root: Path) -> AbstractContextManager[None]:
    cure = "look at the rights of the files there, and at what they hold; or set data_root=PATH to another folder"
    return told(f"cannot read {name_of(key)} in {data_root}", where=f"data_root, {data_root}", next=cure)


def _load(key: str, data_root: Path, progress: Progress | None) -> Dataset:
    card = KNOWN[key]
    if card.embedded:
        content = reader_of(key).find(key, data_root).read(progress)  # type: ignore[union-attr]  # is always there
        return _dataset(key, content, check(key, content))
    if not kept_in(key, data_root).exists():
        _fetched(key, data_root, progress)
    kept = kept_in(key, data_root)
    origin = f"{card.source}; decoded images in {kept}"
    content, mark = remembered(kept, origin, lambda: read(key, data_root, progress), _owner(key, data_root))
    return _dataset(key, content, mark)


def kept_in(key: str, data_root: Path) -> Path:
    """Where the decoded images of a known dataset are kept, or will be.

    Where its card does not say how many there are, half a copy looks like a whole one: the place then hangs on the
    files, so that a copy that has grown is decoded again. Once they are gone, what was decoded last stands for them.
    """
    plain, owner = known_file(data_root, key), _owner(key, data_root)
    if not owner:
        return plain
    if source := _class_files(key, data_root):
        return cache_file(data_root, key, source.folder.resolve(), listing(source.folder, source.files()))
    return next(iter(states_of(owner, plain.parent)), plain)


def _owner(key: str, data_root: Path) -> str:
    return "" if KNOWN[key].train.exact else known_file(data_root, key).stem


def read(key: str, data_root: Path, progress: Progress | None = None) -> Content:
    """The images of a known dataset from its files, checked against its card; the cache is not looked at."""
    content = _fetched(key, data_root, progress).read(progress)
    check(key, content)
    return content


def _fetched(key: str, data_root: Path, progress: Progress | None) -> Source:
    reader = reader_of(key)
    source = reader.find(key, data_root)
    if source is None:
        reader.fetch(key, data_root, progress)
        source = reader.find(key, data_root)
    if source is None:
        raise BenchmarkError(f"{name_of(key)} was fetched, but is not there", where=f"data_root, {data_root}")
    return source


def prepare(key: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """Fetch what is missing or damaged, decode and cache; a dataset whose cache is whole needs nothing."""
    with _told(key, data_root):
        if not KNOWN[key].embedded and recall(kept_in(key, data_root), "") is None:
            reader_of(key).fetch(key, data_root, progress)
    return load(key, data_root, progress)


def cached(key: str, data_root: Path) -> bool:
    """Are the decoded images there, as far as their file's presence tells?"""
    with _told(key, data_root):
        return KNOWN[key].embedded or kept_in(key, data_root).exists()


def check(key: str, content: Content) -> str:
    """The fingerprint of images that are those of the card. Raises BenchmarkError for any others: what differs."""
    mark = fingerprint(content)
    if differences := list(differing(KNOWN[key], content, mark)):
        raise BenchmarkError(
            f"the images of {name_of(key)} are not the published ones: {'; '.join(differences)}",
            where=content.source,
            next=f"python -m benchmark.data doctor {key} says how to mend it",
        )
    return mark


def doubt(key: str, data_root: Path, images: int) -> str:
    """Whether so many training images are all, in words; "" where the card says how many there are."""
    card = KNOWN[key]
    if card.train.exact:
        return ""
    source = _class_files(key, data_root)
    if source and source.counted_by:
        return f"{images:,} training images, as {source.counted_by} lists"
    return f"{images:,} of {card.train} training images: whether the copy is complete has not been verified"


def _class_files(key: str, data_root: Path) -> ClassFiles | None:
    """The image files of a known dataset, where it lies in class folders that are as they must be."""
    try:
        source = reader_of(key).find(key, data_root)
    except BenchmarkError:
        return None
    return source if isinstance(source, ClassFiles) else None


def differing(card: Known, content: Content, mark: str) -> Iterator[str]:
    """In words, what about these images is not as their card says."""
    if content.image_shape != card.image_shape:
        yield f"images are {'x'.join(map(str, content.image_shape))}, not {'x'.join(map(str, card.image_shape))}"
    if content.classes != card.classes:
        places = zip(content.classes, card.classes, strict=False)
        first = next(((have, want) for have, want in places if have != want), None)
        yield f"class {first[0]} stands where {first[1]} belongs" if first else f"{len(content.classes)} classes"
        return
    for part, split, wanted in (("train", content.train, card.train), ("test", content.test, card.test)):
        if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(card.classes):
            yield f"{part} has labels outside 0..{len(card.classes) - 1}"
            return
        yield from _miscounted(part, split.counts(len(card.classes)), wanted, card.classes)
    if card.fingerprint and mark != card.fingerprint and not card.lossy:
        yield f"their fingerprint is {mark[:16]}…, not {card.fingerprint[:16]}…"


def _miscounted(part: str, counts: tuple[int, ...], wanted: Counts, classes: tuple[str, ...]) -> Iterator[str]:
    trios = zip(counts, wanted.least, wanted.most, strict=True)
    wrong = {c: have for c, (have, least, most) in enumerate(trios) if not least <= have <= most}
    if wrong:
        c, have = next(iter(wrong.items()))
        more = f", and {len(wrong) - 1} more classes are off" if len(wrong) > 1 else ""
        yield f"{sum(counts):,} {part} images, where there are {wanted}: {classes[c]} has {have:,}{more}"


def from_card(key: str) -> Outline:
    """What the card alone says, for planning before the images are there."""
    card = KNOWN[key]
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


def _dataset(key: str, content: Content, mark: str) -> Dataset:
    card = KNOWN[key]
    return Dataset(
        name=name_of(key),
        title=card.title,
        like=None,
        published_as=key,
        train=content.train,
        test=content.test,
        classes=content.classes,
        constants=card.constants,
        flip=card.flip,
        fingerprint=mark,
        source=content.source,
    )
