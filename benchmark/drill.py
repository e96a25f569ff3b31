"""A fire drill on your own cluster: a real job is interrupted, goes on, and must end as one that was left alone.

python -m benchmark.drill cluster=my-cluster.yaml
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from safetensors.numpy import load_file

from benchmark.cli import main
from benchmark.config.schema import RunConfig
from benchmark.planning import grid
from benchmark.runners import monitor, slurm
from benchmark.utils.errors import BenchmarkError, unknown
from results.store.store import Store
from slurm import cluster, queue, submissions

HOW = {
    "warning": "told that its time limit is near",
    "requeue": "requeued, as after pre-emption",
    "cancel": "cancelled, and queued again by the same command",
}
_STEPS = {"cpu": 400, "cuda": 40_000}  # long enough to be caught at work
_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 1800.0  # in the queue, and held there after a requeue


def drill(composed: DictConfig) -> int:
    """Interrupt one of two equal jobs and compare what they made; 0 if nothing was lost, 1 otherwise."""
    if composed.mode not in HOW:
        raise unknown("way to interrupt a job", composed.mode, HOW, where=f"mode={composed.mode}")
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    base = Path(composed.store).expanduser() / "drill" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    tasks: dict[str, Mapping[str, Any]] = {}
    configs = {name: _request(composed, base / name) for name in ("calm", "shaken")}
    for name, config in configs.items():
        tasks[name] = _queue(config)
        say(f"{name}: queued as job {_job(config, tasks[name])}")
    shaken = configs["shaken"]
    _catch(shaken, tasks["shaken"], composed.mode, say)
    for name, config in configs.items():
        _await_end(config, tasks[name], say)
    return compare(configs, tasks, say)


def _request(composed: DictConfig, out: Path) -> RunConfig:
    """One set of digits, condensed by DM and not evaluated: small, and long enough."""
    if composed.cluster is None:
        raise BenchmarkError("a drill needs a profile of the cluster", where="profile", next="cluster=PATH.yaml")
    device = "cuda" if cluster.load(composed.cluster).gpus and composed.device == "auto" else composed.device
    steps = composed.steps or _STEPS["cuda" if device.startswith("cuda") else "cpu"]
    return RunConfig(
        variants=[], eval_architectures=[], protocols=[], robustness_scores=False, seeds=[0], baselines=[], preset="quick",
        iterations_fraction=1.0, num_eval=1, val_fraction=0.0, precision="fp32", compile=None, device=composed.device, threads=1,
        workers=None, retry=None,
        dry_run=False, checkpoint_seconds=5.0, data_root=composed.data_root, store=str(out), methods=["dm"],
        datasets=["digits"], ipcs=[1], architectures=["auto"], budget_seconds=None, snapshots=None, expert_seed=0, launcher="slurm",
        cluster=composed.cluster, wait=False, method={"dm": {"iterations": steps}},
    )  # fmt: skip


def _queue(config: RunConfig) -> Mapping[str, Any]:
    """Queue the plan; its condense task."""
    asked = slurm.check(config)
    planned = grid.build(config)
    slurm.launch(planned.tasks, config, asked)
    return planned.of_kind("condense")[0]


def _job(config: RunConfig, task: Mapping[str, Any]) -> str:
    return submissions.jobs_of(submissions.entries(Path(config.store) / "slurm"))[task["identity"]]


def _catch(config: RunConfig, task: Mapping[str, Any], how: str, say: Any) -> None:
    """Wait until the task is at work, then interrupt its job."""
    seen = _wait(config, task, lambda one: bool(one.progress) or one.state in ("done", "failed"))
    if seen.state != "running" or not seen.progress:
        raise BenchmarkError(
            f"the job to be interrupted is {seen.state} already: {seen.why}", where=str(seen.folder), next="steps=MORE"
        )
    job = _job(config, task)
    say(f"shaken: at step {seen.progress['done']:,} of {seen.progress['total']:,}, now {HOW[how]}")
    if how == "warning":
        queue.ask("scancel", "--signal=USR2", job)
    elif how == "requeue":
        queue.requeue(job)
    else:
        queue.cancel([job])
        _wait(config, task, lambda one: one.state not in ("running", "queued"))
        slurm.launch(grid.build(config).tasks, config, slurm.check(config))


def _await_end(config: RunConfig, task: Mapping[str, Any], say: Any) -> None:
    seen = _wait(config, task, lambda one: one.state in ("done", "failed", "stopped", "blocked", "to do"))
    say(f"{Path(config.store).name}: {seen.state} {seen.why}".rstrip())


def _wait(config: RunConfig, task: Mapping[str, Any], until: Any) -> monitor.TaskStatus:
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE_SECONDS:
        view = monitor.view(Path(config.store))
        seen = view.tasks.get(task["identity"])
        if seen is not None and not view.no_queue and until(seen):
            return seen
        time.sleep(_LOOK_SECONDS)
    raise BenchmarkError(
        f"nothing happened for {_PATIENCE_SECONDS / 60:.0f} minutes",
        where=config.store,
        next=f"python -m benchmark.status store={config.store} tells more; benchmark.cancel store={config.store} ends it",
    )


def compare(configs: Mapping[str, RunConfig], tasks: Mapping[str, Mapping[str, Any]], say: Any) -> int:
    """Are both sets there, and the same? Returns the exit status.

    Raises BenchmarkError where nothing was interrupted: equal sets would show nothing.
    """
    stores = {name: Store(Path(config.store)) for name, config in configs.items()}
    if lacking := [name for name, store in stores.items() if store.record(tasks[name]) is None]:
        say(f"{' and '.join(lacking)} came to no end: something was lost")
        return main.SOME_FAILED
    files = {name: store.folder(tasks[name]) / "synthetic.safetensors" for name, store in stores.items()}
    folder = files["shaken"].parent
    if (folder / "log.txt").read_text(errors="replace").count(" begun on ") < 2:
        raise BenchmarkError("the job was over before it could be interrupted", where=str(folder), next="steps=MORE")
    tries = len(list((folder / "attempts").glob("*.json")))
    if files["calm"].read_bytes() == files["shaken"].read_bytes():
        say(f"the interrupted job ended with the same bytes ({tries} broken-off tries are on record): nothing was lost")
        return main.DONE
    calm, shaken = (load_file(files[name])["images"] for name in ("calm", "shaken"))
    apart = float(abs(calm - shaken).max())
    say(f"both ended; their images differ by up to {apart:.2g}: another kind of processor, or a GPU, rounds otherwise")
    return main.DONE if apart < 1e-2 else main.SOME_FAILED


if __name__ == "__main__":
    main.launch(drill, "drill")
