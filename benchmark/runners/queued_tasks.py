"""What a queued job does: it runs its tasks on the device of its node, each into its folder of the store."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.compute.engine import choose_compute
from benchmark.execution.runtime import Outcome, Runtime, Task
from benchmark.execution.stop_signals import StopFlag
from benchmark.planning.plan import task_name
from benchmark.runners.local import run_tasks
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.stopping import STOPS, Stopped
from results.store.schema import Status
from slurm.job import JobResult, SignalRecorder, restarts

FUNCTION = "benchmark.runners.queued_tasks:run"  # as slurm.job.run_job calls it


def arguments(tasks: Sequence[Task], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a job is submitted with: its tasks and how to run them (runners.slurm.job_settings), as plain values."""
    return {"tasks": [dict(task) for task in tasks], **settings}


def run(job: Mapping[str, Any], recorder: SignalRecorder) -> JobResult:
    """Run a job's tasks. `job` is what `arguments` made; a signal that arrived before is `recorder.signal`.

    Raises BenchmarkError where a GPU was requested and torch sees none.
    """
    compute, workers = choose_compute(
        job["device"], job["precision"], job["threads"], job["concurrent_tasks"], job["compile"]
    )
    if job["gpus"] and compute.device.type != "cuda" and job["device"] == "auto":
        raise BenchmarkError(
            "the cluster file asks for a GPU, but torch sees none here",
            where="gpus, in the cluster file",
            next="check that the job's Python has torch with CUDA; device=cpu computes on the CPU instead",
        )
    stop = StopFlag(escalates=False)  # a scheduler may repeat its signal
    for number in STOPS:
        signal.signal(number, stop.handle)
    stop.signal = stop.signal or recorder.signal
    tasks = job["tasks"]
    workers = min(workers, len(tasks))
    runtime = Runtime(
        Path(job["store"]),
        compute,
        checkpoint_seconds=job["checkpoint_seconds"],
        max_wait_seconds=job["max_wait_seconds"],
        retry_failed=job["retry"] == "failed" and not restarts(),  # else a requeued job would retry its own failures
        again=frozenset(job["again"]),
        tracker=job["tracker"],
        shared=workers > compute.num_devices,
        stop=stop,
    )
    result = JobResult()

    def on_step(name: str, done: int, total: int, losses: dict[str, float]) -> None:
        result.progressed = True

    def on_end(name: str, outcome: Outcome) -> None:
        say(f"{name}: {outcome.status} {outcome.message}".rstrip())
        if outcome.status == Status.DONE:
            result.finished += 1
        else:
            result.failures.append(f"{name}: {outcome.message}")

    def say(text: str) -> None:
        print(text, flush=True)  # noqa: T201

    names = ", ".join(map(task_name, tasks))
    say(f"{len(tasks)} tasks, {workers} at a time on {compute.device}: {names}")
    try:
        run_tasks(tasks, runtime, workers, on_step, on_end, say)
    except Stopped as error:
        result.stop_signal = error.number
    return result
