"""How far a store is: queued, running with speed and time left, done, failed with the reason.

python -m benchmark.status store=outputs
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from benchmark.cli import main
from benchmark.cli.status_view import show
from benchmark.runners import monitor
from benchmark.utils.errors import BenchmarkError
from results.store.store import Store


def status(composed: DictConfig) -> int:
    """Print how far a store is; returns the exit status (1 if something failed)."""
    out = Path(composed.store).expanduser()
    if not out.is_dir():
        raise BenchmarkError(
            f"there is no store at {out}", where=f"store={out}", next="name the folder a run writes to"
        )
    console = Console(soft_wrap=True)
    seen = monitor.view(out)
    if not seen.tasks:
        console.print("nothing was begun or queued yet", highlight=False)
        return main.DONE
    show(seen, console)
    if composed.tables:
        from benchmark.cli.tables import (
            show_tables,  # pandas and scipy take seconds to load, and a look is often wanted
        )

        records, problems = Store(out).records()
        show_tables(records, None, console)
        for problem in problems:
            main.report(problem)
    return main.SOME_FAILED if seen.of("failed") else main.DONE


# --- looking on -------------------------------------------------------------------------------------------------------


if __name__ == "__main__":
    main.launch(status, "status")
