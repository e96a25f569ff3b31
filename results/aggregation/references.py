"""Reference rows: results that come with the package, beside those of a run where they compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from results.aggregation.cells import as_frame, cells
from results.aggregation.grouping import REFERENCE, is_whole, protocol_of, rows_of
from results.store.read_all import read_all
from results.store.reference import NAME
from results.types import Cell

_NO_COSTS: dict[str, Any] = {  # they ran elsewhere, beside other work
    **dict.fromkeys(("prepare_seconds", "prepare_shared", "condense_seconds", "evaluate_seconds"), math.nan),
    **dict.fromkeys(("prepare_peak_bytes", "condense_peak_bytes", "evaluate_peak_bytes"), pd.NA),
    **dict.fromkeys(("stored_images", "bytes", "experts"), pd.NA),
    **{"prepare_divisor": "", "devices": "", "mixed": False},
}


def with_references(found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The cells with the reference rows that match one of them, and a sentence on each that another version made.

    A row matches if dataset (by its images), withheld share, protocol with its version, networks and ipc are equal; the
    whole set matches every ipc. Its role is "reference": it is never ranked, and neither a baseline nor tested. Its
    costs are unknown.
    """
    stored, own = read_all(NAME), rows_of(found)
    rows, notes = list(own), [f"{problem.what} ({problem.where})" for problem in stored.problems]
    for row in rows_of(cells(stored.records)):
        alike = [cell for cell in own if _place(cell) == _place(row) and _shares_network(cell, row)]
        alike = [cell for cell in alike if is_whole(row) or cell["ipc"] == row["ipc"]]
        same_protocol = [cell for cell in alike if protocol_of(cell) == protocol_of(row)]
        if same_protocol and (versions := _other_versions(row, own)):
            other = f"version {_version(row)} of its method, not {', '.join(map(str, versions))}"
            notes.append(f"{_name(row)} is left out: it is of {other}")
        elif same_protocol:
            of_dataset = {name: same_protocol[0][name] for name in ("dataset", "dataset_title")}
            rows.append({**row, **_NO_COSTS, **of_dataset, "display_name": _name(row), "role": REFERENCE})
        elif any(cell["protocol"] == row["protocol"] for cell in alike):
            notes.append(f"{_name(row)} is left out: it is of version {row['version']} of protocol {row['protocol']}")
    return as_frame(rows), list(dict.fromkeys(notes))


def _name(row: Cell) -> str:
    return f"{row['display_name']} ({REFERENCE})"


def _place(row: Cell) -> tuple[Any, ...]:
    """The images, their long tail, the withheld share and the network that was trained on the set."""
    spec = row["cell_spec"]
    images = spec.get("evaluation.dataset.fingerprint", spec.get("dataset.fingerprint"))
    return images, spec.get("evaluation.dataset.imbalance"), row["val_fraction"], row["architecture"]


def _shares_network(cell: Cell, row: Cell) -> bool:
    """Whether two rows are in the table of one condensing network; "" is in every table."""
    return len({cell["condense_architecture"], row["condense_architecture"]} - {""}) < 2


def _version(row: Cell) -> Any:
    return row["cell_spec"].get("version")


def _other_versions(row: Cell, own: Sequence[Cell]) -> list[Any]:
    """The versions of the row's method in the run, if none is the row's."""
    versions = {_version(cell) for cell in own if cell["method"] == row["method"]} - {None}
    return [] if _version(row) in versions else sorted(versions)
