"""The accuracy that an external set loses when its pixels are rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmark.planning.external_sets import ExternalPlan
from results.store.schema import Status
from results.store.store import Store


def quantization_losses(external: ExternalPlan, folder: str) -> Iterator[str]:
    """The change of accuracy as a sentence for each protocol and network, over shared seeds and networks."""
    store, accuracies = Store(Path(folder)), {}
    for task, record in store.recorded(external.plan.of_kind("evaluate")):
        if record["status"] == Status.OK:
            cell = task["display"]["protocol"], task["resolved"]["architecture"]
            accuracies[cell, task["resolved"]["set"]] = record["result"]["accuracies"]
    clamped = [share for _, copy in external.quantized if (share := _clamped(store, copy)) is not None]
    for cell in dict.fromkeys(cell for cell, _ in accuracies):
        changes = [
            after - before
            for original, copy in external.quantized
            for before, after in zip(
                accuracies.get((cell, original), []), accuracies.get((cell, copy), []), strict=False
            )
        ]
        if changes and clamped:
            yield (
                f"8bit, protocol {cell[0]}, {cell[1]}: {100 * fmean(changes):+.2f} points over {len(changes)} "
                f"network{'s' * (len(changes) > 1)}; {100 * fmean(clamped):.2f} % of the pixels were outside 0..1"
            )


def _clamped(store: Store, identity: str) -> float | None:
    record: dict[str, Any] | None = store.record({"kind": "import", "identity": identity})
    return record["result"]["clamped"] if record and record["status"] == Status.OK else None
