"""What a report shows and how: plain values, checked once; nothing here loads pandas, as every command reads it."""

from __future__ import annotations

from dataclasses import dataclass

TABLES = (
    *("accuracy", "comparison", "networks", "protocols", "ablation", "published", "time", "memory"),
    *("scores", "variance", "breakeven"),
)
FORMATS = ("terminal", "markdown", "latex", "html", "csv", "sheets")
BASELINES = ("random", "whole")
ORDERS = ("family", "listed", "accuracy", "name")
HIGHLIGHTS = ("significance", "mean", "none")


@dataclass(frozen=True)
class Options:
    """Which rows and columns tables have, in which order, and what is marked in them. An empty choice is all there is.

    tables: some of TABLES, in the order in which they are wanted. forms: some of FORMATS.
    methods: rows by their names in the store, as shell patterns: "dance*" is dance, dance@f1, "dance (alignment=off)".
    baselines: which of BASELINES stand beside the methods; random subsets and mosaics are both "random".
    datasets, ipcs, architectures (condensed with), eval_architectures, protocols: columns, in the order given here.
    order: of rows. family: family blocks, within one by year; asked: as `methods` names them; accuracy: the best first,
    by the mean over the columns that all rows have; name: alphabetical. The whole set is always last.
    highlight: significance (`ranking.places`), mean (the two highest means of two or more sets), none.
    explain_missing: whether a note says why a cell has no number; cells with some of their sets say so always.
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
    order: str = "family"
    highlight: str = "significance"
    explain_missing: bool = False

    def ipc_place(self, ipc: int) -> tuple[int, int]:
        """Where the sets of an ipc stand: as asked for, then ascending."""
        return self.ipcs.index(ipc) if ipc in self.ipcs else len(self.ipcs), ipc


DEFAULT = Options()
AS_RUN = Options(explain_missing=True, formats=FORMATS[:-1])  # as `benchmark.run` prints and writes its tables
