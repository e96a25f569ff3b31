"""What a report shows and how. Every command reads this module, so nothing here loads pandas."""

from __future__ import annotations

from dataclasses import dataclass

TABLES = (
    *("accuracy", "comparison", "networks", "protocols", "ablation", "published", "time", "memory"),
    *("robustness_scores", "variance", "break_even"),
)
FORMATS = ("terminal", "markdown", "latex", "html", "csv", "sheets")
BASELINES = ("random", "whole")  # by default; "reference" is to be asked for
KNOWN_BASELINES = (*BASELINES, "reference")
ORDERS = ("family", "listed", "accuracy", "name")
HIGHLIGHTS = ("significance", "mean", "none")


@dataclass(frozen=True)
class Options:
    """Which rows and columns tables have, in which order, and how they are marked. An empty tuple means all there are.

    tables: some of TABLES, in their order. formats: some of FORMATS.
    methods: display names with their variants: "dance" is dance, dance@f1, "dance (alignment=off)"; or shell patterns.
    baselines: which of KNOWN_BASELINES are shown with the methods; random subsets and mosaics are both "random", and
    "reference" is the rows that `aggregation.references` adds.
    datasets, ipcs, architectures (of condensing), eval_architectures, protocols: columns, in their order.
    columns: the columns of tables with a row for each cell, by name; empty: all that a table has.
    order: of rows. family: in blocks of families, by year within one; listed: as `methods` lists them; accuracy: the
    best first, by the mean over the columns that all rows have; name: alphabetical. The whole set is always last.
    highlight: significance (`ranking.significance_ranks`), mean (the two highest means, untested), none.
    explain_missing: whether notes say why a cell has no number; a cell with some of its sets always has such a note.
    """

    tables: tuple[str, ...] = TABLES
    formats: tuple[str, ...] = FORMATS
    methods: tuple[str, ...] = ()
    baselines: tuple[str, ...] = BASELINES
    datasets: tuple[str, ...] = ()
    ipcs: tuple[int, ...] = ()
    architectures: tuple[str, ...] = ()
    eval_architectures: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    order: str = "family"
    highlight: str = "significance"
    explain_missing: bool = False

    def ipc_rank(self, ipc: int) -> tuple[int, int]:
        """Sorts the values of ipc: as listed, then ascending."""
        return self.ipcs.index(ipc) if ipc in self.ipcs else len(self.ipcs), ipc


DEFAULT = Options()
AS_RUN = Options(explain_missing=True, formats=FORMATS[:-1])  # of the tables that `benchmark.run` prints and writes
