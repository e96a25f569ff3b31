"""Tables from what is stored: everything in a store, aggregated again.

python -m benchmark.report out=outputs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from benchmark import cli
from benchmark.errors import BenchmarkError
from results.aggregate import cells
from results.files import writing
from results.store import Store
from results.tables import all_tables, below, render_rich, write_tables


def report(composed: DictConfig) -> int:
    """Aggregate a store; returns the exit status (1 if some records could not be read)."""
    out = Path(composed.out).expanduser()
    if not out.is_dir():
        raise BenchmarkError(f"there is no store at {out}", where=f"out={out}", next="name the folder a run wrote to")
    records, problems = Store(out).records()
    if not records and not problems:
        raise BenchmarkError("the store holds no finished task yet", where=f"out={out}")
    folder = out / "report"
    with writing(folder):
        folder.mkdir(exist_ok=True)
    show_tables(records, folder, Console(soft_wrap=True))
    for problem in problems:
        cli.report(problem)
    return cli.SOME_FAILED if problems else cli.DONE


def show_tables(records: Sequence[Mapping[str, Any]], folder: Path | None, console: Console) -> None:
    """Print the comparison, and write it into a folder, if there is one, as Markdown, CSV and LaTeX."""
    found = cells(records)
    if found.empty:
        console.print("no evaluation is finished yet", highlight=False)
        return
    plain = not console.is_terminal
    for table in all_tables(found):
        _print(console, render_rich(table, plain=plain))
        console.print("\n".join(below(table, plain=plain)), markup=False, highlight=False, soft_wrap=True)
        console.print()
    if folder is None:
        return
    written = write_tables(found, folder)
    console.print("written: " + ", ".join(str(path) for path in written), markup=False, highlight=False)


def _print(console: Console, table: Table) -> None:
    """At the width it needs at least: words break within their column; a terminal narrower still wraps its lines."""
    least = console.measure(table, options=console.options.update(max_width=1000)).minimum
    Console(file=console.file, width=max(console.width, least), force_terminal=console.is_terminal).print(table, "")


if __name__ == "__main__":
    cli.launch(report, "report")
