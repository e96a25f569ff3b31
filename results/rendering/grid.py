"""Any table as a grid of cells below heads that may span several columns, from which HTML and spreadsheets are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from results.tables.accuracy import Matrix
from results.tables.across import AcrossTable
from results.tables.entries import MethodRow, TableEntry
from results.tables.model import Table
from results.tables.registry import AnyTable

_NUMBER = re.compile(r"(?P<mean>\S+)(?: ± (?P<spread>[\d.,]+)(?P<single>†?))?(?: (?P<rest>.*))?")
_ROW_HEADS = ("Dataset", "IPC", "Method")  # columns of a flat table that name the row


@dataclass(frozen=True)
class GridHead:
    """A head above `span` columns."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class GridCell:
    """A number in its parts, followed by words (`rest`), `span` columns wide. head: whether it names its row."""

    entry: TableEntry
    rest: str = ""
    head: bool = False
    span: int = 1


@dataclass
class TableGrid:
    """heads: rows of heads, each of which spans all columns. blocks: a name, which may be "", and rows of cells."""

    title: str
    label: str
    heads: list[list[GridHead]]
    blocks: list[tuple[str, list[list[GridCell]]]] = field(default_factory=list)
    captions: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(head.span for head in self.heads[-1])


def to_grid(table: AnyTable) -> TableGrid:
    """The grid of a table of any kind."""
    if isinstance(table, Matrix):
        grid = _of_matrix(table)
    else:
        grid = _of_across(table) if isinstance(table, AcrossTable) else _of_table(table)
    grid.captions, grid.notes = table.captions, table.notes
    return grid


def parse_number(text: str, rank: str = "") -> GridCell:
    """The parts of a printed number: "48.9 ± 0.4† (1) n.s." is 48.9, 0.4, of a single set, and "(1) n.s."."""
    match = _NUMBER.fullmatch(text)
    if match is None or match["spread"] is None:
        number, _, rest = text.partition(" ") if rank else (text, "", "")
        return GridCell(TableEntry(number, rank=rank), rest)
    return GridCell(TableEntry(match["mean"], match["spread"], bool(match["single"]), rank), match["rest"] or "")


def unique_labels(labels: Sequence[str]) -> list[str]:
    """The labels, with ".2", ".3", … added to those that came before."""
    seen: Counter[str] = Counter()
    unique = []
    for label in labels:
        seen[label] += 1
        unique.append(label if seen[label] == 1 else f"{label}.{seen[label]}")
    return unique


# --- of each kind -----------------------------------------------------------------------------------------------------


def _of_table(table: Table) -> TableGrid:
    row_heads = {index for index, name in enumerate(table.columns) if name in _ROW_HEADS}
    grid = TableGrid(table.title, table.label, [[GridHead(name) for name in table.columns]])
    for index, row in enumerate(table.rows):
        if not index or table.starts_block(index):
            grid.blocks.append(("", []))
        cells = [
            GridCell(TableEntry(text), head=True)
            if column in row_heads
            else parse_number(text, table.ranks.get((index, column), ""))
            for column, text in enumerate(row)
        ]
        grid.blocks[-1][1].append(cells)
    return grid


def _of_matrix(matrix: Matrix) -> TableGrid:
    datasets = [GridHead(dataset.title, len(dataset.ipcs)) for dataset in matrix.datasets]
    ipcs = [GridHead(ipc) for dataset in matrix.datasets for ipc in dataset.ipcs]
    ratios = [GridHead(share) for dataset in matrix.datasets for share in dataset.ratios]
    heads = [[GridHead("Dataset"), *datasets], [GridHead("IPC"), *ipcs], [GridHead("Ratio %"), *ratios]]
    grid = TableGrid(matrix.title, matrix.label, heads)
    for family, block in matrix.blocks:
        grid.blocks.append((family, [_row(row) for row in block]))
    if matrix.whole:
        spans = [len(dataset.ipcs) for dataset in matrix.datasets]
        grid.blocks.append(("", [_row(row, spans) for row in matrix.whole]))
    return grid


def _of_across(across: AcrossTable) -> TableGrid:
    grid = TableGrid(across.title, across.label, [[GridHead("Method"), *map(GridHead, across.heads)]])
    for group in across.groups:
        rows = [_row(row) for _, block in group.blocks for row in block]
        grid.blocks.append((f"IPC {group.ipc} ({group.ratio} %)", rows))
    if across.whole:
        grid.blocks.append(("", [_row(row) for row in across.whole]))
    return grid


def _row(row: MethodRow, spans: Sequence[int] = ()) -> list[GridCell]:
    widths = spans or [1] * len(row.entries)
    cells = (GridCell(entry, entry.remark, span=width) for entry, width in zip(row.entries, widths, strict=True))
    return [GridCell(TableEntry(row.title), head=True), *cells]


# --- for a spreadsheet ------------------------------------------------------------------------------------------------


def to_sheet(grid: TableGrid) -> list[list[str]]:
    """Rows of plain text below one row of heads; deviations and remarks, where there are any, are separate columns.

    Numbers have no commas between their thousands and missing ones are empty, so that any program reads them.
    """
    rows = [(name, row) for name, block in grid.blocks for row in block]
    named = any(name for name, _ in grid.blocks)
    expanded = [[cell for cell in row for _ in range(cell.span)] for _, row in rows]
    columns = [_SheetColumn.of(head, [row[i] for row in expanded]) for i, head in enumerate(_flat_heads(grid))]
    lines = [[*(["Block"] if named else []), *(text for column in columns for text in column.heads)]]
    for index, (name, _) in enumerate(rows):
        lines.append([*([name] if named else []), *(text for column in columns for text in column.texts(index))])
    return lines


@dataclass(frozen=True)
class _SheetColumn:
    """A column of a grid as up to three columns of a spreadsheet: the number, its deviation and a remark."""

    heads: list[str]
    cells: list[GridCell]
    has_spread: bool
    has_remark: bool

    @classmethod
    def of(cls, head: str, cells: list[GridCell]) -> _SheetColumn:
        has_spread, has_remark = any(cell.entry.spread for cell in cells), any(map(_remark, cells))
        heads = [head, *([f"{head} ±"] if has_spread else []), *([f"{head} remark"] if has_remark else [])]
        return cls(heads, cells, has_spread, has_remark)

    def texts(self, row: int) -> Iterator[str]:
        cell = self.cells[row]
        yield cell.entry.mean if cell.head else plain_number(cell.entry.mean)
        yield from [cell.entry.spread] if self.has_spread else []
        yield from [_remark(cell)] if self.has_remark else []


def plain_number(text: str) -> str:
    """ "1,438" as "1438", "−0.4" with a hyphen, "–" as ""; any other text as it is."""
    if text == "–":
        return ""
    number = text.replace(",", "").replace("−", "-")
    return number if re.fullmatch(r"[+-]?\d+(\.\d+)?", number) else text


def _remark(cell: GridCell) -> str:
    entry = cell.entry
    words = [entry.rank, "one set" if entry.single else "", f"({entry.note})" if entry.note else "", cell.rest]
    return " ".join(filter(None, words))


def _flat_heads(grid: TableGrid) -> list[str]:
    """One head for each column, from all heads above it: "CIFAR-10, IPC 10, Ratio % 0.2"."""
    lines = [[head.text for head in line for _ in range(head.span)] for line in grid.heads]
    if len(lines) == 1:
        return lines[0]
    (_, *kinds), *columns = zip(*lines, strict=True)
    heads = [[first, *(f"{kind} {text}" for kind, text in zip(kinds, rest, strict=True))] for first, *rest in columns]
    return ["Method", *map(", ".join, heads)]
