"""Which tables there are, and those of them that a report asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import select
from results.tables.ablation import ablation_tables
from results.tables.accuracy import Matrix, matrices
from results.tables.across import Cross, network_tables, protocol_tables
from results.tables.break_even import break_even_table
from results.tables.comparison import comparison_tables
from results.tables.costs import memory_tables, time_tables
from results.tables.model import Table
from results.tables.published import published_tables
from results.tables.scores import score_table
from results.tables.variance import variance_table
from results.types import Json

Shown = Table | Matrix | Cross


Maker = Callable[[pd.DataFrame, Options], Sequence[Shown]]


KINDS: Mapping[str, Maker] = {
    "accuracy": matrices,
    "comparison": comparison_tables,
    "networks": network_tables,
    "protocols": protocol_tables,
    "ablation": ablation_tables,
    "published": published_tables,
    "time": time_tables,
    "memory": memory_tables,
    "scores": score_table,
    "variance": variance_table,
}


FROM_RECORDS = "breakeven"  # the one kind that reads records besides: curves along training on the whole set


def tables(cells: pd.DataFrame, options: Options = DEFAULT, records: Sequence[Json] = ()) -> list[Shown]:
    """The tables that `options` ask for, in the order of `options.tables`, of those cells that they choose.

    cells: `aggregate.cells` of the records. Raises ResultsError for rows or columns that are not among them
    (`choice.chosen`).
    """
    return [table for found in _by_kind(select(cells, options), options, records).values() for table in found]


def _by_kind(kept: pd.DataFrame, options: Options, records: Sequence[Json]) -> dict[str, list[Shown]]:
    makers: Mapping[str, Maker] = {**KINDS, FROM_RECORDS: partial(break_even_table, records=records)}
    return {kind: list(makers[kind](kept, options)) for kind in options.tables}
