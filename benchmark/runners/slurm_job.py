"""What a queued job does: its tasks, on whatever device it was given, each into its folder of the store."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.compute.engine import choose_compute
from benchmark.execution.interruption import STOPS, StopFlag
from benchmark.execution.runtime import Outcome, Runtime
from benchmark.runners.local import Stopped, name_of, run_tasks
from benchmark.utils.errors import BenchmarkError
from slurm.job import restarts

FUNCTION = "benchmark.runners.slurm_job:work"  # as slurm.job calls it


def values(tasks: tuple[Mapping[str, Any], ...], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a job carries: its tasks and how to do them, as plain values."""
    return {"tasks": [dict(task) for task in tasks], **settings}


def work(given: Mapping[str, Any], told: Any) -> dict[str, Any]:
    """Do the tasks; what it returns is described in slurm.job.work. `told.signal` is one that came before."""
    how = (given["device"], given["precision"], given["threads"], given["at_once"])
    compute, workers = choose_compute(*how, given["compile"])
    if given["gpus"] and compute.device.type != "cuda" and given["device"] == "auto":
        raise BenchmarkError(
            "the profile asks for a GPU, but torch sees none here",
            where="gpus, in the profile",
            next="see that the job's Python has torch with CUDA; or device=cpu, to compute on the CPU all the same",
        )
    tasks = given["tasks"]
    stop = StopFlag(escalates=False)  # a scheduler may repeat itself
    for number in STOPS:
        signal.signal(number, stop.handle)
    stop.signal = stop.signal or told.signal
    runtime = Runtime(
        Path(given["out"]),
        compute,
        checkpoint_seconds=given["checkpoint_seconds"],
        retry_failed=given["retry"] == "failed" and not restarts(),  # a requeued job must not go round in its failures
        shared=min(workers, len(tasks)) > compute.devices,
        stop=stop,
    )
    ended: list[str] = []
    failed: list[str] = []

    begun = False

    def step(name: str, done: int, total: int, losses: dict[str, float]) -> None:
        nonlocal begun
        begun = True

    def end(name: str, outcome: Outcome) -> None:
        print(f"{name}: {outcome.status} {outcome.message}".rstrip(), flush=True)  # noqa: T201 -- a job's own output
        ended.append(name) if outcome.status == "done" else failed.append(f"{name}: {outcome.message}")

    names = ", ".join(map(name_of, tasks))
    print(f"{len(tasks)} tasks, {workers} at a time on {compute.device}: {names}", flush=True)  # noqa: T201
    stopped = 0
    try:
        run_tasks(tasks, runtime, min(workers, len(tasks)), step, end)
    except Stopped as error:
        stopped = error.number
    return {"stopped": stopped, "begun": begun, "ended": len(ended), "failed": failed}
