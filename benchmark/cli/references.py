"""The BibTeX file of a report: what papers cite for the methods, datasets and protocols in its tables."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

from benchmark import datasets
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.errors import MethodError

_HEAD = r"""% Cite an entry by its key, and put these two lines where the references are to be:
%   \bibliographystyle{plain}
%   \bibliography{references}
% Then run pdflatex, bibtex, and pdflatex twice.
"""
_ENTRY = re.compile(r"^\s*@\s*\w+\s*\{\s*([^\s,{}]+)\s*,.*?(?=^\s*@|\Z)", re.M | re.S)


def bibliography(cells: pd.DataFrame) -> str:
    """The text of references.bib: each entry once, after what it belongs to, and what no entry is known for.

    cells: those in the tables, of `results.aggregation.cells`. Plug-ins that are gone have no entry.
    """
    entries: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    missing = []
    for kind, column, citation in (
        ("method", "method", registry.citation),
        ("dataset", "dataset", _dataset_citation),
        ("protocol", "recipe", protocols.citation),
    ):
        for name in sorted({str(name).partition("@")[0] for name in cells[column]} - {""}):  # BibTeX would read an @
            text = _text(citation, name)
            found = {match[1]: match[0].strip() for match in _ENTRY.finditer(text)}
            for key in found:
                users.setdefault(key, []).append(f"{kind} {name}")
            entries = found | entries
            missing += [] if found else [f"{kind} {name}"]
    blocks = [_HEAD, *(f"% Of {', '.join(users[key])}:\n{entries[key]}\n" for key in sorted(entries))]
    return "\n".join([*blocks, *([f"% No entry is known for {', '.join(missing)}.\n"] if missing else [])])


def _text(citation: Callable[[str], str], name: str) -> str:
    try:
        return citation(name)
    except (BenchmarkError, MethodError):  # a folder of images, an external set, a plug-in that is gone
        return ""


def _dataset_citation(name: str) -> str:
    return datasets.card_of(name).citation
