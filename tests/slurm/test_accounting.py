"""A cluster with accounting: how jobs ended, accounts that it refuses, and jobs that used more than their memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.runners.monitor import read_status
from loopback import ACCOUNT, LoopbackCluster
from queued_runs import cluster_file, install, start
from slurm import queue
from slurm.errors import SlurmError

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

GREEDY_METHOD = """
import os, time
from dataclasses import replace
from methods.dm import DistributionMatching

class Greedy(DistributionMatching):
    card = replace(DistributionMatching.card, name="greedy", title="Greedy")

    def step(self):
        if memory := b"x" * int(float(os.environ["GREED"]) * 2**30):
            time.sleep(60)
        return super().step()
"""


@pytest.fixture
def env(accounted: LoopbackCluster, monkeypatch: pytest.MonkeyPatch) -> LoopbackCluster:
    monkeypatch.setenv("SLURM_CONF", str(accounted.conf))
    return accounted


def test_the_database_knows_how_jobs_ended(env: LoopbackCluster) -> None:
    lost = env.submit("sleep 60", "--no-requeue", "--nodelist=n1")
    env.wait_for(lambda: env.state(lost) == "RUNNING", 20)
    env.crash_node("n1")
    cancelled = env.submit("sleep 60", "--nodelist=n2")
    array = env.submit("exit $SLURM_ARRAY_TASK_ID", "--array=0-1", "--nodelist=n2")
    env.client("scancel", cancelled)
    ends = {
        lost: "NODE_FAIL", cancelled: "CANCELLED", f"{array}_0": "COMPLETED", f"{array}_1": "FAILED",
    }  # fmt: skip
    env.wait_for(lambda: not env.queue() and dict(queue._accounted_states(list(ends))) == ends, 30)
    assert queue.final_states([*ends, "999999"]) == ends


@pytest.fixture(params=["accounted", "limited"])
def killing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LoopbackCluster:
    """A cluster where SLURM kills a job over its memory, and one where the kernel does, by a cgroup."""
    cluster: LoopbackCluster = request.getfixturevalue(request.param)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    cluster.clear()
    return cluster


@pytest.mark.parametrize("setting", ["account", "qos"])
def test_an_account_that_the_cluster_refuses_is_an_error_with_a_next_step(
    env: LoopbackCluster, tmp_path: Path, setting: str
) -> None:
    with pytest.raises(SlurmError) as caught:
        start(tmp_path / "out", cluster_file(tmp_path, **{setting: "nobody"}))
    assert caught.value.what.startswith(f"the cluster refuses such jobs: allocation failure: Invalid {setting}")
    assert f"--{setting}=nobody" in caught.value.where and "sacctmgr show associations" in caught.value.next
    assert not env.queue() and not (tmp_path / "out").exists()


def test_a_job_over_its_memory_has_failed_and_is_not_queued_again(
    killing: LoopbackCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = install(tmp_path, "greedy", GREEDY_METHOD)
    monkeypatch.syspath_prepend(str(plugin))

    def cluster(greed: float) -> str:
        setup = f'["export PYTHONPATH=$PYTHONPATH:{plugin} GREED={greed}"]'
        return cluster_file(tmp_path, setup=setup, memory=1, account=ACCOUNT)

    words, greedy = ("methods=[greedy]", "method.greedy.iterations=3"), cluster(1.5)
    _, launched = start(tmp_path / "out", *words, greedy)
    assert launched.jobs == 2
    killing.wait_for(lambda: not killing.queue(), 60)
    tasks = {task.kind: task for task in read_status(tmp_path / "out").tasks.values()}
    assert (tasks["condense"].state, tasks["evaluate"].state) == ("failed", "blocked")
    assert "killed as it used more than its memory: raise memory in the cluster file" in tasks["condense"].reason
    _, launched = start(tmp_path / "out", *words, greedy)
    assert (launched.jobs, launched.skipped_failed) == (0, 2)
    _, launched = start(tmp_path / "out", *words, cluster(0), "retry=failed", scored=False)
    assert launched.jobs == 1
    killing.wait_for(lambda: not killing.queue(), 60)
    states = {task.kind: task.state for task in read_status(tmp_path / "out").tasks.values()}
    assert states == {"condense": "done", "evaluate": "to do"}
