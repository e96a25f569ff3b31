"""Cancel the SLURM jobs of a store, and no others; what they have done is kept.

python -m benchmark.cancel store=outputs
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.cli import main
from benchmark.cli.progress import open_console
from benchmark.config.compose import parse_as
from benchmark.config.schema import CancelConfig
from benchmark.utils.errors import BenchmarkError
from results.store.lock import TaskLock
from slurm import queue, submissions


def cancel(composed: Mapping[str, Any]) -> int:
    """Cancel the jobs of a store, or of one of its runs; returns the exit status."""
    config = parse_as(CancelConfig, composed)
    folder = Path(config.store) / "slurm"
    runs = submissions.runs(folder)
    if not runs:
        raise BenchmarkError("no job was ever queued for this store", where=f"store={config.store}")
    if config.run is not None and config.run not in runs:
        raise BenchmarkError(
            f"there is no run '{config.run}'", where=f"run={config.run}", next=f"known: {', '.join(runs)}"
        )
    with TaskLock(folder):  # else a command that is submitting would go on
        queued = queue.jobs()
        submitted = submissions.in_queue(submissions.read(folder, config.run), queued)
        names = {submission.name for submission in submitted}
        count = queue.cancel(job.id for job in queued.values() if job.name in names)
    done = (
        f"cancelled {count:,} jobs; the same command continues from their checkpoints" if count else "no job is queued"
    )
    open_console().print(done, highlight=False)
    return main.DONE


if __name__ == "__main__":
    main.launch(cancel, "cancel")
