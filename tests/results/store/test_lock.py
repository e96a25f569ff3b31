"""Locks between real processes: refusal, kill -9, other hosts, requeued jobs, forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from results.errors import ResultsError
from results.store.lock import LockWatch, TaskLock

PERIOD = 0.05
HOLD = """
import sys, time
from pathlib import Path
from results.store.lock import TaskLock
lock = TaskLock(Path(sys.argv[1]), period=0.05)
print(lock.acquire(), flush=True)
time.sleep(60)
"""


@contextmanager
def holder(folder: Path):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        try:
            assert process.stdout.readline() == b"True\n"
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def foreign(folder: Path, **more) -> dict:
    """The lock of a process on another host, which is not renewed."""
    owner = {"token": "theirs", "host": "elsewhere", "boot": "b", "pid": 1, "started": 1, "job": None, "beat": 3}
    (folder / "lock.json").write_text(json.dumps(owner | more))
    return owner | more


def test_one_owner_at_a_time_and_none_after(tmp_path):
    with TaskLock(tmp_path, PERIOD) as lock:
        assert lock.held and not lost_soon(lock)
        other = TaskLock(tmp_path, PERIOD)
        assert not other.acquire() and not other.held
        assert other.holder["pid"] == os.getpid()
        with pytest.raises(ResultsError, match=f"process {os.getpid()}"):
            other.__enter__()
        other.release()  # of what it does not hold
        assert (tmp_path / "lock.json").exists()
    assert list(tmp_path.iterdir()) == []
    assert TaskLock(tmp_path, PERIOD).acquire()


def lost_soon(lock: TaskLock) -> bool:
    time.sleep(4 * lock.period)
    return lock.lost


def test_the_lock_is_renewed(tmp_path):
    with TaskLock(tmp_path, PERIOD):
        deadline = time.monotonic() + 5
        while json.loads((tmp_path / "lock.json").read_text())["beat"] < 2:
            assert time.monotonic() < deadline


def test_a_live_owner_is_left_alone_however_long_one_waits(tmp_path):
    with holder(tmp_path) as process:
        lock = TaskLock(tmp_path, 6 * PERIOD)  # patient enough for a beat that is late on a busy machine
        assert not lock.acquire(wait=24 * PERIOD)
        assert lock.holder["pid"] == process.pid


def test_waiting_gets_the_lock_when_it_is_released(tmp_path):
    first, second = TaskLock(tmp_path, PERIOD), TaskLock(tmp_path, PERIOD)
    assert first.acquire()
    first.release()
    assert second.acquire(wait=1.0)
    second.release()


def test_a_killed_owner_of_this_host_is_replaced_at_once(tmp_path):
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, yet a zombie until this process reaps it
        with TaskLock(tmp_path, period=60.0) as lock:  # three periods would be three minutes
            assert lock.held
    assert list(tmp_path.glob("*lock*")) == []


def test_a_stopped_owner_is_replaced_after_three_periods(tmp_path):
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        lock = TaskLock(tmp_path, PERIOD)
        assert not lock.acquire()
        assert lock.acquire(wait=100 * PERIOD)
        process.send_signal(signal.SIGCONT)  # it wakes up, finds a foreign token, and leaves it alone
        assert not lost_soon(lock) and lock.held
        lock.release()


def test_another_hosts_lock_is_taken_after_three_periods_and_not_before(tmp_path):
    foreign(tmp_path)
    assert not TaskLock(tmp_path, PERIOD).acquire()
    assert not TaskLock(tmp_path, 1e6 * PERIOD).acquire(wait=4 * PERIOD)  # the periods are its own
    lock, start = TaskLock(tmp_path, PERIOD), time.monotonic()
    assert lock.acquire(wait=1e4 * PERIOD)
    assert time.monotonic() - start >= 3 * PERIOD
    lock.release()


def test_an_owner_with_a_longer_period_has_three_of_its_own(tmp_path):
    foreign(tmp_path, period=10.0)
    assert not TaskLock(tmp_path, PERIOD).acquire(wait=8 * PERIOD)


def test_a_period_of_another_owner_is_believed_up_to_a_cap(tmp_path, monkeypatch):
    monkeypatch.setattr("results.store.lock._MAX_PERIOD", 2 * PERIOD)
    foreign(tmp_path, period=1e9)
    start = time.monotonic()
    assert TaskLock(tmp_path, PERIOD).acquire(wait=100 * PERIOD)
    assert time.monotonic() - start >= 6 * PERIOD


@pytest.mark.parametrize("period", ["long", True, None, [1], float("nan"), -5, 10**400, float("inf")])
def test_a_period_that_is_none_stops_nobody(tmp_path, period, monkeypatch):
    monkeypatch.setattr("results.store.lock._MAX_PERIOD", PERIOD)
    foreign(tmp_path, period=period)
    assert TaskLock(tmp_path, PERIOD).acquire(wait=100 * PERIOD)


@pytest.mark.parametrize("restarts", ["1", None, [0]])
def test_other_odd_values_of_a_lock_stop_nobody(tmp_path, restarts, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    foreign(tmp_path, job=":42", restarts=restarts)
    assert TaskLock(tmp_path, PERIOD).acquire(wait=100 * PERIOD)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_lock_file_is_named_with_its_cure(tmp_path, make):
    make(tmp_path / "lock.json")
    for look in (TaskLock(tmp_path, PERIOD).acquire, LockWatch(tmp_path, PERIOD).is_free):
        with pytest.raises(ResultsError) as caught:
            look()
        assert caught.value.where == str(tmp_path / "lock.json") and "remove it" in caught.value.next


def test_a_watch_sees_a_live_a_dead_and_a_silent_owner(tmp_path):
    watch = LockWatch(tmp_path, PERIOD)
    assert watch.is_free()
    with holder(tmp_path) as process:
        for _ in range(10):
            assert not watch.is_free() and watch.owner["pid"] == process.pid
            time.sleep(PERIOD)
        process.kill()
        process.wait()
        assert watch.is_free()
    foreign(tmp_path)
    start = time.monotonic()
    while not watch.is_free():
        assert time.monotonic() - start < 50 * PERIOD
        time.sleep(PERIOD / 5)
    assert time.monotonic() - start >= 3 * PERIOD and not (tmp_path / "lock.json").exists()


def test_a_new_process_with_the_owners_id_is_not_the_owner(tmp_path):
    with TaskLock(tmp_path, PERIOD):
        mine = json.loads((tmp_path / "lock.json").read_text())
    foreign(tmp_path, **{key: mine[key] for key in ("host", "boot", "namespace", "pid", "started")})
    assert not TaskLock(tmp_path, PERIOD).acquire()  # this very process, alive
    foreign(tmp_path, **{key: mine[key] for key in ("host", "boot", "namespace", "pid")}, started=mine["started"] - 1)
    assert TaskLock(tmp_path, PERIOD).acquire()
    foreign(tmp_path, **{key: mine[key] for key in ("host", "namespace", "pid", "started")}, boot="before")
    assert TaskLock(tmp_path, PERIOD).acquire()


def test_the_same_job_requeued_takes_its_lock_back(tmp_path, monkeypatch):
    foreign(tmp_path, job="blue:42", restarts=0)
    for job, cluster, restarts in (("43", "blue", "1"), ("42", "red", "1"), ("42", "blue", "0")):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv("SLURM_CLUSTER_NAME", cluster)
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        assert not TaskLock(tmp_path, PERIOD).acquire(), "another job, another cluster, another node of this start"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert TaskLock(tmp_path, PERIOD).acquire()
    assert not TaskLock(tmp_path, PERIOD).acquire()  # a live neighbour within one job keeps its lock


def test_an_owner_that_lost_the_lock_knows_and_touches_nothing(tmp_path):
    lock = TaskLock(tmp_path, PERIOD)
    assert lock.acquire()
    theirs = foreign(tmp_path)
    deadline = time.monotonic() + 2
    while not lock.lost and time.monotonic() < deadline:
        time.sleep(PERIOD / 5)
    assert lock.lost and not lock.held
    lock.release()
    assert json.loads((tmp_path / "lock.json").read_text()) == theirs


def test_a_lock_that_was_renewed_while_being_removed_is_put_back(tmp_path):
    from results.store.lock import _remove

    theirs = foreign(tmp_path, beat=4)
    _remove(tmp_path / "lock.json", json.dumps({**theirs, "beat": 3}).encode().__eq__)
    assert json.loads((tmp_path / "lock.json").read_text()) == theirs
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


def test_a_forked_child_does_not_release_its_parents_lock(tmp_path):
    with TaskLock(tmp_path, PERIOD) as lock:
        child = os.fork()
        if child == 0:
            lock.release()
            os._exit(0 if not lock.held else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert lock.held and (tmp_path / "lock.json").exists()
        assert not TaskLock(tmp_path, PERIOD).acquire()


RACE = """
import os, sys, time
from pathlib import Path
from results.store.lock import TaskLock
folder, rounds = Path(sys.argv[1]), 0
while rounds < 15:
    lock = TaskLock(folder, period=5.0)
    if lock.acquire(wait=0.02):
        handle = os.open(folder / "inside", os.O_CREAT | os.O_EXCL)  # fails when the other is inside, too
        time.sleep(0.001)
        (folder / "inside").unlink()
        os.close(handle)
        rounds += 1
        lock.release()
"""


def test_two_processes_racing_are_never_inside_together(tmp_path):
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    racers = [subprocess.Popen(command, cwd=Path(__file__).parents[3]) for _ in range(2)]
    assert [racer.wait(timeout=20) for racer in racers] == [0, 0]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ResultsError, match="cannot write"):
        TaskLock(tmp_path / "nowhere", PERIOD).acquire()


CLAIM = """
import sys, time
from pathlib import Path
from results.store.lock import TaskLock
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
print(TaskLock(Path(sys.argv[1]), period=5.0).acquire(), flush=True)
time.sleep(60)
"""


def test_one_of_many_processes_takes_over_from_a_dead_owner(tmp_path):
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    root = Path(__file__).parents[3]
    heirs = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) for _ in range(2)]
    try:
        time.sleep(0.3)  # both wait at the gate
        (tmp_path / "go").touch()
        assert sorted(heir.stdout.readline() for heir in heirs) == [b"False\n", b"True\n"]
    finally:
        for heir in heirs:
            heir.kill()
            heir.communicate()
