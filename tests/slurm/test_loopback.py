"""The cluster of the tests behaves as a real one: arrays, pre-emption, node failure, cancelling."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from loopback import LoopbackCluster, running

pytestmark = pytest.mark.slurm

# Only a job's steps are signalled before pre-emption, so the work is in one; it prints the signal and goes on.
STEP = (
    "srun bash -c \"trap 'echo signalled' TERM; echo start $SLURM_RESTART_COUNT; "
    'for i in {1..600}; do sleep 0.1; done"'
)


def test_both_nodes_are_idle_and_have_gpus(cluster: LoopbackCluster) -> None:
    assert cluster.nodes() == {"n1": "idle", "n2": "idle"}
    job = cluster.submit("srun printenv CUDA_VISIBLE_DEVICES SLURMD_NODENAME", "--gres=gpu:2", "--nodelist=n2")
    cluster.wait_for(lambda: cluster.state(job) == "COMPLETED", 20)
    assert cluster.output(job).split() == ["0,1", "n2"]


def test_an_array_runs_element_by_element(cluster: LoopbackCluster) -> None:
    array = cluster.submit("echo $SLURM_ARRAY_TASK_ID; exit $((SLURM_ARRAY_TASK_ID == 3))", "--array=1-4%2")
    cluster.wait_for(lambda: not cluster.queue(), 30)
    states = {index: cluster.state(f"{array}_{index}") for index in range(1, 5)}
    assert states == {1: "COMPLETED", 2: "COMPLETED", 3: "FAILED", 4: "COMPLETED"}
    assert cluster.output(f"{array}_4") == "4\n"


def test_preempted_jobs_are_signalled_then_requeued_or_cancelled(cluster: LoopbackCluster, tmp_path: Path) -> None:
    with running(tmp_path / "hasty", grace=2) as hasty:
        requeued = hasty.submit(STEP)
        cancelled = hasty.submit(STEP, "--partition=cancel")
        hasty.wait_for(lambda: "start" in hasty.output(requeued) and "start" in hasty.output(cancelled), 20)
        high = hasty.preempt()
        hasty.wait_for(lambda: "signalled" in hasty.output(requeued) and "signalled" in hasty.output(cancelled), 20)
        hasty.wait_for(lambda: hasty.state(high) == "COMPLETED", 90)
        assert hasty.state(cancelled) == "PREEMPTED" and hasty.show(requeued)["Restarts"] == "1"
        hasty.start_now(requeued)
        hasty.wait_for(lambda: "start 1" in hasty.output(requeued), 20)
        assert cluster.queue() == []  # each cluster has its own queue


def test_a_node_failure_requeues_its_jobs_alone(cluster: LoopbackCluster) -> None:
    crashed, other = (cluster.submit(STEP, f"--nodelist={node}") for node in ("n1", "n2"))
    cluster.wait_for(lambda: "start" in cluster.output(crashed) and "start" in cluster.output(other), 20)
    cluster.crash_node("n1")
    assert cluster.nodes()["n1"].startswith("down")
    cluster.restore_node("n1")
    cluster.start_now(crashed)
    cluster.wait_for(lambda: "start 1" in cluster.output(crashed), 20)
    assert cluster.show(other)["Restarts"] == "0" and cluster.state(other) == "RUNNING"


def test_a_cancelled_job_is_gone(cluster: LoopbackCluster) -> None:
    waits = cluster.submit(STEP, "--begin=now+1hour")
    runs = cluster.submit(STEP)
    cluster.wait_for(lambda: "start" in cluster.output(runs), 20)
    cluster.client("scancel", waits, runs)
    cluster.wait_for(lambda: not cluster.queue(), 30)
    assert cluster.state(waits) == cluster.state(runs) == "CANCELLED"


@pytest.mark.usefixtures("cluster")
def test_nothing_is_left_running(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), running(tmp_path / "broken") as broken:
        job = broken.submit(STEP)
        broken.wait_for(lambda: "start" in broken.output(job), 20)
        pids = processes_naming(broken.folder)
        assert pids
        for pid in pids:
            os.kill(int(pid), signal.SIGSTOP)  # none ends by itself when another is gone
        raise ZeroDivisionError
    assert not processes_naming(broken.folder)


def processes_naming(folder: Path) -> list[str]:
    """The ids of processes whose command line or environment names a folder, without this one."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and int(path.name) != os.getpid():
            pids.append(path.name)
    return pids
