"""Datasets: known names and folders of a person's own, as uint8 splits with constants and a fingerprint."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from benchmark.datasets.base import Constants, Dataset, Progress, Split, fingerprint
from benchmark.datasets.folders import load_folder
from benchmark.datasets.holdout import hold_out
from benchmark.datasets.known import KNOWN, Known, constants_of
from benchmark.errors import BenchmarkError, unknown

__all__ = ["KNOWN", "Constants", "Dataset", "Known", "Split", "constants_of", "hold_out", "load"]


def load(entry: str, data_root: Path, progress: Progress | None = None) -> Dataset:
    """The dataset called `entry`: a known name, which wins, or the path of a folder.

    Downloads and decoded images are kept under `data_root`. `progress(label, done, total)` is called now and then.
    Raises BenchmarkError, and nothing else, for what a person must put right.
    """
    root = Path(data_root).expanduser()
    if entry in KNOWN:
        return _load_known(entry, root, progress)
    if _is_path(entry):
        return load_folder(entry, root, progress)
    error = unknown("dataset", entry, KNOWN, where="datasets")
    raise BenchmarkError(error.what, where=error.where, next=f"{error.next}; or the path of a folder, as ./{entry}")


def _is_path(entry: str) -> bool:
    separated = os.sep in entry or bool(os.altsep and os.altsep in entry)
    return separated or entry.startswith((".", "~")) or (entry != "" and Path(entry).is_dir())


def _load_known(name: str, data_root: Path, progress: Progress | None) -> Dataset:
    known = KNOWN[name]
    content = importlib.import_module(known.reader).read(name, data_root, progress)
    return Dataset(
        name=name,
        like=None,
        train=content.train,
        test=content.test,
        classes=content.classes,
        constants=known.constants,
        flip=known.flip,
        fingerprint=fingerprint(content),
        source=content.source,
    )
