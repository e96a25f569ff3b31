"""The rows of the page's table, and the groups of rows that can be compared with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from results.aggregation.grouping import circumstances, comparison_key, groups, ipc, is_whole, ratio
from results.aggregation.naming import names
from results.formatting import difference, percent, seconds, spread
from results.published.compare import BEST_ON_TEST, accuracy_by_rule, compare, published_number
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.captions import RankedColumns, captions, describe_ipcs, main_device
from results.tables.costs import OTHER_DEVICE
from results.tables.entries import cells_by_column
from results.tables.published import OPTIMISTIC, published_text
from results.types import Cell

_REMARKS = {"n.s.": "not significantly better than random", "n.t.": "too few sets to test"}


@dataclass(frozen=True)
class PageEntry:
    """An entry of the table: its text, the value it is sorted by (None: below all others) and its tooltip."""

    text: str
    order: float | str | None = None
    tooltip: str = ""


@dataclass(frozen=True)
class PageRow:
    """A cell as the table shows it.

    index: of the cell among all cells. filters: dataset, method, ipc, protocol and network. entries: by the keys of
    `write.COLUMNS`. total_seconds: None if they are unknown or of another device. accuracy, deviation: in percent.
    """

    index: int
    name: str
    filters: dict[str, str]
    entries: dict[str, PageEntry]
    total_seconds: float | None
    accuracy: float | None
    deviation: float | None


@dataclass(frozen=True)
class RowGroup:
    """The indices of rows with the same dataset, protocol and pair of networks, which can be compared."""

    title: str
    rows: list[int]
    captions: list[str]


def page_rows(cells: Sequence[Cell]) -> tuple[list[PageRow], list[RowGroup]]:
    """All cells as rows, in their order, and the groups that they belong to; the whole set may belong to several."""
    indices = {id(cell): index for index, cell in enumerate(cells)}
    rows: dict[int, PageRow] = {}
    row_groups = []
    for group in groups(cells, comparison_key):
        group = sorted(group, key=lambda row: math.inf if is_whole(row) else row["ipc"])  # stable
        columns = cells_by_column(group, ipc)
        ranks_and_remarks = ranks_and_remarks_by_row(columns.values())
        device = main_device(group)
        for cell, name in zip(group, names(group), strict=True):
            same_device = device in (None, (cell["devices"], cell["precisions"]))
            index = indices[id(cell)]
            rows.setdefault(index, _row(cell, name, ranks_and_remarks.get(id(cell), ("", "")), same_device, index))
        title = ", ".join([group[0]["dataset_title"], *circumstances(group)])
        group_captions = captions(group, RankedColumns(columns, describe_ipcs))
        row_groups.append(RowGroup(title, [indices[id(cell)] for cell in group], group_captions))
    return [rows[index] for index in sorted(rows)], row_groups


def _row(cell: Cell, name: str, mark: tuple[str, str], same_device: bool, index: int) -> PageRow:
    rank, remark = mark
    costs = {key: float(cell[f"{key}_seconds"]) for key in ("prepare", "condense", "evaluate")}
    costs["total"] = sum(costs.values())
    scored = cell["sets"] > 0
    accuracy = 100 * float(cell["accuracy"]) if scored else None
    deviation = cell["sd_networks"] if math.isnan(cell["sd"]) else cell["sd"]
    filters = {
        "dataset": str(cell["dataset_title"]),
        "method": name,
        "ipc": ipc(cell),
        "protocol": str(cell["protocol"] or "none"),
        "network": _networks(cell),
    }
    entries = {
        "dataset": PageEntry(filters["dataset"]),
        "ipc": PageEntry(filters["ipc"], math.inf if is_whole(cell) else int(cell["ipc"])),
        "ratio": PageEntry(ratio(cell), 100.0 if is_whole(cell) else float(ratio(cell).replace(",", ""))),
        "network": PageEntry(filters["network"]),
        "protocol": PageEntry(filters["protocol"]),
        "accuracy": PageEntry(accuracy_text(cell), accuracy, _REMARKS.get(remark, "")),
        "best_on_test": _best_on_test(cell),
        "rank": PageEntry(" ".join(filter(None, [rank, remark])) if scored else ""),
        "published": _published(cell),
        **{key: _seconds_entry(value, same_device) for key, value in costs.items()},
        "sample": PageEntry(f"{cell['sets']} × {cell['networks']}", int(cell["sets"])),
    }
    comparable_time = scored and same_device and not math.isnan(costs["total"])
    return PageRow(
        index,
        name,
        filters,
        entries,
        costs["total"] if comparable_time else None,
        accuracy,
        100 * float(deviation) if scored and not math.isnan(deviation) else None,
    )


def _seconds_entry(value: float, same_device: bool) -> PageEntry:
    if not same_device:
        return PageEntry(OTHER_DEVICE)
    return PageEntry(seconds(value), None if math.isnan(value) else value)


def _networks(cell: Cell) -> str:
    """The condensing and the evaluation network: "convnet3 → alexnet", or the only one."""
    networks = dict.fromkeys(filter(None, (cell["condense_architecture"], cell["architecture"])))
    return " → ".join(networks)


def accuracy_text(cell: Cell) -> str:
    """ "48.9 ± 0.4", followed by the number of sets if some are missing; "– " and the status without an accuracy."""
    if not cell["sets"]:
        return f"– {cell['status']}"
    text = spread(cell["accuracy"], cell["sd"], cell["sd_networks"])
    return f"{text} [{cell['sets']}/{cell['expected']}]" if cell["missing"] else text


def _best_on_test(cell: Cell) -> PageEntry:
    accuracy, deviations = accuracy_by_rule(cell, BEST_ON_TEST)
    if math.isnan(accuracy):
        return PageEntry("–")
    return PageEntry(spread(accuracy, *deviations), 100 * accuracy, "optimistic: the test split chose the snapshot")


def _published(cell: Cell) -> PageEntry:
    """The published number with its difference; the tooltip has the source and what keeps them from comparing."""
    entry = published_number(cell)
    if entry is None:
        return PageEntry("–")
    text = published_text(entry)
    if not cell["sets"]:
        return PageEntry(text, 100 * entry.accuracy, entry.cited)
    comparison = compare(cell, entry)
    rule = f", {OPTIMISTIC}" if comparison.rule == BEST_ON_TEST else ""
    text = f"{text} ({difference(comparison.difference)} {comparison.mark or '≠'}{rule})"
    return PageEntry(text, 100 * entry.accuracy, "; ".join([entry.cited, *comparison.mismatches]))


def _best_on_test_fact(row: PageRow) -> str:
    entry = row.entries["best_on_test"]
    return f"{entry.text} %" if entry.order is not None else ""


def facts(cell: Cell, row: PageRow) -> list[tuple[str, str]]:
    """Names and texts on a cell, for a reader."""
    costs = [f"{key} {row.entries[key].text}" for key in ("prepare", "condense", "evaluate")]
    validation = cell["validation_accuracy"]
    published = row.entries["published"]
    pairs = [
        ("Accuracy", f"{accuracy_text(cell)} %" if cell["sets"] else accuracy_text(cell)),
        ("Rank", "; ".join(filter(None, [row.entries["rank"].text, row.entries["accuracy"].tooltip]))),
        ("Best on test (optimistic)", _best_on_test_fact(row)),
        ("Missing", cell["message"]),
        ("Withheld images", "" if math.isnan(validation) else f"{percent(validation)} %"),
        ("Published", f"{published.text}: {published.tooltip}" if published.tooltip else ""),
        ("Dataset", f"{cell['dataset_title']}, ipc {ipc(cell)}, {ratio(cell)} % of the training images"),
        ("Network", row.filters["network"]),
        ("Protocol", f"{cell['protocol']} ({cell['recipe']}, version {cell['version']})" if cell["protocol"] else ""),
        ("Sets × networks", row.entries["sample"].text),
        ("Seconds", f"{', '.join(costs)}: {row.entries['total'].text} in total"),
        ("Family", f"{cell['family']}, {cell['year']}" if cell["year"] else str(cell["family"])),
        ("Source of settings", f"{cell['provenance']} (the weakest among all settings)" if cell["provenance"] else ""),
        ("Ran on", ", ".join(filter(None, [cell["devices"], cell["precisions"]]))),
        ("Code", f"commit {cell['commits']}" if cell["commits"] else ""),
    ]
    return [(name, text) for name, text in pairs if text]
