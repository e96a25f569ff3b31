"""Plans on a real cluster: jobs are interrupted in every way, and the results equal those of a local run."""

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
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from benchmark import drill
from benchmark.compute.engine import choose_compute
from benchmark.config.schema import INTERRUPTIONS
from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.runtime import Runtime
from benchmark.planning import grid
from benchmark.runners import slurm
from benchmark.runners.local import run_tasks
from benchmark.runners.monitor import TaskStatus, read_status
from benchmark.utils.errors import BenchmarkError
from loopback import LoopbackCluster
from queued_runs import SMALL, call, cluster_file, install, make_config, start
from results.errors import ResultsError
from results.store.schema import Status
from results.store.store import Store
from slurm import submissions
from slurm.errors import SlurmError

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


def run_locally(out: Path, *words: str, scored: bool = True) -> grid.Plan:
    """Run a plan on this machine, one task after the other."""
    compute, _ = choose_compute("cpu", "fp32", 1, 1)
    planned = grid.build(make_config(out, *words, scored=scored))
    run_tasks(planned.tasks, Runtime(out, compute), 1, lambda *step: None, lambda *end: None)
    return planned


def results(out: Path, planned: grid.Plan) -> dict[str, Any]:
    """The bytes of each set and the accuracies of each evaluation, by kind and slug."""
    store, values = Store(out), {}
    for task in planned.tasks:
        record = store.record(task)
        path = store.folder(task) / "synthetic.safetensors"
        is_set = task["kind"] == "condense"
        values[task["kind"], task["slug"]] = record and (
            path.read_bytes() if is_set else record["result"]["accuracies"]
        )
    return values


@pytest.fixture
def env(cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch) -> LoopbackCluster:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    return cluster


class Jobs:
    """The jobs of a store's tasks, by kind and seed."""

    def __init__(self, out: Path, planned: grid.Plan) -> None:
        self.out, self.planned = out, planned

    def task(self, kind: str, seed: int) -> Any:
        return next(task for task in self.planned.of_kind(kind) if task["resolved"]["seed"] == seed)

    def job(self, kind: str, seed: int) -> str:
        return submissions.job_by_task(submissions.read(self.out / "slurm"))[self.task(kind, seed)["identity"]]

    def status(self, kind: str, seed: int) -> TaskStatus:
        return read_status(self.out).tasks[self.task(kind, seed)["identity"]]

    def owner(self, seed: int) -> Any:
        """The process that makes a set, from its lock file."""
        return json.loads((Store(self.out).folder(self.task("condense", seed)) / "lock.json").read_text())

    def running(self, seed: int) -> Callable[[], bool]:
        """A function: whether a set's steps have begun. It fails if the set is there before it can be interrupted."""

        def has_progress() -> bool:
            status = self.status("condense", seed)
            unfinished = (Status.QUEUED, Status.RUNNING)
            assert status.state in unfinished, f"{status.name} is {status.state} already: {status.reason}"
            return bool(status.progress)

        return has_progress


HELD_SECONDS = 10.0  # more than KillWait: the processes of a requeued job must have ended before its next start


class QueueIsEmpty:
    """Whether no job is left. It starts requeued jobs after some seconds; SLURM would hold them for two minutes."""

    def __init__(self, cluster: LoopbackCluster) -> None:
        self.cluster = cluster
        self.held_since: dict[str, float] = {}

    def __call__(self) -> bool:
        queue = self.cluster.queue()
        held = [job.id for job in queue if job.reason == "BeginTime"]
        self.held_since = {job: self.held_since.get(job, time.monotonic()) for job in held}
        for job, since in self.held_since.items():
            if time.monotonic() - since > HELD_SECONDS:
                self.cluster.scontrol("update", f"JobId={job}", "StartTime=now")
        return not queue


SLOW_METHOD = """
import os, time
from dataclasses import replace
from methods.dm import DistributionMatching

class Slow(DistributionMatching):
    card = replace(DistributionMatching.card, name="slow", title="Slow")

    def step(self):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().step()
"""
FAULTY_METHOD = """
import os
from dataclasses import replace
from pathlib import Path
from methods.dm import DistributionMatching

class Faulty(DistributionMatching):
    card = replace(DistributionMatching.card, name="faulty", title="Faulty")

    def step(self):
        if Path(os.environ["FAULT"]).exists():
            raise RuntimeError("this method is broken")
        return super().step()
"""


def test_interrupted_jobs_have_the_results_of_a_local_run(
    env: LoopbackCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step pauses in jobs, so that there is time to interrupt them, and does not in the local run."""
    plugin = install(tmp_path, "slow", SLOW_METHOD)
    monkeypatch.syspath_prepend(str(plugin))

    def cluster(pause: float, **settings: object) -> str:
        return cluster_file(tmp_path, setup=f'["export PYTHONPATH=$PYTHONPATH:{plugin} PAUSE={pause}"]', **settings)

    words = ("methods=[slow]", "method.slow.iterations=100", "seeds=[0,1,2,3,4]")
    long = ("methods=[slow]", "method.slow.iterations=100", "seeds=[9]")
    # a partition whose jobs are cancelled for those of another, not requeued
    preemptible = cluster(0.1, partition="cancel")
    first, _ = start(tmp_path / "out", *words, "seeds=[4]", preemptible)
    jobs, is_empty = Jobs(tmp_path / "out", first), QueueIsEmpty(env)
    folder = Store(tmp_path / "out").folder(jobs.task("condense", 4))
    env.wait_for(lambda: jobs.running(4)() and (folder / CHECKPOINT).exists(), 120)
    node = env.show(jobs.job("condense", 4))["NodeList"]
    env.crash_node(node)  # a power cut
    assert jobs.status("condense", 4).state == "queued"
    env.restore_node(node)
    limited, _ = start(tmp_path / "limited", *long, cluster(0.7, timeout_min=1, signal_seconds=5), scored=False)
    planned, launched = start(tmp_path / "out", *words, preemptible)
    assert (launched.jobs, launched.queued_before) == (8, 2)
    jobs = Jobs(tmp_path / "out", planned)
    env.wait_for(jobs.running(0), 120)
    env.scontrol("requeue", jobs.job("condense", 0))  # an administrator
    env.wait_for(jobs.running(1), 60)
    os.kill(jobs.owner(1)["pid"], signal.SIGKILL)  # the kernel, when memory runs out
    env.wait_for(jobs.running(2), 60)
    env.preempt(env.show(jobs.job("condense", 2))["NodeList"])  # jobs of higher priority
    env.wait_for(lambda: is_empty() or jobs.running(3)(), 240)
    env.client("scancel", "--signal=USR2", jobs.job("condense", 3))  # SLURM, when the time limit is near
    env.wait_for(is_empty, 400)
    assert jobs.status("condense", 1).state == "stopped" and "ended as" in jobs.status("condense", 1).reason
    assert [jobs.status("condense", seed).state for seed in (0, 2, 3)] == ["done"] * 3
    assert jobs.status("condense", 4).state == "done" and "resuming from step" in (folder / "log.txt").read_text()
    _, again = start(tmp_path / "out", *words, preemptible)
    assert again.jobs == 2, "the killed set and its evaluation, nothing else"
    env.wait_for(is_empty, 240)
    for out, run, run_words in (("out", planned, words), ("limited", limited, long)):
        run_locally(tmp_path / f"{out}-local", *run_words, scored=out == "out")
        assert results(tmp_path / out, run) == results(tmp_path / f"{out}-local", run)
    attempts = {
        folder.parent.name: [json.loads(path.read_text())["status"] for path in sorted(folder.glob("*.json"))]
        for folder in tmp_path.glob("*/condense/*/attempts")
    }
    assert all(any(f"seed{seed}-" in slug for slug in attempts) for seed in (0, 2, 3, 9)), attempts
    assert all("timed_out" in statuses for slug, statuses in attempts.items() if "seed9-" in slug), attempts


def test_a_failure_stops_only_tasks_that_need_it(
    env: LoopbackCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = tmp_path / "fault"
    fault.touch()
    plugin = install(tmp_path, "faulty", FAULTY_METHOD)
    monkeypatch.syspath_prepend(str(plugin))
    cluster = cluster_file(tmp_path, setup=f'["export PYTHONPATH=$PYTHONPATH:{plugin} FAULT={fault}"]')
    words = ("methods=[faulty,dm]", "method.dm.iterations=3", "method.faulty.iterations=3", cluster)
    planned = grid.build(make_config(tmp_path / "out", "launcher=slurm", *words))
    command = (*SMALL, *words, "launcher=slurm", "wait=true", "store=out", "data_root=data")
    path = os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = call(tmp_path, "run", *command, PYTHONPATH=path)
    assert process.returncode == 1 and "queued 4 jobs" in process.stdout and "DM" in process.stdout, process.stderr
    for text in (
        "failed: condense faulty@iterations:3-",
        "broken (see ",
        "blocked: evaluate faulty@iterations:3-",
        "retry=failed tries failed tasks again",
    ):
        assert text in process.stdout
    assert not env.queue()
    statuses = read_status(tmp_path / "out").tasks
    states = {
        (task["kind"], task["display"]["card"]["name"]): statuses[task["identity"]].state for task in planned.tasks
    }
    assert states == {
        ("condense", "faulty"): "failed", ("evaluate", "faulty"): "blocked",
        ("condense", "dm"): "done", ("evaluate", "dm"): "done",
    }  # fmt: skip
    process = call(tmp_path, "status", "store=out", "tables=true")
    assert process.returncode == 1 and "DM" in process.stdout
    assert "RuntimeError: this method is broken" in process.stdout and "(see " in process.stdout
    _, again = start(tmp_path / "out", *words)
    assert (again.jobs, again.skipped_failed) == (0, 2)
    fault.unlink()
    process = call(tmp_path, "run", *command, "retry=failed", PYTHONPATH=path)
    assert process.returncode == 0 and "queued 2 jobs" in process.stdout and "Faulty" in process.stdout, process.stderr
    assert {task.state for task in read_status(tmp_path / "out").tasks.values()} == {"done"}


def test_a_waiting_command_may_be_stopped_and_its_jobs_go_on(env: LoopbackCluster, tmp_path: Path) -> None:
    words = (*SMALL, "method.dm.iterations=3", "launcher=slurm", cluster_file(tmp_path), "store=out", "data_root=data")
    env.scontrol("update", "PartitionName=gpu", "State=DOWN")
    try:
        command = [sys.executable, "-m", "benchmark.run", *words, "wait=true"]
        # A background process of a shell ignores Ctrl-C unless its handler is reset.
        reset = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, preexec_fn=reset) as process:
            assert process.stdout is not None
            lines = list(takewhile(lambda line: line != "2 queued\n", process.stdout))  # then it waits
            process.send_signal(signal.SIGINT)
            lines += process.stdout.readlines()
        assert process.returncode == 130 and "the jobs continue" in lines[-1], lines
        assert [job.state for job in env.queue()] == ["PENDING"] * 2
    finally:
        env.scontrol("update", "PartitionName=gpu", "State=UP")
    process = call(tmp_path, "run", *words, "wait=true")
    assert process.returncode == 0 and "DM" in process.stdout, process.stderr
    assert not env.queue() and len(submissions.read(tmp_path / "out/slurm")) == 2, "nothing was queued twice"


def test_queued_jobs_run_the_code_of_their_submission(env: LoopbackCluster, tmp_path: Path) -> None:
    """Several tasks in one job; the checkout is damaged while the jobs are queued."""
    checkout = tmp_path / "checkout"
    for package in ("benchmark", "methods", "results", "slurm"):
        shutil.copytree(Path(__file__).parents[2] / package, checkout / package)
    words = ("seeds=[0,1,2]", "method.dm.iterations=3")
    more = ("launcher=slurm", cluster_file(tmp_path, tasks_per_job=3))
    done = call(checkout, "run", *SMALL, *words, *more, "store=../out", "data_root=../data")
    assert done.returncode == 0 and "queued 2 jobs for 3 condense, 3 evaluate tasks" in done.stdout, done.stderr
    shutil.rmtree(checkout / "methods")
    (checkout / "benchmark/__init__.py").write_text("broken")
    env.wait_for(lambda: not env.queue(), 240)
    planned = grid.build(make_config(tmp_path / "out", *words))
    run_locally(tmp_path / "local", *words)
    assert results(tmp_path / "out", planned) == results(tmp_path / "local", planned)
    done = call(tmp_path, "run", *SMALL, *words, *more, "store=out", "data_root=data")
    assert done.returncode == 0 and "everything is done" in done.stdout and "DM" in done.stdout, done.stderr


def test_two_commands_at_once_queue_each_task_once(env: LoopbackCluster, tmp_path: Path) -> None:
    env.scontrol("update", "PartitionName=gpu", "State=DOWN")
    try:
        launches: list[slurm.LaunchResult] = []
        config = make_config(tmp_path / "out", "launcher=slurm", "seeds=[0,1,2]", cluster_file(tmp_path))
        planned, cluster = grid.build(config), slurm.check(config)

        def launch() -> None:
            launches.append(slurm.launch(planned.tasks, config, cluster))

        threads = [threading.Thread(target=launch) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted((result.jobs, result.queued_before) for result in launches) == [(0, 6), (6, 0)]
        # a command that died before it wrote down an id: its jobs are cancelled, and queued again
        (path,) = (tmp_path / "out/slurm").glob("*/queued.jsonl")
        path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if '"array"' not in line))
        again = slurm.launch(planned.tasks, config, cluster)
        assert again.jobs == 6 and len(env.client("squeue", "-h", "-r").stdout.splitlines()) == 6
        # benchmark.cancel cancels these jobs, and no others of the same user
        env.client("sbatch", "--wrap", "sleep 100", "--output=/dev/null")
        assert len(env.client("squeue", "-h", "-r").stdout.splitlines()) == 7
        done = call(tmp_path, "cancel", "store=out")
        assert done.returncode == 0 and "cancelled 6 jobs" in done.stdout, done.stderr
        env.wait_for(lambda: len(env.queue()) == 1, 30)
        assert {task.state for task in read_status(tmp_path / "out").tasks.values()} == {"to do"}
    finally:
        env.scontrol("update", "PartitionName=gpu", "State=UP")


@pytest.mark.parametrize(("settings", "message"), [
    ({"partition": "gup"}, "there is no partition 'gup' | known: cancel, gpu, high"),
    ({"constraint": "none-such"}, "the cluster refuses such jobs"),
    ({"cpus": 999}, "the cluster refuses such jobs"),
    ({"partitoin": "gpu"}, "did you mean 'partition'?"),
])  # fmt: skip
def test_jobs_that_a_cluster_would_refuse_are_reported_before_anything_is_queued(
    env: LoopbackCluster, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SlurmError) as caught:
        start(tmp_path / "out", cluster_file(tmp_path, **settings))
    assert message in f"{caught.value.what} | {caught.value.next}"
    assert not env.queue() and not (tmp_path / "out").exists()


def test_a_store_that_cannot_be_written_is_reported_before_anything_is_queued(
    env: LoopbackCluster, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ResultsError, match="cannot write"):
        start(tmp_path / "out", cluster_file(tmp_path))
    assert not env.queue()


def test_without_slurm_or_a_cluster_file_the_error_says_what_to_do(tmp_path: Path) -> None:
    done = call(tmp_path, "run", *SMALL, "launcher=slurm", "cluster=cpu", PATH=str(tmp_path))
    assert done.returncode == 2 and "not on the path" in done.stderr and "launcher=local" in done.stderr
    done = call(tmp_path, "run", *SMALL, "launcher=slurm")
    assert done.returncode == 2 and "needs a cluster file" in done.stderr and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("mode", INTERRUPTIONS)
def test_a_drill_interrupts_a_job_and_shows_that_nothing_was_lost(
    env: LoopbackCluster, tmp_path: Path, mode: str
) -> None:
    words = (cluster_file(tmp_path), f"mode={mode}", "steps=60", "device=cpu")
    command = [sys.executable, "-m", "benchmark.drill", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        is_empty = QueueIsEmpty(env)
        env.wait_for(lambda: is_empty() and process.poll() is not None, 800)
        output = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, output
    assert f"the job is {INTERRUPTIONS[mode]}" in output and "made the same bytes (1 interrupted attempts" in output


def test_a_drill_that_interrupted_nothing_is_an_error(tmp_path: Path) -> None:
    names, words = ("undisturbed", "interrupted"), "method.dm.iterations=2"
    configs = {name: make_config(tmp_path / name, words, scored=False) for name in names}
    tasks = {name: run_locally(tmp_path / name, words, scored=False).tasks[0] for name in names}
    with pytest.raises(BenchmarkError, match="ended before it could be interrupted"):
        drill.compare(configs, tasks, print)
