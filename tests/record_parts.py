"""Complete, valid records of every kind with made-up values, and what they are made of."""

from __future__ import annotations

from typing import Any

from results.store.identity import identity, sealed
from results.store.schema import SCHEMA, Status

Record = dict[str, Any]
ENVIRONMENT = {"device": "NVIDIA H100", "threads": 8, "torch": "2.9", "commit": "0123456789abcdef", "dirty": False}
TEST_IMAGES = 10_000  # of ten classes


def make_record(kind: str, resolved: Record, display: Record, result: Record, **changes: Any) -> Record:
    """A record whose specification is `resolved` with the usual values; `changes` replace its other fields."""
    resolved = {"kind": kind, "val_fraction": 0.0, "precision": "fp32", **resolved}
    status = str(changes.get("status", Status.OK.value))
    record = {
        **{"schema": SCHEMA, "kind": kind, "identity": identity(resolved), "status": status, "message": ""},
        **{"spec": resolved, "resolved": resolved, "display": display},
        **{"result": result if status == Status.OK else {}, "artifacts": {}, "inputs": {}, "code": None},
        **{"seconds": 1.0, "steps": 10, "peak_memory_bytes": None, "environment": ENVIRONMENT},
        "finished": "2026-01-01T00:00:00+00:00",
        **changes,
    }
    return sealed(record)


def changed(record: Record, **changes: Any) -> Record:
    """The record with other fields, and the checksum that fits them."""
    return sealed({**record, **changes})


def task_of(record: Record, slug: str) -> Record:
    """The task of a record, as task.json has it."""
    keys = ("kind", "identity", "spec", "resolved", "display")
    return {key: record[key] for key in keys} | {"slug": slug, "requested": {"dataset": "digits", "data_root": "data"}}


def scores(accuracies: list[float]) -> Record:
    """The part of an evaluation's result that has the accuracies, to four digits, and the right answers."""
    right = []
    for accuracy in accuracies:
        answers = round(TEST_IMAGES * accuracy)
        right.append([answers // 10 + (k < answers % 10) for k in range(10)])
    return {
        "accuracies": accuracies,
        "right_per_class": right,
        "test_images": TEST_IMAGES,
        "test_images_per_class": [TEST_IMAGES // 10] * 10,
    }


def validation_scores(accuracies: list[float]) -> Record:
    """The same of withheld images."""
    if not accuracies:
        return {"validation_accuracies": []}
    parts = scores(accuracies)
    return {
        "validation_accuracies": accuracies,
        "validation_right_per_class": parts["right_per_class"],
        "validation_images_per_class": parts["test_images_per_class"],
    }
