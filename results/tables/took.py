"""What condensing took: one table for each dataset and condensing network, as its costs depend on no protocol. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from results.aggregation.grouping import condense_architecture, groups, ipc, is_whole, rows_of
from results.aggregation.naming import names
from results.formatting import count, seconds, size
from results.tables.captions import is_na, main_device, took_captions
from results.tables.model import Table
from results.types import Cell

COLUMNS = (
    *("IPC", "Method", "Stored", "Size", "Experts", "Prepare s (full / shared)", "Prepare peak", "Condense s"),
    "Condense peak",
)
_OF_EXPERTS = COLUMNS[4:7]


def took_tables(cells: pd.DataFrame) -> list[Table]:
    """The tables of these cells (`aggregate.cells`), without the whole set and sets of which nothing is known.

    Sets made elsewhere have a size, and no costs.
    """
    known = [row for row in rows_of(cells) if not is_whole(row) and not is_na(row["stored_images"])]
    return [_table(rows) for rows in groups(known, lambda row: row["dataset"])]


def _table(rows: Sequence[Cell]) -> Table:
    sets = sorted(_each_once(rows), key=lambda row: row["ipc"])  # stable
    network = condense_architecture(sets)
    how = f"condensed with {network}" if network else "condensed elsewhere"
    table = Table(f"What it took: {sets[0]['dataset']}, {how}", COLUMNS)
    device = main_device(sets)
    for row, called in zip(sets, names(sets), strict=True):
        costs = _costs(row) if device in (None, (row["devices"], row["precisions"])) else ["‡"] * 4
        sizes = [count(row["stored_images"]), size(row["bytes"]), count(row["experts"])]
        table.rows.append([ipc(row), called, *sizes, *costs])
    if not any(row["experts"] for row in sets if not is_na(row["experts"])):
        table.without(*_OF_EXPERTS)
    table.captions = took_captions(sets)
    return table


def _each_once(rows: Sequence[Cell]) -> list[Cell]:
    """One row for each request to condense: the one with the most sets, of those that were evaluated differently."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        spec = {name: value for name, value in row["cell_spec"].items() if not name.startswith("evaluation.")}
        key = (row["display_name"], ipc(row), json.dumps(spec, sort_keys=True))
        if key not in found or row["sets"] > found[key]["sets"]:
            found[key] = {**row, "cell_spec": spec}
    return list(found.values())


def _costs(row: Cell) -> list[str]:
    full, shared = row["prepare_seconds"], row["prepare_shared"]
    prepare = f"{seconds(full)} / {seconds(shared)}" if full > 0 else seconds(full)
    peaks = size(row["prepare_peak_bytes"]), size(row["condense_peak_bytes"])
    return [prepare, peaks[0], seconds(row["condense_seconds"]), peaks[1]]
