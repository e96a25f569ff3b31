"""The cells of a store that were run in full: those that can be reference results."""

from __future__ import annotations

from collections.abc import Sequence

from results.aggregation.cells import cells
from results.aggregation.grouping import ipc, is_demonstration, is_whole, rows_of
from results.store.schema import Status
from results.types import Cell, Json

MIN_RUNS = 5  # sets × networks


def full_budget(records: Sequence[Json]) -> tuple[list[Json], list[str]]:
    """The records of complete cells with all of their iterations, and a sentence on each cell that is left out.

    They are evaluations with their sets, the experts of these and the analyses of both. Analyses without a set are
    kept with the experts that they are of.
    """
    wanted: set[str] = set()
    left_out: list[str] = []
    by_identity = {record["identity"]: record for record in records}
    for row in rows_of(cells(records)):
        if reason := _incomplete(row):
            place = f"{row['dataset']}, ipc {ipc(row)}, protocol {row['protocol'] or 'none'}"
            left_out.append(f"left out: {row['display_name']}, {place}: {reason}")
        else:
            wanted.update(row["evaluation_ids"], row["set_ids"])
    for identity in list(wanted):
        wanted.update(by_identity[identity]["resolved"].get("experts", ()))
    for record in records:
        if record["kind"] == "analyze" and record["status"] == Status.OK:
            resolved = record["resolved"]
            inputs = {*resolved.get("sets", ()), *resolved.get("experts", ())} & by_identity.keys()
            wanted.update({record["identity"]} if inputs and inputs <= wanted else ())
    return [record for record in records if record["identity"] in wanted], left_out


def _incomplete(row: Cell) -> str:
    """Why a cell is no reference result, "" if it is one."""
    if is_demonstration(row):
        return "the digits demonstrate, and rank nothing"
    if row["iterations_fraction"] < 1 or row["raised_to_floor"]:
        return f"{100 * row['iterations_fraction']:g} % of the iterations"
    if row["status"] != Status.OK or row["message"]:
        return str(row["message"] or row["status"])
    if row["missing"] or (not is_whole(row) and len(row["set_ids"]) != row["sets"]):
        return f"{row['sets']} of its sets have a record and an accuracy"
    runs = row["sets"] * row["networks"]
    return f"{runs} of at least {MIN_RUNS} networks" if runs < MIN_RUNS else ""
