"""Datasets: known names and folders of a person's own, as uint8 splits with constants and a fingerprint."""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets import registry
from benchmark.datasets.base import Constants, Dataset, Outline, Progress, Split, expanded
from benchmark.datasets.builtin import KNOWN, Known, constants_of, key_of
from benchmark.datasets.custom import load_folder
from benchmark.datasets.splits import hold_out, kept_counts

__all__ = [
    "KNOWN",
    "Constants",
    "Dataset",
    "Known",
    "Outline",
    "Split",
    "constants_of",
    "hold_out",
    "kept_counts",
    "key_of",
    "load",
    "outline",
    "prepare",
]


def load(entry: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """The dataset called `entry`: a known name, which wins, or the path of a folder.

    Downloads and decoded images are kept under `data_root`. `progress(label, done, total)` is called now and then.
    Raises BenchmarkError, and nothing else, for what a person must put right.
    """
    root, key = expanded(data_root), key_of(entry)
    return registry.load(key, root, progress) if key else load_folder(entry, root, progress)


def prepare(entry: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """`load`, with everything fetched, unpacked and repaired first that can be. Raises BenchmarkError."""
    root, key = expanded(data_root), key_of(entry)
    return registry.prepare(key, root, progress) if key else load_folder(entry, root, progress)


def outline(entry: str, data_root: Path, progress: Progress | None = None) -> Outline:
    """What a plan must know of a dataset, without fetching or decoding a known one: its card stands in for it."""
    root, key = expanded(data_root), key_of(entry)
    if key and not registry.cached(key, root):
        return registry.from_card(key)
    return load(entry, root, progress).outline
