"""Tables as LaTeX that needs no package but booktabs; everything written is ASCII, so that any engine reads it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from results.rendering.html import unique_labels
from results.rendering.text import head_lines
from results.statistics.ranking import BEST, NOT_SIGNIFICANT, NOT_TESTED, SECOND
from results.tables.model import Column, Entry, RowBlock, Table, split_wide

T = TypeVar("T")
REMARK_SIGNS = {NOT_SIGNIFICANT: r"\circ", NOT_TESTED: r"\diamond"}  # above a number, explained in the caption

_MAX_COLUMNS, _MAX_LONG_HEADS = 12, 8  # of a wide table side by side, with several heads and with single long ones
_TEXT_WIDTH, _CHARACTER = 397, 4.6  # points: of 5.5 inches, and of a character in a table
_MAX_ROWS = 32  # of one float; more rows follow in another one
_CAPTION = 165  # characters of a caption: two lines; what the table has more to say is below it
_MAX_FLOATS = 18  # tables that LaTeX holds back unless told otherwise
# Names longer than this many characters are broken into lines of this width.
_ROW_NAME, _WORDS = (28, "34mm"), (34, "53mm")

_HEAD = r"""% Needs \usepackage{booktabs} and nothing else:
%   \documentclass{article}
%   \usepackage{booktabs}
%   \begin{document}
%   \input{tables}
%   \end{document}
"""

ARTICLE = r"""% A document of all tables and figures: pdflatex article.tex, twice.
\documentclass[a4paper]{article}
\usepackage{booktabs,graphicx}
\setlength{\textwidth}{5.5in}
\setlength{\textheight}{255mm}
\setlength{\oddsidemargin}{0.385in}
\setlength{\topmargin}{-25mm}
\begin{document}
\input{tables}
\clearpage
\IfFileExists{figures/captions.tex}{\input{figures/captions}}{}
\end{document}
"""


def document(tables: Iterable[Table]) -> str:
    r"""The text of a file to \input: a comment on its use, then every table with a unique label."""
    tables = list(tables)
    labels = unique_labels(["tab:" + re.sub(r"[^A-Za-z0-9.]+", "-", table.label).strip("-") for table in tables])
    texts = [to_latex(table, label) for table, label in zip(tables, labels, strict=True)]
    floats = sum(text.count(r"\begin{table*}") for text in texts)
    return "\n".join([_HEAD + room_for(floats), *texts])


def room_for(floats: int) -> str:
    """A line for a document with more floats than LaTeX holds back unless told otherwise, else ""."""
    return rf"\extrafloats{{{floats}}}\maxdeadcycles={1000 + floats}" + "\n" if floats > _MAX_FLOATS else ""


def to_latex(table: Table, label: str) -> str:
    """A table environment as wide as a page of 5.5 inches; a larger table has several, with labels -2, -3, …"""
    parts = [part for rows in _split_long(table) for part in _split_to_fit(rows)]
    return "\n".join(_float(part, label, number) for number, part in enumerate(parts, 1))


def _split_to_fit(table: Table) -> list[Table]:
    """The table in as few parts as fit beside the columns that name the rows."""
    max_columns = _MAX_COLUMNS if any(column.heads for column in table.columns) else _MAX_LONG_HEADS
    parts = split_wide(table, max_columns)
    while max_columns > 1 and any(_width(part) > _TEXT_WIDTH for part in parts):
        max_columns -= 1
        parts = split_wide(replace(table, wide=True), max_columns)
    return parts


def _width(table: Table) -> float:
    """The width of a table in points, estimated from its characters; columns under a wide common head are wider."""
    widths = []
    for index, column in enumerate(table.columns):
        longest = _ROW_NAME[0] if column.names_row else _WORDS[0]
        lines = column.heads[1:] or _head_lines(column)
        texts = [min(len(line), longest) * _CHARACTER for line in lines]
        texts += [_entry_width(table, column, row[index], longest) for row in table.rows if row[index].span == 1]
        widths.append(max(texts, default=0.0) + 5)
    extra = 0.0
    for outer, same in groupby(zip(table.columns, widths, strict=True), lambda pair: pair[0].heads[:1]):
        extra += max(0.0, sum(map(len, outer)) * _CHARACTER + 5 - sum(width for _, width in same))
    return sum(widths) + extra


def _entry_width(table: Table, column: Column, entry: Entry, longest: int) -> float:
    above = [*table.note_numbers(entry), *(["†"] if entry.single else [])]
    if column.text and not column.print_spread(entry):
        return min(len(f"{column.print(entry)} {entry.words}".strip()), longest) * _CHARACTER + 8 * len(above)
    short = entry.words in REMARK_SIGNS
    small = (
        len(column.print_spread(entry)) + 2 * bool(column.print_spread(entry)) + (2 if short else 0) + 3 * len(above)
    )
    return (len(column.print(entry)) + (0 if short else len(entry.words))) * _CHARACTER + 3.6 * small


def _split_long(table: Table) -> Iterator[Table]:
    """Parts of at most _MAX_ROWS rows: whole blocks as far as they fit; a block that is too long alone is split."""
    parts: list[list[RowBlock]] = []
    for block in table.blocks:
        for rows in _equal_parts(block.rows, _MAX_ROWS):
            if not parts or len(rows) + sum(len(other.rows) for other in parts[-1]) > _MAX_ROWS:
                parts.append([])
            parts[-1].append(RowBlock(block.name, rows))
    return (replace(table, blocks=blocks) for blocks in parts or [[]])


# --- floats -----------------------------------------------------------------------------------------------------------


def _sentence(text: str) -> str:
    """A sentence of a caption, with signs in place of remarks; no line ends before a unit or within "5 × 5"."""
    text = escape(text).replace(r" \%", r"~\%").replace(r" $\times$ ", r"~$\times$~")
    for remark, sign in REMARK_SIGNS.items():
        text = text.replace(f"{remark}:", f"${sign}$:")
    return text


def _float(table: Table, label: str, number: int) -> str:
    """One part of a table. number: of the part; all but the first refer to that for the captions.

    The meaning of signs is in the caption, and what else fits into its two lines; the rest is below the table.
    """
    above, rest = [f"{table.title}."], list[str]()
    for text in _signs_first(table.captions):
        fits = len(" ".join([*above, text])) <= _CAPTION
        (above if fits else rest).append(text)
    below = list(map(_sentence, rest))
    caption = "%\n" + "\n".join(map(_sentence, above))
    if number > 1:
        below = []
        caption, label = rf"Continues Table~\ref{{{label}}}.", f"{label}-{number}"
    lines = [r"\begin{table*}[tbp]", r"\centering", rf"\caption[{{{escape(table.title)}}}]{{{caption}}}"]
    lines += [rf"\label{{{label}}}", r"\medskip", r"\footnotesize", r"\setlength{\tabcolsep}{2.5pt}"]
    lines += [r"\makebox[\textwidth][c]{%  centered even if it is wider than the text", *_tabular(table), "}"]
    cited = sorted({note for row in table.rows for entry in row for note in table.note_numbers(entry)})
    below += [f"({note}) {escape(table.notes[note - 1])}" for note in cited]
    if below:
        texts = [rf"{text}\par" for text in below]
        lines += [r"\par\smallskip", r"\begin{minipage}{\textwidth}\raggedright", *texts, r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def _signs_first(captions: Iterable[str]) -> list[str]:
    """The captions after the sentence on the signs, with which one of them may begin."""
    texts: list[str] = []
    for line in captions:
        first, stop, rest = line.partition(". ")
        if any(first.startswith(f"{remark}:") for remark in REMARK_SIGNS):
            texts.insert(0, first + stop.strip())
            line = rest
        texts += [line] if line else []
    return texts


def _tabular(table: Table) -> list[str]:
    several = any(column.heads for column in table.columns)
    layout = "".join("l" if column.text else "c" if several else "r" for column in table.columns)
    lines = list(_heads_above_each_other(table)) if several else [_line(map(_head, table.columns))]
    for block in table.blocks:
        lines.append(r"\midrule")
        lines += (_line(_entries(table, row)) for row in block.rows)
    return [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]


def _line(texts: Iterable[str]) -> str:
    return " & ".join(texts).strip() + r" \\"


def _name(text: str, longest: int, width: str) -> str:
    """A name, which is broken into several lines if it is too long."""
    if len(text) <= longest:
        return escape(text)
    breakable = re.sub(r"(\\_|[=,/+])", r"\1\\allowbreak{}", escape(text))
    return rf"\parbox[t]{{{width}}}{{\raggedright\hangindent=1em\hangafter=1 {breakable}\strut}}"


def _equal_parts(items: list[T], longest: int) -> list[list[T]]:
    """As few parts as possible, of about equal length."""
    size = -(-len(items) // max(1, -(-len(items) // longest)))
    return [items[start : start + size] for start in range(0, len(items), size)]


# --- heads ------------------------------------------------------------------------------------------------------------


def _head(column: Column) -> str:
    """A head, with its unit or a network's options on a line of their own: "convnet3" above "-bn-w64"."""
    if column.text:
        return _name(column.title, *_WORDS)
    lines = _head_lines(column)
    stacked = r"\\".join(map(escape, lines))
    return rf"\shortstack{{{stacked}}}" if len(lines) > 1 else stacked


def _head_lines(column: Column) -> list[str]:
    lines = [column.title] if column.text else head_lines(column.title)
    if len(lines) == 1 and " " not in column.title and not column.text:
        head, dash, options = column.title.partition("-")
        lines = [head, dash + options] if dash else lines
    return lines


def _heads_above_each_other(table: Table) -> Iterator[str]:
    """A line for each of the heads; columns of one outer head share it, above a rule."""
    heads = [column.heads for column in table.columns]
    outer, rules, first = [], [], 1
    for text, same in groupby(head[0] for head in heads):
        width = len(list(same))
        outer.append(_spanning(escape(text), width) if first > 1 else escape(text))
        rules += [rf"\cmidrule(lr){{{first}-{first + width - 1}}}"] if first > 1 else []
        first += width
    yield _line(outer)
    yield "".join(rules)
    for line in range(1, len(heads[0])):
        yield _line(escape(head[line]) for head in heads)


def _spanning(text: str, width: int) -> str:
    return rf"\multicolumn{{{width}}}{{c}}{{{text}}}"


# --- entries ----------------------------------------------------------------------------------------------------------


def _entries(table: Table, row: Sequence[Entry]) -> Iterator[str]:
    for column, entry in zip(table.columns, row, strict=True):
        if entry.span:
            text = _entry(table, column, entry)
            yield _spanning(text, entry.span) if entry.span > 1 else text


def _entry(table: Table, column: Column, entry: Entry) -> str:
    """The deviation as a subscript; †, the notes' numbers and the sign of a remark as superscripts."""
    if column.text and not column.print_spread(entry):
        words = " ".join([column.print(entry), entry.words]).strip()
        return _name(words, *(_ROW_NAME if column.names_row else _WORDS)) + _above(table, entry, "")
    sign = REMARK_SIGNS.get(entry.words, "")
    words = "" if sign else entry.words
    above, spread = _above(table, entry, sign), column.print_spread(entry)
    if entry.number is None or not (spread or entry.rank):
        return f"{escape(column.print(entry))}{above} {escape(words)}".strip()
    number = column.print(entry).replace(",", "{,}")
    below = rf"_{{\pm {spread}}}" if spread else ""
    above = f"{{}}{above.strip('$')}" if above else ""  # beside the deviation, not above it
    if entry.rank == BEST:
        shown = rf"\textbf{{$\mathbf{{{number}}}{below}{above}$}}"
    else:
        number = rf"\underline{{{number}}}" if entry.rank == SECOND else number
        shown = f"${number}{below}{above}$"
    return f"{shown} {escape(words)}".strip()


def _above(table: Table, entry: Entry, sign: str) -> str:
    """Marks as a superscript in mathematics, "" if there are none."""
    numbers = (f"({number})" for number in table.note_numbers(entry))
    marks = [r"\dagger" if entry.single else "", *numbers, sign]
    return f"$^{{{','.join(filter(None, marks))}}}$" if any(marks) else ""


# --- any text ---------------------------------------------------------------------------------------------------------

# fmt: off
_SPECIAL = {
    **{character: rf"\{character}" for character in "#$%&_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "`": "{`}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # at the head of a row these would be read as arguments of the last one's \\
    "±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$",
    "≠": r"$\neq$", "≈": r"$\approx$", "√": r"$\surd$", "→": r"$\to$", "∞": r"$\infty$", "°": r"$^{\circ}$",
    "²": "$^{2}$", "³": "$^{3}$", "†": r"$\dagger$", "‡": r"$\ddagger$", "–": "--", "—": "---", "…": r"\ldots{}",
    "‘": "`", "’": "'", "“": "``", "”": "''", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}",
    "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}",
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", (rf"$\{name}$" for name in (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
        "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega")), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΥΦΨΩµ", (rf"$\{name}$" for name in (
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "mu")),
        strict=True)),
}
_ACCENTS = {
    0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: '"', 0x30A: "r",
    0x30B: "H", 0x30C: "v", 0x327: "c",
}
# fmt: on
_LIGATURES = "-',`"  # TeX would join two of them


def escape(text: str) -> str:
    """One line of ASCII that LaTeX sets as the text reads.

    Characters that LaTeX's own fonts lack lose their accents or, as a last resort, become "[U+4E2D]".
    """
    parts: list[str] = []
    before = ""
    for character in unicodedata.normalize("NFC", " ".join(text.split())):
        parts.append("{}" if character == before and character in _LIGATURES else "")
        parts.append(_escape_character(character))
        before = character
    return "".join(parts)


def _escape_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "~":
        return character
    base, *marks = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(marks) == 1 and ord(marks[0]) in _ACCENTS:
        return rf"\{_ACCENTS[ord(marks[0])]}{{{base}}}"
    return _ascii_form(character)


def _ascii_form(character: str) -> str:
    """A compatible ASCII form, of a letter without its marks ("ﬁ" → "fi", "ę" → "e"), else the number."""
    parts = unicodedata.normalize("NFKD", character)
    if character.isalpha():
        parts = "".join(part for part in parts if not unicodedata.combining(part))
    if parts and parts.isascii() and parts.isprintable():
        return escape(parts)
    return "" if unicodedata.category(character)[0] == "C" else f"{{[}}U+{ord(character):04X}{{]}}"
