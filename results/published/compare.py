"""The numbers papers printed (published.csv, accuracies as fractions) and whether a measured cell agrees with one.

How a row of the csv meets a cell of `aggregate.cells`:
    method        the cell's `method` (its card's name) up to an "@"; "random@f" meets "random" and differs in factor
    dataset, ipc  the cell's `reference` and `ipc`; an empty ipc is the whole training set. The ImageNet subsets
                  (imagenette, …) are those of ILSVRC, which a cell's dataset may say: imagenette@ilsvrc
    architecture  both the condensing and the evaluation network; its name includes norm and width (convnet3: instance)
    protocol      the cell's `recipe`: under protocol `native` the one the method's card names
    reported      the rule behind the number; ours is always `last`
The csv does not name factors: see `published_factor`.

Some cells are printed twice, by their authors and again by a later paper. The authors' own number is the one compared
with, even without a deviation (a reprint may round, or stand on another protocol); `also` gives the other ones.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from results.errors import ResultsError

_SINGLE = {"random", "herding", "kcenter", "dc", "dsa", "dm", "idc_i", "whole"}  # they store what they train on
_ILSVRC = {"imagenette", "imagewoof", "imagefruit", "imagemeow", "imagesquawk", "imageyellow"}
_FACTOR_ONLY = re.compile(r"(factor=|@?f)\d+")  # a variant that `factor` says already


@dataclass(frozen=True)
class Published:
    """One printed cell. `accuracy` and `std` are fractions; `ipc` None is the whole training set."""

    method: str
    title: str
    family: str
    dataset: str
    ipc: int | None
    architecture: str
    protocol: str
    reported: str  # last, best_on_test, unknown
    accuracy: float
    std: float | None
    source: str
    table: str
    origin: str  # own: its authors' number; reprint: as another paper prints it

    @property
    def cited(self) -> str:
        """Where the number stands: "DANCE (IJCAI 2024), Table 1 (reprint)"."""
        return f"{self.source}, {self.table}" + ("" if self.origin == "own" else f" ({self.origin})")


@dataclass(frozen=True)
class Comparison:
    """`difference` is measured − published (fractions); `mark` (within, above, below) only without mismatches."""

    mark: str | None
    difference: float
    mismatches: list[str] = field(default_factory=list)


@cache
def load() -> tuple[Published, ...]:
    """All printed cells, in the order of the file."""
    with files("results.published").joinpath("published.csv").open(encoding="utf-8") as file:
        return tuple(_typed(row) for row in csv.DictReader(file))


def _typed(row: dict[str, Any]) -> Published:
    numbers = {
        "ipc": int(row["ipc"]) if row["ipc"] else None,
        "accuracy": float(row["accuracy"]),
        "std": float(row["std"]) if row["std"] else None,
    }
    return Published(**{**row, **numbers})


_Key = tuple[str, str, int | None]  # method, dataset, ipc


@cache
def _by_cell() -> dict[_Key, list[Published]]:
    return by_cell(load())


def by_cell(entries: Iterable[Published]) -> dict[_Key, list[Published]]:
    """Printed cells by (method, dataset, ipc), the authors' own first. Raises ResultsError for two of one origin."""
    found: dict[_Key, list[Published]] = {}
    for entry in entries:
        found.setdefault((entry.method, entry.dataset, entry.ipc), []).append(entry)
    for key, printed in found.items():
        printed.sort(key=lambda entry: entry.origin != "own")
        if len({entry.origin for entry in printed}) < len(printed):
            cell = f"{key[0]} on {key[1]} at ipc {key[2]}"
            cure = "keep one own number and one reprint of each cell"
            raise ResultsError(f"{cell} is printed twice from one origin", where="published.csv", next=cure)
    return found


def lookup(method: str, dataset: str, ipc: int | None) -> Published | None:
    """The printed cell of a method, its authors' own where a reprint stands beside it, or None."""
    return next(iter(_by_cell().get((method, dataset, ipc), [])), None)


def also(entry: Published) -> list[Published]:
    """The other printings of the same cell."""
    return [other for other in _by_cell()[entry.method, entry.dataset, entry.ipc] if other != entry]


def of_cell(cell: Mapping[str, Any]) -> Published | None:
    """The printed cell to print beside a row of `aggregate.cells`, or None."""
    ipc = None if pd.isna(cell["ipc"]) else int(cell["ipc"])
    return lookup(str(cell["method"]).partition("@")[0], str(cell["published_as"]), ipc)


def published_factor(entry: Published) -> int | None:
    """Tiles across a stored image behind a printed number: 1 for methods without multi-formation, else if known.

    IDC's README evaluates its small datasets at factor 2, and DANCE's names it for one cell.
    """
    if entry.method in _SINGLE:
        return 1
    if entry.method == "idc":
        return 2
    return 2 if (entry.method, entry.dataset, entry.ipc) == ("dance", "cifar10", 50) else None


def compare(cell: Mapping[str, Any], published: Published) -> Comparison:
    """Measured against printed, for one row of `aggregate.cells`.

    Within means that the difference is at most twice the larger of the two deviations: the printed one and the
    measured one (over sets; over the networks of the one set when there is only one).
    """
    difference = float(cell["accuracy"]) - published.accuracy
    tolerance = _tolerance(cell, published)
    mismatches = list(_mismatches(cell, published))
    if tolerance is None:
        mismatches.append("no deviation known")
    if mismatches or tolerance is None:
        return Comparison(None, difference, mismatches)
    if abs(difference) <= tolerance + 1e-9:
        return Comparison("within", difference)
    return Comparison("above" if difference > 0 else "below", difference)


def _tolerance(cell: Mapping[str, Any], published: Published) -> float | None:
    measured = cell["sd_networks"] if pd.isna(cell["sd"]) else cell["sd"]
    known = [float(sd) for sd in (measured, published.std) if sd is not None and not pd.isna(sd)]
    return 2 * max(known) if known else None


def _mismatches(cell: Mapping[str, Any], entry: Published) -> list[str]:
    """Sentences for what keeps the two numbers from being comparable."""
    factor = published_factor(entry)
    checks = [
        (_dataset(cell) != entry.dataset, f"dataset only like {entry.dataset}"),
        *_networks(cell, entry),
        (cell["recipe"] != entry.protocol, f"protocol {cell['recipe']}, published {entry.protocol}"),
        (factor is None, "published factor unknown"),
        (factor is not None and cell["factor"] != factor, f"factor {cell['factor']}, published {factor}"),
        (entry.reported != "last", f"published accuracy rule is {entry.reported.replace('_', ' ')}, ours last"),
        (cell["provenance"] == "ours", "some settings are ours"),
        (cell["iterations_fraction"] != 1, f"{100 * cell['iterations_fraction']:.3g} % of the paper's iterations"),
        (cell["val_fraction"] != 0, f"{100 * cell['val_fraction']:.3g} % of the training images withheld"),
        (bool(cell["overrides"]) and not _FACTOR_ONLY.fullmatch(cell["overrides"]), f"settings {cell['overrides']}"),
    ]
    return [sentence for differs, sentence in checks if differs]


def _dataset(cell: Mapping[str, Any]) -> str:
    """Its name without the split that the papers mean by the bare name; any other split stays, and differs."""
    name, at, split = str(cell["dataset"]).partition("@")
    return name if at and name in _ILSVRC and split == "ilsvrc" else str(cell["dataset"])


def _networks(cell: Mapping[str, Any], entry: Published) -> list[tuple[bool, str]]:
    ours = {"evaluated": cell["architecture"], "condensed": cell["condense_architecture"]}
    return [
        (bool(name) and name != entry.architecture, f"{role} with {name}, published {entry.architecture}")
        for role, name in ours.items()
    ]
