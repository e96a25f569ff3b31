"""Any table as a grid of cells with heads that may span several columns: what HTML and spreadsheets are made from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from results.tables.accuracy import Matrix
from results.tables.across import Cross
from results.tables.entries import Entry, Line
from results.tables.model import Table
from results.tables.registry import Shown

_NUMBER = re.compile(r"(?P<mean>\S+)(?: ± (?P<spread>[\d.,]+)(?P<single>†?))?(?: (?P<rest>.*))?")
_ROW_HEADS = ("Dataset", "IPC", "Method")  # columns of a flat table that say what a row is of


@dataclass(frozen=True)
class Head:
    """What stands above `span` columns."""

    text: str
    span: int = 1


@dataclass(frozen=True)
class Cell:
    """A number in parts, with words behind it; a head names its row; `span` columns wide."""

    entry: Entry
    rest: str = ""
    head: bool = False
    span: int = 1


@dataclass
class Grid:
    """heads: lines of heads, of which each spans all columns. blocks: a name, "" for none, and rows of cells."""

    title: str
    label: str
    heads: list[list[Head]]
    blocks: list[tuple[str, list[list[Cell]]]] = field(default_factory=list)
    captions: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(head.span for head in self.heads[-1])


def grid(shown: Shown) -> Grid:
    """The grid of a table of any kind."""
    make = {Table: _of_table, Matrix: _of_matrix, Cross: _of_cross}[type(shown)]
    found: Grid = make(shown)  # type: ignore[operator]
    found.captions, found.notes = shown.captions, shown.notes
    return found


def parts(text: str, rank: str = "") -> Cell:
    """A number as tables print it, taken apart: "48.9 ± 0.4† (1) n.s." is 48.9, 0.4, of a single set, and words."""
    found = _NUMBER.fullmatch(text)
    if found is None or found["spread"] is None:
        number, _, rest = text.partition(" ") if rank else (text, "", "")
        return Cell(Entry(number, rank=rank), rest)
    return Cell(Entry(found["mean"], found["spread"], bool(found["single"]), rank), found["rest"] or "")


# --- of each kind -----------------------------------------------------------------------------------------------------


def _of_table(table: Table) -> Grid:
    heads = {place for place, name in enumerate(table.columns) if name in _ROW_HEADS}
    made = Grid(table.title, table.label, [[Head(name) for name in table.columns]])
    for place, row in enumerate(table.rows):
        if not place or table.begins(place):
            made.blocks.append(("", []))
        cells = [
            Cell(Entry(text), head=True) if column in heads else parts(text, table.ranks.get((place, column), ""))
            for column, text in enumerate(row)
        ]
        made.blocks[-1][1].append(cells)
    return made


def _of_matrix(matrix: Matrix) -> Grid:
    across = [Head(dataset.title, len(dataset.ipcs)) for dataset in matrix.datasets]
    ipcs = [Head(images) for dataset in matrix.datasets for images in dataset.ipcs]
    ratios = [Head(share) for dataset in matrix.datasets for share in dataset.ratios]
    heads = [[Head("Dataset"), *across], [Head("IPC"), *ipcs], [Head("Ratio %"), *ratios]]
    made = Grid(matrix.title, matrix.label, heads)
    for family, lines in matrix.blocks:
        made.blocks.append((family, [_row(line) for line in lines]))
    if matrix.whole:
        spans = [len(dataset.ipcs) for dataset in matrix.datasets]
        made.blocks.append(("", [_row(line, spans) for line in matrix.whole]))
    return made


def _of_cross(cross: Cross) -> Grid:
    made = Grid(cross.title, cross.label, [[Head("Method"), *map(Head, cross.heads)]])
    for group in cross.groups:
        rows = [_row(line) for _, lines in group.blocks for line in lines]
        made.blocks.append((f"IPC {group.ipc} ({group.ratio} %)", rows))
    if cross.whole:
        made.blocks.append(("", [_row(line) for line in cross.whole]))
    return made


def _row(line: Line, spans: Sequence[int] = ()) -> list[Cell]:
    widths = spans or [1] * len(line.entries)
    cells = (Cell(entry, entry.doubt, span=width) for entry, width in zip(line.entries, widths, strict=True))
    return [Cell(Entry(line.title), head=True), *cells]


# --- for a spreadsheet ------------------------------------------------------------------------------------------------


def sheet(made: Grid) -> list[list[str]]:
    """Lines of plain cells: heads in one line, a column for a deviation where there are some, then for words.

    Numbers lose the commas between their thousands, and what is missing is empty, so that any program reads them.
    """
    rows = [(name, row) for name, block in made.blocks for row in block]
    named = any(name for name, _ in made.blocks)
    wide = [[cell for cell in row for _ in range(cell.span)] for _, row in rows]
    columns = [_Column.of(head, [row[place] for row in wide]) for place, head in enumerate(_flat_heads(made))]
    lines = [[*(["Block"] if named else []), *(text for column in columns for text in column.heads)]]
    for place, (name, _) in enumerate(rows):
        lines.append([*([name] if named else []), *(text for column in columns for text in column.cells(place))])
    return lines


@dataclass(frozen=True)
class _Column:
    """One column of a grid as up to three of a spreadsheet."""

    heads: list[str]
    held: list[Cell]
    spread: bool
    words: bool

    @classmethod
    def of(cls, head: str, held: list[Cell]) -> _Column:
        spread, words = any(cell.entry.spread for cell in held), any(map(_said, held))
        heads = [head, *([f"{head} ±"] if spread else []), *([f"{head} remark"] if words else [])]
        return cls(heads, held, spread, words)

    def cells(self, row: int) -> Iterator[str]:
        cell = self.held[row]
        yield cell.entry.mean if cell.head else plain_number(cell.entry.mean)
        yield from [cell.entry.spread] if self.spread else []
        yield from [_said(cell)] if self.words else []


def plain_number(text: str) -> str:
    """ "1,438" as 1438, "−0.4" with a hyphen, "–" as nothing; any other text as it is."""
    if text == "–":
        return ""
    number = text.replace(",", "").replace("−", "-")
    return number if re.fullmatch(r"[+-]?\d+(\.\d+)?", number) else text


def _said(cell: Cell) -> str:
    entry = cell.entry
    said = [entry.rank, "one set" if entry.single else "", f"({entry.note})" if entry.note else "", cell.rest]
    return " ".join(filter(None, said))


def _flat_heads(made: Grid) -> list[str]:
    """One head for each column, of all that stand above it: "CIFAR-10, IPC 10, Ratio % 0.2"."""
    lines = [[head.text for head in line for _ in range(head.span)] for line in made.heads]
    if len(lines) == 1:
        return lines[0]
    words = [name for name, *_ in lines]
    columns = list(zip(*lines, strict=True))[1:]
    named = [[column[0], *(f"{word} {text}" for word, text in zip(words[1:], column[1:], strict=True))]
             for column in columns]  # fmt: skip
    return ["Method", *(", ".join(texts) for texts in named)]
