"""The numbers papers printed (published.csv, accuracies as fractions) and whether a measured cell agrees with one.

How a row of the csv meets a cell of `aggregate.cells`:
    method        the cell's `method` (its card's name) up to an "@"; "random@f" meets "random" and differs in factor
    dataset, ipc  the cell's `reference` and `ipc`; an empty ipc is the whole training set
    architecture  both the condensing and the evaluation network; its name includes norm and width (convnet3: instance)
    protocol      the cell's `recipe`: under protocol `native` the one the method's card names
    reported      the rule behind the number; ours is always `last`
The csv does not name factors: see `published_factor`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

_SINGLE = {"random", "herding", "kcenter", "dc", "dsa", "dm", "whole"}  # they store the images they train on
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


@dataclass(frozen=True)
class Comparison:
    """`difference` is measured − published (fractions); `mark` (within, above, below) only without mismatches."""

    mark: str | None
    difference: float
    mismatches: list[str] = field(default_factory=list)


@cache
def load() -> tuple[Published, ...]:
    """All printed cells, in the order of the file."""
    with files("results").joinpath("published.csv").open(encoding="utf-8") as file:
        return tuple(_typed(row) for row in csv.DictReader(file))


def _typed(row: dict[str, Any]) -> Published:
    numbers = {
        "ipc": int(row["ipc"]) if row["ipc"] else None,
        "accuracy": float(row["accuracy"]),
        "std": float(row["std"]) if row["std"] else None,
    }
    return Published(**{**row, **numbers})


@cache
def _by_cell() -> dict[tuple[str, str, int | None], Published]:
    return {(entry.method, entry.dataset, entry.ipc): entry for entry in load()}


def lookup(method: str, dataset: str, ipc: int | None) -> Published | None:
    """The printed cell of a method, or None."""
    return _by_cell().get((method, dataset, ipc))


def of_cell(cell: Mapping[str, Any]) -> Published | None:
    """The printed cell to print beside a row of `aggregate.cells`, or None."""
    ipc = None if pd.isna(cell["ipc"]) else int(cell["ipc"])
    return lookup(str(cell["method"]).partition("@")[0], str(cell["reference"]), ipc)


def published_factor(entry: Published) -> int | None:
    """Tiles across a stored image behind a printed number: 1 for methods without multi-formation, else if known."""
    if entry.method in _SINGLE:
        return 1
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
        (cell["dataset"] != entry.dataset, f"dataset only like {entry.dataset}"),
        *_networks(cell, entry),
        (cell["recipe"] != entry.protocol, f"protocol {cell['recipe']}, published {entry.protocol}"),
        (factor is None, "published factor unknown"),
        (factor is not None and cell["factor"] != factor, f"factor {cell['factor']}, published {factor}"),
        (entry.reported != "last", f"published accuracy rule is {entry.reported.replace('_', ' ')}, ours last"),
        (cell["provenance"] == "ours", "some settings are ours"),
        (cell["fraction"] != 1, f"{100 * cell['fraction']:.3g} % of the paper's iterations"),
        (cell["validation"] != 0, f"{100 * cell['validation']:.3g} % of the training images withheld"),
        (bool(cell["variant"]) and not _FACTOR_ONLY.fullmatch(cell["variant"]), f"variant {cell['variant']}"),
    ]
    return [sentence for differs, sentence in checks if differs]


def _networks(cell: Mapping[str, Any], entry: Published) -> list[tuple[bool, str]]:
    ours = {"evaluated": cell["architecture"], "condensed": cell["condensed_with"]}
    return [
        (bool(name) and name != entry.architecture, f"{role} with {name}, published {entry.architecture}")
        for role, name in ours.items()
    ]
