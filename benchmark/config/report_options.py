"""The options of `python -m benchmark.report`, and the tables that other packages add."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from benchmark.config.options import IPCS, CommandConfig, option, require_distinct, require_known, require_some
from benchmark.utils.errors import BenchmarkError
from methods.plug_ins import PlugInGroup
from results.aggregation.options import BASELINES, FORMATS, HIGHLIGHTS, KNOWN_BASELINES, ORDERS, TABLES, Options

# Another package adds a table by an entry point `NAME = "MODULE:FUNCTION"` in `condensation_benchmark.tables`, a
# `results.tables.registry.TableBuilder`: tables=[…,NAME] asks for it.
TABLE_PLUG_INS = PlugInGroup("tables", TABLES, BenchmarkError)


@dataclass(kw_only=True)
class ReportConfig(CommandConfig):
    """Options of `python -m benchmark.report`. Those of `results.aggregation.options.Options` mean the same there."""

    about: ClassVar[str] = "Make tables, figures and a page from what is stored; no dataset, network or GPU is needed."

    store: list[str] = option(
        ["outputs"], "the folder with all results; [a,b]: of several; reference: those that come with the package"
    )
    tables: list[str] = option(list(TABLES), "tables to make, in this order")
    formats: list[str] = option(
        list(FORMATS), "all but terminal are files in STORE/report; csv: raw numbers; sheets: a CSV file for each table"
    )
    methods: list[str] = option(
        [], "rows to show, by name, with their variants; NAME*: all that start with NAME; empty: all"
    )
    labels: list[str] = option([], "what rows are called: NAME=LABEL, where NAME is that of the row in tables.csv")
    baselines: list[str] = option(
        list(BASELINES), "baselines to show beside the methods; reference: rows that come with the package"
    )
    datasets: list[str] = option([], "columns to show, in this order; empty: all; likewise the next four options")
    ipcs: list[int] = option([], "synthetic images per class", IPCS)
    architectures: list[str] = option([], "networks that condensed the sets")
    eval_architectures: list[str] = option([], "networks that were trained on the sets")
    protocols: list[str] = option([], "recipes by which these networks were trained")
    columns: list[str] = option([], "columns of tables with a row for each cell, by name; empty: all of a table")
    order: str = option("family", "order of rows: family, listed (as in methods), accuracy (best first), name")
    highlight: str = option(
        "significance", "rule for best and second best: significance (tested), mean (highest means, untested), none"
    )
    explain_missing: bool = option(False, "true: a note says why a cell is empty")
    figures: bool = option(True, "true: draw figures of everything stored, in STORE/report/figures")
    titles: bool = option(False, "true: figures show their titles and facts, which figures/captions.tex has")
    font: str = option("sans", "of figures: sans, or serif (as Times)")
    page: bool = option(True, "true: write a page of everything stored, STORE/report/report.html")

    def options(self) -> Options:
        """The same as plain values for `results.rendering.files`."""
        values: dict[str, Any] = {spec.name: getattr(self, spec.name) for spec in fields(Options)}
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return Options(**plain)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_some(self, "store")
        for spec in fields(self):
            if isinstance(getattr(self, spec.name), list):
                require_distinct(self, spec.name)
        for name, known in (
            ("tables", (*TABLES, *TABLE_PLUG_INS.points())),
            ("formats", FORMATS),
            ("baselines", KNOWN_BASELINES),
        ):
            require_known(name, getattr(self, name), known)
            if not getattr(self, name) and name != "baselines":
                raise BenchmarkError(f"{name} is empty", where=f"{name}=[]", next=f"known: {', '.join(known)}")
        require_known("order", [self.order], ORDERS)
        require_known("highlight", [self.highlight], HIGHLIGHTS)
        require_known("font", [self.font], ("sans", "serif"))
        for label in self.labels:
            if not all(part.strip() for part in label.rpartition("=")):
                raise BenchmarkError(f"{label!r} is no label", where="labels", next="write NAME=LABEL")
        if self.order == "listed" and not self.methods:
            raise BenchmarkError("order=listed needs methods", where="order=listed", next="name them: methods=[…]")
