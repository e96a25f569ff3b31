"""The numbers of papers (published.csv, accuracies as fractions), and whether a measured cell agrees with one.

How a row of the csv matches a cell of `aggregation.cells`:
    method        the cell's `method` (its card's name), and which labels the set has: a row named "random@f2" matches
                  "random" (of factor 1), "random@f2@soft" matches "random@soft", which is never "random"
    dataset, ipc  the cell's `published_as` and `ipc`; an empty ipc is the whole training set. The ImageNet subsets
                  (imagenette, …) are those of ILSVRC, which a cell's dataset may say: imagenette@ilsvrc
    architecture  both the condensing and the evaluation network; its name includes norm and width (convnet3: instance)
    factor        of the sets (images across a stored image), empty if it is unknown: 1 for methods without
                  multi-formation; IDC's README evaluates its small datasets at 2, DANCE's names 2 for one cell
    protocol      the cell's `recipe`: under protocol `native` the one that the method's card names. A reprint of which
                  nobody says how it was measured has the protocol unknown; one that the authors' own code does not
                  follow in this cell has a name of its own (idc without CutMix)
    epochs        passes over the set, one more than DC's family of codes names; of DANCE at 128 pixels for factor 2
    constants     the cell's `constants`: the mean and std with which images were normalized, by a name in
                  constants.csv, or zca where they were whitened
    reported      how the accuracy was chosen: last, best_on_test or unknown; ours is the last, or the best of the
                  snapshots where they were scored (best_on_test=true) and the published number is of that rule

Several papers print numbers of one cell, for other networks or under other protocols, and some disagree. A cell is
compared with the number whose network, protocol and factor fit it best. Among several of these it is the authors' own,
even if that has no deviation: a reprint may be rounded. None are averaged: `other_printed_numbers` gives the others.
Some methods, datasets, networks and protocols of the file are not in the benchmark.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from results.formatting import short
from results.types import Cell

BEST_ON_TEST = "best_on_test"
_LABELS = ("soft", "views")  # after the @ of a row: one soft label an image, or one for each augmented view
_ILSVRC = {"imagenette", "imagewoof", "imagefruit", "imagemeow", "imagesquawk", "imageyellow"}


@dataclass(frozen=True)
class Published:
    """One printed number. accuracy, std: fractions. ipc: None for the whole training set.

    Its key is method (with its labels), dataset, ipc, architecture, protocol and source.
    """

    method: str
    title: str
    family: str
    dataset: str
    ipc: int | None
    architecture: str
    factor: int | None  # None if it is unknown
    protocol: str
    epochs: int | None  # None if they are unknown
    constants: str  # "" if they are unknown
    reported: str  # last, best_on_test or unknown
    accuracy: float
    std: float | None
    source: str
    table: str
    origin: str  # own: of its authors; reprint: of another paper

    @property
    def cited(self) -> str:
        """The source: "DANCE (IJCAI 2024), Table 1 (reprint)"."""
        return f"{self.source}, {self.table}" + ("" if self.origin == "own" else f" ({self.origin})")


@dataclass(frozen=True)
class Agreement:
    """difference: measured − published, fractions. mark: within, above or below; None if there are mismatches.

    rule: how the measured accuracy was chosen: last, or best_on_test where the published one is, and snapshots were
    scored so.
    """

    mark: str | None
    difference: float
    rule: str
    mismatches: list[str] = field(default_factory=list)


@cache
def load() -> tuple[Published, ...]:
    """All printed numbers, in the order of the file."""
    return tuple(_from_row(row) for row in _rows("published.csv"))


def _rows(name: str) -> list[dict[str, Any]]:
    with files("results.published").joinpath(name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


MeanAndStd = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one a channel


@cache
def constants() -> dict[str, MeanAndStd]:
    """The constants by which public codes normalize images, by name."""
    return {row["name"]: (_numbers(row["mean"]), _numbers(row["std"])) for row in _rows("constants.csv")}


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


def _from_row(row: dict[str, Any]) -> Published:
    numbers = {
        "ipc": int(row["ipc"]) if row["ipc"] else None,
        "factor": int(row["factor"]) if row["factor"] else None,
        "epochs": int(row["epochs"]) if row["epochs"] else None,
        "accuracy": float(row["accuracy"]),
        "std": float(row["std"]) if row["std"] else None,
    }
    return Published(**{**row, **numbers})


_Key = tuple[str, str, int | None]  # method, dataset, ipc


@cache
def _by_cell() -> dict[_Key, list[Published]]:
    return by_cell(load())


def by_cell(entries: Iterable[Published]) -> dict[_Key, list[Published]]:
    """Numbers by (method, dataset, ipc), the authors' own first; nobody owns a coreset: as in the file."""
    cells: dict[_Key, list[Published]] = {}
    for entry in sorted(entries, key=lambda entry: entry.origin != "own" or entry.family == "coreset"):
        cells.setdefault((entry.method, entry.dataset, entry.ipc), []).append(entry)
    return cells


def lookup(method: str, dataset: str, ipc: int | None) -> Sequence[Published]:
    """The printed numbers of a method, its authors' own first. method: with its labels, as "random@soft"."""
    return _by_cell().get((method, dataset, ipc), ())


def other_printed_numbers(entry: Published) -> list[Published]:
    """The other printed numbers of the same method, dataset and ipc, its authors' own first."""
    return [other for other in lookup(entry.method, entry.dataset, entry.ipc) if other != entry]


def published_number(cell: Cell) -> Published | None:
    """The printed number whose network, protocol and factor fit a cell best, its authors' own of several; or None."""
    ipc: int | None = None if pd.isna(cell["ipc"]) else int(cell["ipc"])
    printed = lookup(_method_and_labels(cell), str(cell["published_as"]), ipc)
    return min(printed, key=lambda entry: _misfits(cell, entry), default=None)  # the first of equal ones


def _method_and_labels(cell: Cell) -> str:
    """ "random@soft" of a row "random@f2@soft (init=first)"; a card may have the labels in its name, too."""
    name, *suffixes = str(cell["method"]).split("@")
    suffixes += str(cell["display_name"]).partition(" (")[0].split("@")[1:]
    return "@".join([name, *(labels for labels in _LABELS if labels in suffixes)])


def _misfits(cell: Cell, entry: Published) -> int:
    """How many of network, protocol and factor are not those of the cell."""
    other_network = any(differs for differs, _ in _networks(cell, entry))
    other_factor = bool(pd.isna(cell["factor"]) or cell["factor"] != entry.factor)  # NA of a set that could not be made
    return sum([other_network, cell["recipe"] != entry.protocol, other_factor])


def compare(cell: Cell, published: Published) -> Agreement:
    """Compare a measured cell with a printed number.

    "within" means that the difference is at most twice the larger of two deviations: the printed one and the measured
    one, which is over sets, or over networks for a single set.
    """
    rule = measured_rule(cell, published)
    accuracy, measured = accuracy_by_rule(cell, rule)
    difference = accuracy - published.accuracy
    tolerance = _tolerance(measured, published)
    mismatches = list(_mismatches(cell, published, rule))
    if tolerance is None:
        mismatches.append("no deviation known")
    if mismatches or tolerance is None:
        return Agreement(None, difference, rule, mismatches)
    if abs(difference) <= tolerance + 1e-9:
        return Agreement("within", difference, rule)
    return Agreement("above" if difference > 0 else "below", difference, rule)


def measured_rule(cell: Cell, published: Published) -> str:
    """The rule of the accuracy that is compared: best_on_test if both have it, else last."""
    both = published.reported == BEST_ON_TEST and not math.isnan(cell["optimistic_best_on_test"])
    return BEST_ON_TEST if both else "last"


def accuracy_by_rule(cell: Cell, rule: str) -> tuple[float, tuple[float, float]]:
    """The accuracy of a cell, and its deviations over sets and over the networks of a single set."""
    names = ("accuracy", "sd", "sd_networks")
    if rule == BEST_ON_TEST:
        names = ("optimistic_best_on_test", "optimistic_best_on_test_sd", "optimistic_best_on_test_sd_networks")
    accuracy, sd, sd_networks = (float(cell[name]) for name in names)
    return accuracy, (sd, sd_networks)


def _tolerance(measured: tuple[float, float], published: Published) -> float | None:
    sd, sd_networks = measured
    known = [value for value in (sd_networks if math.isnan(sd) else sd, published.std) if value is not None]
    known = [value for value in known if not math.isnan(value)]
    return 2 * max(known) if known else None


def _mismatches(cell: Cell, entry: Published, rule: str) -> list[str]:
    """Phrases that say why the two numbers are not comparable."""
    checks = [
        (_dataset(cell) != entry.dataset, f"dataset only similar to {entry.dataset}"),
        *_networks(cell, entry),
        *_protocol(cell, entry),
        (entry.factor is None, "published factor unknown"),
        (entry.factor not in (None, cell["factor"]), f"factor {cell['factor']}, published {entry.factor}"),
        (bool(cell["class_sizes"]), f"{cell['class_sizes']} images a class"),
        (entry.reported != rule, f"published accuracy rule is {entry.reported.replace('_', ' ')}, ours {rule}"),
        (cell["provenance"] == "ours", "some settings are ours"),
        (cell["provenance"] == "third party", "some settings are of a third party"),
        (cell["iterations_fraction"] != 1, f"{short(100 * cell['iterations_fraction'])} % of the paper's iterations"),
        (cell["val_fraction"] != 0, f"{short(100 * cell['val_fraction'])} % of the training images withheld"),
        # Options that give settings the values of the public code are not ours.
        (bool(cell["overrides"]) and cell["provenance"] == "ours", f"settings {cell['overrides']}"),
    ]
    return [sentence for differs, sentence in checks if differs]


def _protocol(cell: Cell, entry: Published) -> list[tuple[bool, str]]:
    """The protocol, and what its name does not say: for how long networks train, and how images are normalized."""
    if cell["recipe"] != entry.protocol:
        return [(True, f"protocol {cell['recipe']}, published {entry.protocol}")]
    epochs: int | None = None if pd.isna(cell["epochs"]) else int(cell["epochs"])
    return [
        (epochs != entry.epochs, f"{epochs or 'unknown'} epochs, published {entry.epochs or 'unknown'}"),
        (
            cell["constants"] != (entry.constants if entry.constants == "zca" else constants().get(entry.constants)),
            f"images not normalized with the published constants ({entry.constants or 'unknown'})",
        ),
    ]


def _dataset(cell: Cell) -> str:
    """The dataset's name without "@ilsvrc" where papers omit it; a name with another split matches no paper."""
    name, at, split = str(cell["dataset"]).partition("@")
    return name if at and name in _ILSVRC and split == "ilsvrc" else str(cell["dataset"])


def _networks(cell: Cell, entry: Published) -> list[tuple[bool, str]]:
    ours = {"evaluated": cell["architecture"], "condensed": cell["condense_architecture"]}
    return [
        (bool(name) and name != entry.architecture, f"{role} with {name}, published {entry.architecture}")
        for role, name in ours.items()
    ]
