"""Printing the tables of a store, and writing its tables, figures and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table as RichTable
from rich.text import Text

from benchmark import analyses
from benchmark.cli.console import Console
from benchmark.cli.main import print_error
from benchmark.cli.progress import open_console
from benchmark.cli.references import bibliography
from benchmark.config.report_options import TABLE_PLUG_INS, ReportConfig
from benchmark.utils.errors import BenchmarkError
from results.aggregation.cells import cells
from results.aggregation.labels import with_display_labels, with_labels
from results.aggregation.options import AS_RUN, TABLES, Options
from results.aggregation.references import with_references
from results.aggregation.selection import select
from results.rendering.files import write_tables
from results.rendering.text import EXPLAINED, least_width, render_rich, terminal_lines
from results.store.atomic_files import replace, writing
from results.store.read_all import read_all
from results.store.reference import open_store
from results.store.store import Store
from results.tables.comparison import all_tables
from results.tables.model import Table
from results.tables.registry import NO_BUILDERS, TableBuilder, tables_by_kind

if TYPE_CHECKING:
    from results.figures.write import Drawer


def write_report(config: ReportConfig) -> bool:
    """Print and write the tables, figures and page of a store; returns whether some records could not be read.

    Raises BenchmarkError where there is no store or nothing in it, and ResultsError as `results.rendering.files`.
    """
    store, console = open_store(config.store), open_console()
    added = {name: TABLE_PLUG_INS.load(name) for name in config.tables if name not in TABLES}
    stored = read_all(store)
    for note in stored.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    if not stored.records and not stored.problems:
        raise BenchmarkError("the store holds no finished task yet", where=f"store={','.join(config.store)}")
    found = cells([*stored.records, *stored.unfinished])
    shown = _with_references(found, console) if "reference" in config.baselines else found
    labels = {name.strip(): label.strip() for name, _, label in (text.rpartition("=") for text in config.labels)}
    shown, found = with_labels(shown, labels), with_labels(found, labels)
    records = with_display_labels(stored.records, found)
    _tables(shown, records, store.reports, config.options(), added, console)
    _pictures(found, records, store, config, console)
    for problem in stored.problems:
        print_error(problem)
    return bool(stored.problems)


def show_stored_tables(stores: Sequence[str], console: Console) -> None:
    """Print the comparison of all that is finished in these stores, and name the records that cannot be read."""
    stored = read_all(stores)
    show_tables(stored.records, None, console)
    for problem in stored.problems:
        print_error(problem)


def _tables(
    found: pd.DataFrame,
    records: Sequence[Mapping[str, Any]],
    folder: Path,
    options: Options,
    added: Mapping[str, TableBuilder],
    console: Console,
) -> None:
    """Print and write the tables that are asked for, or say that there are none."""
    if found.empty:
        console.print("no evaluation is finished yet", highlight=False)
        return
    made = [table for of_kind in tables_by_kind(found, options, records, added).values() for table in of_kind]
    if not made:
        console.print("nothing stored makes such a table yet", highlight=False)
    if "terminal" in options.formats:
        _show(made, console)
    if set(options.formats) - {"terminal"}:
        with writing(folder):
            folder.mkdir(exist_ok=True)
        _written(_write(found, folder, options, records, added), console)


def _pictures(
    found: pd.DataFrame, records: Sequence[Mapping[str, Any]], store: Store, config: ReportConfig, console: Console
) -> None:
    """Write the figures and the page, which show all that is stored, where they are asked for."""
    from results.figures import write_figures  # loads matplotlib, which runs do without
    from results.page import write_page

    folder = store.reports
    if config.figures or config.page:
        with writing(folder):
            folder.mkdir(exist_ok=True)
    if config.figures:
        written, missing = write_figures(
            records, store, folder / "figures", found, _drawers(records), titles=config.titles, fonts=config.font
        )
        count = sum(path.suffix == ".pdf" for path in written)
        drawn = f"written: {written[-1]} lists {count} figures, as PDF and PNG beside it"
        said = f"{drawn}, and why {len(missing)} are not drawn" if missing else drawn
        console.print(said, markup=False, highlight=False)
    if config.page:
        console.print(f"written: {write_page(records, store, found, folder)}", markup=False, highlight=False)


def _drawers(records: Sequence[Mapping[str, Any]]) -> dict[str, Drawer]:
    """What draws the stored analyses of other packages, by name; an error is printed for one that does not import."""
    names = {record["resolved"]["analysis"] for record in records if record["kind"] == "analyze"}
    drawers: dict[str, Drawer] = {}
    for name in sorted(names & analyses.PLUG_INS.points().keys()):
        try:
            drawers[name] = analyses.get(name).figures
        except BenchmarkError as error:
            print_error(error)
    return drawers


def _with_references(found: pd.DataFrame, console: Console) -> pd.DataFrame:
    """The cells with the reference rows that match; those of other versions are named."""
    found, notes = with_references(found)
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    return found


def show_tables(
    records: Sequence[Mapping[str, Any]], folder: Path | None, console: Console, *, references: bool = False
) -> None:
    """Print a run's comparison, and write all tables in every format into a folder, if there is one.

    references: whether the rows that come with the package are beside those of the run.
    """
    found = cells(records)
    if found.empty:
        console.print("no evaluation is finished yet", highlight=False)
        return
    found = _with_references(found, console) if references else found
    _show(all_tables(found, AS_RUN), console)
    if folder is not None:
        _written(_write(found, folder, AS_RUN, records), console)


def _show(shown: Sequence[Table], console: Console) -> None:
    plain = not console.is_terminal
    for table in shown:
        console.print(Text(table.title, "italic"), soft_wrap=plain)
        for number, part in enumerate(render_rich(table, plain=plain, width=None if plain else console.width)):
            if number:
                console.print()
            _print(console, part)
        # A terminal cuts captions and breaks notes between words; a file keeps them whole.
        lines = terminal_lines(table, None if plain else console.width)
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=plain)
        console.print()
    if shown:
        console.print(f"{EXPLAINED} explains columns, marks and captions", highlight=False, soft_wrap=plain)


def _write(
    found: pd.DataFrame,
    folder: Path,
    options: Options,
    records: Sequence[Mapping[str, Any]],
    added: Mapping[str, TableBuilder] = NO_BUILDERS,
) -> list[Path]:
    """`write_tables`, and with LaTeX references.bib beside it; returns the paths of all files."""
    paths = write_tables(found, folder, options, records, added)
    if "latex" in options.formats:
        paths.append(folder / "references.bib")
        replace(paths[-1], bibliography(select(found, options)))
    return paths


def _written(paths: Sequence[Path], console: Console) -> None:
    sheets = [path for path in paths if path.parent.name == "sheets"]
    named = [str(path) for path in paths if path not in sheets]
    named += [f"{sheets[0].parent} ({len(sheets)} tables)"] if sheets else []
    console.print("written: " + ", ".join(named), markup=False, highlight=False)


def _print(console: Console, table: RichTable) -> None:
    """At the width it needs at least: words break within their column; a terminal narrower still wraps its lines."""
    Console(file=console.file, width=max(console.width, least_width(table)), force_terminal=console.is_terminal).print(
        table, ""
    )
