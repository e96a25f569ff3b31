"""Import: a set made elsewhere is stored like one of ours."""

from __future__ import annotations

from benchmark.datasets.imagenet_classes import readable
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import RunResult
from benchmark.execution.runtime import Outcome
from benchmark.external_sets.convert import convert_set
from benchmark.utils.timing import Stopwatch


def import_set(attempt: Attempt) -> Outcome:
    """Convert the files that the task names, and save the set."""
    watch = Stopwatch(attempt.compute.device)
    with watch.running():
        data = attempt.data()
        whitened = attempt.resolved["dataset"].get("whitening")
        unwhiten = attempt.normalizer().inverse if whitened else None
        synthetic, facts = convert_set(attempt.task["requested"], attempt.resolved, data, unwhiten)
    return attempt.save_set(synthetic, RunResult(watch.seconds, {}), 0, {**facts, "classes": readable(data.classes)})
