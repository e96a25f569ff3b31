"""The cluster that other tests stand on does what a real one does: arrays, preemption, node failure, cancelling."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loopback import Cluster, running

pytestmark = pytest.mark.slurm

# Only a job's steps are told of a preemption, so the work is in one; it says so and works on.
STEP = "srun bash -c \"trap 'echo told' TERM; echo start $SLURM_RESTART_COUNT; for i in {1..600}; do sleep 0.1; done\""


def test_both_nodes_are_idle_and_give_their_gpus(cluster: Cluster) -> None:
    assert cluster.nodes() == {"n1": "idle", "n2": "idle"}
    job = cluster.submit("srun printenv CUDA_VISIBLE_DEVICES SLURMD_NODENAME", "--gres=gpu:2", "--nodelist=n2")
    cluster.wait_for(lambda: cluster.state(job) == "COMPLETED", 20)
    assert cluster.output(job).split() == ["0,1", "n2"]


def test_an_array_runs_element_by_element(cluster: Cluster) -> None:
    array = cluster.submit("echo $SLURM_ARRAY_TASK_ID; exit $((SLURM_ARRAY_TASK_ID == 3))", "--array=1-4%2")
    cluster.wait_for(lambda: not cluster.queue(), 30)
    states = {index: cluster.state(f"{array}_{index}") for index in range(1, 5)}
    assert states == {1: "COMPLETED", 2: "COMPLETED", 3: "FAILED", 4: "COMPLETED"}
    assert cluster.output(f"{array}_4") == "4\n"


def test_preempted_jobs_are_told_then_requeued_or_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    with running(tmp_path / "hasty", grace=2) as hasty:
        requeued = hasty.submit(STEP)
        cancelled = hasty.submit(STEP, "--partition=cancel")
        hasty.wait_for(lambda: "start" in hasty.output(requeued) and "start" in hasty.output(cancelled), 20)
        high = hasty.preempt()
        hasty.wait_for(lambda: "told" in hasty.output(requeued) and "told" in hasty.output(cancelled), 20)
        hasty.wait_for(lambda: hasty.state(high) == "COMPLETED", 90)
        assert hasty.state(cancelled) == "PREEMPTED" and hasty.show(requeued)["Restarts"] == "1"
        hasty.start_now(requeued)
        hasty.wait_for(lambda: "start 1" in hasty.output(requeued), 20)
        assert cluster.queue() == []  # one cluster's jobs are not another's


def test_a_node_failure_requeues_its_jobs_alone(cluster: Cluster) -> None:
    lost, kept = (cluster.submit(STEP, f"--nodelist={node}") for node in ("n1", "n2"))
    cluster.wait_for(lambda: "start" in cluster.output(lost) and "start" in cluster.output(kept), 20)
    cluster.crash_node("n1")
    assert cluster.nodes()["n1"].startswith("down")
    cluster.restore_node("n1")
    cluster.start_now(lost)
    cluster.wait_for(lambda: "start 1" in cluster.output(lost), 20)
    assert cluster.show(kept)["Restarts"] == "0" and cluster.state(kept) == "RUNNING"


def test_a_cancelled_job_is_gone(cluster: Cluster) -> None:
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
        assert named(broken.folder)
        raise ZeroDivisionError
    assert not named(broken.folder)


def named(folder: Path) -> list[str]:
    """Processes whose command line or environment names a folder: daemons, steps and jobs, not this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            told = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told and int(path.name) != os.getpid():
            found.append(path.name)
    return found
