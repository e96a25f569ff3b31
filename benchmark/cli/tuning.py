"""What tuning found: a table of each choice, then the run with the chosen settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmark.cli import main
from benchmark.cli.console import Console
from benchmark.cli.progress import print_uncut
from benchmark.cli.workflow import Unfinished, plan_and_run, show_comparison, show_failures
from benchmark.config.schema import TuneConfig
from benchmark.config.shared_options import PlanConfig
from benchmark.planning.plan import Plan
from benchmark.planning.tuning import TuningPlan, choose
from results.formatting import percent, seconds
from results.store import choices
from results.store.choices import Choice
from results.store.store import Store


def choose_and_run(plan: Plan, config: PlanConfig, unfinished: Unfinished, console: Console) -> int:
    """Store and print the choices that the trials make, then run them; returns the exit status.

    Nothing is chosen before every trial has a record.
    """
    assert isinstance(plan, TuningPlan) and isinstance(config, TuneConfig)
    if unfinished:
        show_failures(unfinished, console)
        return main.SOME_FAILED
    store = Store(Path(config.store))
    made = [choose(cell, config.name, plan, store) for cell in plan.cells]
    for choice in made:
        choices.write(store.root, choice)
    print_uncut(console, _table(made))
    scored = f"trials are scored on {percent(config.val_fraction)} % of the training images, which they withhold"
    text = f"stored as settings={config.name}; {scored}"
    console.print(text, markup=False, highlight=False)
    return plan_and_run(config.run_config(), show_comparison)


def _table(made: Sequence[Choice]) -> Table:
    table = Table("Tuned", "Trials", "Own %", "Best %", "Best trial", "Chosen settings", "Seconds")
    for choice in made:
        own, best = choice.trials[0], choice.trials[choice.chosen]
        settings = ", ".join(f"{name}={value}" for name, value in choice.settings.items()) or "its own"
        accuracies = [_percent(trial.accuracy) for trial in (own, best)]
        numbers = (str(len(choice.trials)), *accuracies, str(choice.chosen))
        table.add_row(choice.title, *numbers, settings, seconds(choice.seconds))
    return table


def _percent(accuracy: float | None) -> str:
    return "diverged" if accuracy is None else percent(accuracy)
