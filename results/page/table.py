"""The rows of the page's table and the groups of rows that compare, from cells. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from results.aggregation.grouping import circumstances, groups, ipc, is_whole, protocol_of, ratio
from results.aggregation.naming import names
from results.formatting import difference, percent, seconds, spread
from results.published.compare import compare, of_cell
from results.statistics.ranking import marks
from results.tables.captions import Columns, captions, main_device
from results.tables.entries import by_column
from results.types import Cell

_OTHER = "‡"  # seconds of another device than those shown
_WORDS = {"n.s.": "not significantly better than random", "n.t.": "too few sets to tell"}


@dataclass(frozen=True)
class Text:
    """An entry of the table: what is read, what it is sorted by (None: below all), what is said of it besides."""

    text: str
    order: float | str | None = None
    said: str = ""


@dataclass(frozen=True)
class Row:
    """A cell as the table shows it; `place` is its place among the cells, `total` its seconds where they compare."""

    place: int
    name: str
    filters: dict[str, str]  # dataset, method, ipc, protocol, network
    texts: dict[str, Text]
    total: float | None
    accuracy: float | None  # percent
    error: float | None


@dataclass(frozen=True)
class Group:
    """Rows that compare with each other: of one dataset, protocol and pair of networks."""

    title: str
    rows: list[int]
    captions: list[str]


def table(cells: Sequence[Cell]) -> tuple[list[Row], list[Group]]:
    """All cells as rows, in their order, and the groups in which they stand; the whole set may stand in several."""
    place = {id(cell): at for at, cell in enumerate(cells)}
    rows: dict[int, Row] = {}
    found = []
    for group in groups(cells, lambda row: (row["dataset"], row["architecture"], *protocol_of(row))):
        group = sorted(group, key=lambda row: math.inf if is_whole(row) else row["ipc"])  # stable
        columns = by_column(group, ipc)
        marked = {id(row): mark for alike in columns.values() for row, mark in zip(alike, marks(alike), strict=True)}
        device = main_device(group)
        for cell, name in zip(group, names(group), strict=True):
            same = device in (None, (cell["devices"], cell["precisions"]))
            rows.setdefault(place[id(cell)], _row(cell, name, marked.get(id(cell), ("", "")), same, place[id(cell)]))
        title = ", ".join([group[0]["dataset_title"], *circumstances(group)])
        said = captions(group, Columns(columns, _in_words))
        found.append(Group(title, [place[id(cell)] for cell in group], said))
    return [rows[at] for at in sorted(rows)], found


def _in_words(ipcs: Set[Hashable]) -> list[str]:
    return [f"ipc {', '.join(sorted(map(str, ipcs), key=int))}"]


def _row(cell: Cell, name: str, marked: tuple[str, str], same: bool, place: int) -> Row:
    rank, doubt = marked
    costs = {key: float(cell[f"{key}_seconds"]) for key in ("prepare", "condense", "evaluate")}
    costs["total"] = sum(costs.values())
    known = cell["sets"] > 0
    accuracy = 100 * float(cell["accuracy"]) if known else None
    deviation = cell["sd"] if not math.isnan(cell["sd"]) else cell["sd_networks"]
    network = f"{cell['condense_architecture']} → {cell['architecture']}"
    if cell["condense_architecture"] in ("", cell["architecture"]) or not cell["architecture"]:
        network = str(cell["architecture"] or cell["condense_architecture"])
    filters = {
        "dataset": str(cell["dataset_title"]),
        "method": str(cell["title"]),
        "ipc": ipc(cell),
        "protocol": str(cell["protocol"] or "none"),
        "network": network,
    }
    texts = {
        "dataset": Text(filters["dataset"]),
        "ipc": Text(filters["ipc"], math.inf if is_whole(cell) else int(cell["ipc"])),
        "ratio": Text(ratio(cell), 100.0 if is_whole(cell) else float(ratio(cell).replace(",", ""))),
        "network": Text(network),
        "protocol": Text(filters["protocol"]),
        "accuracy": Text(accuracy_text(cell), accuracy, _WORDS.get(doubt, "")),
        "rank": Text(" ".join(filter(None, [rank, doubt])) if known else ""),
        "published": _published(cell),
        **{key: Text(seconds(value) if same else _OTHER, value if same else None) for key, value in costs.items()},
        "sample": Text(f"{cell['sets']} × {cell['networks']}", int(cell["sets"])),
    }
    shown = known and same and not math.isnan(costs["total"])
    error = None if not known or math.isnan(deviation) else 100 * float(deviation)
    return Row(place, name, filters, texts, costs["total"] if shown else None, accuracy, error)


def accuracy_text(cell: Cell) -> str:
    """ "48.9 ± 0.4", with how many sets are there where some are missing, or how the cell came to no end."""
    if not cell["sets"]:
        return f"– {cell['status']}"
    found = spread(cell["accuracy"], cell["sd"], cell["sd_networks"])
    return f"{found} [{cell['sets']}/{cell['expected']}]" if cell["missing"] else found


def _published(cell: Cell) -> Text:
    """The printed number beside the measured one, with what makes them differ."""
    entry = of_cell(cell)
    if entry is None:
        return Text("–")
    printed = spread(entry.accuracy, math.nan if entry.std is None else entry.std)
    if not cell["sets"]:
        return Text(printed, 100 * entry.accuracy, entry.cited)
    found = compare(cell, entry)
    said = "; ".join([entry.cited, *found.mismatches])
    return Text(f"{printed} ({difference(found.difference)} {found.mark or '≠'})", 100 * entry.accuracy, said)


def facts(cell: Cell, row: Row) -> list[tuple[str, Any]]:
    """What is known of a cell, name by name, for a reader."""
    costs = [f"{key} {row.texts[key].text}" for key in ("prepare", "condense", "evaluate")]
    validation = cell["validation_accuracy"]
    pairs = [
        ("Accuracy", f"{accuracy_text(cell)} %" if cell["sets"] else accuracy_text(cell)),
        ("Standing", "; ".join(filter(None, [row.texts["rank"].text, row.texts["accuracy"].said]))),
        ("What is missing", cell["message"]),
        ("Withheld images", "" if math.isnan(validation) else f"{percent(validation)} %"),
        ("Published", f"{row.texts['published'].text}: {row.texts['published'].said}"),
        ("Dataset", f"{cell['dataset_title']}, ipc {ipc(cell)}, {ratio(cell)} % of the training images"),
        ("Network", row.filters["network"]),
        ("Protocol", f"{cell['protocol']} ({cell['recipe']}, version {cell['version']})" if cell["protocol"] else ""),
        ("Sets × networks", row.texts["sample"].text),
        ("Seconds", f"{', '.join(costs)}: {row.texts['total'].text} in all"),
        ("Family", f"{cell['family']}, {cell['year']}" if cell["year"] else str(cell["family"])),
        ("Settings from", f"{cell['provenance']} (the weakest of all)" if cell["provenance"] else ""),
        ("Ran on", ", ".join(filter(None, [cell["devices"], cell["precisions"]]))),
        ("Code", f"commit {cell['commits']}" if cell["commits"] else ""),
    ]
    return [(name, text) for name, text in pairs if text and text != "–: "]
