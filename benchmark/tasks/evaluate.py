"""Evaluate: fresh networks are trained on a set, and each is scored once on the test split."""

from __future__ import annotations

from dataclasses import replace

from benchmark.condensation.synthetic_set import load_set, training_pairs
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome
from benchmark.tasks.label import LABELS
from benchmark.training.evaluation import Evaluation
from benchmark.training.trainer import Training
from benchmark.utils.tensor_files import load_tensors
from results.store.schema import WHOLE_SET, Status


def evaluate(attempt: Attempt) -> Outcome:
    """Train fresh networks on a set, or on the whole training set, and score each once on the test split."""
    resolved, data = attempt.resolved, attempt.data()
    train, validation = attempt.splits()
    train_counts = list(train.counts(data.num_classes))
    if resolved["set"] == WHOLE_SET:
        train = attempt.on_device(train)
        images, labels = train.images, train.labels
        recipe = attempt.whole_recipe(len(labels))
    else:
        kind = "import" if resolved.get("imported") else "condense"
        if outcome := attempt.failed_input_outcome(kind, resolved["set"]):
            return outcome
        stored = load_set(attempt.artifact(kind, resolved["set"], "synthetic.safetensors"), attempt.compute.device)
        if labels_task := resolved.get("labels"):
            if outcome := attempt.failed_input_outcome("label", labels_task):
                return outcome
            soft, _ = load_tensors(attempt.artifact("label", labels_task, LABELS), attempt.compute.device)
            stored = replace(stored, soft=soft["soft"])
        images, labels = training_pairs(stored, hard=resolved["protocol"].get("hard_labels", False))
        recipe = attempt.set_recipe(stored)
    attempt.compute.choose_compile(resolved["num_eval"] * recipe.samples_seen(len(labels)), images.shape)

    def new_training(index: int) -> Training:
        return attempt.evaluation_training(images, labels, recipe, index)

    work = Evaluation(new_training, resolved["num_eval"], data.test, validation, attempt.compute, attempt.normalizer())
    run_result = attempt.run_steps(work)
    result = {
        "accuracies": work.accuracies,
        "right_per_class": work.right,
        "validation_accuracies": work.validation_accuracies,
        "validation_right_per_class": work.validation_right,
        "optimizer_steps": work.steps_per_network,
        "lr": recipe.lr,
        "test_images": len(data.test.labels),
        "test_images_per_class": list(data.test.counts(data.num_classes)),
        "train_images_per_class": train_counts,
        "validation_images_per_class": list(validation.counts(data.num_classes)) if len(validation) else [],
        "decoded_images": len(labels),
    }
    return attempt.commit(Status.OK, result, run_result, work.total_steps)
