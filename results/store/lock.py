"""A claim on a task's folder for one process among many, on one host or several: a file with a heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from results.errors import ResultsError
from results.store.atomic_files import create, to_json, write_aside, writing

_PATIENCE = 3  # periods without a change after which an owner is taken for dead
_GONE = 2  # heartbeats in a row that find no lock file, after which the lock counts as lost


class TaskLock:
    """Owns `folder/lock.json` between `acquire` and `release`; a daemon thread renews it every `period` seconds.

    Safe on NFS: made by linking a whole file, taken over by renaming. Whoever works under it should look at `lost`
    before publishing; the store's commit never overwrites, so two owners cost time, not correctness.
    """

    def __init__(self, folder: Path, period: float = 10.0) -> None:
        self.path = Path(folder) / "lock.json"
        self.period = period
        self.holder: dict[str, Any] | None = None  # the other owner, after a refusal
        self.lost = False  # someone else has taken the lock
        self._owner: dict[str, Any] = {}
        self._pid = -1  # of the process that acquired; a forked child has another
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this process acquired the lock and has neither released nor lost it."""
        return self._pid == os.getpid() and not self.lost

    def acquire(self, wait: float = 0.0) -> bool:
        """Claim the folder; False when a live owner has it (then `holder` says who).

        With `wait` seconds, watches the owner that long: it must exceed three periods to find a dead owner of another
        host. Raises ResultsError when the folder cannot be written.
        """
        if self.held:
            return True
        with writing(self.path):
            return self._acquire(time.monotonic() + wait)

    def _acquire(self, deadline: float) -> bool:
        watch = _Watch(self.period)
        while not self._claim():
            raw = _read(self.path)
            if raw is None:
                continue  # released just now
            self.holder = _parse(raw)
            if abandoned(self.holder) or watch.unchanged(raw, self.holder):
                _displace(self.path, raw.__eq__)  # whoever wins the race to replace it, the next claim tells
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, self.period / 4))
        return True

    def release(self) -> None:
        """Give the folder free. Nothing happens in a forked child, or when the lock is someone else's by now."""
        if self._pid != os.getpid():
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._pid = -1
        with writing(self.path):
            raw = _read(self.path)
            if raw is not None and self._is_mine(raw):
                _displace(self.path, self._is_mine)

    def __enter__(self) -> Self:
        if not self.acquire():
            holder = self.holder or {}
            who = f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown host')}"
            raise ResultsError(f"the task is being done by {who}", where=str(self.path), next="wait for it to finish")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def _claim(self) -> bool:
        owner = {**_myself(), "token": uuid4().hex, "period": self.period, "beat": 0}
        if not create(self.path, to_json(owner)):
            return False
        self._owner, self._pid, self.lost, self.holder = owner, os.getpid(), False, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="task-lock", daemon=True)
        self._thread.start()
        return True

    def _is_mine(self, raw: bytes) -> bool:
        return bool(_parse(raw).get("token") == self._owner["token"])

    def _keep(self) -> None:
        absent = 0
        while not self._stop.wait(self.period):
            try:
                state = self._renew()
            except OSError:
                continue  # a full disk or a stalled server: the next beat tries again
            absent = absent + 1 if state is None else 0  # a rival may have it in hand, about to put it back
            if state is False or absent >= _GONE:
                self.lost = True
                return

    def _renew(self) -> bool | None:
        """Write the next beat: True; False when the lock is someone else's; None when there is no lock file."""
        self._owner["beat"] += 1
        aside = write_aside(self.path, to_json(self._owner))  # the slow part first: looking and replacing stay close
        try:
            raw = _read(self.path)
            if raw is None or not self._is_mine(raw):
                return None if raw is None else False
            aside.replace(self.path)
            return True
        finally:
            aside.unlink(missing_ok=True)


class _Watch:
    """Tells when a lock has not changed for three periods of this process's own clock; clocks are never compared."""

    def __init__(self, period: float) -> None:
        self.period = period
        self.raw, self.since = b"", time.monotonic()

    def unchanged(self, raw: bytes, owner: dict[str, Any]) -> bool:
        now = time.monotonic()
        if raw != self.raw:
            self.raw, self.since = raw, now
        declared = owner.get("period")  # an owner that beats slower than this process is not dead for it
        slowest = max(self.period, declared) if isinstance(declared, int | float) else self.period
        return now - self.since >= _PATIENCE * slowest


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        owner = json.loads(raw)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _displace(path: Path, expected: Callable[[bytes], bool]) -> None:
    """Remove the lock if it is the one expected; a rival's newer lock is put back."""
    moved = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.rename(moved)
    except FileNotFoundError:
        return  # a rival was faster
    if not expected(moved.read_bytes()):
        with suppress(FileExistsError):  # claimed meanwhile: the one moved away finds a foreign token at its next beat
            path.hardlink_to(moved)
    moved.unlink()


# --- who owns it, and is that process alive ---------------------------------------------------------------------------


def _myself() -> dict[str, Any]:
    pid = os.getpid()
    return {**_machine(), "pid": pid, "started": _started(pid), **_job()}


def _job() -> dict[str, Any]:
    """The SLURM job that this process belongs to, and how often it was requeued; {} outside of one."""
    job, cluster = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_CLUSTER_NAME", "")
    if job is None:
        return {}
    return {"job": f"{cluster}:{job}", "restarts": int(os.environ.get("SLURM_RESTART_COUNT", 0))}


def _machine() -> dict[str, Any]:
    """Host, boot and process-id namespace: process ids mean the same only where all three agree."""
    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = None
    return {"host": socket.gethostname(), "boot": boot.decode().strip() if boot else None, "namespace": namespace}


def _started(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None when it is dead or the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])  # state is field 3, the start time field 22


def abandoned(owner: dict[str, Any]) -> bool:
    """Whether the owner is certainly gone: a dead process of this host, or this very job before it was requeued."""
    here = _machine()
    if isinstance(owner.get("pid"), int) and owner.get("host") == here["host"]:
        if owner.get("boot") != here["boot"]:
            return True  # the host was started anew
        if owner.get("namespace") == here["namespace"]:
            return not _alive(owner["pid"], owner.get("started"))  # a live neighbour in the same job keeps its lock
    here = _job()
    return bool(here) and owner.get("job") == here["job"] and int(owner.get("restarts", 0)) < here["restarts"]


def _alive(pid: int, started: int | None) -> bool:
    if Path("/proc/self/stat").exists():
        now = _started(pid)
        return now is not None and (started is None or now == started)
    try:
        os.kill(pid, 0)  # a system without /proc: asks, sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # someone else's process, alive
    return True
