"""Datasets: built-in names and folders of images, as uint8 splits with constants and a fingerprint.

Importing this package loads neither torch nor a reader; `load`, `prepare` and `outline` import what they need.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets.base import Constants, Dataset, Outline, Progress, Split
from benchmark.datasets.builtin import BUILTIN, card_of, constants_of, key_of
from benchmark.utils.paths import expand_user

__all__ = [
    "BUILTIN",
    "Constants",
    "Dataset",
    "Outline",
    "Split",
    "card_of",
    "constants_of",
    "key_of",
    "load",
    "outline",
    "prepare",
]


def load(entry: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
    """The dataset called `entry`: a built-in name, which takes precedence, or the path of a folder.

    Downloads are kept under `data_root`, decoded images in `cache`; None: in data_root/cache, or in a folder of the
    user's cache if that cannot be written. `progress(label, done, total)` is called now and then.
    Raises BenchmarkError, and nothing else, for what the user must put right.
    """
    from benchmark.datasets import custom, registry

    root, key = expand_user(data_root), key_of(entry)
    return registry.load(key, root, progress, cache) if key else custom.load_folder(entry, root, progress, cache)


def prepare(entry: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None) -> Dataset:
    """`load`, after downloading, unpacking and repairing what can be. Raises BenchmarkError."""
    from benchmark.datasets import registry

    root, key = expand_user(data_root), key_of(entry)
    return registry.prepare(key, root, progress, cache) if key else load(entry, root, progress, cache)


def outline(entry: str, data_root: Path, progress: Progress | None = None, cache: Path | None = None) -> Outline:
    """The dataset's outline; a built-in one that is not decoded yet is described from its card, not downloaded."""
    from benchmark.datasets import registry

    root, key = expand_user(data_root), key_of(entry)
    if key and not registry.is_cached(key, root, cache):
        return registry.outline_from_card(key)
    return load(entry, root, progress, cache).outline
