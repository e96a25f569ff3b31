"""Which tables there are, and those of them that a report asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from results.aggregation.grouping import REFERENCE
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import select
from results.tables.ablation import ablation_tables
from results.tables.accuracy import matrices
from results.tables.across import network_tables, protocol_tables
from results.tables.break_even import break_even_tables
from results.tables.columns import check_columns
from results.tables.comparison import comparison_tables
from results.tables.costs import memory_tables, time_tables
from results.tables.model import Table
from results.tables.published import published_tables
from results.tables.robustness_scores import robustness_score_tables
from results.tables.variance import variance_tables
from results.types import Json

TableBuilder = Callable[[pd.DataFrame, Options], Sequence[Table]]
BUILDERS: Mapping[str, TableBuilder] = {
    "accuracy": matrices,
    "comparison": comparison_tables,
    "networks": network_tables,
    "protocols": protocol_tables,
    "ablation": ablation_tables,
    "published": published_tables,
    "time": time_tables,
    "memory": memory_tables,
    "robustness_scores": robustness_score_tables,
    "variance": variance_tables,
    "break_even": break_even_tables,
}
WITH_REFERENCES = ("accuracy", "comparison", "networks", "protocols", "published")  # others need costs or variants
NO_BUILDERS: Mapping[str, TableBuilder] = {}


def tables_by_kind(
    cells: pd.DataFrame,
    options: Options = DEFAULT,
    records: Sequence[Json] = (),
    added: Mapping[str, TableBuilder] = NO_BUILDERS,
) -> dict[str, list[Table]]:
    """The tables of each kind in `options.tables`, in that order, of the cells that `options` choose.

    cells: of `aggregation.cells`. records: of the store, for the curves that break_even uses. added: builders of other
    packages. A table with none of the columns that were asked for is left out. Raises ResultsError for rows or columns
    that are not there.
    """
    check_columns(options)
    chosen = select(cells, options)
    own = chosen[chosen["role"] != REFERENCE].reset_index(drop=True)
    with_curves: TableBuilder = partial(break_even_tables, records=records)
    builders = {**BUILDERS, "break_even": with_curves, **added}
    shown = {kind: chosen if kind in WITH_REFERENCES else own for kind in options.tables}
    built = {kind: builders[kind](of_kind, options) for kind, of_kind in shown.items()}
    return {kind: [t for t in of_kind if not all(c.names_row for c in t.columns)] for kind, of_kind in built.items()}


def tables(cells: pd.DataFrame, options: Options = DEFAULT, records: Sequence[Json] = ()) -> list[Table]:
    """The tables of all kinds that `options` ask for, see `tables_by_kind`."""
    return [table for of_kind in tables_by_kind(cells, options, records).values() for table in of_kind]
