"""Whiten: ZCA is fitted on the training images, for methods whose networks see whitened ones."""

from __future__ import annotations

from benchmark.datasets.normalization import fit_whitening
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import RunResult
from benchmark.execution.runtime import Outcome
from benchmark.utils.tensor_files import save_tensors
from benchmark.utils.timing import Stopwatch
from results.store.schema import Status


def whiten(attempt: Attempt) -> Outcome:
    """Save mean, eigenvalues and eigenvectors of the training images, which are fitted on the CPU."""
    train, _ = attempt.splits()
    watch = Stopwatch(attempt.compute.device)
    with watch.running():
        fitted = fit_whitening(train)
    path = attempt.folder / "whitening.safetensors"
    attempt.checksums[path.name] = save_tensors(path, fitted, {"whitening": dict(attempt.resolved)})
    return attempt.commit(Status.OK, {"images": len(train.labels)}, RunResult(watch.seconds, {}), 0)
