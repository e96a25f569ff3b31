"""A cluster in a few words: which partition, how long, how many at once; a dataclass and the YAML that fills it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from slurm.errors import SlurmError

# Of sbatch: what a submission sets itself, and relies on.
OURS = {"array", "dependency", "error", "job-name", "kill-on-invalid-dep", "no-requeue", "open-mode", "output",
        "parsable", "requeue", "signal", "test-only", "wait", "wrap"}  # fmt: skip


@dataclass
class Profile:
    """What each job asks of the cluster. What is left out is left to the cluster's own defaults."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: int = 0  # of each job; none: it computes on the CPU
    cpus: int = 1  # of each job
    memory: float | None = None  # GB of each job
    minutes: int = 60  # time limit of each job; a task that needs longer goes on in the same job, requeued
    warning: int = 90  # seconds before that limit at which a job is told to save
    parallel: int = 256  # jobs of one array at once
    array: int | None = None  # most jobs in one array; none named: what the cluster allows
    pack: int = 1  # tasks in one job, for many short ones
    at_once: int = 1  # of a job's tasks side by side; its cores are divided among them
    setup: list[str] = field(default_factory=list)  # shell commands before Python starts: module load …, export …
    python: str | None = None  # how a job calls Python; none named: the interpreter that submits
    extra: dict[str, Any] = field(default_factory=dict)  # further parameters of sbatch, as {nice: 100, exclude: n7}

    def check(self, where: str) -> None:
        """Raise SlurmError for the first value that makes no sense."""
        for name in ("cpus", "minutes", "parallel", "pack", "at_once"):
            if getattr(self, name) < 1:
                raise SlurmError(f"{name} must be at least 1, got {getattr(self, name)}", where=where)
        if self.gpus < 0:
            raise SlurmError(f"gpus cannot be negative, got {self.gpus}", where=where)
        if self.memory is not None and self.memory <= 0:
            raise SlurmError(f"memory is in GB and positive, got {self.memory}", where=where)
        if self.array is not None and self.array < 1:
            raise SlurmError(f"array must be at least 1, got {self.array}", where=where)
        if not 0 < self.warning <= 30 * self.minutes:  # SLURM may warn a minute early: something must be done before
            raise SlurmError(
                f"warning is in seconds, at most half of the time limit of {self.minutes} minutes; got {self.warning}",
                where=where,
            )
        if self.at_once > self.cpus:
            raise SlurmError(f"{self.at_once} tasks at once have {self.cpus} cores between them", where=where,
                             next="raise cpus, or lower at_once")  # fmt: skip
        if self.at_once > self.pack:
            raise SlurmError(f"{self.at_once} tasks at once, of {self.pack} in a job", where=where,
                             next="raise pack, or lower at_once")  # fmt: skip
        if clash := sorted(OURS & {str(key).replace("_", "-") for key in self.extra}):
            raise SlurmError(
                f"extra cannot set {', '.join(clash)}: jobs are named, found and requeued by it", where=where
            )

    @property
    def more(self) -> dict[str, Any]:
        """`extra` without what is switched off."""
        return {name: value for name, value in self.extra.items() if value not in (None, False)}

    def parameters(self) -> dict[str, Any]:
        """As submitit.SlurmExecutor takes them."""
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus_per_node": self.gpus or None,
            "mem": f"{round(self.memory * 1024)}MB" if self.memory else None,
        }
        return {name: value for name, value in given.items() if value is not None} | {
            "cpus_per_task": self.cpus,
            "time": self.minutes,
            "signal_delay_s": self.warning,
            "array_parallelism": self.parallel,
        }


def load(name: str) -> Profile:
    """A profile by name (a file of slurm/clusters/) or by the path of its YAML. Raises SlurmError."""
    path = _path(name)
    try:
        written = OmegaConf.to_container(OmegaConf.load(path), resolve=True) or {}
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise SlurmError(f"cannot read the profile: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(written, dict):
        raise SlurmError("a profile is a list of KEY: VALUE", where=str(path))
    known = [spec.name for spec in fields(Profile)]
    for key in map(str, written):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise SlurmError(
                f"a profile has no '{key}'",
                where=str(path),
                next=f"{hint}known: {', '.join(known)}; anything else of sbatch goes under extra",
            )
    try:
        profile = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Profile), written))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        wanted = next((spec.type for spec in fields(Profile) if spec.name == str(key).split("[")[0]), "another type")
        got = written.get(str(key))
        raise SlurmError(f"{key!s} must be {wanted!s}, got {got!r}", where=str(path)) from error
    assert isinstance(profile, Profile)
    profile.check(str(path))
    return profile


def _path(name: str) -> Path:
    given = Path(name).expanduser()
    if given.suffix in (".yaml", ".yml"):
        return given
    folder = files("slurm") / "clusters"
    known = sorted(Path(str(path)).stem for path in folder.iterdir() if path.name.endswith(".yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise SlurmError(
            f"there is no profile '{name}'",
            where=f"cluster={name}",
            next=f"{hint}known: {', '.join(known)}; or the path of your own: cluster=my-cluster.yaml",
        )
    return Path(str(folder / f"{name}.yaml"))
