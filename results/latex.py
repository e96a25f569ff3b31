"""Matrices as LaTeX that needs no package but booktabs; everything written is ASCII, so that any engine reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from results.escape import escape
from results.matrix import MISSING, Dataset, Entry, Line, Matrix
from results.ranking import BEST, SECOND

_WIDEST = 12  # columns of numbers side by side; more continue below, dataset by dataset
_LONG = 28  # characters of a row's name that stand on one line
_NAME_WIDTH = "34mm"  # of the lines that a longer name is broken into

_HEAD = r"""% Needs \usepackage{booktabs} and nothing else:
%   \documentclass{article}
%   \usepackage{booktabs}
%   \begin{document}
%   \input{tables}
%   \end{document}
"""


def document(matrices: Sequence[Matrix]) -> str:
    r"""The text of a file to \input: a comment on its use, then every matrix, each with a label of its own."""
    used: Counter[str] = Counter()
    texts = []
    for matrix in matrices:
        label = "tab:" + re.sub(r"[^A-Za-z0-9.]+", "-", matrix.label).strip("-")
        used[label] += 1
        texts.append(to_latex(matrix, label if used[label] == 1 else f"{label}.{used[label]}"))
    return "\n".join([_HEAD, *texts])


def to_latex(matrix: Matrix, label: str) -> str:
    """A table environment as wide as a page; more of them, with labels that end in -2, -3, …, when it is too wide."""
    texts = []
    for number, panel in enumerate(_panels(matrix.datasets), 1):
        caption, name = "%\n" + "\n".join(map(_sentence, matrix.captions)), label
        if number > 1:
            caption, name = rf"Continues Table~\ref{{{label}}}.", f"{label}-{number}"
        texts.append(_float(matrix, panel, rf"[{{{escape(matrix.title)}}}]{{{caption}}}", name))
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


def _float(matrix: Matrix, panel: Sequence[int], caption: str, label: str) -> str:
    lines = [r"\begin{table*}[tbp]", r"\centering", rf"\caption{caption}", rf"\label{{{label}}}", r"\medskip"]
    lines += [r"\footnotesize", r"\setlength{\tabcolsep}{2.5pt}"]
    lines += [r"\makebox[\textwidth][c]{%  centred even if it is wider than the text", *_tabular(matrix, panel), "}"]
    cited = {entry.note for entry in _shown(matrix, panel)} - {None}
    if cited:
        notes = [rf"({number}) {escape(text)}\par" for number, text in enumerate(matrix.notes, 1) if number in cited]
        lines += [r"\par\smallskip", r"\begin{minipage}{\textwidth}\raggedright", *notes, r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table*}", ""])


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
    """The deviation as a subscript; † and the note's number, "(1)", as a superscript."""
    raised = ",".join([*([r"\dagger"] if entry.single else []), *([f"({entry.note})"] if entry.note else [])])
    above = f"^{{{raised}}}" if raised else ""
    if entry.mean == MISSING:
        return "--" + (f"${above}$" if above else "")
    below = rf"_{{\pm {entry.spread}}}" if entry.spread else ""
    if entry.rank == BEST:
        return rf"\textbf{{$\mathbf{{{entry.mean}}}{below}{above}$}}"
    mean = rf"\underline{{{entry.mean}}}" if entry.rank == SECOND else entry.mean
    return f"${mean}{below}{above}$"
