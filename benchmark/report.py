"""Make tables, figures and a page from the records of a store, or from those that options select.

python -m benchmark.report store=outputs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.cli import main
from benchmark.config.compose import parse_as
from benchmark.config.report_options import ReportConfig


def report(composed: Mapping[str, Any]) -> int:
    """Aggregate a store; returns the exit status (1 if some records could not be read)."""
    from benchmark.cli.tables import write_report  # loads pandas and matplotlib, which --help does without

    return main.SOME_FAILED if write_report(parse_as(ReportConfig, composed)) else main.DONE


if __name__ == "__main__":
    main.launch(report, "report")
