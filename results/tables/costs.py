"""What a set costs under a protocol, in seconds and in memory: tables for each dataset and pair of networks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from results.aggregation.grouping import circumstances, groups, ipc, is_whole, protocol_of, rows_of
from results.aggregation.naming import names
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import count, seconds, size
from results.tables.captions import is_na, main_device, memory_captions, time_captions
from results.tables.model import Table
from results.types import Cell

TIMES = (
    *("IPC", "Method", "Prepare s (full)", "Prepare s (shared)", "Condense s", "Evaluate s"),
    *("Total s (full)", "Total s (shared)"),
)
_SHARED = ("Prepare s (full)", "Prepare s (shared)", "Total s (shared)")  # only where there are experts
SIZES = ("IPC", "Method", "Stored", "Size", "Experts", "Prepare peak", "Condense peak", "Evaluate peak")
_OF_EXPERTS = ("Experts", "Prepare peak")


def time_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Wall-clock of preparing (in full, and shared among the sets that use an expert), condensing and evaluating.

    Only scored rows: a set that has no accuracy is in no table. What other tasks shared a device with, or ran on
    another, is "‡" beside the seconds of the commonest device.
    """
    return _tables(cells, options, "Wall-clock", TIMES, _times, time_captions, _SHARED)


def memory_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """Stored images, bytes on disk, experts, and the peak memory of each kind of task. Only scored rows."""
    return _tables(cells, options, "Memory", SIZES, _sizes, memory_captions, _OF_EXPERTS)


def _tables(
    cells: pd.DataFrame,
    options: Options,
    what: str,
    columns: Sequence[str],
    numbers: Callable[[Cell], list[str]],
    captions: Callable[[Sequence[Cell]], list[str]],
    of_experts: Sequence[str],
) -> list[Table]:
    found = []
    scored = [row for row in rows_of(cells) if row["sets"]]
    for group in groups(scored, lambda row: (row["dataset"], row["architecture"], *protocol_of(row))):
        rows = sorted_rows(group, options)
        table = Table(f"{what}: {', '.join([rows[0]['dataset'], *circumstances(rows)])}", columns)
        device = main_device(rows)
        for row, called in zip(rows, names(rows), strict=True):
            shown = device in (None, (row["devices"], row["precisions"]))
            table.rows.append([ipc(row), called, *(numbers(row) if shown else ["‡"] * (len(columns) - 2))])
        if not any(row["experts"] > 0 for row in rows if not is_na(row["experts"])):
            table.without(*of_experts)
        table.captions = captions(rows)
        found.append(table)
    return found


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
