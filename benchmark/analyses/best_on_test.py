"""Best on test: accuracies of a set's snapshots on the test split, as papers that report the best of them score.

The choice is made on the test split, so the best is optimistic. It is scored where `best_on_test=true` asks for it, to
be compared with such papers; it feeds no choice, and tables show it beside the accuracy of the finished set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmark.analyses.base import Analysis, AnalysisCost, CondensedSet, snapshot_steps
from benchmark.analyses.curve import score_snapshots, scoring_cost
from benchmark.datasets import Outline
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from results.store.schema import Status


class BestOnTestAnalysis(Analysis):
    """The test accuracies of one evaluation's set along its way, without the set before its first step."""

    name = "best_on_test"
    version = 1
    figure = "none; tables show the best accuracy"

    def content(self, evaluation: Task) -> dict[str, Any]:
        """The content of its task, in place of an evaluation's `set`."""
        return {
            "analysis": self.name,
            "version": self.version,
            "sets": [evaluation["resolved"]["set"]],
            "experts": [],
        }

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        (condensed,) = sets
        test = attempt.data().test
        snapshots = [snapshot for snapshot in condensed.snapshots if snapshot["step"]]
        points, run_result, steps = score_snapshots(attempt, condensed, snapshots, test)
        return attempt.commit(Status.OK, {"points": points, "test_images": len(test)}, run_result, steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        (condense,) = sets
        snapshots = len([step for step in snapshot_steps(condense) if step])
        return scoring_cost(task, condense, outline, snapshots, sum(outline.test))

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        (identity,) = record["resolved"]["sets"]
        best = max(fmean(point["accuracies"]) for point in record["result"]["points"])
        name, protocol = set_names.get(identity, identity), record["display"]["protocol"]
        yield f"{name}, {protocol}: {100 * best:.1f} % (optimistic: the best on the test split)"
