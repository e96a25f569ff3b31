"""Rows of `aggregate.cells` as tables need them: which stand together, what they are called, how much they store."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import pandas as pd

from results.formatting import short
from results.types import Cell


def rows_of(cells: pd.DataFrame) -> list[Cell]:
    """The rows of a frame as mappings from its columns."""
    return [{str(name): value for name, value in row.items()} for row in cells.to_dict("records")]


# --- which rows stand together ----------------------------------------------------------------------------------------


def groups(rows: Sequence[Cell], place: Callable[[Cell], Hashable]) -> Iterator[list[Cell]]:
    """Rows of one table: of one condensing network and one `place`, in the order in which such tables first appear.

    Rows condensed with no network (the whole set, say) stand in the tables of every network.
    """
    at: dict[Hashable, list[Cell]] = {}
    keys: dict[tuple[str, Hashable], None] = {}
    for row in rows:
        found = place(row)
        at.setdefault(found, []).append(row)
        keys[row["condense_architecture"], found] = None
    with_network = {found for network, found in keys if network}
    for network, found in keys:
        if network or found not in with_network:
            yield [row for row in at[found] if row["condense_architecture"] in (network, "")]


def protocol_of(row: Cell) -> tuple[Any, ...]:
    """What must agree beside the networks; under `native` every method brings a recipe of its own."""
    return row["protocol"], *(("", 0) if is_native(row) else (row["recipe"], row["version"]))


def is_native(row: Cell) -> bool:
    """Whether a row stands on its method's own protocol ("native", "native@steps"): compared with papers alone."""
    return str(row["protocol"]).partition("@")[0] == "native"


def circumstances(rows: Sequence[Cell]) -> list[str]:
    """The networks and the protocol of one table, in words."""
    first, network = rows[0], condense_architecture(rows)
    return [
        *([f"condensed with {network}"] if network else []),
        f"evaluated with {first['architecture']}" if first["architecture"] else "not evaluated",
        f"protocol {first['protocol'] or 'none'}",
    ]


def condense_architecture(rows: Sequence[Cell]) -> str:
    """The network that condensed the sets of one table; "" where there is only the whole set."""
    return next((str(row["condense_architecture"]) for row in rows if row["condense_architecture"]), "")


def counterpart(candidates: Sequence[Cell], row: Cell) -> Cell | None:
    """The scored candidate that was evaluated on the same terms; of several that with as many networks, most sets."""
    alike = [other for other in candidates if other["sets"] and _terms(other) == _terms(row)]
    return max(alike, key=lambda other: (other["networks"] == row["networks"], other["sets"]), default=None)


def _terms(row: Cell) -> dict[str, Any]:
    """How a cell was evaluated beside its protocol: images withheld, precision, normalisation."""
    own = ("protocol.", "whole.", "num_eval", "imported")
    told = {
        name.removeprefix("evaluation."): value
        for name, value in row["cell_spec"].items()
        if name.startswith("evaluation.")
    }
    return {name: value for name, value in told.items() if not name.startswith(own)}


# --- what they are called ---------------------------------------------------------------------------------------------


def is_whole(row: Cell) -> bool:
    """Whether a row is the whole training set, which has no ipc."""
    return bool(pd.isna(row["ipc"]))


def is_demonstration(row: Cell) -> bool:
    """Whether a row stands on the 8×8 digits, which show that everything works and rank no method."""
    return bool(row["dataset"] == "digits")


def ipc(row: Cell) -> str:
    """Images per class; "all" for the whole training set."""
    return "all" if is_whole(row) else str(row["ipc"])


def ratio(row: Cell) -> str:
    """Stored images over training images, in percent; computed, never copied from a paper."""
    return "100" if is_whole(row) else short(100 * row["ipc"] * row["num_classes"] / row["train_images"])
