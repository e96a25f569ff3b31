"""The lists that come with ILSVRC-2012: the labels of its validation images, and the training images of each class."""

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

from benchmark.datasets.base import ClassCounts, exactly, one_line
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_content

DEVKIT = "ILSVRC2012_devkit_t12"
VALIDATION = 50_000  # images, of all classes
TRAINING = 1_281_167
_UNPACK = f"unpack {DEVKIT}.tar.gz again"

# What the readers of these lists raise for damaged ones.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, csv.Error, zlib.error, struct.error)


def validation_labels(base: Path) -> Mapping[str, str] | None:
    """File name to WordNet id of the 50,000 validation images, or None if no list is in `base`."""
    for solution in (base / "LOC_val_solution.csv", base / "ILSVRC" / "LOC_val_solution.csv"):
        if solution.is_file():
            return _from_kaggle(solution)
    kit = base / DEVKIT / "data"
    if (kit / "meta.mat").is_file():
        return _from_devkit(kit)
    return None


def _from_kaggle(solution: Path) -> Mapping[str, str]:
    """Kaggle's list: a line for each image, its label the first word of the second column."""
    labels: dict[str, str] = {}
    cure = f"download it again from Kaggle: columns ImageId and PredictionString, {VALIDATION:,} rows"
    line = 1
    try:
        check_content(solution)
        with solution.open(newline="", encoding="utf-8-sig") as file:  # Excel puts a byte order mark before the header
            for row in csv.DictReader(file):
                line += 1
                labels[f"{row['ImageId']}.JPEG"] = row["PredictionString"].split()[0]
    except _DAMAGED as error:
        reason = f": {error}" if isinstance(error, OSError | ValueError | csv.Error) else ""
        what = f"{solution} line {line} has no image and label{reason}"
        raise BenchmarkError(what, where=str(solution), next=cure) from error
    return _require_all(labels, solution, cure)


def _from_devkit(kit: Path) -> Mapping[str, str]:
    """The development kit: line k of the ground truth is the ILSVRC id of validation image k."""
    wnids = {int(entry["ILSVRC2012_ID"]): str(entry["WNID"]) for entry in _synsets(kit, "ILSVRC2012_ID", "WNID")}
    truth = kit / "ILSVRC2012_validation_ground_truth.txt"
    try:
        check_content(truth)
        labels = [wnids[int(word)] for word in truth.read_text(encoding="utf-8").split()]
    except _DAMAGED as error:
        reason = f"class {error} is not in meta.mat" if isinstance(error, KeyError) else one_line(error)
        raise _unreadable(truth, reason) from error
    by_file = {f"ILSVRC2012_val_{number:08d}.JPEG": wnid for number, wnid in enumerate(labels, start=1)}
    return _require_all(by_file, truth, _UNPACK)


def _synsets(kit: Path, *columns: str) -> Any:
    """The rows of the development kit's table of classes, which has these columns."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    meta = kit / "meta.mat"
    try:
        check_content(meta)
        synsets = loadmat(meta, squeeze_me=True)["synsets"].reshape(-1)
        if missing := set(columns) - set(synsets.dtype.names):
            raise KeyError(*missing)
        return synsets
    except (*_DAMAGED, MatReadError) as error:
        reason = f"there is no {error} in it" if isinstance(error, KeyError) else one_line(error)
        raise _unreadable(meta, reason) from error


def _unreadable(path: Path, reason: str) -> BenchmarkError:
    return BenchmarkError(f"cannot read {path}: {reason}", where=str(path.parent), next=_UNPACK)


def _require_all(labels: Mapping[str, str], path: Path, cure: str) -> Mapping[str, str]:
    if len(labels) != VALIDATION:
        what = f"{path} has labels of {len(labels):,} images, not of {VALIDATION:,}"
        raise BenchmarkError(what, where=str(path), next=cure)
    return labels


@dataclass(frozen=True)
class ListedCounts:
    """Training images of each of some classes, and the list that gives them."""

    counts: ClassCounts
    path: Path


def training_counts(base: Path, classes: Sequence[str]) -> ListedCounts | None:
    """The training images of these classes by the development kit or Kaggle's list; None if neither is in `base`.

    Raises BenchmarkError for a damaged list.
    """
    kit = base / DEVKIT / "data"
    kaggle = [base / inner / "ImageSets/CLS-LOC/train_cls.txt" for inner in ("", "ILSVRC")]
    if (kit / "meta.mat").is_file():
        path, cure = kit / "meta.mat", _UNPACK
        table = _synsets(kit, "WNID", "num_train_images", "num_children")
        leaves = [entry for entry in table if not int(entry["num_children"])]
        counts = {str(entry["WNID"]): int(entry["num_train_images"]) for entry in leaves}
    elif listed := next((path for path in kaggle if path.is_file()), None):
        path, cure = listed, "download it again from Kaggle: a line for each training image, WNID/WNID_NUMBER first"
        counts = dict(_count_lines(path, path.stat().st_mtime_ns))
    else:
        return None
    if sum(counts.values()) != TRAINING or not set(classes) <= set(counts):
        what = f"{path} lists {sum(counts.values()):,} training images, not {TRAINING:,}"
        raise BenchmarkError(what, where=str(path), next=cure)
    return ListedCounts(exactly(*(counts[wnid] for wnid in classes)), path)


@lru_cache(maxsize=2)
def _count_lines(path: Path, modified: int) -> Mapping[str, int]:
    """Training images of each class in Kaggle's list; `modified`, its time, makes a changed list be read again."""
    try:
        check_content(path)
        with path.open(encoding="utf-8") as lines:
            return Counter(line.partition("/")[0] for line in lines)
    except (OSError, ValueError) as error:
        what = f"cannot read {path}: {error}"
        raise BenchmarkError(what, where=str(path.parent), next="download it again") from error
