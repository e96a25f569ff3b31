"""Tables as LaTeX that needs no package but booktabs; everything written is ASCII, so that any engine reads it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from results.rendering.grid import GridCell, parse_number, plain_number, unique_labels
from results.rendering.text import head_lines
from results.statistics.ranking import BEST, SECOND
from results.tables.accuracy import DatasetColumns, Matrix, panels
from results.tables.across import AcrossTable, IpcGroup
from results.tables.entries import MISSING, MethodRow, TableEntry
from results.tables.model import Table
from results.tables.registry import AnyTable

_MAX_COLUMNS = 12  # of numbers side by side in a matrix; further datasets follow in another float
_MAX_HEADS = 8  # networks or protocols side by side
_MAX_ROWS = 32  # of one float; more rows follow in another one
_MAX_FLOATS = 18  # tables that LaTeX holds back unless told otherwise
# Names longer than this many characters are broken into lines of this width.
_ROW_NAME, _ROW_NAME_WIDTH = 28, "34mm"
_TEXT_NAME, _TEXT_NAME_WIDTH = 34, "53mm"

Body = tuple[list[str], set[int]]  # the lines of a tabular, and the numbers of the notes that it cites

_HEAD = r"""% Needs \usepackage{booktabs} and nothing else:
%   \documentclass{article}
%   \usepackage{booktabs}
%   \begin{document}
%   \input{tables}
%   \end{document}
"""

ARTICLE = r"""% A document of all tables: pdflatex article.tex, twice.
\documentclass[a4paper]{article}
\usepackage{booktabs}
\setlength{\textwidth}{180mm}
\setlength{\textheight}{255mm}
\setlength{\oddsidemargin}{-10mm}
\setlength{\topmargin}{-25mm}
\begin{document}
\input{tables}
\end{document}
"""


def document(tables: Iterable[AnyTable]) -> str:
    r"""The text of a file to \input: a comment on its use, then every table with a unique label."""
    tables = list(tables)
    labels = unique_labels(["tab:" + re.sub(r"[^A-Za-z0-9.]+", "-", table.label).strip("-") for table in tables])
    texts = [to_latex(table, label) for table, label in zip(tables, labels, strict=True)]
    floats = sum(text.count(r"\begin{table*}") for text in texts)
    room = rf"\extrafloats{{{floats}}}  % LaTeX waits with few of them at once" + "\n" if floats > _MAX_FLOATS else ""
    return "\n".join([_HEAD + room, *texts])


def to_latex(table: AnyTable, label: str) -> str:
    """A table environment as wide as a page; a larger table has several, with labels that end in -2, -3, …"""
    if isinstance(table, Matrix):
        return _floats(table, [_matrix_body(table, panel) for panel in panels(table.datasets, _MAX_COLUMNS)], label)
    if isinstance(table, AcrossTable):
        heads = _equal_parts(range(len(table.heads)), _MAX_HEADS)
        return _floats(
            table, [_across_body(part, p) for part in _across_parts(table) for p in heads], label, table.title
        )
    return _floats(table, [_table_body(table, rows) for rows in _table_parts(table)], label, table.title)


# --- floats -----------------------------------------------------------------------------------------------------------


def _floats(table: AnyTable, bodies: Sequence[Body], label: str, title: str = "") -> str:
    """The parts of one table. title: begins the caption, if the captions do not say what the table shows."""
    texts = []
    for number, (tabular, cited) in enumerate(bodies, 1):
        sentences = [f"{title}."] * bool(title) + list(table.captions)
        caption, part_label = "%\n" + "\n".join(map(_sentence, sentences)), label
        if number > 1:
            caption, part_label = rf"Continues Table~\ref{{{label}}}.", f"{label}-{number}"
        notes = [rf"({number}) {escape(text)}\par" for number, text in enumerate(table.notes, 1) if number in cited]
        texts.append(_float(tabular, notes, rf"[{{{escape(table.title)}}}]{{{caption}}}", part_label))
    return "\n".join(texts)


def _sentence(text: str) -> str:
    """A sentence of a caption; no line ends before a unit or within "5 × 5"."""
    return escape(text).replace(r" \%", r"~\%").replace(r" $\times$ ", r"~$\times$~")


def _float(tabular: Sequence[str], notes: Sequence[str], caption: str, label: str) -> str:
    lines = [r"\begin{table*}[tbp]", r"\centering", rf"\caption{caption}", rf"\label{{{label}}}", r"\medskip"]
    lines += [r"\footnotesize", r"\setlength{\tabcolsep}{2.5pt}"]
    lines += [r"\makebox[\textwidth][c]{%  centered even if it is wider than the text", *tabular, "}"]
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\textwidth}\raggedright", *notes, r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def _tabular(layout: str, lines: Iterable[str]) -> list[str]:
    return [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]


def _line(texts: Iterable[str]) -> str:
    return " & ".join(texts).strip() + r" \\"


def _name(text: str, longest: int, width: str) -> str:
    """A name, which is broken into several lines if it is too long."""
    if len(text) <= longest:
        return escape(text)
    breakable = re.sub(r"(\\_|[=,/+])", r"\1\\allowbreak{}", escape(text))
    return rf"\parbox[t]{{{width}}}{{\raggedright\hangindent=1em\hangafter=1 {breakable}\strut}}"


def _equal_parts(items: range, longest: int) -> list[range]:
    """As few parts as possible, of about equal length."""
    size = -(-len(items) // -(-len(items) // longest))
    return [items[start : start + size] for start in range(0, len(items), size)]


# --- matrices ---------------------------------------------------------------------------------------------------------


def _matrix_body(matrix: Matrix, panel: Sequence[int]) -> Body:
    """The datasets with the indices in `panel`."""
    datasets = [matrix.datasets[index] for index in panel]
    columns = [matrix.columns.index((dataset.name, ipc)) for dataset in datasets for ipc in dataset.ipcs]
    blocks = [[(row, [row.entries[column] for column in columns]) for row in block] for _, block in matrix.blocks]
    wholes = [(row, [row.entries[index] for index in panel]) for row in matrix.whole]
    lines = list(_matrix_heads(datasets))
    for block in blocks:
        lines += [r"\midrule", *(_method_line(row, map(_entry, entries)) for row, entries in block)]
    lines += [r"\midrule"] if wholes else []
    for row, entries in wholes:
        lines.append(_method_line(row, [_spanning(d, _entry(e)) for d, e in zip(datasets, entries, strict=True)]))
    shown = [entry for _, entries in [*(pair for block in blocks for pair in block), *wholes] for entry in entries]
    return _tabular(f"l{'c' * len(columns)}", lines), _notes(shown)


def _matrix_heads(datasets: Sequence[DatasetColumns]) -> Iterator[str]:
    yield _line(["", *(_spanning(dataset, escape(dataset.title)) for dataset in datasets)])
    rules, first = [], 2
    for dataset in datasets:
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(dataset.ipcs) - 1}}}")
        first += len(dataset.ipcs)
    yield "".join(rules)
    yield _line(["IPC", *(escape(text) for dataset in datasets for text in dataset.ipcs)])
    yield _line([r"Ratio (\%)", *(escape(text) for dataset in datasets for text in dataset.ratios)])


def _spanning(dataset: DatasetColumns, text: str) -> str:
    return rf"\multicolumn{{{len(dataset.ipcs)}}}{{c}}{{{text}}}"


# --- networks or protocols across -------------------------------------------------------------------------------------


def _across_parts(across: AcrossTable) -> Iterator[AcrossTable]:
    """Parts with as many ipcs as fit on a page; the whole set is in the last."""
    groups: list[IpcGroup] = []
    for group in across.groups:
        if groups and sum(1 + len(_group_rows(g)) for g in [*groups, group]) > _MAX_ROWS:
            yield replace(across, groups=groups, whole=[])
            groups = []
        groups.append(group)
    yield replace(across, groups=groups)


def _group_rows(group: IpcGroup) -> list[MethodRow]:
    return [row for _, block in group.blocks for row in block]


def _across_body(across: AcrossTable, panel: Sequence[int]) -> Body:
    """The columns with the indices in `panel`: an ipc above its methods, and space between families."""

    def method_line(row: MethodRow) -> str:
        return _method_line(row, [_entry(row.entries[index]) for index in panel])

    lines = [_line(["", *(rf"\shortstack{{{_network_head(across.heads[index])}}}" for index in panel)])]
    for group in across.groups:
        head = rf"\textit{{IPC {group.ipc} ({escape(group.ratio)}~\%)}}"
        lines += [r"\midrule", _line([rf"\multicolumn{{{len(panel) + 1}}}{{l}}{{{head}}}"])]
        for index, (_, block) in enumerate(group.blocks):
            lines += [r"\addlinespace"] if index else []
            lines += map(method_line, block)
    lines += [r"\midrule"] if across.whole else []
    lines += map(method_line, across.whole)
    rows = [*(row for group in across.groups for row in _group_rows(group)), *across.whole]
    return _tabular(f"l{'c' * len(panel)}", lines), _notes(row.entries[index] for row in rows for index in panel)


def _network_head(name: str) -> str:
    """A network's name with its options on a second line: "convnet3" above "-bn-w64"."""
    head, dash, options = name.partition("-")
    return escape(head) + (rf"\\{escape(dash + options)}" if dash else "")


def _method_line(row: MethodRow, entries: Iterable[str]) -> str:
    return _line([_name(row.title, _ROW_NAME, _ROW_NAME_WIDTH), *entries])


def _notes(entries: Iterable[TableEntry]) -> set[int]:
    return {entry.note for entry in entries if entry.note}


def _entry(entry: TableEntry) -> str:
    """The deviation as a subscript; †, the note's number and a remark ("n.s.") as superscripts."""
    remark = rf"\mathrm{{{entry.remark}}}" if entry.remark else ""
    marks = [r"\dagger" if entry.single else "", f"({entry.note})" if entry.note else "", remark]
    above = f"^{{{','.join(filter(None, marks))}}}" if any(marks) else ""
    if entry.mean == MISSING:
        return "--" + (f"${above}$" if above else "")
    return _number(entry.mean, entry, above)


def _number(mean: str, entry: TableEntry, above: str) -> str:
    below = rf"_{{\pm {entry.spread}}}" if entry.spread else ""
    if entry.rank == BEST:
        return rf"\textbf{{$\mathbf{{{mean}}}{below}{above}$}}"
    number = rf"\underline{{{mean}}}" if entry.rank == SECOND else mean
    return f"${number}{below}{above}$"


# --- flat tables ------------------------------------------------------------------------------------------------------


def _table_parts(table: Table) -> list[range]:
    """The rows of each float: whole blocks as far as they fit; a block that is too long alone is split."""
    starts = [index for index in range(len(table.rows)) if not index or table.starts_block(index)]
    parts = [range(0)]
    for start, end in zip(starts, [*starts[1:], len(table.rows)], strict=True):
        if parts[-1] and end - parts[-1].start <= _MAX_ROWS:
            parts[-1] = range(parts[-1].start, end)
        else:
            parts += _equal_parts(range(start, end), _MAX_ROWS)
    return parts[1:] or parts


def _table_body(table: Table, rows: range) -> Body:
    is_text = [name in table.text_columns for name in table.columns]
    heads = [_text_name(name) if text else _head(name) for name, text in zip(table.columns, is_text, strict=True)]
    lines = [_line(heads), r"\midrule"]
    for index in rows:
        if index != rows[0] and table.starts_block(index):
            lines.append(r"\addlinespace")
        lines.append(_line(
            _text_name(text) if is_text[column] else _cell(parse_number(text, table.ranks.get((index, column), "")))
            for column, text in enumerate(table.rows[index])
        ))  # fmt: skip
    texts = " ".join(text for index in rows for text in table.rows[index])
    cited = {int(number) for number in re.findall(r"(?:\(|≠)(\d+)\b", texts)}  # "(1)", "≠1"
    return _tabular("".join("l" if text else "r" for text in is_text), lines), cited


def _cell(cell: GridCell) -> str:
    """A number with its deviation as a subscript, followed by its remark."""
    entry, mean = cell.entry, plain_number(cell.entry.mean)
    if not (entry.spread or entry.rank) or not re.fullmatch(r"[+-]?[\d.]+", mean):
        spread = f" ± {entry.spread}{'†' if entry.single else ''}" if entry.spread else ""
        return escape(f"{entry.mean}{spread} {cell.rest}".strip())
    above = r"^{\dagger}" if entry.single else ""
    return f"{_number(mean, entry, above)} {escape(cell.rest)}".strip()


def _head(name: str) -> str:
    lines = head_lines(name)
    stacked = r"\\".join(map(escape, lines))
    return rf"\shortstack{{{stacked}}}" if len(lines) > 1 else stacked


def _text_name(text: str) -> str:
    return _name(text, _TEXT_NAME, _TEXT_NAME_WIDTH)


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
