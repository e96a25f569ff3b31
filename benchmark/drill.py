"""Test that your cluster loses no work: one of two equal jobs is interrupted, and their results are compared.

python -m benchmark.drill cluster=my-cluster.yaml
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli import main
from benchmark.cli.progress import open_console
from benchmark.config.compose import parse_as
from benchmark.config.schema import DrillConfig, RunConfig
from benchmark.utils.errors import BenchmarkError
from results.store.schema import Status
from results.store.store import Store
from slurm import cluster

if TYPE_CHECKING:
    from benchmark.execution.runtime import Task

STEPS = {"cpu": 400, "cuda": 40_000}  # enough for the job to be interrupted while it is running
MAX_DIFFERENCE = 1e-2  # of pixels in 0..1, where the two jobs ran on different hardware or on a GPU


def drill(composed: Mapping[str, Any]) -> int:
    """Interrupt one of two equal jobs and compare their sets; returns the exit status: 0 if nothing was lost."""
    from benchmark.runners.interruption_drill import interrupt, job_of, queue_set, wait_until  # loads torch

    config = parse_as(DrillConfig, composed)
    console = open_console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    base = Path(config.store) / "drill" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    runs = {name: _run_config(config, base / name) for name in ("undisturbed", "interrupted")}
    tasks = {name: queue_set(run) for name, run in runs.items()}
    for name, run in runs.items():
        say(f"{name}: queued as job {job_of(run, tasks[name])}")
    interrupt(runs["interrupted"], tasks["interrupted"], config.mode, say)
    unfinished = (Status.RUNNING, Status.QUEUED)
    for name, run in runs.items():
        status = wait_until(run, tasks[name], lambda status: status.state not in unfinished)
        say(f"{name}: {status.state} {status.reason}".rstrip())
    return compare(runs, tasks, say)


def _run_config(config: DrillConfig, store: Path) -> RunConfig:
    """One set of digits that DM condenses and nothing evaluates: small, with enough steps to be interrupted."""
    assert config.cluster is not None
    on_gpu = config.device.startswith("cuda") or (config.device == "auto" and cluster.load(config.cluster).gpus > 0)
    steps = config.steps or STEPS["cuda" if on_gpu else "cpu"]
    return RunConfig(
        methods=["dm"], method={"dm": {"iterations": steps}}, datasets=["digits"], ipcs=[1], baselines=[], variants=[],
        protocols=[], num_eval=1, seeds=[0], iterations_fraction=1.0, device=config.device, threads=1,
        checkpoint_seconds=5.0, launcher="slurm", cluster=config.cluster, data_root=config.data_root, store=str(store),
    )  # fmt: skip


def compare(runs: Mapping[str, RunConfig], tasks: Mapping[str, Task], say: Callable[[str], None]) -> int:
    """Compare the two sets; returns the exit status.

    Raises BenchmarkError if the job was not interrupted after all, as equal sets would then show nothing.
    """
    stores = {name: Store(Path(config.store)) for name, config in runs.items()}
    if missing := [name for name, store in stores.items() if store.record(tasks[name]) is None]:
        say(f"no set: {' and '.join(missing)}; something was lost")
        return main.SOME_FAILED
    files = {name: store.folder(tasks[name]) / "synthetic.safetensors" for name, store in stores.items()}
    folder = files["interrupted"].parent
    if (folder / "log.txt").read_text(errors="replace").count(" started on ") < 2:
        raise BenchmarkError("the job ended before it could be interrupted", where=str(folder), next="steps=MORE")
    if files["undisturbed"].read_bytes() == files["interrupted"].read_bytes():
        attempts = len(list((folder / "attempts").glob("*.json")))
        say(f"the interrupted job made the same bytes ({attempts} interrupted attempts recorded): nothing was lost")
        return main.DONE
    from safetensors.numpy import load_file  # loads numpy

    undisturbed, interrupted = (load_file(path)["images"] for path in files.values())
    difference = float(abs(undisturbed - interrupted).max())
    say(f"the images differ by up to {difference:.2g}, as rounding on other processors, or on a GPU, may differ")
    return main.DONE if difference < MAX_DIFFERENCE else main.SOME_FAILED


if __name__ == "__main__":
    main.launch(drill, "drill")
