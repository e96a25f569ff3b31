"""Tables as accessible HTML without scripts: deviations as subscripts, heads that name their rows and columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from results.tables.model import Table


def page(tables: Iterable[Table], title: str) -> str:
    """A whole page without references to other files."""
    return _template().render(tables=_labeled(tables), title=title, head_lines=_head_lines)


def unique_labels(labels: Sequence[str]) -> list[str]:
    """The labels, with ".2", ".3", … added to those that came before."""
    seen: Counter[str] = Counter()
    unique = []
    for label in labels:
        seen[label] += 1
        unique.append(label if seen[label] == 1 else f"{label}.{seen[label]}")
    return unique


@cache
def _template() -> Template:
    loader = PackageLoader("results.rendering", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("tables.html")


def _labeled(tables: Iterable[Table]) -> list[Table]:
    """The tables with unique labels that are valid as ids in HTML."""
    tables = list(tables)
    labels = unique_labels(["table-" + "-".join(table.label.split()) for table in tables])
    return [replace(table, label=label) for table, label in zip(tables, labels, strict=True)]


def _head_lines(table: Table) -> list[list[tuple[str, str, int]]]:
    """For each line of heads: text, caption and width; equal neighbours in the first of several are joined."""
    heads = [column.heads or (column.title,) for column in table.columns]
    depth = len(heads[0])
    outer = [[(text, "", len(list(same))) for text, same in groupby(head[0] for head in heads)]] if depth > 1 else []
    inner = range(len(outer), depth)
    return outer + [
        [(head[line], c.caption, 1) for head, c in zip(heads, table.columns, strict=True)] for line in inner
    ]
