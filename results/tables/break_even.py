"""Break-even: what a set costs, against the time that training on the whole set takes to get as far. Pure.

Seconds of different devices or precisions are never set against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from results.aggregation.cells import device
from results.aggregation.grouping import (
    circumstances,
    counterpart,
    groups,
    ipc,
    is_native,
    is_whole,
    protocol_of,
    rows_of,
)
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import grouped, percent, seconds, short
from results.store.schema import Status
from results.tables.captions import with_circumstances
from results.tables.model import Table
from results.types import Cell, Json

_ROUNDING = 1e-9  # a saving below this part of the whole set's seconds is none
CURVE, COMPLETE = "curve", "complete"  # where the whole set's seconds come from
HEADS = (
    "IPC",
    "Method",
    "To reach %",
    "Set s",
    "One network s",
    "Total s",
    "Whole set s",
    "Total / whole",
    "Pays after",
)
# fmt: off
COLUMNS = (
    "dataset", "condense_architecture", "architecture", "protocol", "recipe", "version", "ipc", "display_name", "val_fraction", "devices",
    "precisions", "sets", "networks", "accuracy", "validation_accuracy", "to_reach", "set_seconds", "network_seconds",
    "total_seconds", "whole_seconds", "whole_from", "ratio", "trainings", "missing", "cell_spec",
)
# fmt: on


# --- formulas ---------------------------------------------------------------------------------------------------------


def seconds_to_reach(accuracy: float, points: Sequence[tuple[float, float]]) -> float:
    """When a curve of (seconds, mean accuracy), in order, first reaches an accuracy; nan if it does not.

    Between two points it is taken as a straight line.
    """
    before: tuple[float, float] | None = None
    for time, height in points:
        if height >= accuracy:
            if before is None:
                return time
            start, low = before
            return start + (time - start) * (accuracy - low) / (height - low)
        before = time, height
    return math.nan


def trainings_until_paid(set_seconds: float, network_seconds: float, whole_seconds: float) -> float:
    """n with set_seconds + n · network_seconds = n · whole_seconds: from n networks on, making the set has paid.

    inf where one network on the set takes as long as on the whole set, or longer; nan where something is unknown.
    """
    if math.isnan(set_seconds + network_seconds + whole_seconds):
        return math.nan
    saved = whole_seconds - network_seconds
    return set_seconds / saved if saved > _ROUNDING * whole_seconds else math.inf


# --- what the whole set takes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Whole:
    """Seconds of one network on the whole set until it is as good as a set's; `missing` says why they are not known."""

    to_reach: float = math.nan
    seconds: float = math.nan
    source: str = ""
    missing: str = ""


def _whole(row: Cell, curves: Sequence[Json], wholes: Sequence[Cell]) -> _Whole:
    """From a stored curve on withheld images, else the complete training, which is the most that it can take."""
    if row["mixed"]:
        return _Whole(missing=f"its tasks ran on several devices or precisions: {row['devices']}, {row['precisions']}")
    found = [curve for curve in curves if _is_of(curve, row)]
    here = [curve for curve in found if device(curve["environment"]) == row["devices"]]
    if here and not math.isnan(row["validation_accuracy"]):
        return _by_curve(row["validation_accuracy"], max(here, key=lambda curve: _points(curve)[-1][0]))
    whole = counterpart(wholes, row)
    if whole is None:
        return _Whole(missing=f"the whole set is not evaluated under {row['protocol']}")
    if (whole["devices"], whole["precisions"]) != (row["devices"], row["precisions"]):
        return _Whole(missing=f"its seconds are of {row['devices']}, the whole set's of {whole['devices']}")
    if whole["accuracy"] < row["accuracy"]:
        return _Whole(row["accuracy"], missing=f"the whole set ends below it, at {percent(whole['accuracy'])} %")
    return _Whole(row["accuracy"], _one_network(whole), COMPLETE)


def _is_of(curve: Json, row: Cell) -> bool:
    resolved, spec = curve["resolved"], row["cell_spec"]
    protocol = resolved["protocol"]["name"], resolved["protocol"]["version"]
    return bool(
        (curve["display"]["dataset"], resolved["architecture"]) == (row["dataset"], row["architecture"])
        and protocol == (row["recipe"], row["version"])
        and (resolved["val_fraction"], str(resolved["precision"])) == (row["val_fraction"], row["precisions"])
        and resolved["dataset"]["fingerprint"] == spec["evaluation.dataset.fingerprint"]
    )


def _by_curve(accuracy: float, curve: Json) -> _Whole:
    points = _points(curve)
    found = seconds_to_reach(accuracy, points)
    if math.isnan(found):
        best = max(height for _, height in points)
        return _Whole(
            accuracy, missing=f"the whole set's curve stays below it: at most {percent(best)} % on those images"
        )
    return _Whole(accuracy, found, CURVE)


def _points(curve: Json) -> list[tuple[float, float]]:
    return [(point["seconds"], fmean(point["accuracies"])) for point in curve["result"]["points"]]


def _one_network(row: Cell) -> float:
    return float(row["evaluate_seconds"] / row["networks"])


def _curves(records: Iterable[Json]) -> list[Json]:
    """The finished curves of training on the whole set."""
    done = [record for record in records if record["kind"] == "analyze" and record["status"] == Status.OK]
    return [r for r in done if r["resolved"].get("analysis") == CURVE and r["resolved"].get("sets") == ["whole"]]


# --- frame and tables -------------------------------------------------------------------------------------------------


def break_even(cells: pd.DataFrame, records: Iterable[Json]) -> pd.DataFrame:
    """One row for each scored set cell of `aggregate.cells` under a shared protocol; `records`: for curves; COLUMNS.

    set_seconds: preparing, in full, and condensing, a mean over sets; network_seconds: training one network;
    total_seconds: both. whole_seconds: one network on the whole set until it reaches `to_reach`, the cell's accuracy on
    withheld images, from a "curve", or its test accuracy when only the seconds of a "complete" training are known: at
    most so many. ratio: total_seconds / whole_seconds. trainings: `trainings_until_paid`, not rounded; of a complete
    training at least so many. missing: why something of this is nan, else "".
    """
    return pd.DataFrame([row for rows in _compared(cells, records) for row in rows], columns=list(COLUMNS))


def _compared(cells: pd.DataFrame, records: Iterable[Json]) -> list[list[dict[str, Any]]]:
    curves = _curves(records)
    rows = [row for row in rows_of(cells) if row["sets"] and not is_native(row)]
    found = []
    for group in groups(rows, lambda row: (row["dataset"], row["architecture"], *protocol_of(row))):
        wholes = [row for row in group if is_whole(row)]
        found.append([_line(row, _whole(row, curves, wholes)) for row in group if not is_whole(row)])
    return found


def _line(row: Cell, whole: _Whole) -> dict[str, Any]:
    made, network = row["prepare_seconds"] + row["condense_seconds"], _one_network(row)
    missing = whole.missing
    if row["mixed"]:  # seconds of several devices have no sum
        made = network = math.nan
    elif math.isnan(made):
        foreign = math.isnan(row["condense_seconds"])
        missing = "it was made elsewhere: nobody knows how long that took" if foreign else "its experts are not stored"
    return {
        **row,
        "to_reach": whole.to_reach,
        "set_seconds": made,
        "network_seconds": network,
        "total_seconds": made + network,
        "whole_seconds": whole.seconds,
        "whole_from": whole.source,
        "ratio": (made + network) / whole.seconds if whole.seconds else math.inf,
        "trainings": trainings_until_paid(made, network, whole.seconds),
        "missing": missing,
    }


def break_even_table(cells: pd.DataFrame, options: Options = DEFAULT, records: Iterable[Json] = ()) -> list[Table]:
    """A table for each dataset, pair of networks and shared protocol where the whole set's seconds are known."""
    found = _compared(cells, records)
    return [
        _table(sorted_rows(rows, options))
        for rows in found
        if any(not math.isnan(row["whole_seconds"]) for row in rows)
    ]


def _table(rows: Sequence[Cell]) -> Table:
    table = Table(", ".join([f"Break-even: {rows[0]['dataset']}", *circumstances(rows)]), HEADS)
    for row, called in zip(rows, names(rows), strict=True):
        bound = row["whole_from"] == COMPLETE
        costs = [seconds(row[name]) for name in ("set_seconds", "network_seconds", "total_seconds")]
        reach = "–" if math.isnan(row["to_reach"]) else percent(row["to_reach"])
        whole = f"{'≤ ' * bound}{seconds(row['whole_seconds'])}"
        ratio = f"{'≥ ' * bound}{short(row['ratio'])}" if math.isfinite(row["ratio"]) else "–"
        table.rows.append([ipc(row), called, reach, *costs, whole, ratio, _paid(row, bound, table)])
    table.captions = with_circumstances(rows, _about(rows))
    return table


def _paid(row: Cell, bound: bool, table: Table) -> str:
    """After how many networks a set has paid, a whole number, at least 1: a set must be used to be of use."""
    count = row["trainings"]
    if math.isnan(count):
        return f"– ({table.notes.number(row['missing'])})"
    return "never" if math.isinf(count) else f"{'≥ ' * bound}{grouped(max(1, math.ceil(count)))}"


def _about(rows: Sequence[Cell]) -> list[str]:
    sources = {row["whole_from"] for row in rows}
    lines = [
        "Set: preparing, charged in full, and condensing, means over sets. Total: that and training one network on it. "
        "Whole set: training one network on all images until it is as good as the set's networks are.",
        "Pays after: so many trained networks, set / (whole set − one network), rounded up; never: where a network "
        "takes as long on the set as on the whole set.",
        "One network: with scoring it on the test split and on withheld images; points of a curve are without scoring.",
    ]
    if CURVE in sources:
        lines.append(
            "To reach: the set's accuracy on the withheld images. When the whole set reaches it is read off its curve "
            "of training, straight between points."
        )
    if COMPLETE in sources:
        lines.append(
            "≤, ≥: the complete training on the whole set, which ends above the set's test accuracy. No curve of it is "
            "stored; snapshots=N val_fraction=F stores one."
        )
    return lines
