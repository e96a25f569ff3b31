"""Which cells a report shows, and the order of its rows."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from results.aggregation.grouping import REFERENCE, is_random, is_whole
from results.aggregation.naming import title
from results.aggregation.options import Options
from results.errors import ResultsError
from results.types import Cell

_COLUMNS = {  # option → column of `cells.cells`, in the order in which it sorts them
    "datasets": "dataset",
    "architectures": "condense_architecture",
    "eval_architectures": "architecture",
    "protocols": "protocol",
}


def select(cells: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The cells that `options` choose, sorted as these list the datasets, networks and protocols.

    Rows that no network condensed, such as the whole set, belong to every condensing network; sets that were never
    evaluated belong to every network and protocol. Raises ResultsError for a name that no cell has, and if no cell is
    left.
    """
    _check_methods(options.methods, cells)
    rows = zip(cells["display_name"], cells["role"], strict=True)
    selected = cells.reset_index(drop=True).loc[[_is_selected(name, role, options) for name, role in rows]]
    for option, column in reversed(_COLUMNS.items()):
        if values := list(getattr(options, option)):
            _check(values, cells[column], option)
            always = [] if option == "datasets" else [""]
            selected = selected[selected[column].isin([*values, *always])]
            rank = {value: index for index, value in enumerate(values)}
            ranks = selected[column].map(lambda value, rank=rank: rank.get(value, len(rank)))
            selected = selected.loc[ranks.sort_values(kind="stable").index]
    if options.ipcs:
        _check(options.ipcs, [int(ipc) for ipc in cells["ipc"].dropna()], "ipcs")
        selected = selected[selected["ipc"].isna() | selected["ipc"].isin(options.ipcs)]
    if selected.empty and not cells.empty:
        values_of = {name: list(getattr(options, name)) for name in ("methods", *_COLUMNS, "ipcs", "baselines")}
        where = " ".join(f"{name}={values}" for name, values in values_of.items() if values)
        raise ResultsError("no stored cell matches all of these options", where=where, next="use fewer of them at once")
    return selected.reset_index(drop=True)


def matches(name: str, pattern: str) -> bool:
    """Whether a row is meant: "dance" is dance and its variants, as dance@f1 and dance (lr=1)."""
    return fnmatchcase(name, pattern) or name.startswith((f"{pattern}@", f"{pattern} ("))


def _is_selected(name: str, role: str, options: Options) -> bool:
    if any(matches(name, pattern) for pattern in options.methods):
        return True
    if role == REFERENCE:  # only if they were asked for
        return True
    if role == "baseline":
        return ("whole" if name == "whole" else "random") in options.baselines
    return not options.methods


def _check_methods(patterns: Sequence[str], cells: pd.DataFrame) -> None:
    names = dict.fromkeys(cells["display_name"])
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise _unknown(pattern, names, "methods")


def _check(values: Sequence[Hashable], stored: Sequence[Hashable] | pd.Series, option: str) -> None:
    known = dict.fromkeys(stored)
    for value in values:
        if value not in known:
            raise _unknown(value, known, option)


def _unknown(value: Hashable, known: Mapping[Any, None], option: str) -> ResultsError:
    names = list(map(str, sorted((name for name in known if name != ""), key=lambda x: (isinstance(x, str), x))))
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    what = f"nothing stored has {value!r} among its {option}.{hint}"
    return ResultsError(what, where=f"{option}=[{value}]", next=f"known: {', '.join(names)}")


# --- the order of rows ------------------------------------------------------------------------------------------------


def row_order(options: Options) -> Callable[[Cell], tuple[Any, ...]]:
    """The key by which rows are sorted, within a family or among all, for each `order` except "accuracy"."""
    if options.order == "listed":
        return lambda row: (_first_pattern(row, options), *_usual(row))
    if options.order == "name":
        return lambda row: (title(row).casefold(), row["display_name"])
    return _usual


def _first_pattern(row: Cell, options: Options) -> int:
    """The index of the first pattern that matches the row; baselines that none matches come first."""
    found = (index for index, pattern in enumerate(options.methods) if matches(row["display_name"], pattern))
    return next(found, -1)


def _usual(row: Cell) -> tuple[Any, ...]:
    return not is_random(row["display_name"]), row["role"] != "baseline", row["year"] or 0, row["display_name"]


def sorted_rows(rows: Sequence[Cell], options: Options) -> list[Cell]:
    """The rows of a flat table: by ipc, the whole set last; within an ipc as `options.order` says.

    The order "family" is that of `cells.cells`: baselines, then families by year.
    """
    order = {"family": lambda row: (), "accuracy": _by_accuracy}.get(options.order) or row_order(options)

    def key(row: Cell) -> tuple[Any, ...]:
        return (1,) if is_whole(row) else (0, options.ipc_rank(row["ipc"]), order(row))

    return sorted(rows, key=key)  # stable


def _by_accuracy(row: Cell) -> tuple[Any, ...]:
    return not row["sets"], -row["accuracy"] if row["sets"] else 0.0, row["display_name"]
