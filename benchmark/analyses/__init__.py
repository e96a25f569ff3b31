"""Analyses of sets and experts besides their accuracy, each a class in its own file.

A new analysis is listed three times: here, in config.schema (its option) and in results.store.schema (the keys of its
result); results.figures draws it. best_on_test, which alone sees the test split, is no choice of the command `analyze`.
"""

from __future__ import annotations

from benchmark.analyses.base import Analysis
from benchmark.analyses.best_on_test import BestOnTestAnalysis
from benchmark.analyses.curve import CurveAnalysis
from benchmark.analyses.discrepancy import DiscrepancyAnalysis
from benchmark.analyses.embedding import EmbeddingAnalysis
from benchmark.analyses.expert import ExpertAnalysis
from benchmark.analyses.interpolation import InterpolationAnalysis
from benchmark.utils.errors import unknown

ANALYSES: dict[str, type[Analysis]] = {
    analysis.name: analysis
    for analysis in (
        CurveAnalysis,
        DiscrepancyAnalysis,
        InterpolationAnalysis,
        ExpertAnalysis,
        EmbeddingAnalysis,
        BestOnTestAnalysis,
    )
}


def get(name: str) -> Analysis:
    """The analysis called `name`. Raises BenchmarkError for an unknown name."""
    if name not in ANALYSES:
        raise unknown("analysis", name, ANALYSES, where=f"analyses=[{name}]")
    return ANALYSES[name]()
