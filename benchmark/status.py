"""The progress of a store: what is queued, running with its speed and time left, done, or failed with the reason.

python -m benchmark.status store=outputs
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.cli import main
from benchmark.cli.progress import open_console
from benchmark.cli.status_view import show
from benchmark.config.compose import parse_as
from benchmark.config.schema import StatusConfig
from benchmark.runners.monitor import combined, read_status
from benchmark.utils.errors import BenchmarkError
from results.store.schema import Status


def status(composed: Mapping[str, Any]) -> int:
    """Print the progress of a store; returns the exit status (1 if a task failed)."""
    config = parse_as(StatusConfig, composed)
    console = open_console()
    for folder in map(Path, config.store):
        if not folder.is_dir():
            raise BenchmarkError(
                f"there is no store at {folder}", where=f"store={folder}", next="name the folder that a run writes to"
            )
    progress = combined([read_status(Path(folder)) for folder in config.store])
    if not progress.tasks and not progress.problems:
        console.print("no task was begun or queued yet", highlight=False)
        return main.DONE
    show(progress, console)
    if config.tables:
        from benchmark.cli.tables import show_stored_tables  # loads pandas and scipy, which the progress does without

        show_stored_tables(config.store, console)
    return main.SOME_FAILED if progress.in_state(Status.FAILED) or progress.problems else main.DONE


if __name__ == "__main__":
    main.launch(status, "status")
