"""Scoring a synthetic set made anywhere: released files, pictures, or a set of this project.

python -m benchmark.evaluate set=res_DSA_CIFAR10_ConvNet_10ipc.pt dataset=cifar10 'protocols=[dsa]' method=dsa
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from benchmark.cli import main
from benchmark.cli.progress import Reading
from benchmark.cli.workflow import carry_out, describe, show_estimate
from benchmark.compute.engine import choose_compute
from benchmark.config.compose import parse_as
from benchmark.config.schema import EvaluateConfig
from benchmark.planning import external_sets
from results.store.store import Store


def evaluate(composed: DictConfig) -> int:
    """Carry out one composed configuration; returns the exit status."""
    config = parse_as(EvaluateConfig, composed)
    compute, workers = choose_compute(config.device, config.precision, config.threads, config.workers, config.compile)
    console = Console(soft_wrap=True)
    with Reading(console) as reading:
        scored = external_sets.build(config, reading)
    store = Store(Path(config.store))
    console.print("\n".join(scored.said), markup=False, highlight=False)
    console.print(describe(scored.plan, store, scored.run, compute, workers), markup=False, highlight=False)
    if config.dry_run:
        show_estimate(scored.plan, store, compute, workers, console)
        return main.DONE
    status = carry_out(scored.plan, store, scored.run, compute, workers, console)
    for line in lost(scored, store):
        console.print(line, markup=False, highlight=False)
    return status


def lost(scored: external_sets.ExternalPlan, store: Store) -> Iterator[str]:
    """What a copy in 8 bits costs, in words: under each protocol and network, over shared seeds and networks."""
    results = {}
    for task, record in store.recorded(scored.plan.of_kind("evaluate")):
        if record["status"] == "ok":
            place = task["display"]["protocol"], task["resolved"]["architecture"]
            results[place, task["resolved"]["set"]] = record["result"]["accuracies"]
    clamped = [share for _, copy in scored.copies if (share := _clamped(store, copy)) is not None]
    for protocol, architecture in dict.fromkeys(place for place, _ in results):
        changes = [
            after - before
            for whole, copy in scored.copies
            for before, after in zip(
                results.get(((protocol, architecture), whole), []),
                results.get(((protocol, architecture), copy), []),
                strict=False,
            )
        ]
        if changes and clamped:
            yield (
                f"8bit, protocol {protocol}, {architecture}: {100 * fmean(changes):+.2f} points over {len(changes)} "
                f"network{'s' * (len(changes) > 1)}; {100 * fmean(clamped):.2f} % of the pixels were outside 0..1"
            )


def _clamped(store: Store, identity: str) -> float | None:
    record: dict[str, Any] | None = store.record({"kind": "import", "identity": identity})
    return record["result"]["clamped"] if record and record["status"] == "ok" else None


if __name__ == "__main__":
    main.launch(evaluate, "evaluate")
