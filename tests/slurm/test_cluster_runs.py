"""A plan on a real cluster: every job is interrupted in its own way, and the sets are those of a quiet local run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from benchmark import drill
from benchmark.compute.engine import choose_compute
from benchmark.config import compose as options
from benchmark.config.schema import RunConfig
from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.runtime import Runtime
from benchmark.planning import grid
from benchmark.runners import monitor, slurm
from benchmark.runners.local import run_tasks
from benchmark.utils.errors import BenchmarkError
from loopback import Cluster
from results.errors import ResultsError
from results.store.store import Store
from slurm import submissions
from slurm.errors import SlurmError

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
SMALL = (
    "methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "threads=1",
    "checkpoint_seconds=2",
)  # fmt: skip


def asked(out: Path, *words: str, scored: bool = True) -> RunConfig:
    """`scored`: whether the sets are evaluated, too."""
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        said = options.parse(compose("run", [*SMALL, f"store={out}", f"data_root={out.parent / 'data'}", *words]))
    return said if scored else replace(said, protocols=[])


def profile(folder: Path, **settings: object) -> str:
    said = {"partition": "gpu", "minutes": 30} | settings
    path = folder / f"profile{len(list(folder.glob('profile*')))}.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in said.items()))
    return f"cluster={path}"


def start(out: Path, *words: str, scored: bool = True) -> tuple[grid.Plan, slurm.Launched]:
    """Queue a run as the command does."""
    wanted = asked(out, "launcher=slurm", *words, scored=scored)
    planned = grid.build(wanted)
    return planned, slurm.launch(planned.tasks, wanted, slurm.check(wanted))


def in_peace(out: Path, *words: str, scored: bool = True) -> grid.Plan:
    """The same run on this machine, one task after the other."""
    compute, _ = choose_compute("cpu", "fp32", 1, 1)
    planned = grid.build(asked(out, *words, scored=scored))
    run_tasks(planned.tasks, Runtime(out, compute), 1, lambda *step: None, lambda *end: None)
    return planned


def results(out: Path, planned: grid.Plan) -> dict[str, Any]:
    """By slug: the bytes of a set, the accuracies of an evaluation."""
    store, found = Store(out), {}
    for task in planned.tasks:
        record = store.record(task)
        made = store.folder(task) / "synthetic.safetensors"
        is_set = task["kind"] == "condense"
        found[task["kind"], task["slug"]] = record and (made.read_bytes() if is_set else record["result"]["accuracies"])
    return found


@pytest.fixture
def env(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    return cluster


class Jobs:
    """The jobs of a store's tasks, by kind and seed."""

    def __init__(self, out: Path, planned: grid.Plan) -> None:
        self.out, self.planned = out, planned

    def task(self, kind: str, seed: int) -> Any:
        return next(task for task in self.planned.of_kind(kind) if task["resolved"]["seed"] == seed)

    def job(self, kind: str, seed: int) -> str:
        return submissions.jobs_of(submissions.entries(self.out / "slurm"))[self.task(kind, seed)["identity"]]

    def seen(self, kind: str, seed: int) -> monitor.TaskStatus:
        return monitor.view(self.out).tasks[self.task(kind, seed)["identity"]]

    def owner(self, seed: int) -> Any:
        """The process that makes a set, as its lock says."""
        return json.loads((Store(self.out).folder(self.task("condense", seed)) / "lock.json").read_text())

    def at_work(self, seed: int) -> Callable[[], bool]:
        """Whether that set's making has got somewhere; fails when it was over too soon to be interrupted."""

        def look() -> bool:
            found = self.seen("condense", seed)
            assert found.state in ("queued", "running"), f"{found.name} is {found.state} already: {found.why}"
            return bool(found.progress)

        return look


HELD_SECONDS = 10.0  # KillWait and more: what is left of a requeued job's last start must be gone before the next one


class Settled:
    """Whether no job is left. Requeued ones, which SLURM holds back for two minutes, go on after some seconds."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.held: dict[str, float] = {}  # since when

    def __call__(self) -> bool:
        queue = self.cluster.queue()
        waiting = [job.job for job in queue if job.reason == "BeginTime"]
        self.held = {job: self.held.get(job, time.monotonic()) for job in waiting}
        for job, since in list(self.held.items()):
            if time.monotonic() - since > HELD_SECONDS:
                self.cluster.scontrol("update", f"JobId={job}", "StartTime=now")
        return not queue


def test_whatever_interrupts_jobs_the_results_are_those_of_a_quiet_run(env: Cluster, tmp_path: Path) -> None:
    words = ("seeds=[0,1,2,3,4]", "method.dm.iterations=500")
    long = ("seeds=[9]", "method.dm.iterations=2400")
    # a partition whose jobs are cancelled for those of another, not requeued
    preemptible = profile(tmp_path, partition="cancel")
    first, _ = start(tmp_path / "out", *words, "seeds=[4]", preemptible)
    jobs, settled = Jobs(tmp_path / "out", first), Settled(env)
    lost = Store(tmp_path / "out").folder(jobs.task("condense", 4))
    env.wait_for(lambda: jobs.at_work(4)() and (lost / CHECKPOINT).exists(), 120)
    node = env.show(jobs.job("condense", 4))["NodeList"]
    env.crash_node(node)  # as where the power fails
    assert jobs.seen("condense", 4).state == "queued"
    env.restore_node(node)
    limited, _ = start(tmp_path / "limited", *long, profile(tmp_path, minutes=1, warning=5), scored=False)
    planned, launched = start(tmp_path / "out", *words, preemptible)
    assert (launched.jobs, launched.queued_before) == (8, 2)
    jobs = Jobs(tmp_path / "out", planned)
    env.wait_for(jobs.at_work(0), 120)
    env.scontrol("requeue", jobs.job("condense", 0))  # as an administrator does
    env.wait_for(jobs.at_work(1), 60)
    os.kill(jobs.owner(1)["pid"], signal.SIGKILL)  # without a word, as where memory runs out
    env.wait_for(jobs.at_work(2), 60)
    env.preempt(env.show(jobs.job("condense", 2))["NodeList"])  # others come first
    env.wait_for(lambda: settled() or jobs.at_work(3)(), 240)
    env.client("scancel", "--signal=USR2", jobs.job("condense", 3))  # as when the time limit is near
    env.wait_for(settled, 400)
    assert jobs.seen("condense", 1).state == "stopped" and "ended as" in jobs.seen("condense", 1).why
    assert [jobs.seen("condense", seed).state for seed in (0, 2, 3)] == ["done"] * 3
    assert jobs.seen("condense", 4).state == "done" and "going on from step" in (lost / "log.txt").read_text()
    _, again = start(tmp_path / "out", *words, preemptible)
    assert again.jobs == 2, "the killed set and its evaluation, nothing else"
    env.wait_for(settled, 240)
    for out, run, asked_for in (("out", planned, words), ("limited", limited, long)):
        in_peace(tmp_path / f"{out}-peace", *asked_for, scored=out == "out")
        assert results(tmp_path / out, run) == results(tmp_path / f"{out}-peace", run)
    tries = {
        path.parts[-3]: [json.loads(found.read_text())["status"] for found in sorted(path.parent.glob("*.json"))]
        for path in tmp_path.glob("*/condense/*/attempts/*.json")
    }
    assert all(any(f"seed{seed}-" in slug for slug in tries) for seed in (0, 2, 3, 9)), tries
    assert "timed_out" in str(tries), tries


FAULTY = """
import os
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from methods.dm import DistributionMatching

class Faulty(DistributionMatching):
    card = replace(DistributionMatching.card, name="faulty", title="Faulty")

    def step(self):
        if Path(os.environ["FAULT"]).exists():
            raise RuntimeError("this method is broken")
        return super().step()
"""


def plug_in(folder: Path) -> Path:
    """A package with a method that fails while the file FAULT is there."""
    (meta := folder / "plug/faulty-1.0.dist-info").mkdir(parents=True)
    (folder / "plug/faulty.py").write_text(FAULTY)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[condensation_benchmark.methods]\nfaulty = faulty:Faulty\n")
    return folder / "plug"


def test_a_failure_stops_only_what_needs_it(env: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = tmp_path / "fault"
    fault.touch()
    plug = plug_in(tmp_path)
    monkeypatch.syspath_prepend(str(plug))
    prepared = profile(tmp_path, setup=f'["export PYTHONPATH=$PYTHONPATH:{plug} FAULT={fault}"]')
    words = ("methods=[faulty,dm]", "method.dm.iterations=3", "method.faulty.iterations=3", prepared)
    planned = grid.build(asked(tmp_path / "out", "launcher=slurm", *words))
    command = (*SMALL, *words, "launcher=slurm", "wait=true", "store=out", "data_root=data")
    path = os.pathsep.join([str(plug), *filter(None, [os.environ.get("PYTHONPATH")])])
    waited = call(tmp_path, "run", *command, PYTHONPATH=path)
    assert waited.returncode == 1 and "queued 4 jobs" in waited.stdout and "DM" in waited.stdout, waited.stderr
    for said in ("failed: condense faulty-", "broken (see ", "blocked: evaluate faulty-", "again with retry=failed"):
        assert said in waited.stdout
    assert not env.queue()
    seen = monitor.view(tmp_path / "out").tasks
    states = {(task["kind"], task["display"]["card"]["name"]): seen[task["identity"]].state for task in planned.tasks}
    assert states == {
        ("condense", "faulty"): "failed", ("evaluate", "faulty"): "blocked",
        ("condense", "dm"): "done", ("evaluate", "dm"): "done",
    }  # fmt: skip
    told = call(tmp_path, "status", "store=out", "tables=true")
    assert told.returncode == 1 and "DM" in told.stdout
    assert "RuntimeError: this method is broken" in told.stdout and "(see " in told.stdout
    _, again = start(tmp_path / "out", *words)
    assert (again.jobs, again.left) == (0, 2)
    fault.unlink()
    waited = call(tmp_path, "run", *command, "retry=failed", PYTHONPATH=path)
    assert waited.returncode == 0 and "queued 2 jobs" in waited.stdout and "Faulty" in waited.stdout, waited.stderr
    assert {one.state for one in monitor.view(tmp_path / "out").tasks.values()} == {"done"}


def test_a_driver_that_waits_may_be_stopped_and_its_jobs_go_on(env: Cluster, tmp_path: Path) -> None:
    words = (*SMALL, "method.dm.iterations=3", "launcher=slurm", profile(tmp_path), "store=out", "data_root=data")
    env.scontrol("update", "PartitionName=gpu", "State=DOWN")
    try:
        waiting = [sys.executable, "-m", "benchmark.run", *words, "wait=true"]
        hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell starts with & is deaf to Ctrl-C
        with subprocess.Popen(waiting, cwd=tmp_path, stdout=subprocess.PIPE, text=True, preexec_fn=hear) as driver:
            assert driver.stdout is not None
            said = list(takewhile(lambda line: line != "2 queued\n", driver.stdout))  # then it looks on
            driver.send_signal(signal.SIGINT)
            said += driver.stdout.readlines()
        assert driver.returncode == 130 and "the jobs go on" in said[-1], said
        assert [job.state for job in env.queue()] == ["PENDING"] * 2
    finally:
        env.scontrol("update", "PartitionName=gpu", "State=UP")
    waited = call(tmp_path, "run", *words, "wait=true")
    assert waited.returncode == 0 and "DM" in waited.stdout, waited.stderr
    assert not env.queue() and len(submissions.entries(tmp_path / "out/slurm")) == 2, "nothing was queued twice"


def test_queued_jobs_run_the_code_of_their_submission(env: Cluster, tmp_path: Path) -> None:
    """From the command to the table, several tasks in one job, while the checkout is being taken apart."""
    checkout = tmp_path / "checkout"
    for room in ("benchmark", "methods", "results", "slurm"):
        shutil.copytree(Path(__file__).parents[2] / room, checkout / room)
    words = ("seeds=[0,1,2]", "method.dm.iterations=3")
    more = ("launcher=slurm", profile(tmp_path, pack=3))
    done = call(checkout, "run", *SMALL, *words, *more, "store=../out", "data_root=../data")
    assert done.returncode == 0 and "queued 2 jobs for 3 condense, 3 evaluate tasks" in done.stdout, done.stderr
    shutil.rmtree(checkout / "methods")
    (checkout / "benchmark/__init__.py").write_text("broken")
    env.wait_for(lambda: not env.queue(), 240)
    planned = grid.build(asked(tmp_path / "out", *words))
    in_peace(tmp_path / "peace", *words)
    assert results(tmp_path / "out", planned) == results(tmp_path / "peace", planned)
    done = call(tmp_path, "run", *SMALL, *words, *more, "store=out", "data_root=data")
    assert done.returncode == 0 and "everything is done" in done.stdout and "DM" in done.stdout, done.stderr


def test_a_second_driver_finds_what_the_first_has_queued(env: Cluster, tmp_path: Path) -> None:
    env.scontrol("update", "PartitionName=gpu", "State=DOWN")
    try:
        found: list[slurm.Launched] = []
        wanted = asked(tmp_path / "out", "launcher=slurm", "seeds=[0,1,2]", profile(tmp_path))
        planned, ready = grid.build(wanted), slurm.check(wanted)

        def drive() -> None:
            found.append(slurm.launch(planned.tasks, wanted, ready))

        drivers = [threading.Thread(target=drive) for _ in range(2)]
        for driver in drivers:
            driver.start()
        for driver in drivers:
            driver.join()
        assert sorted((one.jobs, one.queued_before) for one in found) == [(0, 6), (6, 0)]
        # a driver that died before it noted what it had queued: that is withdrawn, and queued again
        (noted,) = (tmp_path / "out/slurm").glob("*/queued.jsonl")
        noted.write_text("".join(line + "\n" for line in noted.read_text().splitlines() if '"array"' not in line))
        again = slurm.launch(planned.tasks, wanted, ready)
        assert again.jobs == 6 and len(env.client("squeue", "-h", "-r").stdout.splitlines()) == 6
        # cancelling takes these jobs, and no others of the same person
        env.client("sbatch", "--wrap", "sleep 100", "--output=/dev/null")
        assert len(env.client("squeue", "-h", "-r").stdout.splitlines()) == 7
        done = call(tmp_path, "cancel", "store=out")
        assert done.returncode == 0 and "cancelled 6 jobs" in done.stdout, done.stderr
        env.wait_for(lambda: len(env.queue()) == 1, 30)
        assert {one.state for one in monitor.view(tmp_path / "out").tasks.values()} == {"to do"}
    finally:
        env.scontrol("update", "PartitionName=gpu", "State=UP")


@pytest.mark.parametrize(("settings", "said"), [
    ({"partition": "gup"}, "there is no partition 'gup' | known: cancel, gpu, high"),
    ({"constraint": "none-such"}, "the cluster refuses such jobs"),
    ({"cpus": 999}, "the cluster refuses such jobs"),
    ({"partitoin": "gpu"}, "did you mean 'partition'?"),
])  # fmt: skip
def test_what_a_cluster_would_refuse_is_told_before_anything_is_queued(
    env: Cluster, tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(SlurmError) as caught:
        start(tmp_path / "out", profile(tmp_path, **settings))
    assert said in f"{caught.value.what} | {caught.value.next}"
    assert not env.queue() and not (tmp_path / "out").exists()


def test_a_store_that_cannot_be_written_is_told_before_anything_is_queued(env: Cluster, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ResultsError, match="cannot write"):
        start(tmp_path / "out", profile(tmp_path))
    assert not env.queue()


def test_without_slurm_or_a_profile_the_way_out_is_told(tmp_path: Path) -> None:
    done = call(tmp_path, "run", *SMALL, "launcher=slurm", "cluster=cpu", PATH=str(tmp_path))
    assert done.returncode == 2 and "not on the path" in done.stderr and "launcher=local" in done.stderr
    done = call(tmp_path, "run", *SMALL, "launcher=slurm")
    assert done.returncode == 2 and "needs a profile" in done.stderr and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("how", drill.HOW)
def test_a_drill_interrupts_a_job_and_shows_that_nothing_was_lost(env: Cluster, tmp_path: Path, how: str) -> None:
    words = (profile(tmp_path), f"mode={how}", "steps=60", "device=cpu")
    command = [sys.executable, "-m", "benchmark.drill", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as drilling:
        settled = Settled(env)
        env.wait_for(lambda: settled() and drilling.poll() is not None, 800)
        said = drilling.stdout.read() if drilling.stdout else ""
    assert drilling.returncode == 0, said
    assert f"now {drill.HOW[how]}" in said and "ended with the same bytes (1 broken-off" in said


def test_a_drill_that_interrupted_nothing_says_so(tmp_path: Path) -> None:
    configs = {name: asked(tmp_path / name, "method.dm.iterations=2", scored=False) for name in ("calm", "shaken")}
    tasks = {name: in_peace(tmp_path / name, "method.dm.iterations=2", scored=False).tasks[0] for name in configs}
    with pytest.raises(BenchmarkError, match="over before it could be interrupted"):
        drill.compare(configs, tasks, print)


def call(folder: Path, command: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmark.{command}", *words],
        cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=os.environ | env,
    )  # fmt: skip
