"""Tables as accessible HTML without any script: deviations as subscripts, heads that name their rows and columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from results.rendering.grid import Grid, grid
from results.tables.registry import Shown


def page(tables: Iterable[Shown], title: str) -> str:
    """A whole page, which needs nothing beside it."""
    return _template().render(grids=_labelled(tables), title=title, fragment=False)


def fragment(tables: Iterable[Shown]) -> str:
    """A <section> for each table, to put into another page; notes are linked within it."""
    return _template().render(grids=_labelled(tables), fragment=True)


@cache
def _template() -> Template:
    loader = PackageLoader("results.rendering", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("tables.html")


def _labelled(tables: Iterable[Shown]) -> list[Grid]:
    """The grids, each with a label of its own that is an id in HTML."""
    used: Counter[str] = Counter()
    found = []
    for made in map(grid, tables):
        label = "table-" + "-".join(made.label.split())
        used[label] += 1
        found.append(replace(made, label=label if used[label] == 1 else f"{label}.{used[label]}"))
    return found
