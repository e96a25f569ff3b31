"""Looking a dataset over: what is there, whether it is whole, and how to mend it."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from pathlib import Path

from torch import Tensor

from benchmark.datasets.base import Content, Finding, Progress, Source, Split, expanded, fingerprint, told
from benchmark.datasets.builtin import KNOWN, key_of, name_of
from benchmark.datasets.cache import recall
from benchmark.datasets.custom import existing, layout_of
from benchmark.datasets.dataset_yaml import FILE, describe
from benchmark.datasets.readers.decoding import unreadable
from benchmark.datasets.readers.image_folder import ClassFolders
from benchmark.datasets.registry import differing, doubt, kept_in, reader_of
from benchmark.utils.errors import BenchmarkError

_SHOWN = 20  # damaged images named one by one
_FEW = 20  # images of a class, below which an evaluation says little


def examine(entry: str, data_root: Path, progress: Progress | None = None) -> Iterator[Finding]:
    """Everything that can be said about a dataset's files, read anew; the cache is compared, never trusted.

    `entry` is a known name or the path of a folder. Raises BenchmarkError only for an entry that is neither.
    """
    root, key = expanded(data_root), key_of(entry)
    folder = root if key else existing(entry)
    try:
        with told(f"cannot read {entry}", where=entry, next="look at the rights of its files, and at what they hold"):
            yield from _known(key, root, progress) if key else _folder(folder, progress)
    except BenchmarkError as error:
        yield Finding(False, error.what, error.next)


def _known(key: str, root: Path, progress: Progress | None) -> Iterator[Finding]:
    card, reader = KNOWN[key], reader_of(key)
    yield from reader.examine(key, root)
    cache = kept_in(key, root)
    kept = recall(cache, "") if cache.exists() else None
    if cache.exists():
        yield Finding(kept is not None, f"decoded images in {cache}: {'whole' if kept else 'damaged'}",
                      "" if kept else f"python -m benchmark.data prepare {key} decodes them again")  # fmt: skip
    try:
        source = reader.find(key, root)
    except BenchmarkError as error:
        yield Finding(False, error.what, error.next)
        return
    if source is None:
        cure = f"python -m benchmark.data prepare {key} fetches it, or says how to come by it"
        kept_only = " any more; the decoded images are all that is needed" if kept else ""
        yield Finding(
            kept is not None, f"the files of {name_of(key)} are not in {root}{kept_only}", "" if kept else cure
        )
        content = kept[0] if kept else None
    else:
        content = yield from _decoded(source, progress)
    if content is None:
        return
    mark = fingerprint(content)
    wrong = list(differing(card, content, mark))
    yield from (
        Finding(False, text, f"python -m benchmark.data prepare {key} fetches the published files") for text in wrong
    )
    if not wrong:
        counts = f"{len(content.train):,} training and {len(content.test):,} test images"
        yield Finding(True, f"{counts}, {len(content.classes)} classes in their order, as the card says")
        if unsure := doubt(key, root, len(content.train)):
            yield Finding(True, unsure)
        yield _fingerprint(mark, card.fingerprint, lossy=card.lossy)
    if kept and source is not None:
        same = kept[1] == mark
        yield Finding(same, f"the decoded images are {'those' if same else 'not those'} of the files",
                      "" if same else f"delete {cache}, then prepare {key} again")  # fmt: skip


def _fingerprint(mark: str, pinned: str | None, *, lossy: bool) -> Finding:
    if pinned is None:
        return Finding(True, f"fingerprint {mark}; none is pinned for these images, which this project has not seen")
    if mark == pinned:
        return Finding(True, f"fingerprint {mark}, the pinned one")
    why = "another JPEG decoder than libjpeg-turbo, or other images" if lossy else "other images"
    return Finding(lossy, f"fingerprint {mark}, not the pinned {pinned[:16]}…: {why}")


def _folder(folder: Path, progress: Progress | None) -> Iterator[Finding]:
    try:
        said = describe(folder)
        layout = layout_of(folder, said.size)
        files = layout.files()
    except BenchmarkError as error:
        yield Finding(False, error.what, error.next)
        return
    yield Finding(True, f"{layout.kind}: {len(files):,} files")
    if isinstance(layout, ClassFolders) and (others := layout.ignored()):
        named = ", ".join(str(path.relative_to(folder)) for path in others[:_SHOWN])
        yield Finding(True, f"{len(others):,} files are ignored, not being images by name: {named}"
                            f"{', …' if len(others) > _SHOWN else ''}")  # fmt: skip
    if not (folder / FILE).is_file():
        yield Finding(True, f"no {FILE}: called {said.name}, images may be mirrored, constants are computed")
    content = yield from _decoded(layout, progress)
    if content is None:
        return
    shape = "×".join(map(str, content.image_shape))
    yield Finding(True, f"{len(content.train):,} training and {len(content.test):,} test images, {shape}; "
                        f"{len(content.classes)} classes: {', '.join(content.classes[:12])}"
                        f"{', …' if len(content.classes) > 12 else ''}")  # fmt: skip
    yield from _few(content)
    yield from _leaks(content)
    yield Finding(True, f"fingerprint {fingerprint(content)}")


def _decoded(source: Source, progress: Progress | None) -> Generator[Finding, None, Content | None]:
    """Yields what is wrong with single images; returns the content, or None when it cannot be decoded."""
    try:
        return source.read(progress)
    except BenchmarkError as error:
        first, damaged = error, []
    try:
        if images := getattr(source, "images", None):  # not those that torchvision reads
            damaged = unreadable(images(), "looking at every image", progress)
    except BenchmarkError as error:
        first = error
    yield from (Finding(False, error.what, f"replace or remove {error.where}") for error in damaged[:_SHOWN])
    if len(damaged) > _SHOWN:
        yield Finding(False, f"and {len(damaged) - _SHOWN:,} more images that cannot be decoded")
    if not damaged:
        yield Finding(False, first.what, first.next)
    return None


def _few(content: Content) -> Iterator[Finding]:
    for part, split in (("train", content.train), ("test", content.test)):
        counts = split.counts(len(content.classes))
        fewest = min(range(len(counts)), key=counts.__getitem__)
        note = ": few, its accuracy will be uncertain" if part == "test" and counts[fewest] < _FEW else ""
        yield Finding(True, f"{part}: {counts[fewest]:,} ({content.classes[fewest]}) to {max(counts):,} a class{note}")


def _leaks(content: Content) -> Iterator[Finding]:
    """Test images that are training images too, pixel by pixel: an accuracy on them would be memory."""
    seen = set(_hashes(content.train))
    twice = sum(mark in seen for mark in _hashes(content.test))
    if twice:
        yield Finding(
            False, f"{twice:,} test images are training images too, pixel by pixel", "remove them from one split"
        )
    else:
        yield Finding(True, "no test image is a training image too, pixel by pixel")
    if len(seen) < len(content.train):
        yield Finding(True, f"{len(content.train) - len(seen):,} training images are copies of others")


def _hashes(split: Split) -> Iterator[bytes]:
    image: Tensor
    for image in split.images:
        yield hashlib.sha256(image.numpy().tobytes()).digest()
