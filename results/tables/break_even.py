"""Break-even: the seconds to make and use a set, against training on the whole set to the same accuracy.

Seconds of different devices or precisions are never compared.
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
    comparison_key,
    counterpart,
    groups,
    is_native,
    is_whole,
    rows_of,
)
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import percent
from results.store.schema import Status
from results.tables.captions import captions
from results.tables.cell_table import cell_table, table_rows
from results.tables.model import Entry, Table
from results.types import Cell, Json

_ROUNDING = 1e-9  # a smaller saving, as a fraction of the whole set's seconds, is rounding
CURVE, COMPLETE = "curve", "complete"  # the source of the whole set's seconds


# --- formulas ---------------------------------------------------------------------------------------------------------


def seconds_to_reach(accuracy: float, points: Sequence[tuple[float, float]]) -> float:
    """The seconds at which a curve first reaches an accuracy, or nan if it does not.

    points: (seconds, mean accuracy) in order; the curve is linear between them.
    """
    previous: tuple[float, float] | None = None
    for time, height in points:
        if height >= accuracy:
            if previous is None:
                return time
            start, low = previous
            return start + (time - start) * (accuracy - low) / (height - low)
        previous = time, height
    return math.nan


def trainings_until_paid(set_seconds: float, network_seconds: float, whole_seconds: float) -> float:
    """The number n of networks with set_seconds + n · network_seconds = n · whole_seconds: more make the set pay.

    inf if a network takes at least as long on the set as on the whole set; nan if any of the seconds is unknown.
    """
    if math.isnan(set_seconds + network_seconds + whole_seconds):
        return math.nan
    saved = whole_seconds - network_seconds
    return set_seconds / saved if saved > _ROUNDING * whole_seconds else math.inf


# --- seconds on the whole set -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _WholeTraining:
    """Seconds of one network on the whole set until it reaches a set's accuracy; `missing`: why they are unknown."""

    to_reach: float = math.nan
    seconds: float = math.nan
    source: str = ""
    missing: str = ""


def _whole_training(row: Cell, curves: Sequence[Json], wholes: Sequence[Cell]) -> _WholeTraining:
    """From a stored curve on withheld images, else from the complete training, which is an upper bound."""
    if row["mixed"]:
        reason = f"its tasks ran on several devices or precisions: {row['devices']}, {row['precisions']}"
        return _WholeTraining(missing=reason)
    same_device = [c for c in curves if _matches(c, row) and device(c["environment"]) == row["devices"]]
    if same_device and not math.isnan(row["validation_accuracy"]):
        return _from_curve(row["validation_accuracy"], max(same_device, key=lambda curve: _points(curve)[-1][0]))
    whole = counterpart(wholes, row)
    if whole is None:
        return _WholeTraining(missing=f"the whole set is not evaluated under {row['protocol']}")
    if (whole["devices"], whole["precisions"]) != (row["devices"], row["precisions"]):
        reason = f"its seconds were measured on {row['devices']}, the whole set's on {whole['devices']}"
        return _WholeTraining(missing=reason)
    if whole["accuracy"] < row["accuracy"]:
        reason = f"the whole set ends below this accuracy, at {percent(whole['accuracy'])} %"
        return _WholeTraining(row["accuracy"], missing=reason)
    return _WholeTraining(row["accuracy"], _seconds_per_network(whole), COMPLETE)


def _matches(curve: Json, row: Cell) -> bool:
    """Whether the curve's networks were trained as the row's were: dataset, network, protocol, split, precision."""
    resolved, protocol = curve["resolved"], curve["resolved"]["protocol"]
    return bool(
        (curve["display"]["dataset"], resolved["architecture"]) == (row["dataset"], row["architecture"])
        and (protocol["name"], protocol["version"]) == (row["recipe"], row["version"])
        and (resolved["val_fraction"], str(resolved["precision"])) == (row["val_fraction"], row["precisions"])
        and resolved["dataset"]["fingerprint"] == row["cell_spec"]["evaluation.dataset.fingerprint"]
    )


def _from_curve(accuracy: float, curve: Json) -> _WholeTraining:
    points = _points(curve)
    reached = seconds_to_reach(accuracy, points)
    if math.isnan(reached):
        best = percent(max(height for _, height in points))
        reason = f"the whole set's curve stays below this accuracy: at most {best} % on the withheld images"
        return _WholeTraining(accuracy, missing=reason)
    return _WholeTraining(accuracy, reached, CURVE)


def _points(curve: Json) -> list[tuple[float, float]]:
    return [(point["seconds"], fmean(point["accuracies"])) for point in curve["result"]["points"]]


def _seconds_per_network(row: Cell) -> float:
    return float(row["evaluate_seconds"] / row["networks"])


def _whole_curves(records: Iterable[Json]) -> list[Json]:
    """The finished curves of training on the whole set."""
    done = [record for record in records if record["kind"] == "analyze" and record["status"] == Status.OK]
    return [r for r in done if r["resolved"].get("analysis") == CURVE and r["resolved"].get("sets") == ["whole"]]


# --- rows and tables --------------------------------------------------------------------------------------------------


def break_even_rows(cells: pd.DataFrame, records: Iterable[Json]) -> list[list[dict[str, Any]]]:
    """For each table a row for each scored set under a shared protocol: the cell with more values.

    cells: of `aggregation.cells`. records: of the store, for their curves.

    set_seconds: preparing, charged in full, and condensing, as a mean over sets. network_seconds: training one network
    on the set. total_seconds: their sum. to_reach: the accuracy on withheld images if whole_from is "curve", the test
    accuracy if it is "complete". whole_seconds: one network on the whole set until it reaches that; for "complete" an
    upper bound. ratio: total_seconds / whole_seconds. trainings: `trainings_until_paid`, not rounded; for "complete" a
    lower bound. missing: why any of these is nan, else "".
    """
    curves = _whole_curves(records)
    tables = []
    for group in groups([row for row in rows_of(cells) if row["sets"] and not is_native(row)], comparison_key):
        wholes = [row for row in group if is_whole(row)]
        rows = [row for row in group if not is_whole(row)]
        tables.append([_with_costs(row, _whole_training(row, curves, wholes)) for row in rows])
    return tables


def _with_costs(row: Cell, whole: _WholeTraining) -> dict[str, Any]:
    set_seconds = row["prepare_seconds"] + row["condense_seconds"] + row["tuning_seconds"]
    network_seconds = _seconds_per_network(row)
    missing = whole.missing
    if row["mixed"]:  # seconds of several devices have no sum
        set_seconds = network_seconds = math.nan
    elif math.isnan(set_seconds):
        elsewhere = math.isnan(row["condense_seconds"])
        missing = "it was made elsewhere: its seconds are unknown" if elsewhere else "its experts are not stored"
    return {
        **row,
        "to_reach": whole.to_reach,
        "set_seconds": set_seconds,
        "network_seconds": network_seconds,
        "total_seconds": set_seconds + network_seconds,
        "whole_seconds": whole.seconds,
        "whole_from": whole.source,
        "ratio": (set_seconds + network_seconds) / whole.seconds if whole.seconds else math.inf,
        "trainings": trainings_until_paid(set_seconds, network_seconds, whole.seconds),
        "missing": missing,
    }


def break_even_tables(cells: pd.DataFrame, options: Options = DEFAULT, records: Iterable[Json] = ()) -> list[Table]:
    """A table for each dataset, pair of networks and shared protocol where the whole set's seconds are known."""
    return [
        _table(sorted_rows(rows, options), options)
        for rows in break_even_rows(cells, records)
        if any(not math.isnan(row["whole_seconds"]) for row in rows)
    ]


def _table(cells: Sequence[Cell], options: Options) -> Table:
    rows = [
        {**row, "pays_after": _pays_after(row), "ratio_entry": Entry(_finite(row["ratio"]), bound=_bound("≥", row))}
        | {"whole_entry": Entry(row["whole_seconds"], bound=_bound("≤", row))}
        for row in table_rows(cells, options)
    ]
    title = ", ".join([f"Break-even: {cells[0]['dataset']}", *circumstances(cells)])
    bounds = any(row["whole_from"] == COMPLETE for row in rows)
    about = "≤, ≥: bounds, as no curve of training on the whole set is stored." if bounds else ""
    return cell_table("break_even", title, rows, captions(cells, about=about), options)


def _bound(sign: str, row: Cell) -> str:
    return sign if row["whole_from"] == COMPLETE else ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pays_after(row: Cell) -> Entry:
    """The number of networks after which making the set has paid, at least 1 as a set must be used once."""
    trainings = row["trainings"]
    if math.isnan(trainings):
        return Entry(notes=(row["missing"],))
    return Entry("never") if math.isinf(trainings) else Entry(max(1, math.ceil(trainings)), bound=_bound("≥", row))
