"""Which tables there are, and those of them that a report asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import select
from results.tables.ablation import ablation_tables
from results.tables.accuracy import Matrix, matrices
from results.tables.across import AcrossTable, network_tables, protocol_tables
from results.tables.break_even import break_even_tables
from results.tables.comparison import comparison_tables
from results.tables.costs import memory_tables, time_tables
from results.tables.model import Table
from results.tables.published import published_tables
from results.tables.robustness_scores import robustness_score_tables
from results.tables.variance import variance_tables
from results.types import Json

AnyTable = Table | Matrix | AcrossTable
TableBuilder = Callable[[pd.DataFrame, Options], Sequence[AnyTable]]
ADDED: dict[str, TableBuilder] = {}  # tables of other packages by name, which the report command hands in


def table_builders(records: Sequence[Json] = ()) -> Mapping[str, TableBuilder]:
    """The function that builds the tables of each kind. records: of the store, for the curves that break_even uses."""
    return {
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
        "break_even": partial(break_even_tables, records=records),
        **ADDED,
    }


def tables_by_kind(chosen_cells: pd.DataFrame, options: Options, records: Sequence[Json]) -> dict[str, list[AnyTable]]:
    """The tables of each kind in `options.tables`, in that order. chosen_cells: from `selection.select`."""
    builders = table_builders(records)
    return {kind: list(builders[kind](chosen_cells, options)) for kind in options.tables}


def tables(cells: pd.DataFrame, options: Options = DEFAULT, records: Sequence[Json] = ()) -> list[AnyTable]:
    """The tables that `options` ask for, in the order of `options.tables`.

    cells: of `aggregation.cells`. Raises ResultsError for rows or columns that are not among them (`selection.select`).
    """
    return [table for kind in tables_by_kind(select(cells, options), options, records).values() for table in kind]
