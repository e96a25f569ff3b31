"""The names of a dataset's splits, of folders and of files, in any mixture of upper and lower case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmark.utils.errors import BenchmarkError

TRAIN = ("train", "training")
TEST = ("test", "testing")
VALIDATION = ("val", "valid", "validation")

T = TypeVar("T")


def split_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder in `folder` that has one of the names, or None. Raises BenchmarkError if there are two."""
    found = sorted(child for child in folder.iterdir() if child.name.lower() in names and child.is_dir())
    if len(found) > 1:
        raise which_one(found[0], found[1], names)
    return found[0] if found else None


def which_one(first: Path, second: Path, names: Sequence[str]) -> BenchmarkError:
    """The error for two candidates for one split."""
    return BenchmarkError(
        f"both {first} and {second} are there: which one holds the {names[0]} split?",
        where=str(first.parent),
        next="move one of them away",
    )


def choose_test(found: Sequence[T], has_labels: Callable[[T], bool], name: Callable[[T], str]) -> tuple[T, str]:
    """The first of the splits to test on that has labels, or else the first; with a note if it is not the first.

    found: the test and the validation split, as far as they are there. Competitions publish their test images without
    labels; a labelled validation split beside them takes their place.
    """
    chosen = found[0] if len(found) == 1 else next(filter(has_labels, found), found[0])
    if chosen is found[0]:
        return chosen, ""
    return chosen, f"the images of {name(found[0])} have no labels: {name(chosen)} is the test split"
