"""Matrices as LaTeX that needs no package but booktabs; everything written is ASCII, so that any engine reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from results.cross import Cross, Group
from results.escape import escape
from results.lines import MISSING, Entry, Line
from results.matrix import Dataset, Matrix
from results.ranking import BEST, SECOND

_WIDEST = 12  # columns of numbers side by side; more continue below, dataset by dataset
_MOST_HEADS = 8  # networks or protocols side by side
_LONG = 28  # characters of a row's name that stand on one line
_NAME_WIDTH = "34mm"  # of the lines that a longer name is broken into

_HEAD = r"""% Needs \usepackage{booktabs} and nothing else:
%   \documentclass{article}
%   \usepackage{booktabs}
%   \begin{document}
%   \input{tables}
%   \end{document}
"""


def document(matrices: Sequence[Matrix], crosses: Sequence[Cross] = ()) -> str:
    r"""The text of a file to \input: a comment on its use, then every table, each with a label of its own."""
    used: Counter[str] = Counter()
    texts = []
    tables: list[Matrix | Cross] = [*matrices, *crosses]
    for table in tables:
        label = "tab:" + re.sub(r"[^A-Za-z0-9.]+", "-", table.label).strip("-")
        used[label] += 1
        label = label if used[label] == 1 else f"{label}.{used[label]}"
        texts.append(to_latex(table, label) if isinstance(table, Matrix) else cross_to_latex(table, label))
    return "\n".join([_HEAD, *texts])


def to_latex(matrix: Matrix, label: str) -> str:
    """A table environment as wide as a page; more of them, with labels that end in -2, -3, …, when it is too wide."""
    panels = _panels(matrix.datasets)
    bodies = [(_tabular(matrix, panel), list(_shown(matrix, panel))) for panel in panels]
    return _floats(matrix, bodies, label)


def cross_to_latex(cross: Cross, label: str) -> str:
    """The same for a table of networks or protocols: an ipc above its methods, a gap between families."""
    panels = _parts(len(cross.heads))
    lines = [line for group in cross.groups for _, block in group.blocks for line in block] + cross.whole
    bodies = [(_cross_tabular(cross, panel), [line.entries[p] for line in lines for p in panel]) for panel in panels]
    return _floats(cross, bodies, label)


def _floats(table: Matrix | Cross, bodies: Sequence[tuple[list[str], list[Entry]]], label: str) -> str:
    """Panels of one table, each given by its lines of LaTeX and the entries that they show."""
    texts = []
    for number, (tabular, shown) in enumerate(bodies, 1):
        caption, name = "%\n" + "\n".join(map(_sentence, table.captions)), label
        if number > 1:
            caption, name = rf"Continues Table~\ref{{{label}}}.", f"{label}-{number}"
        cited = {entry.note for entry in shown} - {None}
        notes = [rf"({number}) {escape(text)}\par" for number, text in enumerate(table.notes, 1) if number in cited]
        texts.append(_float(tabular, notes, rf"[{{{escape(table.title)}}}]{{{caption}}}", name))
    return "\n".join(texts)


def _sentence(text: str) -> str:
    """Of a caption; no line ends before a unit or within "5 × 5"."""
    return escape(text).replace(r" \%", r"~\%").replace(r" $\times$ ", r"~$\times$~")


# --- layout -----------------------------------------------------------------------------------------------------------


def _panels(datasets: Sequence[Dataset]) -> list[list[int]]:
    """Places of the datasets that stand side by side: as few panels as _WIDEST allows, of about the same width."""
    fewest = len(_filled(datasets, _WIDEST))
    return next(found for width in range(1, _WIDEST + 1) if len(found := _filled(datasets, width)) == fewest)


def _filled(datasets: Sequence[Dataset], width: int) -> list[list[int]]:
    """Panels filled one after the other; a dataset is never split, however wide."""
    panels: list[list[int]] = []
    room = 0
    for place, dataset in enumerate(datasets):
        if len(dataset.ipcs) > room:
            panels.append([])
            room = width
        panels[-1].append(place)
        room -= len(dataset.ipcs)
    return panels


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
