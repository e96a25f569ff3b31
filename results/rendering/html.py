"""Tables as accessible HTML without scripts: deviations as subscripts, heads that name their rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from results.rendering.grid import TableGrid, to_grid, unique_labels
from results.tables.registry import AnyTable


def page(tables: Iterable[AnyTable], title: str) -> str:
    """A whole page without references to other files."""
    return _template().render(grids=_labeled(tables), title=title)


@cache
def _template() -> Template:
    loader = PackageLoader("results.rendering", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("tables.html")


def _labeled(tables: Iterable[AnyTable]) -> list[TableGrid]:
    """The grids with unique labels that are valid as ids in HTML."""
    grids = list(map(to_grid, tables))
    labels = unique_labels(["table-" + "-".join(grid.label.split()) for grid in grids])
    return [replace(grid, label=label) for grid, label in zip(grids, labels, strict=True)]
