"""Tables as LaTeX that needs no package but booktabs; everything written is ASCII, so that any engine reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from results.rendering.escape import escape
from results.rendering.latex_flat import LONGEST, bodies
from results.statistics.ranking import BEST, SECOND
from results.tables.accuracy import Dataset, Matrix, panels
from results.tables.across import Cross, Group
from results.tables.entries import MISSING, Entry, Line
from results.tables.registry import Shown

_WIDEST = 12  # columns of numbers side by side; more continue below, dataset by dataset
_MOST_HEADS = 8  # networks or protocols side by side
_LONG = 28  # characters of a row's name that stand on one line
_FLOATS = 18  # tables that LaTeX holds back without being asked for room
_NAME_WIDTH = "34mm"  # of the lines that a longer name is broken into

Body = tuple[list[str], set[int]]

_HEAD = r"""% Needs \usepackage{booktabs} and nothing else:
%   \documentclass{article}
%   \usepackage{booktabs}
%   \begin{document}
%   \input{tables}
%   \end{document}
"""


def document(tables: Iterable[Shown]) -> str:
    r"""The text of a file to \input: a comment on its use, then every table, each with a label of its own."""
    used: Counter[str] = Counter()
    texts = []
    for table in tables:
        label = "tab:" + re.sub(r"[^A-Za-z0-9.]+", "-", table.label).strip("-")
        used[label] += 1
        texts.append(to_latex(table, label if used[label] == 1 else f"{label}.{used[label]}"))
    floats = sum(text.count(r"\begin{table*}") for text in texts)
    room = rf"\extrafloats{{{floats}}}  % LaTeX waits with few of them at once" + "\n" if floats > _FLOATS else ""
    return "\n".join([_HEAD + room, *texts])


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


def to_latex(table: Shown, label: str) -> str:
    """A table environment as wide as a page; more of them, with labels that end in -2, -3, …, when it is too large."""
    if isinstance(table, Matrix):
        return _floats(table, [_matrix_body(table, places) for places in panels(table.datasets, _WIDEST)], label)
    if isinstance(table, Cross):
        parts = [_cross_body(part, places) for part in _short(table) for places in _parts(len(table.heads))]
        return _floats(table, parts, label, table.title)
    found = [(tabular, set(_cited(said))) for tabular, said in bodies(table)]
    return _floats(table, found, label, table.title)


def _matrix_body(matrix: Matrix, panel: Sequence[int]) -> Body:
    return _tabular(matrix, panel), {entry.note for entry in _shown(matrix, panel) if entry.note}


def _cross_body(cross: Cross, panel: Sequence[int]) -> Body:
    """An ipc above its methods, a gap between families."""
    lines = [line for group in cross.groups for _, block in group.blocks for line in block] + cross.whole
    notes = {note for line in lines for place in panel if (note := line.entries[place].note)}
    return _cross_tabular(cross, panel), notes


def _cited(said: str) -> Iterator[int]:
    """Numbers of notes in a text: "(1)", "≠1"."""
    return (int(number) for number in re.findall(r"(?:\(|≠)(\d+)\b", said))


def _floats(table: Shown, parts: Sequence[Body], label: str, lead: str = "") -> str:
    """Parts of one table, each given by its lines of LaTeX and the numbers of the notes that they cite.

    lead: what the caption begins with, where the table does not say itself what it is of.
    """
    texts = []
    for number, (tabular, cited) in enumerate(parts, 1):
        sentences = [f"{lead}."] * bool(lead) + list(table.captions)
        caption, name = "%\n" + "\n".join(map(_sentence, sentences)), label
        if number > 1:
            caption, name = rf"Continues Table~\ref{{{label}}}.", f"{label}-{number}"
        notes = [rf"({number}) {escape(text)}\par" for number, text in enumerate(table.notes, 1) if number in cited]
        texts.append(_float(tabular, notes, rf"[{{{escape(table.title)}}}]{{{caption}}}", name))
    return "\n".join(texts)


def _sentence(text: str) -> str:
    """Of a caption; no line ends before a unit or within "5 × 5"."""
    return escape(text).replace(r" \%", r"~\%").replace(r" $\times$ ", r"~$\times$~")


# --- layout -----------------------------------------------------------------------------------------------------------


def _float(tabular: Sequence[str], notes: Sequence[str], caption: str, label: str) -> str:
    lines = [r"\begin{table*}[tbp]", r"\centering", rf"\caption{caption}", rf"\label{{{label}}}", r"\medskip"]
    lines += [r"\footnotesize", r"\setlength{\tabcolsep}{2.5pt}"]
    lines += [r"\makebox[\textwidth][c]{%  centred even if it is wider than the text", *tabular, "}"]
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\textwidth}\raggedright", *notes, r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table*}", ""])


def _parts(columns: int) -> list[list[int]]:
    """Places of the columns of each panel: as few panels as _MOST_HEADS allows, of about the same width."""
    panels = -(-columns // _MOST_HEADS)
    width = -(-columns // panels)
    return [list(range(first, min(first + width, columns))) for first in range(0, columns, width)]


def _short(cross: Cross) -> Iterator[Cross]:
    """Parts of as many ipcs as a page holds; the whole set stands in the last."""
    groups: list[Group] = []
    for group in cross.groups:
        if groups and sum(map(_lines, [*groups, group])) > LONGEST:
            yield replace(cross, groups=groups, whole=[])
            groups = []
        groups.append(group)
    yield replace(cross, groups=groups)


def _lines(group: Group) -> int:
    return 1 + sum(len(lines) for _, lines in group.blocks)


def _cross_tabular(cross: Cross, panel: Sequence[int]) -> list[str]:
    heads = [rf"\shortstack{{{_broken_head(cross.heads[place])}}}" for place in panel]
    lines = [rf"\begin{{tabular}}{{l{'c' * len(panel)}}}", r"\toprule", _cells(["", *heads])]
    for group in cross.groups:
        lines += [r"\midrule", _group_head(group, len(panel) + 1)]
        for place, (_, block) in enumerate(group.blocks):
            lines += [r"\addlinespace"] if place else []
            lines += [_row(line, [_entry(line.entries[p]) for p in panel]) for line in block]
    lines += [r"\midrule"] if cross.whole else []
    lines += [_row(line, [_entry(line.entries[p]) for p in panel]) for line in cross.whole]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _group_head(group: Group, width: int) -> str:
    return _cells([rf"\multicolumn{{{width}}}{{l}}{{\textit{{IPC {group.ipc} ({escape(group.ratio)}~\%)}}}}"])


def _broken_head(name: str) -> str:
    """A network's name, its options on a second line: "convnet3" above "bn-w64"."""
    head, dash, options = name.partition("-")
    return escape(head) + (rf"\\{escape(dash + options)}" if dash else "")


def _columns(matrix: Matrix, panel: Sequence[int]) -> list[int]:
    """Places of a panel's columns among all of the matrix."""
    starts = [sum(len(dataset.ipcs) for dataset in matrix.datasets[:place]) for place in panel]
    return [
        start + offset
        for start, place in zip(starts, panel, strict=True)
        for offset in range(len(matrix.datasets[place].ipcs))
    ]


def _shown(matrix: Matrix, panel: Sequence[int]) -> Iterator[Entry]:
    for _, block in matrix.blocks:
        yield from (line.entries[place] for line in block for place in _columns(matrix, panel))
    yield from (line.entries[place] for line in matrix.whole for place in panel)


def _tabular(matrix: Matrix, panel: Sequence[int]) -> list[str]:
    datasets = [matrix.datasets[place] for place in panel]
    shown = _columns(matrix, panel)
    lines = [rf"\begin{{tabular}}{{l{'c' * len(shown)}}}", r"\toprule", *_head(datasets)]
    for _, block in matrix.blocks:
        lines += [r"\midrule", *(_row(line, [_entry(line.entries[place]) for place in shown]) for line in block)]
    if matrix.whole:
        lines.append(r"\midrule")
    for line in matrix.whole:
        entries = [_entry(line.entries[place]) for place in panel]
        lines.append(_row(line, [_spanning(d, text) for d, text in zip(datasets, entries, strict=True)]))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _head(datasets: Sequence[Dataset]) -> Iterator[str]:
    yield _cells(["", *(_spanning(dataset, escape(dataset.title)) for dataset in datasets)])
    rules, first = [], 2
    for dataset in datasets:
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(dataset.ipcs) - 1}}}")
        first += len(dataset.ipcs)
    yield "".join(rules)
    yield _cells(["IPC", *(escape(text) for dataset in datasets for text in dataset.ipcs)])
    yield _cells([r"Ratio (\%)", *(escape(text) for dataset in datasets for text in dataset.ratios)])


def _row(line: Line, entries: Sequence[str]) -> str:
    name = escape(line.title)
    if len(line.title) > _LONG:
        broken = re.sub(r"(\\_|[=,/+])", r"\1\\allowbreak{}", name)
        name = rf"\parbox[t]{{{_NAME_WIDTH}}}{{\raggedright\hangindent=1em\hangafter=1 {broken}\strut}}"
    return _cells([name, *entries])


def _cells(texts: Sequence[str]) -> str:
    return " & ".join(texts).strip() + r" \\"


def _spanning(dataset: Dataset, text: str) -> str:
    return rf"\multicolumn{{{len(dataset.ipcs)}}}{{c}}{{{text}}}"


def _entry(entry: Entry) -> str:
    """The deviation as a subscript; †, the note's number, "(1)", and a doubt, "n.s.", as a superscript."""
    doubt = rf"\mathrm{{{entry.doubt}}}" if entry.doubt else ""
    raised = ",".join(
        filter(None, [r"\dagger" if entry.single else "", f"({entry.note})" if entry.note else "", doubt])
    )
    above = f"^{{{raised}}}" if raised else ""
    if entry.mean == MISSING:
        return "--" + (f"${above}$" if above else "")
    below = rf"_{{\pm {entry.spread}}}" if entry.spread else ""
    if entry.rank == BEST:
        return rf"\textbf{{$\mathbf{{{entry.mean}}}{below}{above}$}}"
    mean = rf"\underline{{{entry.mean}}}" if entry.rank == SECOND else entry.mean
    return f"${mean}{below}{above}$"
