"""Which cells a report is asked for, and the order of its rows. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from results.aggregation.cells import FAMILIES, is_random
from results.aggregation.grouping import is_whole, rows_of
from results.aggregation.naming import title
from results.aggregation.options import Options
from results.errors import ResultsError
from results.types import Cell

Key = Callable[[Cell], tuple[Any, ...]]

_COLUMNS = {  # option → column of `aggregate.cells`, in the order in which it sorts them
    "datasets": "dataset",
    "architectures": "condense_architecture",
    "eval_architectures": "architecture",
    "protocols": "protocol",
}


def chosen(cells: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The cells that `options` ask for, those of what it names first sorted as it names them.

    Raises ResultsError for a name that no cell has, and when nothing is left. Rows without a condensing network (the
    whole set, say) belong to every one; what was condensed and never evaluated belongs to every protocol.
    """
    kept = cells.reset_index(drop=True).loc[_rows(cells, options)]
    for option, column in reversed(_COLUMNS.items()):
        if wanted := list(getattr(options, option)):
            _check(wanted, dict.fromkeys(cells[column]), option)
            everywhere = "" if option != "datasets" else None
            kept = kept[kept[column].isin([*wanted, everywhere])]
            places = kept[column].map(lambda name, wanted=wanted: wanted.index(name) if name in wanted else len(wanted))
            kept = kept.loc[places.sort_values(kind="stable").index]
    if options.ipcs:
        _check(list(options.ipcs), dict.fromkeys(int(ipc) for ipc in cells["ipc"].dropna()), "ipcs")
        kept = kept[kept["ipc"].isna() | kept["ipc"].isin(options.ipcs)]
    if kept.empty and not cells.empty:
        named = {name: list(getattr(options, name)) for name in ("methods", *_COLUMNS, "ipcs", "baselines")}
        resolved = " ".join(f"{name}={values}" for name, values in named.items() if values)
        raise ResultsError("no stored cell is all of what is asked for", where=resolved, next="ask for less at once")
    return kept.reset_index(drop=True)


def _rows(cells: pd.DataFrame, options: Options) -> npt.NDArray[np.bool_]:
    known = dict.fromkeys(cells["display_name"])
    for pattern in options.methods:
        if not any(fnmatchcase(row, pattern) for row in known):
            raise _unknown(pattern, known, "methods")
    return np.array([_is_kept(row, options) for row in rows_of(cells[["display_name", "role"]])], dtype=bool)


def _is_kept(row: Cell, options: Options) -> bool:
    if any(fnmatchcase(row["display_name"], pattern) for pattern in options.methods):
        return True
    if row["role"] == "baseline":
        return ("whole" if row["display_name"] == "whole" else "random") in options.baselines
    return not options.methods


def _check(wanted: Sequence[Hashable], known: Mapping[Hashable, None], option: str) -> None:
    for name in wanted:
        if name not in known:
            raise _unknown(name, known, option)


def _unknown(name: Hashable, known: Mapping[Any, None], option: str) -> ResultsError:
    there = sorted((each for each in known if each != ""), key=lambda each: (isinstance(each, str), each))
    near = difflib.get_close_matches(str(name), list(map(str, there)), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    what = f"nothing stored has {name!r} among its {option}.{hint}"
    return ResultsError(what, where=f"{option}=[{name}]", next=f"there is: {', '.join(map(str, there))}")


# --- the order of rows ------------------------------------------------------------------------------------------------


def row_order(options: Options) -> Key:
    """The key by which rows are sorted for every order but accuracy: within a family, or among all of them."""
    if options.order == "listed":
        return lambda row: (_asked(row, options), *_usual(row))
    if options.order == "name":
        return lambda row: (title(row).casefold(), row["display_name"])
    return _usual


def family_place(family: str) -> tuple[int, str]:
    """Families in the order of FAMILIES, then others by name."""
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), family


def _asked(row: Cell, options: Options) -> int:
    """The place of the first pattern that names it; controls that none names come first."""
    found = (place for place, pattern in enumerate(options.methods) if fnmatchcase(row["display_name"], pattern))
    return next(found, -1)


def _usual(row: Cell) -> tuple[Any, ...]:
    return not is_random(row["display_name"]), row["role"] != "baseline", row["year"] or 0, row["display_name"]


def sorted_rows(rows: Sequence[Cell], options: Options) -> list[Cell]:
    """Rows of a flat table: by ipc, the whole set last, within one as `options.order` says.

    The order "family" is that of `aggregate.cells`: controls, then families by year.
    """
    order = {"family": lambda row: (), "accuracy": _by_accuracy}.get(options.order) or row_order(options)

    def place(row: Cell) -> tuple[Any, ...]:
        return (1,) if is_whole(row) else (0, options.ipc_place(row["ipc"]), order(row))

    return sorted(rows, key=place)  # stable


def _by_accuracy(row: Cell) -> tuple[Any, ...]:
    return not row["sets"], -row["accuracy"] if row["sets"] else 0.0, row["display_name"]
