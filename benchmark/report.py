"""Tables, figures and a page from what is stored: all of it, or what is asked for, aggregated again.

python -m benchmark.report store=outputs
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from benchmark.cli import main
from benchmark.cli.tables import _pictures, _tables
from benchmark.config.compose import parse_as
from benchmark.config.schema import ReportConfig
from benchmark.utils.errors import BenchmarkError
from results.aggregation.cells import cells
from results.store.read_all import gather
from results.store.store import Store


def report(composed: DictConfig) -> int:
    """Aggregate a store; returns the exit status (1 if some records could not be read)."""
    asked = parse_as(ReportConfig, composed)
    out, console = Path(asked.store), Console(soft_wrap=True)
    if not out.is_dir():
        raise BenchmarkError(f"there is no store at {out}", where=f"store={out}", next="name the folder a run wrote to")
    stored = gather(out)
    for note in stored.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    if not stored.records and not stored.problems:
        raise BenchmarkError("the store holds no finished task yet", where=f"store={out}")
    found = cells([*stored.records, *stored.unfinished])
    _tables(found, stored.records, out / "report", asked.options(), console)
    _pictures(found, stored.records, Store(out), asked, console)
    for problem in stored.problems:
        main.report(problem)
    return main.SOME_FAILED if stored.problems else main.DONE


if __name__ == "__main__":
    main.launch(report, "report")
