"""Analyze condensed sets and experts for the figures of the report; missing sets are condensed first.

python -m benchmark.analyze 'analyses=[discrepancy,expert]' 'methods=[dance,dm]'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.cli import main
from benchmark.config.compose import parse_as
from benchmark.config.schema import AnalyzeConfig


def analyze(composed: Mapping[str, Any]) -> int:
    """Carry out one composed configuration; returns the exit status."""
    from benchmark.cli.analysis_summaries import show_summaries  # these load torch, which --help does without
    from benchmark.cli.workflow import plan_and_run
    from benchmark.planning import analyses

    config = parse_as(AnalyzeConfig, composed)
    analyses.check(config)
    return plan_and_run(config, show_summaries, lambda plan: analyses.reduce_to_analyses(plan, config))


if __name__ == "__main__":
    main.launch(analyze, "analyze")
