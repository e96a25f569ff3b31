"""A real two-node SLURM cluster on this machine, for the tests; only its GPUs are not real.

Needs root, Debian's slurm-wlm and munge; with accounting also slurmdbd and mariadb-server. No systemd, and no file
outside one folder but the cgroups of the jobs, where they are asked for, so that several may run at the same time.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NODES = ("n1", "n2")
GPUS = 2  # of each node
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo", "scancel")
ACCOUNTING_PROGRAMS = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db")
ACCOUNT = "lab"  # with accounting, the one that root may charge besides SLURM's own `root`

CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
# the nodes have the resources below, even on a smaller machine
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin={tasks}
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=2000
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
GresTypes=gpu
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
SlurmdTimeout=15
{nodes}
PartitionName=gpu Nodes=n1,n2 Default=YES PriorityTier=1 GraceTime={grace}
PartitionName=high Nodes=n1,n2 PriorityTier=10
PartitionName=cancel Nodes=n1,n2 PriorityTier=1 PreemptMode=CANCEL GraceTime={grace}
"""
# The ends of jobs are kept in a database, and a job needs an account that exists.
ACCOUNTING_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,qos
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
"""
# A job over its memory is killed by SLURM, which looks every second, or by the kernel.
OVER_MEMORY_CONF = "JobAcctGatherParams=OverMemoryKill\n"
CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={mounted}
ConstrainRAMSpace=yes
"""
CGROUPS = Path("/sys/fs/cgroup")
DATABASE_CONF = """\
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StorageType=accounting_storage/mysql
StorageUser=root
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=8000 Gres=gpu:2"


def why_not(accounting: bool = False) -> str:
    """Why no cluster, or none with accounting, can run here, for a skip; '' where one can."""
    if os.geteuid() != 0:
        return "a SLURM cluster on this machine needs root"
    programs, packages = PROGRAMS, "slurm-wlm munge"
    if accounting:
        programs, packages = PROGRAMS + ACCOUNTING_PROGRAMS, f"{packages} slurmdbd mariadb-server"
    missing = [program for program in programs if _program(program) is None]
    if missing:
        return f"no {', '.join(missing)} here (Debian: apt-get install {packages})"
    with tempfile.TemporaryDirectory() as folder:
        try:
            _make_gpu_device(Path(folder) / "gpu")
        except OSError as error:
            return f"root may not make device files here ({error})"
    return ""


def why_no_cgroups() -> str:
    """Why SLURM cannot limit the memory of a job by a cgroup here, for a skip; '' where it can.

    Version 2 of cgroups needs systemd, which no container has.
    """
    if not (CGROUPS / "memory/memory.limit_in_bytes").exists():
        return "no memory controller of cgroups version 1 here"
    try:
        group = Path(tempfile.mkdtemp(dir=CGROUPS / "memory"))
        try:
            (group / "memory.limit_in_bytes").write_text(str(2**30))
        finally:
            group.rmdir()
    except OSError as error:
        return f"root may not make a cgroup here ({error})"
    return ""


@dataclass(frozen=True)
class QueueRow:
    """One row of squeue. An element of a job array has its own row once it has started."""

    id: str  # '12', an array's element '12_3', or '12_[3-5]' for pending elements
    state: str  # 'PENDING', 'RUNNING', 'COMPLETING' …
    name: str
    partition: str
    nodes: str  # 'n1', '' while it is pending
    reason: str  # why it is pending: 'Resources', 'BeginTime', 'Dependency' …


@dataclass
class LoopbackCluster:
    """A running slurmctld with two slurmds, n1 and n2 (2 CPUs and 2 simulated GPUs each), all state in one folder.

    Partitions: jobs of `gpu` (the default) are requeued for jobs of `high`, jobs of `cancel` are cancelled.
    """

    folder: Path
    conf: Path
    env: dict[str, str] = field(repr=False)  # for clients: this process's, with SLURM_CONF

    def client(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a SLURM command; raises RuntimeError with its output if it fails, unless check is False."""
        process = subprocess.run(words, env=self.env, cwd=self.folder, text=True, capture_output=True, timeout=60)
        if check and process.returncode:
            output = f"{process.stderr}{process.stdout}"
            raise RuntimeError(f"{' '.join(words)} ended in {process.returncode}: {output}")
        return process

    def scontrol(self, *words: str) -> str:
        return self.client("scontrol", *words).stdout

    def queue(self) -> list[QueueRow]:
        """The rows of squeue: jobs that are pending, running or completing."""
        rows = self.client("squeue", "-h", "-o", "%i|%T|%j|%P|%N|%r").stdout
        return [QueueRow(*row.split("|")) for row in rows.splitlines()]

    def show(self, job_id: str) -> dict[str, str]:
        """The fields of scontrol show job ('JobState', 'Reason', 'Restarts' …), of a job or an array's element.

        SLURM knows a job for five minutes after its end.
        """
        words = self.scontrol("-o", "show", "job", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def state(self, job_id: str) -> str:
        return self.show(job_id)["JobState"]

    def nodes(self) -> dict[str, str]:
        """Each node's state: 'idle', 'mix', 'alloc', 'down', 'down*' (does not answer) …"""
        rows = self.client("sinfo", "-h", "-N", "-p", "high", "-o", "%N %t").stdout
        return dict(row.split() for row in rows.splitlines())

    def submit(self, script: str, *options: str) -> str:
        """Submit a bash script (without its first line); returns the job's id."""
        output = ("--output", f"{self.folder}/jobs/%j.out", "--open-mode=append")
        path = self.folder / "jobs" / "script"
        path.write_text(f"#!/bin/bash\n{script}\n")
        return self.client("sbatch", "--parsable", *output, *options, str(path)).stdout.strip()

    def output(self, job_id: str) -> str:
        """What a job that `submit` submitted has printed so far, over all its starts."""
        path = self.folder / "jobs" / f"{self.show(job_id)['JobId']}.out"
        return path.read_text() if path.exists() else ""

    def preempt(self, node: str | None = None, seconds: float = 1) -> str:
        """Submit a job of `high` that takes all CPUs of a node (or both) from other jobs; returns its id."""
        where = (f"--nodelist={node}",) if node else (f"--nodes={len(NODES)}",)
        return self.submit(f"sleep {seconds}", "--partition=high", "--exclusive", "--job-name=high", *where)

    def start_now(self, job_id: str) -> None:
        """Let a requeued job start once it has left its node; SLURM would hold it for two minutes."""
        self.wait_for(lambda: self.show(job_id)["Reason"] == "BeginTime", 60)
        self.scontrol("update", f"JobId={job_id}", "StartTime=now")

    def crash_node(self, name: str) -> None:
        """Kill a node's slurmd and all its jobs' processes, as a power cut would, and tell the controller.

        By itself the controller would notice after SlurmdTimeout.
        """
        self._kill_processes(name)
        self.scontrol("update", f"NodeName={name}", "State=DOWN", "Reason=crashed")

    def restore_node(self, name: str) -> None:
        """Start a crashed node again and wait until it can run jobs."""
        self._start_node(name)
        self.wait_for(lambda: self.nodes()[name] in ("idle", "mix", "alloc"), 30)

    def clear(self) -> None:
        """Cancel every job and wait until both nodes are idle, so that no test meets another test's jobs."""
        self.client("scancel", "--user=root", check=False)
        for name, state in self.nodes().items():
            if state.startswith("down"):
                self._kill_processes(name)
                self._start_node(name)
        self.wait_for(lambda: not self.queue() and set(self.nodes().values()) == {"idle"}, 60)

    def wait_for(self, condition: Callable[[], object], seconds: float, every: float = 0.2) -> None:
        """Wait until a condition is true; raises TimeoutError, with the queue and the ends of the logs."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"the condition is false after {seconds} s\n{self.report()}")
            time.sleep(every)

    def report(self) -> str:
        """The queue, the nodes and the last lines of each log, for the message of a failing test."""
        lines = [self.client(*words, check=False).stdout for words in (("squeue",), ("sinfo", "-N", "-l"))]
        for log in sorted(self.folder.glob("*.log")):
            lines += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-15:]]
        return "\n".join(lines)

    def start(self) -> None:
        for name in NODES:
            (self.folder / "spool" / name).mkdir(parents=True)
        for name in ("state", "jobs"):
            (self.folder / name).mkdir()
        for index in range(GPUS):
            _make_gpu_device(self.folder / f"gpu{index}")
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        files = {"key-file": "key", "pid-file": "pid", "log-file": "log", "socket": "socket", "seed-file": "seed"}
        options = [f"--{option}={self.folder}/munge.{end}" for option, end in files.items()]
        # forced: munged expects a folder that other users can enter, and pytest's are closed to them
        self._daemon("munged", "--force", "--num-threads=2", *options)
        if (self.folder / "slurmdbd.conf").exists():
            self._start_accounting()
        self._daemon("slurmctld", "-c", "-f", str(self.conf))
        for name in NODES:
            self._start_node(name)
        self.wait_for(lambda: self.nodes() == dict.fromkeys(NODES, "idle"), 60)

    def stop(self) -> None:
        """Kill the jobs and daemons of this cluster, and nothing else."""
        self._kill_processes()

    def _start_accounting(self) -> None:
        """Start a database and slurmdbd, and let root submit for ACCOUNT."""
        options = ("--no-defaults", "--user=root", f"--datadir={self.folder}/database")
        self._daemon("mariadb-install-db", *options, "--skip-test-db", "--innodb-log-file-size=8M")
        paths = [f"--{name}={self.folder}/database.{end}" for name, end in (("socket", "socket"), ("log-error", "log"))]
        # mariadbd stays in the foreground
        self._daemon("sh", "-c", '"$0" "$@" &', str(_program("mariadbd")), *options, *paths, "--skip-networking")
        self.wait_for((self.folder / "database.socket").exists, 60)
        self._daemon("slurmdbd")
        self.wait_for(lambda: not self.client("sacctmgr", "-n", "list", "cluster", check=False).returncode, 60)
        for words in (("cluster", "loopback"), ("account", ACCOUNT), ("user", "root", f"account={ACCOUNT}")):
            self.client("sacctmgr", "-i", "add", *words)

    def _start_node(self, name: str) -> None:
        self._daemon("slurmd", "-N", name, "-f", str(self.conf), node=name)

    def _daemon(self, *words: str, node: str = "") -> None:
        program = _program(words[0])
        assert program is not None
        # slurmstepds inherit SLURM's variables, and SLURM gives them to jobs: `_processes` finds all by them. PATH is
        # first, as the title that a slurmstepd gives itself may overwrite the beginning.
        env = {"PATH": self.env["PATH"], "SLURM_CONF": str(self.conf)} | ({"SLURMD_NODENAME": node} if node else {})
        env["MYSQL_UNIX_PORT"] = f"{self.folder}/database.socket"  # of which slurmdbd has no option
        with (self.folder / "daemons.log").open("a") as log:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            process = subprocess.run([program, *words[1:]], env=env, cwd=self.folder, timeout=60, **streams)
        if process.returncode:
            raise RuntimeError(f"{words[0]} did not start: {(self.folder / 'daemons.log').read_text()}")

    def _kill_processes(self, node: str = "") -> None:
        """Kill the processes of one node, or all of this cluster, and those that they start meanwhile."""
        while pids := self._processes(node):
            _kill(pids)

    def _processes(self, node: str = "") -> list[int]:
        """The process ids of slurmd, slurmstepds and jobs of one node, or of all daemons and jobs of this cluster."""
        variables = {f"SLURM_CONF={self.conf}".encode()} | ({f"SLURMD_NODENAME={node}".encode()} if node else set())
        pids = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if variables <= set(path.read_bytes().split(b"\0")):
                    pids.append(int(path.parent.name))
            except OSError:
                continue  # the process has ended
        return [pid for pid in pids if pid != os.getpid()]


@contextmanager
def running(
    folder: Path, grace: int = 20, accounting: bool = False, cgroups: bool = False
) -> Iterator[LoopbackCluster]:
    """A cluster with both nodes idle and all its state in `folder` (created; must be empty); stopped after the block.

    `grace`: seconds that a pre-empted job of `gpu` or `cancel` has after the first SIGTERM, which only its steps get.
    SLURM may take 20 more; then all its processes get SIGTERM and, 5 s later, SIGKILL. `accounting`: see
    ACCOUNTING_CONF; it takes 10 s to start. A job over its memory is killed by the kernel with `cgroups`, by SLURM with
    `accounting` alone.
    """
    folder = folder.resolve()
    if len(str(folder)) > 80:
        raise ValueError(f"{folder} is too long a path for the daemons' sockets: at most 80 characters (set TMPDIR)")
    folder.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname().split(".")[0]
    port, database_port, *node_ports = _free_ports(2 + len(NODES))
    lines = [NODE.format(name=name, host=host, port=p) for name, p in zip(NODES, node_ports, strict=True)]
    conf = folder / "slurm.conf"
    tasks = "task/cgroup" if cgroups else "task/none"
    text = CONF.format(host=host, port=port, folder=folder, nodes="\n".join(lines), grace=grace, tasks=tasks)
    if cgroups:
        # the cgroups of a job have its node and id as names: those of clusters at the same time must differ
        text += f"FirstJobId={port * 1000}\n"
        (folder / "cgroup.conf").write_text(CGROUP_CONF.format(mounted=CGROUPS))
    elif accounting:
        text += OVER_MEMORY_CONF
    if accounting:
        text += ACCOUNTING_CONF.format(port=database_port, folder=folder)
        database_conf = folder / "slurmdbd.conf"
        database_conf.write_text(DATABASE_CONF.format(host=host, port=database_port, folder=folder))
        database_conf.chmod(0o600)  # else slurmdbd refuses it
    conf.write_text(text)
    (folder / "gres.conf").write_text(f"NodeName=n1,n2 Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
    cluster = LoopbackCluster(folder, conf, inherited | {"SLURM_CONF": str(conf)})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _make_gpu_device(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def _free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def _kill(pids: list[int]) -> None:
    """SIGKILL these processes and wait until they are gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    end = time.monotonic() + 20
    while any(_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
