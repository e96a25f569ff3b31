"""The settings of a cluster (partition, time limit, resources of a job, array sizes), read from a YAML file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from slurm.errors import SlurmError
from slurm.plain_yaml import read_yaml

# Options of sbatch that every submission sets itself, so that `extra` cannot set them.
RESERVED_OPTIONS = {
    *("array", "dependency", "error", "job-name", "kill-on-invalid-dep", "no-requeue", "open-mode", "output"),
    *("parsable", "requeue", "signal", "test-only", "wait", "wrap"),
}

_LINE = re.compile(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*")  # printable, and not blank

# Of each number its least and most. SLURM reads a time and a memory of 0 as no limit, and holds the seconds of a
# signal in 16 bits.
LIMITS: dict[str, tuple[float, float]] = {
    "gpus": (0, 1024),
    "cpus": (1, 65_535),
    "memory": (0.1, 1_000_000),
    "timeout_min": (1, 525_600),
    "signal_seconds": (1, 65_535),
    "array_parallelism": (1, 1_000_000),
    "max_array_size": (1, 4_000_001),
    "tasks_per_job": (1, 1_000_000),
    "concurrent_tasks": (1, 1024),
}
_UNITS = {"memory": " GB", "timeout_min": " minutes", "signal_seconds": " seconds"}
_TEXTS = ("partition", "account", "qos", "constraint", "python")


def _wanted(name: str) -> str:
    """What the value of a key may be, in words."""
    if name in LIMITS:
        number = "a number" if name == "memory" else "a whole number"
        return "{} from {:,} to {:,}{}".format(number, *LIMITS[name], _UNITS.get(name, ""))
    return {
        "setup": "a list of shell commands, such as [module load cuda]",
        "extra": "options of sbatch with their values, such as {nice: 100}",
    }.get(name, "one line of text")


@dataclass
class Cluster:
    """What each job requests. An option without a value is left to the cluster's own default."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: int = 0  # of each job; 0: it computes on the CPU
    cpus: int = 1  # of each job
    memory: float | None = None  # GB of each job
    timeout_min: int = 60  # minutes; time limit of each job. A task that needs longer is requeued and goes on
    signal_seconds: int = 90  # seconds before the time limit at which the job is signalled to checkpoint
    array_parallelism: int = 256  # jobs of one array that may run at the same time
    max_array_size: int | None = None  # jobs in one array; None: as many as the cluster allows
    tasks_per_job: int = 1  # more than 1 where tasks are short
    concurrent_tasks: int = 1  # tasks of a job that run at the same time; its cores are divided among them
    setup: list[str] = field(default_factory=list)  # shell commands before Python starts: module load …, export …
    python: str | None = None  # the command that starts Python; None: the interpreter that submits
    extra: dict[str, Any] = field(default_factory=dict)  # further options of sbatch, as {nice: 100, exclude: n7}

    def check(self, where: str) -> None:
        """Raise SlurmError for the first invalid value; `where` names the file."""
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:  # nan is not, either
                raise SlurmError(f"{name} must be {_wanted(name)}, got {value}", where=where)
        self._check_texts(where)
        # SLURM may send the signal a minute early, and the task must get somewhere before it.
        if self.signal_seconds > 30 * self.timeout_min:
            raise SlurmError(
                f"signal_seconds must be at most half of the time limit of {self.timeout_min} minutes; "
                f"got {self.signal_seconds}",
                where=where,
            )
        for name in ("cpus", "tasks_per_job"):
            if self.concurrent_tasks > getattr(self, name):
                raise SlurmError(
                    f"concurrent_tasks={self.concurrent_tasks} is more than {name}={getattr(self, name)}",
                    where=where,
                    next=f"raise {name}, or lower concurrent_tasks",
                )
        if reserved := sorted(RESERVED_OPTIONS & {str(key).replace("_", "-") for key in self.extra}):
            raise SlurmError(f"extra cannot set {', '.join(reserved)}: every submission sets them itself", where=where)

    def _check_texts(self, where: str) -> None:
        """Raise SlurmError for a text of several lines or none, and for an option that has no single value."""
        texts = {name: getattr(self, name) for name in _TEXTS}
        for name, value in (texts | {f"extra.{name}": value for name, value in self.extra.items()}).items():
            if isinstance(value, list | dict) or (isinstance(value, str) and not _LINE.fullmatch(value)):
                raise SlurmError(f"{name} must be one line of text or a number, got {value!r}", where=where)

    @property
    def extra_options(self) -> dict[str, Any]:
        """`extra` without options that are null or false."""
        return {name: value for name, value in self.extra.items() if value not in (None, False)}

    def submitit_parameters(self) -> dict[str, Any]:
        """The parameters of submitit.SlurmExecutor, without `extra` and `setup`."""
        optional = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus_per_node": self.gpus or None,
            "mem": f"{round(self.memory * 1024)}MB" if self.memory else None,
        }
        return {name: value for name, value in optional.items() if value is not None} | {
            "cpus_per_task": self.cpus,
            "time": self.timeout_min,
            "signal_delay_s": self.signal_seconds,
            "array_parallelism": self.array_parallelism,
        }


def load(name: str) -> Cluster:
    """The cluster of a file of slurm/clusters/ (by its name), or of the YAML file at a path.

    Raises SlurmError for a file that cannot be read, an unknown key and an invalid value.
    """
    path = _path(name)
    try:
        values = read_yaml(path)
    except (OSError, ValueError) as error:
        raise SlurmError(f"cannot read the cluster file: {' '.join(str(error).split())}", where=str(path)) from error
    types = get_type_hints(Cluster)
    for key, value in values.items():
        if key not in types:
            raise SlurmError(
                f"a cluster file has no key '{key}'",
                where=str(path),
                next=f"{_known(key, types)}; any other option of sbatch goes under extra",
            )
        if key in _TEXTS and type(value) is int:  # a partition or an account may be called 2026
            values[key] = str(value)
        try:
            values[key] = msgspec.convert(values[key], types[key], strict=False)
        except msgspec.ValidationError as error:
            raise SlurmError(f"{key} must be {_wanted(key)}, got {value!r}", where=str(path)) from error
    cluster = Cluster(**values)
    cluster.check(str(path))
    return cluster


def _path(name: str) -> Path:
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise SlurmError(f"'{name}' is not a path: {error}", where=f"cluster={name}") from error
    if path.suffix in (".yaml", ".yml"):
        return path
    folder = files("slurm") / "clusters"
    names = sorted(Path(str(path)).stem for path in folder.iterdir() if path.name.endswith(".yaml"))
    if name not in names:
        raise SlurmError(
            f"there is no cluster '{name}'",
            where=f"cluster={name}",
            next=f"{_known(name, names)}; or the path of your own file: cluster=my-cluster.yaml",
        )
    return Path(str(folder / f"{name}.yaml"))


def _known(name: str, known: Collection[str]) -> str:
    """The known names, the one nearest to a misspelt one first."""
    near = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"known: {', '.join(known)}"
