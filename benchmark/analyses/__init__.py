"""Analyses of sets and experts besides their accuracy, each a class in its own file, by name.

Importing this package loads no torch; `get` imports an analysis. `best_on_test`, which alone sees the test split, and
`validation`, by which tuning chooses, are no choices of the command `analyze`. The results of those here have shapes in
`results.store.schema`, and `results.figures` draws them. Another package adds one by an entry point
`NAME = "MODULE:CLASS"` in the group `condensation_benchmark.analyses`; `benchmark.analyses.base.GroupAnalysis` says
what its class has.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from benchmark.utils.errors import BenchmarkError, unknown
from methods.plug_ins import PlugInGroup

if TYPE_CHECKING:
    from benchmark.analyses.base import Analysis

BUILT_IN = {
    "discrepancy": "benchmark.analyses.discrepancy:DiscrepancyAnalysis",
    "interpolation": "benchmark.analyses.interpolation:InterpolationAnalysis",
    "expert": "benchmark.analyses.expert:ExpertAnalysis",
    "embedding": "benchmark.analyses.embedding:EmbeddingAnalysis",
    "curve": "benchmark.analyses.curve:CurveAnalysis",
    "training_curve": "benchmark.analyses.training_curve:TrainingCurveAnalysis",
    "best_on_test": "benchmark.analyses.best_on_test:BestOnTestAnalysis",
    "validation": "benchmark.analyses.validation:ValidationAnalysis",
}
OF_RUNS = ("best_on_test", "validation")  # which an option of a run or tuning adds, and no request names
PLUG_INS = PlugInGroup("analyses", BUILT_IN, BenchmarkError)


def names() -> list[str]:
    """The analyses that can be requested. Raises BenchmarkError as `PLUG_INS`."""
    return [name for name in (*BUILT_IN, *PLUG_INS.points()) if name not in OF_RUNS]


def get(name: str) -> Analysis:
    """The analysis called `name`. Raises BenchmarkError for an unknown name, and for a plug-in that is no analysis."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        analysis: Analysis = getattr(importlib.import_module(module), attribute)()
        return analysis
    if name not in PLUG_INS.points():
        raise unknown("analysis", name, names(), where=f"analyses=[{name}]")
    from benchmark.analyses.base import GroupAnalysis

    plug_in = PLUG_INS.load(name)
    if not (isinstance(plug_in, type) and issubclass(plug_in, GroupAnalysis)):
        raise PLUG_INS.wrong(name, "is not a benchmark.analyses.base.GroupAnalysis")
    if plug_in.name != name:
        raise PLUG_INS.wrong(name, f"has the name '{plug_in.name}'", f'set name = "{name}"')
    return plug_in()
