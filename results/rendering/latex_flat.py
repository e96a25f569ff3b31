"""Flat tables as LaTeX: the columns of `forms.Table`, in parts of as many rows as a page holds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from results.rendering.escape import escape
from results.rendering.grid import Cell, parts, plain_number
from results.statistics.ranking import BEST, SECOND
from results.tables.model import Table

LONGEST = 32  # rows of one float; more continue in another
_WORDS_WIDTH = 34  # characters on one line of a column of words
_MILLIMETRES = 1.55  # of a character of it, about


def bodies(table: Table) -> list[tuple[list[str], str]]:
    """Parts of the table: the lines of a tabular, and all text in it, in which notes are cited."""
    return [_tabular(table, rows) for rows in _pages(table)]


def _pages(table: Table) -> list[range]:
    """Rows of each part: whole blocks as far as they fit, one that is too long in pieces of about equal length."""
    starts = [place for place in range(len(table.rows)) if not place or table.begins(place)]
    found = [range(0)]
    for start, end in zip(starts, [*starts[1:], len(table.rows)], strict=True):
        if found[-1] and end - found[-1].start <= LONGEST:
            found[-1] = range(found[-1].start, end)
            continue
        size = -(-(end - start) // -(-(end - start) // LONGEST))
        found += [range(first, min(first + size, end)) for first in range(start, end, size)]
    return found[1:] or found


def _tabular(table: Table, rows: Sequence[int]) -> tuple[list[str], str]:
    words = [name in table.words for name in table.columns]
    heads = [_words(name) if is_words else _head(name) for name, is_words in zip(table.columns, words, strict=True)]
    layout = "".join("l" if is_words else "r" for is_words in words)
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", _line(heads), r"\midrule"]
    for place in rows:
        if place != rows[0] and table.begins(place):
            lines.append(r"\addlinespace")
        cells = enumerate(table.rows[place])
        lines.append(_line([_words(text) if words[c] else _number(table, place, c, text) for c, text in cells]))
    said = " ".join(text for place in rows for text in table.rows[place])
    return [*lines, r"\bottomrule", r"\end{tabular}"], said


def _number(table: Table, row: int, column: int, text: str) -> str:
    return cell_to_latex(parts(text, table.ranks.get((row, column), "")))


def cell_to_latex(cell: Cell) -> str:
    """A number with its deviation as a subscript and what is noted beside it behind."""
    entry, mean = cell.entry, plain_number(cell.entry.mean)
    if not (entry.spread or entry.rank) or not re.fullmatch(r"[+-]?[\d.]+", mean):
        spread = f" ± {entry.spread}{'†' if entry.single else ''}" if entry.spread else ""
        return escape(f"{entry.mean}{spread} {cell.rest}".strip())
    below = rf"_{{\pm {entry.spread}}}" if entry.spread else ""
    above = r"^{\dagger}" if entry.single else ""
    number = rf"${_ranked(mean, entry.rank)}{below}{above}$"
    number = rf"\textbf{{{number}}}" if entry.rank == BEST else number
    return f"{number} {escape(cell.rest)}".strip()


def _ranked(text: str, rank: str) -> str:
    if rank == BEST:
        return rf"\mathbf{{{text}}}"
    return rf"\underline{{{text}}}" if rank == SECOND else text


def _head(name: str) -> str:
    """Units and what is in brackets on a line of their own."""
    broken = re.sub(r" (?=\(|peak|%|s\b|ipc\b)|(?<=/) ", "\n", name).split("\n")
    lines = r"\\".join(map(escape, broken))
    return escape(name) if len(broken) == 1 else rf"\shortstack{{{lines}}}"


def _words(text: str) -> str:
    if len(text) <= _WORDS_WIDTH:
        return escape(text)
    broken = re.sub(r"(\\_|[=,/+])", r"\1\\allowbreak{}", escape(text))
    width = f"{_MILLIMETRES * _WORDS_WIDTH:.0f}mm"
    return rf"\parbox[t]{{{width}}}{{\raggedright\hangindent=1em\hangafter=1 {broken}\strut}}"


def _line(texts: Sequence[str]) -> str:
    return " & ".join(texts).strip() + r" \\"
