"""What a set costs in seconds and memory: of one protocol with its evaluation, and of condensing alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import count, seconds, size
from results.tables.captions import (
    condensing_captions,
    is_na,
    main_device,
    memory_captions,
    time_captions,
    uses_experts,
)
from results.tables.model import Table
from results.types import Cell

OTHER_DEVICE = "‡"  # in place of seconds and memory of another device than the table's

TIMES = (
    *("IPC", "Method", "Prepare s (full)", "Prepare s (shared)", "Condense s", "Evaluate s"),
    *("Total s (full)", "Total s (shared)"),
)
SIZES = ("IPC", "Method", "Stored", "Size", "Experts", "Prepare peak", "Condense peak", "Evaluate peak")
CONDENSING = (
    *("IPC", "Method", "Stored", "Size", "Experts", "Prepare s (full / shared)", "Prepare peak"),
    *("Condense s", "Condense peak"),
)
# Columns of tables with experts only.
_EXPERT_COLUMNS = (
    *("Experts", "Prepare peak", "Prepare s (full)", "Prepare s (shared)", "Prepare s (full / shared)"),
    "Total s (shared)",
)


def time_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Seconds of preparing (in full, and shared among the sets that use an expert), condensing and evaluating.

    Only for scored rows. Rows that shared a device with other tasks or ran on another one than most show OTHER_DEVICE.
    """
    return _tables(cells, options, "Wall-clock", TIMES, _times, time_captions)


def memory_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Stored images, bytes on disk, experts, and the peak memory of each kind of task. Only for scored rows."""
    return _tables(cells, options, "Memory", SIZES, _sizes, memory_captions)


def condensing_tables(cells: pd.DataFrame) -> list[Table]:
    """Costs of condensing: one table for each dataset and condensing network, as they do not depend on protocols.

    Without the whole set and sets of which nothing is known; sets made elsewhere have a size and no costs.
    """
    known = [row for row in rows_of(cells) if not is_whole(row) and not is_na(row["stored_images"])]
    tables = []
    for group in groups(known, lambda row: row["dataset"]):
        rows = sorted(_one_per_spec(group), key=lambda row: row["ipc"])  # stable
        network = condense_architecture(rows)
        origin = f"condensed with {network}" if network else "condensed elsewhere"
        title = f"Condensing costs: {rows[0]['dataset']}, {origin}"
        tables.append(_table(title, rows, CONDENSING, _condensing, first_cost=5))
        tables[-1].captions = condensing_captions(rows)
    return tables


def _tables(
    cells: pd.DataFrame,
    options: Options,
    what: str,
    columns: Sequence[str],
    texts: Callable[[Cell], list[str]],
    captions: Callable[[Sequence[Cell]], list[str]],
) -> list[Table]:
    tables = []
    for group in groups([row for row in rows_of(cells) if row["sets"]], comparison_key):
        rows = sorted_rows(group, options)
        title = f"{what}: {', '.join([rows[0]['dataset'], *circumstances(rows)])}"
        tables.append(_table(title, rows, columns, texts))
        tables[-1].captions = captions(rows)
    return tables


def _table(
    title: str, rows: Sequence[Cell], columns: Sequence[str], texts: Callable[[Cell], list[str]], first_cost: int = 2
) -> Table:
    """texts: of a row for all columns but the first two. first_cost: the first column that depends on the device."""
    table = Table(title, columns)
    device = main_device(rows)
    for row, name in zip(rows, names(rows), strict=True):
        line = [ipc(row), name, *texts(row)]
        if device not in (None, (row["devices"], row["precisions"])):
            line[first_cost:] = [OTHER_DEVICE] * (len(line) - first_cost)
        table.rows.append(line)
    if not uses_experts(rows):
        table.drop_columns(*_EXPERT_COLUMNS)
    return table


def _times(row: Cell) -> list[str]:
    full, shared, condense, evaluate = (
        float(row[name]) for name in ("prepare_seconds", "prepare_shared", "condense_seconds", "evaluate_seconds")
    )
    parts = [full, shared, condense, evaluate, full + condense + evaluate, shared + condense + evaluate]
    return [seconds(value) for value in parts]


def _sizes(row: Cell) -> list[str]:
    stored = row["train_images"] if is_whole(row) else row["stored_images"]
    peaks = (size(row[f"{kind}_peak_bytes"]) for kind in ("prepare", "condense", "evaluate"))
    return [count(stored), size(row["bytes"]), count(row["experts"]), *peaks]


def _condensing(row: Cell) -> list[str]:
    full, shared = row["prepare_seconds"], row["prepare_shared"]
    prepare = f"{seconds(full)} / {seconds(shared)}" if full > 0 else seconds(full)
    peaks = size(row["prepare_peak_bytes"]), size(row["condense_peak_bytes"])
    sizes = [count(row["stored_images"]), size(row["bytes"]), count(row["experts"])]
    return [*sizes, prepare, peaks[0], seconds(row["condense_seconds"]), peaks[1]]


def _one_per_spec(rows: Sequence[Cell]) -> list[Cell]:
    """One row for each specification of condensing: of its rows under several evaluations, the one with most sets."""
    best: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        spec = {name: value for name, value in row["cell_spec"].items() if not name.startswith("evaluation.")}
        key = (row["display_name"], ipc(row), json.dumps(spec, sort_keys=True))
        if key not in best or row["sets"] > best[key]["sets"]:
            best[key] = {**row, "cell_spec": spec}
    return list(best.values())
