"""Validation: accuracy of a finished set on withheld training images alone. Tuning chooses by it.

The networks are those of the set's evaluation, with their seeds. Unlike an evaluation it never sees the test split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmark.analyses.base import Analysis, AnalysisCost, CondensedSet
from benchmark.analyses.curve import score_snapshots, scoring_cost
from benchmark.datasets import Outline
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from results.store.schema import Status


class ValidationAnalysis(Analysis):
    """The accuracies of one evaluation's networks on the withheld images."""

    name = "validation"
    version = 1
    figure = "expected best accuracy on withheld images against the number of trials"

    def content(self, evaluation: Task) -> dict[str, Any]:
        """The content of its task, in place of an evaluation's `set`."""
        sets = [evaluation["resolved"]["set"]]
        return {"analysis": self.name, "version": self.version, "sets": sets, "experts": []}

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        (condensed,) = sets
        _, validation = attempt.splits()
        (point,), run_result, steps = score_snapshots(attempt, condensed, condensed.snapshots[-1:], validation)
        result = {"accuracies": point["accuracies"], "images": len(validation)}
        return attempt.commit(Status.OK, result, run_result, steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        (condense,) = sets
        return scoring_cost(task, condense, outline, 1, sum(outline.train) - num_train)

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        (identity,) = record["resolved"]["sets"]
        name, protocol = set_names.get(identity, identity), record["display"]["protocol"]
        yield f"{name}, {protocol}: {100 * fmean(record['result']['accuracies']):.1f} % on withheld images"
