"""report.html: table, plot, gallery and runs in one file that needs neither a network nor a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from results.aggregation.grouping import is_demonstration, rows_of
from results.aggregation.row_styles import RowStyle, styles_of_cells
from results.formatting import grouped, value_range
from results.page.assets import libraries, packed_json, script_hash
from results.page.cell_records import CellRecords, records_of_cells
from results.page.details import TaskFolders, anytime_curves, run_details, set_details
from results.page.previews import BUDGET, Preview, previews, step_previews
from results.page.table import BY_NAME, PageRow, best_by_ipc, page_rows
from results.rendering.html import unique_labels
from results.store.atomic_files import replace
from results.store.store import Store
from results.tables.captions import iterates
from results.tables.model import MISSING, Column
from results.types import Cell, Json

NAME = "report.html"
_FORMATS = (".tex", ".csv", ".bib", ".html", ".md")
_NAMES = 12  # of rows that the overview lists
FILTERS = {
    "dataset": "Dataset",
    "method": "Method",
    "ipc": "Images per class",
    "protocol": "Protocol",
    "network": "Network",
}


def write_page(records: Sequence[Json], store: Store, cells: pd.DataFrame, folder: Path) -> Path:
    """Write report.html into an existing folder, whole or not at all; returns its path. `cells`: of these records.

    Accuracies are fractions in `cells` and percent on the page. The page names files that a task's folder lacks and
    shows the rest. Raises ResultsError if the file cannot be written.
    """
    page = Path(folder) / NAME
    replace(page, render(records, store, cells, _links(Path(folder))))
    return page


def _links(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """The report's other files in the page's folder: heading → texts and targets."""
    names = [path.name for path in folder.glob("*.*") if path.suffix in _FORMATS and path.name != NAME]
    figures = sorted(path.stem for path in folder.glob("figures/*.pdf"))
    links = {
        "Files": [(name, quote(name)) for name in sorted(names)],
        "Figures": [(stem, quote(f"figures/{stem}.pdf")) for stem in figures],
    }
    return {heading: targets for heading, targets in links.items() if targets}


def render(
    records: Sequence[Json],
    store: Store,
    cells: pd.DataFrame,
    links: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType({}),
) -> str:
    """The page's HTML. links: to files beside it."""
    all_cells = rows_of(cells)
    rows, groups = page_rows(all_cells)
    styles = styles_of_cells(cells, (row.name for row in rows))
    cell_records = records_of_cells(records, all_cells)
    store_folders = TaskFolders(store)
    curves = anytime_curves(records)
    sets = _sets_by_identity(cell_records)
    set_previews = previews((record, store_folders.folder(record)) for record in sets.values())
    # Equal previews are in the page once.
    steps, left = {}, BUDGET - sum({preview.url: preview.size for preview in set_previews.values()}.values())
    for identity in dict.fromkeys(of_cell.sets[0]["identity"] for of_cell in cell_records if of_cell.sets):
        steps[identity], left = step_previews(sets[identity], store_folders.folder(sets[identity]), left)
    all_urls = [p.url for p in set_previews.values() if p.url] + [url for taken in steps.values() for _, url in taken]
    urls = {url: index for index, url in enumerate(dict.fromkeys(all_urls))}
    matched = list(zip(rows, all_cells, cell_records, strict=True))
    columns, shared = _columns(all_cells, rows)
    best = {group.title: best_by_ipc([rows[index] for index in group.rows]) for group in groups}
    data: dict[str, Any] = {
        "rows": [_row_data(row, of_cell) for row, _, of_cell in matched],
        "keys": unique_labels(["/".join(row.filters.values()) for row in rows]),
        "styles": {name: _style_data(style) for name, style in styles.items()},
        "groups": [{"title": group.title, "rows": group.rows} for group in groups],
        "runs": [run_details(cell, row, of_cell, curves, store_folders) for row, cell, of_cell in matched],
        "sets": {
            identity: set_details(record, store_folders)
            | _preview_data(set_previews[identity], urls)
            | {"steps": [(step, urls[url]) for step, url in steps.get(identity, ())]}
            for identity, record in sets.items()
        },
    }
    script = _file("page.js")
    environment = Environment(
        loader=PackageLoader("results.page", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template("page.html").render(
        columns=columns,
        shared=shared,
        overview=_overview(all_cells, rows),
        demonstration=any(map(is_demonstration, all_cells)),
        best={title: by_ipc for title, by_ipc in best.items() if by_ipc},
        best_ipcs=sorted({ipc for by_ipc in best.values() for ipc in by_ipc}, key=int),
        links=links,
        filters={key: (heading, _choices(rows, key)) for key, heading in FILTERS.items()},
        rows=rows,
        groups=groups,
        any_losses=any(of_set["curves"] for of_set in data["sets"].values()),
        data=packed_json(data),
        previews=list(urls),
        libraries=libraries(),
        style=_file("page.css"),
        script=script,
        script_hash=script_hash(script),
        record_counts=_record_counts(records),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return text.encode("utf-8", "backslashreplace").decode()  # names of files may not be valid text


def _file(name: str) -> str:
    return (files("results.page") / name).read_text(encoding="utf-8")


_FIRST = ("method", "accuracy", "ipc")  # columns that a narrow screen shows
_DESCRIBING = ("dataset", "ipc", "ratio", "network", "protocol", "sample", "rank", "published")


def _columns(cells: Sequence[Cell], rows: Sequence[PageRow]) -> tuple[list[Column], list[tuple[str, str]]]:
    """The columns of the table, and title and text of those that say one thing of all rows, unless it is nothing."""
    shown = sorted(
        (column for column in BY_NAME.values() if column.shown(cells)),
        key=lambda column: _FIRST.index(column.name) if column.name in _FIRST else len(_FIRST),
    )
    texts = {column.name: {row.text(column.name) for row in rows} for column in shown}
    alike = [c for c in shown if c.name in _DESCRIBING and len(texts[c.name]) == 1 and len(rows) > 1]
    said = [(column.title, rows[0].text(column.name)) for column in alike if texts[column.name] - {"", MISSING}]
    return [column for column in shown if column not in alike], said


def _overview(cells: Sequence[Cell], rows: Sequence[PageRow]) -> list[tuple[str, str]]:
    """What was compared, and at which budget."""
    fractions = [cell["iterations_fraction"] for cell in cells if iterates(cell)]
    budgets = [100 * fraction for fraction in fractions if not pd.isna(fraction)]
    names = list(dict.fromkeys(row.name for row in rows))
    more = f" and {grouped(len(names) - _NAMES)} more" if len(names) > _NAMES else ""
    facts = [
        ("Compared", ", ".join(names[:_NAMES]) + more),
        ("On", ", ".join(dict.fromkeys(row.filters["dataset"] for row in rows))),
        ("Budget", f"{value_range(budgets)} % of the methods' iterations" if budgets else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _record_counts(records: Sequence[Json]) -> str:
    """ "32 records: 14 condense, 15 evaluate, 3 prepare"."""
    kinds = Counter(record["kind"] for record in records)
    parts = ", ".join(f"{grouped(count)} {kind}" for kind, count in sorted(kinds.items()))
    return f"{grouped(len(records))} record{'s' * (len(records) != 1)}" + (f": {parts}" if parts else "")


def _sets_by_identity(cell_records: Sequence[CellRecords]) -> dict[str, Json]:
    """Every cell's first set, then the second ones, …, as the first previews are kept where not all fit."""
    longest = max((len(records.sets) for records in cell_records), default=0)
    rounds = ([r.sets[i] for r in cell_records if i < len(r.sets)] for i in range(longest))
    return {record["identity"]: record for sets in rounds for record in sets}


def _choices(rows: Sequence[PageRow], key: str) -> list[str]:
    choices = dict.fromkeys(row.filters[key] for row in rows)
    return sorted(choices, key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0, text.casefold()))


def _row_data(row: PageRow, records: CellRecords) -> dict[str, Any]:
    """What the filters, the plot and the gallery need of a row."""
    return {
        "name": row.name,
        "label": f"{row.name}, ipc {row.filters['ipc']}",
        "filters": row.filters,
        "accuracy": row.accuracy,
        "deviation": row.deviation,
        "total": row.total_seconds,
        "summary": f"{row.text('accuracy')} %, {row.text('total_full')} s",
        "sets": [record["identity"] for record in records.sets],
    }


# Plotly's names of matplotlib's markers.
_SYMBOLS = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "X": "x",
    "<": "triangle-left", ">": "triangle-right", "p": "pentagon", "h": "hexagon", "*": "star",
}  # fmt: skip


def _style_data(style: RowStyle) -> dict[str, str]:
    return {"color": style.color, "symbol": _SYMBOLS[style.marker] + ("-open" if style.hollow else "")}


def _preview_data(preview: Preview, urls: Mapping[str, int]) -> dict[str, Any]:
    names = ("width", "height", "classes", "images", "across", "missing")
    return {"preview": urls.get(preview.url), **{name: getattr(preview, name) for name in names}}
