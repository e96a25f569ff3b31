"""What a set costs in seconds and memory: of one protocol with its evaluation, and of condensing alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from results.aggregation.grouping import (
    circumstances,
    comparison_key,
    condense_architecture,
    groups,
    ipc,
    is_whole,
    rows_of,
)
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.tables.captions import captions
from results.tables.cell_table import cell_table, table_rows
from results.tables.columns import known
from results.tables.model import Table
from results.types import Cell


def time_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Seconds of preparing (in full, and shared among the sets that use an expert), condensing and evaluating.

    Only for scored rows. Rows that shared a device with other tasks or ran on another one than most show OTHER_DEVICE.
    """
    return _tables("time", "Wall-clock", cells, options)


def memory_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Stored images, bytes on disk, experts, and the peak memory of each kind of task. Only for scored rows."""
    return _tables("memory", "Memory", cells, options)


def condensing_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Costs of condensing: one table for each dataset and condensing network, as they do not depend on protocols.

    Without the whole set and sets of which nothing is known; sets made elsewhere have a size and no costs.
    """
    made = [row for row in rows_of(cells) if not is_whole(row) and known(row["stored_images"]) is not None]
    tables = []
    for group in groups(made, lambda row: row["dataset"]):
        chosen = sorted(_one_per_spec(group), key=lambda row: row["ipc"])  # stable
        network = condense_architecture(chosen)
        origin = f"condensed with {network}" if network else "condensed elsewhere"
        title = f"Condensing costs: {chosen[0]['dataset']}, {origin}"
        about = captions(chosen, costs=True, evaluated=False)
        tables.append(cell_table("condensing", title, table_rows(chosen, options), about, options))
    return tables


def _tables(kind: str, what: str, cells: pd.DataFrame, options: Options) -> list[Table]:
    tables = []
    for group in groups([row for row in rows_of(cells) if row["sets"]], comparison_key):
        rows = sorted_rows(group, options)
        title = f"{what}: {', '.join([rows[0]['dataset'], *circumstances(rows)])}"
        tables.append(cell_table(kind, title, table_rows(rows, options), captions(rows, costs=True), options))
    return tables


def _one_per_spec(rows: Sequence[Cell]) -> list[Cell]:
    """One row for each specification of condensing: of its rows under several evaluations, the one with most sets."""
    best: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        spec = {name: value for name, value in row["cell_spec"].items() if not name.startswith("evaluation.")}
        key = (row["display_name"], ipc(row), json.dumps(spec, sort_keys=True))
        if key not in best or row["sets"] > best[key]["sets"]:
            best[key] = {**row, "cell_spec": spec}
    return list(best.values())
