"""Expert: accuracy of experts, trained on the real images, on synthetic images along the steps of condensing.

After the DANCE paper (arXiv:2406.01063), Figure 3c. Accuracy of each expert, in eval mode, on the decoded images of a
set against their own labels, without augmentation. For comparison, the accuracy on real images: the training images,
because the paper's dashed line is too high for other ones, and the withheld images if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from benchmark.analyses import base
from benchmark.analyses.base import AnalysisCost, CondensedSet, GroupAnalysis, SetGroup
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import TrainedExpert
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline, Split
from benchmark.datasets.normalization import Normalizer
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from benchmark.execution.work import IndependentSteps
from benchmark.training.trainer import accuracy
from results.store.schema import Status


class ExpertAnalysis(GroupAnalysis):
    """Accuracies of all experts of a group on its sets and their snapshots."""

    name = "expert"
    version = 1
    figure = "accuracy of experts on the condensed images along the steps"
    needs_experts = True

    def content(self, group: SetGroup, config: AnalyzeConfig) -> dict[str, Any]:
        return group.expert_content()

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        train, validation = attempt.splits()
        experts, normalize = attempt.experts(), attempt.normalizer()
        real = [base.scored_images(attempt, split) for split in (train, validation) if len(split)]
        snapshots = [(condensed, taken["step"]) for condensed in sets for taken in condensed.snapshots]

        def score(read: Callable[[], Split]) -> list[float]:
            return accuracies(experts, read(), attempt.compute, normalize)

        reads: list[Callable[[], Split]] = [lambda split=split: split for split in real]  # type: ignore[misc]
        reads += [partial(_decoded_split, condensed, step) for condensed, step in snapshots]
        work = IndependentSteps([partial(score, read) for read in reads])
        run_result = attempt.run_steps(work)
        means = [sum(row) / len(row) for row in work.results[: len(real)]]
        result: dict[str, Any] = {
            "real": {"train": means[0], "validation": means[1] if len(means) > 1 else None},
            "images": len(real[0]),
            "sets": {condensed.identity: {"steps": [], "accuracies": []} for condensed in sets},
        }
        for (condensed, step), row in zip(snapshots, work.results[len(real) :], strict=True):
            result["sets"][condensed.identity]["steps"].append(step)
            result["sets"][condensed.identity]["accuracies"].append(row)
        return attempt.commit(Status.OK, result, run_result, work.total_steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        num_validation = sum(outline.train) - num_train
        scored = [min(count, base.MAX_SCORED) for count in (num_train, num_validation) if count]
        scored += [
            base.decoded_images(condense, outline.num_classes)
            for condense in sets
            for _ in base.snapshot_steps(condense)
        ]
        return AnalysisCost(len(scored), len(task["resolved"]["experts"]) * sum(scored))

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        for name, scores in base.results_in_order(record, set_names):
            rows = [scores["accuracies"][index] for index in ((0, -1) if len(scores["steps"]) > 1 else (-1,))]
            yield f"{name} {' → '.join(f'{100 * fmean(row):.1f}' for row in rows)} %"
        real = record["result"]["real"]
        yield "real " + ", ".join(f"{100 * value:.1f} % ({name})" for name, value in real.items() if value is not None)


def _decoded_split(condensed: CondensedSet, step: int) -> Split:
    images, labels, _ = condensed.decode(step)
    return Split(images, labels)


def accuracies(experts: Sequence[TrainedExpert], split: Split, compute: Compute, normalize: Normalizer) -> list[float]:
    """The accuracy of each expert on a split. Experts may share a scratch network."""
    values = []
    for expert in experts:
        expert.interpolate(0.0)
        values.append(accuracy(expert.scratch, split, compute, normalize))
    return values
