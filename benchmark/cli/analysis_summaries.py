"""What each analysis found, in a line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from benchmark.cli import main
from benchmark.cli.workflow import Unfinished, show_failures
from benchmark.config.schema import PlanConfig
from benchmark.planning.plan import Plan
from results.store.schema import Status
from results.store.store import Store

Record = Mapping[str, Any]


def show_summaries(plan: Plan, config: PlanConfig, unfinished: Unfinished, console: Console) -> int:
    """Print a line for each analysis, then what failed; returns the exit status."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    sets = plan.of_kind("condense")
    rows = {task["identity"]: f"{task['display']['display_name']} at ipc {task['resolved']['ipc']}" for task in sets}
    found = [record for _, record in Store(Path(config.store)).recorded(plan.of_kind("analyze"))]
    for record in found:
        say(worded(record, rows))
    if drawn := [name for name in FIGURES if any(name == record["resolved"]["analysis"] for record in found)]:
        say(f"python -m benchmark.report {shlex.quote(f'store={config.store}')} draws them:")
        for name in drawn:
            say(f"  {name}: {FIGURES[name]}")
    show_failures(unfinished, console)
    return main.SOME_FAILED if unfinished else main.DONE


FIGURES = {
    "curve": "accuracy on withheld images against seconds of condensing",
    "discrepancy": "distance of class means from the real ones' along the training of a network",
    "interpolation": "accuracy against λ, from the expert (0) to the weights it started from (1)",
    "expert": "accuracy of experts on the condensed images along the steps",
    "embedding": "real and synthetic images in two dimensions, by class",
}


def worded(record: Record, rows: Mapping[str, str]) -> str:
    """What an analysis found, in a line; rows: its sets in words, by identity."""
    resolved, display = record["resolved"], record["display"]
    seed = f", seed {resolved['seed']}" if "seed" in resolved else ""
    where = f"{resolved['analysis']}, {display['dataset']}, {resolved['architecture']}{seed}"
    if record["status"] != Status.OK:
        return f"{where}: {record['status']}: {record['message']}"
    return f"{where}: {'; '.join(_WORDS[resolved['analysis']](record, rows))}"


def _curve(record: Record, rows: Mapping[str, str]) -> Iterator[str]:
    points = record["result"]["points"]
    (one,) = record["resolved"]["sets"]
    accuracies = " → ".join(f"{100 * fmean(point['accuracies']):.1f}" for point in points)
    yield f"{rows.get(one, one)}, {record['display']['protocol']}: {accuracies} % in {points[-1]['seconds']:.1f} s"


def _discrepancy(record: Record, rows: Mapping[str, str]) -> Iterator[str]:
    steps = record["result"]["steps"]
    yield f"relative distance before and after {steps[-1]:,} steps"
    for identity, found in _in_order(record, rows):
        first, last = (found["relative_distance"][place] for place in (0, -1))
        yield f"{rows[identity]} " + " → ".join("–" if value is None else f"{value:.3g}" for value in (first, last))


def _interpolation(record: Record, rows: Mapping[str, str]) -> Iterator[str]:
    found = record["result"]
    middle = len(found["lambdas"]) // 2
    for place, name in ((0, " (the expert)"), (middle, ""), (-1, " (untrained)")):
        yield f"{100 * fmean(found['accuracies'][place]):.1f} % at λ = {found['lambdas'][place]:g}{name}"
    yield f"{found['images']:,} {found['split']} images, {len(found['accuracies'][0])} experts"


def _expert(record: Record, rows: Mapping[str, str]) -> Iterator[str]:
    for identity, found in _in_order(record, rows):
        accuracies = [found["accuracies"][place] for place in ((0, -1) if len(found["steps"]) > 1 else (-1,))]
        yield f"{rows[identity]} {' → '.join(f'{100 * fmean(each):.1f}' for each in accuracies)} %"
    real = record["result"]["real"]
    yield "real " + ", ".join(f"{100 * value:.1f} % ({name})" for name, value in real.items() if value is not None)


def _embedding(record: Record, rows: Mapping[str, str]) -> Iterator[str]:
    found = record["result"]
    yield f"{found['method']} of {len(found['real']['xy']):,} real images"
    for identity, one in _in_order(record, rows):
        yield f"{len(one['xy']):,} of {rows[identity]}"


def _in_order(record: Record, rows: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """What was found of each set, in the order of the plan."""
    sets = record["result"]["sets"]
    return ((identity, sets[identity]) for identity in rows if identity in sets)


_WORDS = {
    "curve": _curve,
    "discrepancy": _discrepancy,
    "interpolation": _interpolation,
    "expert": _expert,
    "embedding": _embedding,
}
