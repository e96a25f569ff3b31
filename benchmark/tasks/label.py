"""Label: a teacher gives every decoded image of a set a soft label."""

from __future__ import annotations

import torch

from benchmark.condensation.synthetic_set import load_set
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import RunResult
from benchmark.execution.runtime import Outcome
from benchmark.training.trainer import accuracy
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import save_tensors
from benchmark.utils.timing import Stopwatch
from results.store.schema import Status

LABELS = "labels.safetensors"
BETTER_THAN_CHANCE = 1.5  # times the accuracy of a guess, below which a teacher knows other classes, or none


def label(attempt: Attempt) -> Outcome:
    """Save the teacher's logits over the temperature, float32 (N, C), of the set's decoded images.

    Raises BenchmarkError for a teacher that is hardly better than chance on its own training images.
    """
    resolved, data = attempt.resolved, attempt.data()
    (teacher,) = resolved["experts"]
    for kind, identity in (("condense", resolved["set"]), ("prepare", teacher)):
        if outcome := attempt.failed_input_outcome(kind, identity):
            return outcome
    stored = load_set(attempt.artifact("condense", resolved["set"], "synthetic.safetensors"), attempt.compute.device)
    scratch = attempt.scratch_network()
    network = attempt.expert(teacher, scratch).interpolate(0.0)
    network.train(False)
    normalize = attempt.normalizer()
    watch = Stopwatch(attempt.compute.device)
    with watch.running(), torch.no_grad():
        logits = attempt.compute.logits(network, normalize(stored.decode()[0])) / resolved["temperature"]
    record = attempt.store.record({"kind": "prepare", "identity": teacher}) or {}
    train_accuracy = record["result"]["train_accuracy"]
    if train_accuracy * data.num_classes < BETTER_THAN_CHANCE:
        raise BenchmarkError(
            f"the teacher has {100 * train_accuracy:.1f} % of its training images right, hardly more than by chance",
            where=attempt.task["slug"],
            next="train it longer: method.soft.teacher_epochs=…",
        )
    attempt.checksums[LABELS] = save_tensors(attempt.folder / LABELS, {"soft": logits.cpu()}, {"set": resolved["set"]})
    result = {
        "label_bytes": 4 * logits.numel(),
        "teacher_bytes": 4 * sum(weight.numel() for weight in network.parameters()),
        "teacher_accuracy": accuracy(scratch, data.test, attempt.compute, normalize),
    }
    return attempt.commit(Status.OK, result, RunResult(watch.seconds, {}), 0)
