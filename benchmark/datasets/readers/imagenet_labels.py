"""The lists that come with ILSVRC-2012: what its validation images show, and how many training images a class has."""

from __future__ import annotations

import csv
import struct
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmark.datasets.builtin import Counts, exactly
from benchmark.utils.errors import BenchmarkError

DEVKIT = "ILSVRC2012_devkit_t12"
VALIDATION = 50_000  # images, of all classes
TRAINING = 1_281_167
_UNPACK = f"unpack {DEVKIT}.tar.gz again"

# What the readers of these lists let out for damaged ones.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, csv.Error, zlib.error, struct.error)


def labels_of_validation(base: Path) -> Mapping[str, str] | None:
    """File name to WordNet id of the 50,000 validation images, or None when no list is in `base`."""
    for solution in (base / "LOC_val_solution.csv", base / "ILSVRC" / "LOC_val_solution.csv"):
        if solution.is_file():
            return _of_kaggle(solution)
    kit = base / DEVKIT / "data"
    if (kit / "meta.mat").is_file():
        return _of_devkit(kit)
    return None


def _of_kaggle(solution: Path) -> Mapping[str, str]:
    """Kaggle's list: a line for each image, its label the first word of the second column."""
    labels: dict[str, str] = {}
    cure = f"download it again from Kaggle: columns ImageId and PredictionString, {VALIDATION:,} rows"
    line = 1
    try:
        with solution.open(newline="", encoding="utf-8-sig") as file:  # Excel puts a mark before the header
            for row in csv.DictReader(file):
                line += 1
                labels[f"{row['ImageId']}.JPEG"] = row["PredictionString"].split()[0]
    except _DAMAGED as error:
        reason = f": {error}" if isinstance(error, OSError | ValueError | csv.Error) else ""
        raise BenchmarkError(
            f"{solution} line {line} has no image and label{reason}",
            where=str(solution),
            next=cure,
        ) from error
    return _all(labels, solution, cure)


def _of_devkit(kit: Path) -> Mapping[str, str]:
    """The development kit: line k of the ground truth is the ILSVRC id of validation image k."""
    wnids = {int(entry["ILSVRC2012_ID"]): str(entry["WNID"]) for entry in _synsets(kit, "ILSVRC2012_ID", "WNID")}
    truth = kit / "ILSVRC2012_validation_ground_truth.txt"
    try:
        shown = [wnids[int(word)] for word in truth.read_text(encoding="utf-8").split()]
    except _DAMAGED as error:
        reason = f"class {error} is not in meta.mat" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise _unreadable(truth, reason) from error
    return _all({f"ILSVRC2012_val_{place:08d}.JPEG": wnid for place, wnid in enumerate(shown, start=1)}, truth, _UNPACK)


def _synsets(kit: Path, *columns: str) -> Any:
    """The rows of the development kit's table of classes."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    meta = kit / "meta.mat"
    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"].reshape(-1)
        if missing := set(columns) - set(synsets.dtype.names):
            raise KeyError(*missing)
        return synsets
    except (*_DAMAGED, MatReadError) as error:
        reason = f"there is no {error} in it" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise _unreadable(meta, reason) from error


def _unreadable(listed: Path, reason: str) -> BenchmarkError:
    return BenchmarkError(f"cannot read {listed}: {reason}", where=str(listed.parent), next=_UNPACK)


def _all(labels: Mapping[str, str], listed: Path, cure: str) -> Mapping[str, str]:
    if len(labels) != VALIDATION:
        raise BenchmarkError(
            f"{listed} has labels of {len(labels):,} images, not of {VALIDATION:,}", where=str(listed), next=cure
        )
    return labels


@dataclass(frozen=True)
class Listed:
    """How many training images each of some classes has, and the list that says so."""

    counts: Counts
    path: Path


def counts_of_training(base: Path, classes: Sequence[str]) -> Listed | None:
    """What the development kit or Kaggle's list of training images says of these classes; None when neither is there.

    Raises BenchmarkError for a list that is damaged.
    """
    kit = base / DEVKIT / "data"
    kaggle = [base / inner / "ImageSets/CLS-LOC/train_cls.txt" for inner in ("", "ILSVRC")]
    if (kit / "meta.mat").is_file():
        path, cure = kit / "meta.mat", _UNPACK
        table = _synsets(kit, "WNID", "num_train_images", "num_children")
        leaves = [entry for entry in table if not int(entry["num_children"])]
        counts = {str(entry["WNID"]): int(entry["num_train_images"]) for entry in leaves}
    elif found := next((path for path in kaggle if path.is_file()), None):
        path, cure = found, "download it again from Kaggle: a line for each training image, WNID/WNID_NUMBER first"
        counts = dict(_counted_lines(path, path.stat().st_mtime_ns))
    else:
        return None
    if sum(counts.values()) != TRAINING or not set(classes) <= set(counts):
        raise BenchmarkError(
            f"{path} tells of {sum(counts.values()):,} training images, not of {TRAINING:,}", where=str(path), next=cure
        )
    return Listed(exactly(*(counts[wnid] for wnid in classes)), path)


@lru_cache(maxsize=2)
def _counted_lines(path: Path, changed: int) -> Mapping[str, int]:
    """Training images of each class in Kaggle's list; `changed` is when, so that another list is read anew."""
    try:
        with path.open(encoding="utf-8") as lines:
            return Counter(line.partition("/")[0] for line in lines)
    except (OSError, ValueError) as error:
        raise BenchmarkError(
            f"cannot read {path}: {error}", where=str(path.parent), next="download it again"
        ) from error
