"""Putting report.html together: table, plot, gallery and runs in one file that needs neither network nor server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from results.aggregation.grouping import rows_of
from results.formatting import grouped
from results.page.assets import libraries, mark, packed_json
from results.page.cell_records import Behind, behind
from results.page.details import Shelf, curves, made, run
from results.page.previews import Picture, pictures
from results.page.table import Row, table
from results.store.atomic_files import replace
from results.store.store import Store
from results.types import Json

NAME = "report.html"
# key, heading, whether its entries are numbers
COLUMNS = (
    ("dataset", "Dataset", False),
    ("name", "Method", False),
    ("ipc", "IPC", True),
    ("ratio", "Ratio %", True),
    ("network", "Network", False),
    ("protocol", "Protocol", False),
    ("accuracy", "Accuracy %", True),
    ("rank", "Rank", False),
    ("published", "Published", True),
    ("prepare", "Prepare s", True),
    ("condense", "Condense s", True),
    ("evaluate", "Evaluate s", True),
    ("total", "Total s", True),
    ("sample", "Sets × networks", True),
)
FILTERS = {
    "dataset": "Dataset",
    "method": "Method",
    "ipc": "Images per class",
    "protocol": "Protocol",
    "network": "Network",
}


def write_page(records: Sequence[Json], store: Store, cells: pd.DataFrame, folder: Path) -> Path:
    """Write report.html into an existing folder, whole or not at all; returns its path. `cells`: of these records.

    Accuracies are fractions in `cells` and percent on the page. What a task's folder lacks is said there, and the rest
    is shown. Raises ResultsError where the file cannot be written.
    """
    page = Path(folder) / NAME
    replace(page, render(records, store, cells))
    return page


def render(records: Sequence[Json], store: Store, cells: pd.DataFrame) -> str:
    """The page's HTML."""
    found = rows_of(cells)
    rows, groups = table(found)
    stand = behind(records, found)
    shelf = Shelf(store.root)
    drawn = curves(records)
    sets = {record["identity"]: record for one in _seed_by_seed(stand) for record in one}
    seen = pictures((record, shelf.folder(record)) for record in sets.values())
    # equal pictures lie there once
    urls = {url: at for at, url in enumerate(dict.fromkeys(one.url for one in seen.values() if one.url))}
    data = {
        "rows": [_plotted(row, cell, one) for row, cell, one in zip(rows, found, stand, strict=True)],
        "groups": [{"title": group.title, "rows": group.rows} for group in groups],
        "runs": [run(cell, row, one, drawn, shelf) for row, cell, one in zip(rows, found, stand, strict=True)],
        "sets": {identity: made(record, shelf) | _pictured(seen[identity], urls) for identity, record in sets.items()},
    }
    script = _own("page.js")
    text = _environment().get_template("page.html").render(
        columns=[column for column in COLUMNS if column[0] != "published" or _any_published(rows)],
        filters={key: (word, _choices(rows, key)) for key, word in FILTERS.items()},
        rows=rows,
        groups=groups,
        data=packed_json(data),
        pictures=list(urls),
        libraries=libraries(),
        style=_own("page.css"),
        script=script,
        mark=mark(script),
        counted=_counted(records),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip
    return text.encode("utf-8", "backslashreplace").decode()  # names of files may be no text


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("results.page", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def _own(name: str) -> str:
    return (files("results.page") / name).read_text(encoding="utf-8")


def _counted(records: Sequence[Json]) -> str:
    """ "32 records: 14 condense, 15 evaluate, 3 prepare"."""
    kinds = Counter(record["kind"] for record in records)
    parts = ", ".join(f"{grouped(count)} {kind}" for kind, count in sorted(kinds.items()))
    return f"{grouped(len(records))} record{'s' * (len(records) != 1)}" + (f": {parts}" if parts else "")


def _seed_by_seed(stand: Sequence[Behind]) -> Iterator[list[Json]]:
    """First every cell's first set, then the second ones, …: pictures that come first are those that are kept."""
    for at in range(max((len(one.sets) for one in stand), default=0)):
        yield [one.sets[at] for one in stand if at < len(one.sets)]


def _any_published(rows: Sequence[Row]) -> bool:
    return any(row.texts["published"].text != "–" for row in rows)


def _choices(rows: Sequence[Row], key: str) -> list[str]:
    found = dict.fromkeys(row.filters[key] for row in rows)
    return sorted(found, key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0, text.casefold()))


def _plotted(row: Row, cell: Json, one: Behind) -> dict[str, Any]:
    """What the filters, the plot and the gallery need of a row."""
    return {
        "name": row.name,
        "label": f"{row.name}, ipc {row.filters['ipc']}",
        "filters": row.filters,
        "baseline": cell["role"] == "baseline",
        "accuracy": row.accuracy,
        "error": row.error,
        "total": row.total,
        "shown": f"{row.texts['accuracy'].text} %, {row.texts['total'].text} s",
        "sets": [record["identity"] for record in one.sets],
    }


def _pictured(picture: Picture, urls: Mapping[str, int]) -> dict[str, Any]:
    return {
        "picture": urls.get(picture.url),
        "width": picture.width,
        "height": picture.height,
        "classes": picture.classes,
        "images": picture.images,
        "across": picture.across,
        "why": picture.why,
    }
