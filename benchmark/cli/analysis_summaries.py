"""One line for each analysis of a plan."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark import analyses
from benchmark.cli import main
from benchmark.cli.console import Console
from benchmark.cli.workflow import Unfinished, show_failures
from benchmark.config.shared_options import PlanConfig
from benchmark.execution.runtime import record_message
from benchmark.planning.plan import Plan
from results.store.schema import Status
from results.store.store import Store


def show_summaries(plan: Plan, config: PlanConfig, unfinished: Unfinished, console: Console) -> int:
    """Print a line for each analysis, then what failed; returns the exit status."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    sets = plan.of_kind("condense")
    names = {task["identity"]: f"{task['display']['display_name']} at ipc {task['resolved']['ipc']}" for task in sets}
    records = [record for _, record in Store(Path(config.store)).recorded(plan.of_kind("analyze"))]
    for record in records:
        say(summary_line(record, names))
    recorded = {record["resolved"]["analysis"] for record in records}
    if drawn := [analyses.get(name) for name in (*analyses.BUILT_IN, *analyses.PLUG_INS.points()) if name in recorded]:
        say(f"python -m benchmark.report {shlex.quote(f'store={config.store}')} draws them:")
        for analysis in drawn:
            say(f"  {analysis.name}: {analysis.figure}")
    show_failures(unfinished, console)
    return main.SOME_FAILED if unfinished else main.DONE


def summary_line(record: Mapping[str, Any], set_names: Mapping[str, str]) -> str:
    """The results of an analysis in one line. set_names: names of sets by their identities."""
    resolved, display = record["resolved"], record["display"]
    seed = f", seed {resolved['seed']}" if "seed" in resolved else ""
    phrases = analyses.get(resolved["analysis"]).summary(record, set_names)
    text = "; ".join(phrases) if record["status"] == Status.OK else record_message(record)
    return f"{resolved['analysis']}, {display['dataset']}, {resolved['architecture']}{seed}: {text}"
