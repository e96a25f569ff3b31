"""Cancel what was queued for a store, and nothing else; what its jobs had done is kept.

python -m benchmark.cancel store=outputs
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from benchmark.cli import main
from benchmark.utils.errors import BenchmarkError
from results.store.lock import TaskLock
from slurm import queue, submissions


def cancel(composed: DictConfig) -> int:
    """Cancel the jobs of a store, or of one of its runs; returns the exit status."""
    folder = Path(composed.store).expanduser() / "slurm"
    runs = submissions.runs(folder)
    if not runs:
        raise BenchmarkError("nothing was ever queued for this store", where=f"store={composed.store}")
    if composed.run is not None and composed.run not in runs:
        raise BenchmarkError(
            f"there is no run '{composed.run}'", where=f"run={composed.run}", next=f"known: {', '.join(runs)}"
        )
    with TaskLock(folder):  # a driver that is submitting would go on
        live = queue.jobs()
        names = {entry.name for entry in submissions.alive(submissions.entries(folder, composed.run), live)}
        count = queue.cancel(job for job, found in live.items() if found.name in names)
    said = f"cancelled {count:,} jobs; the same command goes on from where they were" if count else "no job is queued"
    Console(soft_wrap=True).print(said, highlight=False)
    return main.DONE


if __name__ == "__main__":
    main.launch(cancel, "cancel")
