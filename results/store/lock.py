"""A lock on a task's folder for one of many processes, on one host or several: a file with a heartbeat."""

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

_PERIOD = 10.0  # seconds between two heartbeats
_MAX_PERIOD = 60.0  # seconds; a longer period in a lock file is not believed
_STALE_PERIODS = 3  # without a change, after which the owner is presumed dead
_ABSENT_BEATS = 2  # heartbeats in a row that find no lock file, after which the lock is lost


class TaskLock:
    """Owns `folder/lock.json` between `acquire` and `release`; a daemon thread renews it every `period` seconds.

    It works on NFS: the file is made by linking a complete one, and taken over by renaming. The owner should check
    `lost` before it publishes. As the store's commit never overwrites, two owners cost time, not correctness.
    """

    def __init__(self, folder: Path, period: float = _PERIOD) -> None:
        self.path = Path(folder) / "lock.json"
        self.period = period
        self.holder: dict[str, Any] | None = None  # content of another owner's lock.json, after a refusal
        self.lost = False  # another process has taken the lock
        self._owner: dict[str, Any] = {}
        self._pid = -1  # of the process that acquired it; a forked child has another
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this process acquired the lock and has neither released nor lost it."""
        return self._pid == os.getpid() and not self.lost

    def acquire(self, wait: float = 0.0) -> bool:
        """Lock the folder; returns False when a live process has locked it, which `holder` then describes.

        wait: seconds to watch that process; only more than three periods show that a process of another host is dead.
        Raises ResultsError when the folder cannot be written.
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
                continue  # it was just released
            self.holder = _parse(raw)
            if abandoned(self.holder) or watch.unchanged(raw, self.holder):
                _remove(self.path, raw.__eq__)  # the next claim shows which process wins the race to replace it
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, self.period / 4))
        return True

    def release(self) -> None:
        """Unlock the folder. Nothing happens in a forked child, or if another process has taken the lock."""
        if self._pid != os.getpid():
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._pid = -1
        with writing(self.path):
            raw = _read(self.path)
            if raw is not None and self._is_mine(raw):
                _remove(self.path, self._is_mine)

    def __enter__(self) -> Self:
        if not self.acquire():
            what = f"{owner_name(self.holder)} works on the task"
            raise ResultsError(what, where=str(self.path), next="wait for it to finish")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def _claim(self) -> bool:
        owner = {**_myself(), "token": uuid4().hex, "period": self.period, "beat": 0}
        if not create(self.path, to_json(owner)):
            return False
        self._owner, self._pid, self.lost, self.holder = owner, os.getpid(), False, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_forever, name="task-lock", daemon=True)
        self._thread.start()
        return True

    def _is_mine(self, raw: bytes) -> bool:
        return bool(_parse(raw).get("token") == self._owner["token"])

    def _renew_forever(self) -> None:
        absent = 0
        while not self._stop.wait(self.period):
            try:
                is_mine = self._renew()
            except OSError:
                continue  # a full disk or a stalled server: the next beat tries again
            absent = absent + 1 if is_mine is None else 0  # another process may have moved it, and will move it back
            if is_mine is False or absent >= _ABSENT_BEATS:
                self.lost = True
                return

    def _renew(self) -> bool | None:
        """Write the next beat and return True; False if the lock is another process's; None without a lock file."""
        self._owner["beat"] += 1
        aside = write_aside(self.path, to_json(self._owner))  # the slow part comes before the check
        try:
            raw = _read(self.path)
            if raw is None or not self._is_mine(raw):
                return None if raw is None else False
            aside.replace(self.path)
            return True
        finally:
            aside.unlink(missing_ok=True)


class _Watch:
    """Whether a lock has not changed for three periods of this process's clock; clocks are never compared."""

    def __init__(self, period: float) -> None:
        self.period = period
        self.raw, self.since = b"", time.monotonic()

    def unchanged(self, raw: bytes, owner: dict[str, Any]) -> bool:
        now = time.monotonic()
        if raw != self.raw:
            self.raw, self.since = raw, now
        return now - self.since >= _STALE_PERIODS * max(self.period, _period_of(owner))


class LockWatch:
    """Tells, in one short look at a time, when the lock of another process on a folder is free."""

    def __init__(self, folder: Path, period: float = _PERIOD) -> None:
        self.path = Path(folder) / "lock.json"
        self.owner: dict[str, Any] = {}  # content of lock.json at the last look
        self._watch = _Watch(period)

    def is_free(self) -> bool:
        """Whether no live process has the lock: none ever, or its owner is dead, whose lock is removed.

        An owner on another host is dead if its lock did not change during three periods, between the first of these
        looks and the last. Raises ResultsError when the lock cannot be read or removed.
        """
        with writing(self.path):
            raw = _read(self.path)
            if raw is None:
                return True
            self.owner = _parse(raw)
            if abandoned(self.owner) or self._watch.unchanged(raw, self.owner):
                _remove(self.path, raw.__eq__)
                return True
        return False


def owner_name(owner: dict[str, Any] | None) -> str:
    """The owner of a lock in words, from the content of its lock.json."""
    owner = owner or {}
    return f"process {owner.get('pid', '?')} on {owner.get('host', 'an unknown host')}"


def _period_of(owner: dict[str, Any]) -> float:
    """Seconds between two heartbeats of an owner, by its lock file: capped, and 0 where that tells nothing sensible."""
    period = owner.get("period")
    if isinstance(period, bool) or not isinstance(period, int | float):
        return 0.0
    return min(period, _MAX_PERIOD) if period > 0 else 0.0  # 0 for NaN, too


def _read(path: Path) -> bytes | None:
    """The content of a lock file, None without one. Raises ResultsError for what is no file, and OSError."""
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise _no_file(path, "a folder") from error
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _no_file(path, "a link to a file that is not there") from error
        return None


def _no_file(path: Path, what: str) -> ResultsError:
    cure = "remove it, then run the same command again"
    return ResultsError(f"{path.name} is {what}, so nobody can lock the folder", where=str(path), next=cure)


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        owner = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _remove(path: Path, expected: Callable[[bytes], bool]) -> None:
    """Remove the lock if its content is expected; the newer lock of another process is put back."""
    moved = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.rename(moved)
    except FileNotFoundError:
        return  # another process was faster
    if not expected(moved.read_bytes()):
        with suppress(FileExistsError):  # a new lock: the owner of the one moved away sees it at its next beat
            path.hardlink_to(moved)
    moved.unlink()


# --- the process that owns it -----------------------------------------------------------------------------------------


def _myself() -> dict[str, Any]:
    pid = os.getpid()
    return {**_machine(), "pid": pid, "started": _start_time(pid), **_slurm_job()}


def _slurm_job() -> dict[str, Any]:
    """The SLURM job of this process, and how often it was requeued; {} outside of one."""
    job, cluster = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_CLUSTER_NAME", "")
    if job is None:
        return {}
    return {"job": f"{cluster}:{job}", "restarts": int(os.environ.get("SLURM_RESTART_COUNT", 0))}


def _machine() -> dict[str, Any]:
    """Host, boot and process-id namespace: process ids are comparable only where all three agree."""
    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = None
    return {"host": socket.gethostname(), "boot": boot.decode().strip() if boot else None, "namespace": namespace}


def _start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None if it is dead or the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])  # state is field 3, the start time field 22


def abandoned(owner: dict[str, Any]) -> bool:
    """Whether the owner is certainly dead: a process of this host that ended, or this job before it was requeued."""
    here = _machine()
    if isinstance(owner.get("pid"), int) and owner.get("host") == here["host"]:
        if owner.get("boot") != here["boot"]:
            return True  # the host was rebooted
        if owner.get("namespace") == here["namespace"]:
            return not _alive(owner["pid"], owner.get("started"))  # another process of the same job keeps its lock
    job, restarts = _slurm_job(), owner.get("restarts", 0)
    return bool(job) and owner.get("job") == job["job"] and isinstance(restarts, int) and restarts < job["restarts"]


def _alive(pid: int, started: int | None) -> bool:
    if Path("/proc/self/stat").exists():
        now = _start_time(pid)
        return now is not None and (started is None or now == started)  # else the id was given to a new process
    try:
        os.kill(pid, 0)  # without /proc: signal 0 only checks that the process exists
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True
