"""Rows of `aggregate.cells` as tables need them: which stand together, what they are called, how much they store."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import pandas as pd

from results.formatting import short
from results.types import Cell

_MAX_DIFFERENCES = 3  # names of settings shown to tell two rows of one name apart


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


def title(row: Cell) -> str:
    """The method's title in place of its name: "dm@f2 (lr_img=2.0)" is printed as "DM@f2 (lr_img=2.0)"."""
    name, method = str(row["display_name"]), str(row["method"])
    return f"{row['title']}{name[len(method) :]}" if name.startswith(method) else name


def names(rows: Sequence[Cell]) -> list[str]:
    """How rows are called; those of one name and ipc get the settings in which they differ."""
    alike: dict[Hashable, list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault((row["display_name"], ipc(row)), []).append(place)
    found = [title(row) for row in rows]
    for places in alike.values():
        if len(places) > 1:
            for place in places:
                found[place] += f" [{_told_apart(rows[place]['cell_spec'], [rows[p]['cell_spec'] for p in places])}]"
    return found


def _told_apart(spec: Cell, others: Sequence[Cell]) -> str:
    if spec["condensed"] == "elsewhere":
        apart = differing([other for other in others if other["condensed"] == "elsewhere"])
        return said(spec, apart) or "condensed elsewhere"
    keys = differing([other for other in others if other["condensed"] != "elsewhere"])
    if found := said(spec, keys):
        return found
    return "condensed here" if any(other["condensed"] == "elsewhere" for other in others) else f"without {named(keys)}"


def named(keys: Sequence[str]) -> str:
    """The first few of these settings by their short names."""
    return ", ".join([key.removeprefix("settings.") for key in keys][:_MAX_DIFFERENCES])


def differing(specs: Sequence[Cell]) -> list[str]:
    """The names on which these requests differ, or which only some of them have; the shortest first.

    Where one was never evaluated, what the others' evaluations asked for tells nothing apart.
    """
    scored = [any(key.startswith("evaluation.") for key in spec) for spec in specs]
    keys = dict.fromkeys(key for spec in specs for key in spec if all(scored) or not key.startswith("evaluation."))
    apart = [key for key in keys if len({json.dumps(spec.get(key)) for spec in specs}) > 1]
    return sorted(apart, key=lambda key: (len(key), key))


def said(spec: Cell, keys: Sequence[str], most: int | None = _MAX_DIFFERENCES) -> str:
    """The first `most` of these settings (all with None) that the request has: "lr_img=1.0, augment=none"."""
    return ", ".join([f"{key.removeprefix('settings.')}={spec[key]}" for key in keys if key in spec][:most])
