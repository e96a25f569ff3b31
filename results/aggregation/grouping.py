"""Properties of the rows of `cells.cells`, and which of them make one table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import pandas as pd

from results.types import Cell

_NORMS = {"in": "instance norm", "bn": "batch norm", "ln": "layer norm", "gn": "group norm", "none": "no norm"}
_DEFAULT_NORMS = {"mlp": "none", "lenet": "none", "alexnet": "none", "densenet": "bn"}  # if the name gives none
_RANDOM = re.compile(r"random(@soft)?|random@f.*")
REFERENCE = "reference"  # the role of a row that comes with the package (`aggregation.references`), and its mark
FAMILIES = ("coreset", "gradient matching", "trajectory matching", "distribution matching")  # in the order of tables


def rows_of(cells: pd.DataFrame) -> list[Cell]:
    """The rows of a frame as mappings from its columns."""
    return [{str(name): value for name, value in row.items()} for row in cells.to_dict("records")]


# --- one row ----------------------------------------------------------------------------------------------------------


def is_whole(row: Cell) -> bool:
    """Whether a row is the whole training set, which has no ipc."""
    return bool(pd.isna(row["ipc"]))


def is_random(display_name: str) -> bool:
    """Whether a row is a baseline that a method must beat: random real images, or mosaics of them ("random@f2").

    With the labels of a teacher ("random@soft") it is that of rows with such labels. A reference row is none.
    """
    return bool(_RANDOM.fullmatch(display_name)) and not display_name.endswith(f"({REFERENCE})")


def is_native(row: Cell) -> bool:
    """Whether a row is scored with its method's own protocol ("native", "native@steps"): only papers compare."""
    return str(row["protocol"]).partition("@")[0] == "native"


def is_demonstration(row: Cell) -> bool:
    """Whether a row is of the 8×8 digits, with a long tail or not: they show that all works and rank no method."""
    return str(row["dataset"]).partition("-lt")[0] == "digits"


def family_rank(family: str) -> tuple[int, str]:
    """Sorts families in the order of FAMILIES, then others by name."""
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), family


def ipc(row: Cell) -> str:
    """Images per class; "all" for the whole training set."""
    return "all" if is_whole(row) else str(row["ipc"])


def ipc_number(row: Cell) -> float:
    """Images per class; inf for the whole training set, which is sorted after all others."""
    return math.inf if is_whole(row) else int(row["ipc"])


def ratio_percent(row: Cell) -> float:
    """Stored images over training images, in percent; computed, never copied from a paper."""
    return 100.0 if is_whole(row) else float(100 * row["ipc"] * row["num_classes"] / row["train_images"])


def norm_of(network: str) -> str:
    """The norm layer of a network, in words, from its canonical name ("convnet3-bn-w64") or its family's default."""
    family, *options = network.split("-")
    norm = next((option for option in options if option in _NORMS), None)
    return _NORMS[norm or next((default for name, default in _DEFAULT_NORMS.items() if family.startswith(name)), "in")]


def protocol_of(row: Cell) -> tuple[Any, ...]:
    """What must be equal for rows to compare, apart from networks; under `native` each method has its own recipe."""
    return row["protocol"], *(("", 0) if is_native(row) else (row["recipe"], row["version"]))


def comparison_key(row: Cell) -> tuple[Any, ...]:
    """What the rows of a table of one dataset share besides the condensing network."""
    return row["dataset"], row["architecture"], *protocol_of(row)


# --- the rows of one table --------------------------------------------------------------------------------------------


def groups(rows: Sequence[Cell], key: Callable[[Cell], Hashable]) -> Iterator[list[Cell]]:
    """The rows of each table: those of one condensing network and one `key`, in the order of their first rows.

    Rows that no network condensed, such as the whole set, are in the tables of every network.
    """
    by_key: dict[Hashable, list[Cell]] = {}
    tables: dict[tuple[str, Hashable], None] = {}
    for row in rows:
        by_key.setdefault(key(row), []).append(row)
        tables[row["condense_architecture"], key(row)] = None
    with_network = {row_key for network, row_key in tables if network}
    for network, row_key in tables:
        if network or row_key not in with_network:
            yield [row for row in by_key[row_key] if row["condense_architecture"] in (network, "")]


def circumstances(rows: Sequence[Cell]) -> list[str]:
    """The networks and the protocol of one table, in words."""
    first, network = rows[0], condense_architecture(rows)
    return [
        *([f"condensed with {network}"] if network else []),
        f"evaluated with {first['architecture']}" if first["architecture"] else "not evaluated",
        f"protocol {first['protocol'] or 'none'}",
    ]


def condense_architecture(rows: Sequence[Cell]) -> str:
    """The network that condensed the sets of one table; "" if the table has only the whole set."""
    return next((str(row["condense_architecture"]) for row in rows if row["condense_architecture"]), "")


def counterpart(candidates: Sequence[Cell], row: Cell) -> Cell | None:
    """The candidate with an accuracy that was evaluated as `row` was, None if there is none.

    Of several, one with as many networks is preferred, then the one with most sets.
    """
    conditions = _conditions(row)
    same = [other for other in candidates if other["sets"] and _conditions(other) == conditions]
    return max(same, key=lambda other: (other["networks"] == row["networks"], other["sets"]), default=None)


def _conditions(row: Cell) -> dict[str, Any]:
    """How a row was evaluated apart from its protocol: images withheld, precision, normalization."""
    evaluation = {
        name.removeprefix("evaluation."): value
        for name, value in row["cell_spec"].items()
        if name.startswith("evaluation.")
    }
    own = ("protocol.", "whole.", "num_eval", "imported", "tuned.")
    return {name: value for name, value in evaluation.items() if not name.startswith(own)}
