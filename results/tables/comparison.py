"""Comparison tables: one for each dataset, condensing network, evaluation network and protocol."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from results.aggregation.grouping import circumstances, comparison_key, groups, ipc, rows_of
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.statistics.ranking import ranks_and_remarks_by_row
from results.tables.across import network_tables, protocol_tables
from results.tables.captions import RankedColumns, captions, describe_ipcs
from results.tables.cell_table import cell_table, table_rows
from results.tables.columns import COLUMNS
from results.tables.costs import condensing_tables
from results.tables.entries import cells_by_column
from results.tables.model import Column, Table
from results.types import Cell


def all_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """What a run prints for each dataset: comparisons, networks and protocols across, and the costs of condensing."""
    tables: list[Table] = []
    for dataset in dict.fromkeys(cells["dataset"]):
        of_dataset = cells[cells["dataset"] == dataset]
        for build in (comparison_tables, network_tables, protocol_tables, condensing_tables):
            tables += build(of_dataset, options)
    return tables


def comparison_tables(
    cells: pd.DataFrame, options: Options = DEFAULT, columns: Sequence[Column] = COLUMNS
) -> list[Table]:
    """The tables of these `aggregation.cells`, in the cells' order. columns: those to choose from."""
    return [_table(sorted_rows(group, options), options, columns) for group in groups(rows_of(cells), comparison_key)]


def _table(cells: Sequence[Cell], options: Options, columns: Sequence[Column]) -> Table:
    title = ", ".join([cells[0]["dataset"], *circumstances(cells)])
    by_ipc = cells_by_column(cells, ipc)
    rows = table_rows(cells, options, ranks_and_remarks_by_row(by_ipc.values(), options))
    ranked = RankedColumns(by_ipc, describe_ipcs, options.highlight)
    return cell_table("comparison", title, rows, captions(cells, ranked, costs=True), options, columns)
