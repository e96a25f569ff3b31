"""What a run is asked for: the schema of `conf/`, checked once at the edge. Below this file nobody sees Hydra."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmark.config import scoring
from benchmark.utils.errors import BenchmarkError, unknown
from results.aggregation.options import BASELINES, FORMATS, HIGHLIGHTS, ORDERS, TABLES, Options

LAUNCHERS = ("local", "slurm")
ANALYSES = ("discrepancy", "interpolation", "expert", "embedding", "curve")  # as benchmark.analyses.VERSIONS
LAYOUTS = ("tsne", "pca")  # as benchmark.analyses.embedding, which loads torch
UNITS = ("raw", "normalized", "bytes", "whitened")  # as benchmark.released.units, which loads torch


@dataclass
class Asked(ABC):
    """What a command is asked for, once composed. `conf/` has the meaning and the default of each name."""

    @abstractmethod
    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""


@dataclass
class Scoring(Asked):
    """What every command that evaluates sets is asked for."""

    variants: list[str]
    eval_architectures: list[str]
    protocols: list[str]
    robustness_scores: bool
    seeds: list[int]
    baselines: list[str]
    preset: str
    iterations_fraction: float
    num_eval: int
    val_fraction: float
    precision: str
    compile: bool | None
    device: str
    threads: int | None
    workers: int | None
    retry: str | None
    dry_run: bool
    checkpoint_seconds: float
    data_root: str
    store: str

    @property
    def set_protocols(self) -> list[str]:
        """What sets are evaluated under; the whole training set, under `protocols` alone."""
        return scoring.with_plain(self.protocols) if self.robustness_scores else self.protocols


@dataclass
class RunConfig(Scoring):
    """conf/run.yaml after composition."""

    methods: list[str]
    datasets: list[str]
    ipcs: list[int]
    architectures: list[str]
    budget_seconds: float | None
    snapshots: int | None
    expert_seed: int
    launcher: str
    cluster: str | None
    wait: bool
    method: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        for name in ("datasets", "ipcs", "architectures", "protocols", "seeds"):
            values = getattr(self, name)
            if not values:
                raise BenchmarkError(f"{name} is empty", where=f"{name}=[]", next=f"name at least one: {name}=[…]")
            if len(set(values)) != len(values):
                raise BenchmarkError(f"{name} names something twice", where=f"{name}={values}")
        if not self.methods and not self.baselines:
            raise BenchmarkError("there is nothing to run", where="methods=[] baselines=[]")
        for ipc in self.ipcs:
            if ipc < 1:
                raise BenchmarkError(f"ipc must be at least 1, got {ipc}", where=f"ipcs={self.ipcs}")
        if not 0 < self.iterations_fraction <= 1:
            raise BenchmarkError(
                f"fraction must be in (0, 1], got {self.iterations_fraction}", where="iterations_fraction"
            )
        if self.budget_seconds is not None and not (self.budget_seconds > 0 and math.isfinite(self.budget_seconds)):
            raise BenchmarkError(
                f"seconds must be a positive number, got {self.budget_seconds}", where="budget_seconds"
            )
        if not 0 <= self.val_fraction < 1:
            raise BenchmarkError(f"validation must be in [0, 1), got {self.val_fraction}", where="val_fraction")
        if self.snapshots is not None and self.snapshots < 1:
            raise BenchmarkError(f"curve must be at least 1, got {self.snapshots}", where=f"snapshots={self.snapshots}")
        if self.snapshots is not None and self.val_fraction == 0:
            raise BenchmarkError(
                "a curve is scored on withheld training images, and none are withheld",
                where=f"snapshots={self.snapshots}, val_fraction=0",
                next="say which fraction to withhold: val_fraction=0.1",
            )
        if self.num_eval < 1:
            raise BenchmarkError(f"networks must be at least 1, got {self.num_eval}", where="num_eval")
        if not (self.checkpoint_seconds > 0 and math.isfinite(self.checkpoint_seconds)):
            raise BenchmarkError("checkpoint_seconds must be a positive number", where="checkpoint_seconds")
        for name, settings in self.method.items():
            if not isinstance(settings, dict):
                raise BenchmarkError(
                    f"method.{name} holds settings",
                    where=f"method.{name}={settings}",
                    next=f"method.{name}.SETTING=VALUE",
                )
        for control in self.baselines:
            if control not in BASELINES:
                raise unknown("baseline", control, BASELINES, where=f"baselines=[{control}]")
        if self.robustness_scores:
            scoring.check(self.protocols, self.baselines)
        if self.launcher not in LAUNCHERS:
            raise unknown("launcher", self.launcher, LAUNCHERS, where=f"launcher={self.launcher}")
        if self.launcher == "local" and (self.cluster is not None or self.wait):
            raise BenchmarkError(
                "profile and wait are about launcher=slurm", where="launcher=local", next="add launcher=slurm"
            )
        if self.retry not in (None, "failed"):
            raise unknown("retry", str(self.retry), ["failed"], where=f"retry={self.retry}")


@dataclass(kw_only=True)
class AnalyzeConfig(RunConfig):
    """conf/analyse.yaml after composition: a run's settings, and what to look at. Nothing is evaluated."""

    robustness_scores: bool = False
    analyses: list[str] = field(default_factory=list)
    layout: str = "tsne"

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        if not self.analyses:
            raise BenchmarkError("analyses is empty", where="analyses=[]", next=f"known: {', '.join(ANALYSES)}")
        for name in self.analyses:
            if name not in ANALYSES:
                raise unknown("analysis", name, ANALYSES, where=f"analyses=[{name}]")
        if len(set(self.analyses)) != len(self.analyses):
            raise BenchmarkError("analyses names something twice", where=f"analyses={self.analyses}")
        if self.layout not in LAYOUTS:
            raise unknown("layout", self.layout, LAYOUTS, where=f"layout={self.layout}")
        if "curve" in self.analyses and self.snapshots is None:
            raise BenchmarkError(
                "a curve has so many points beside the first, and nobody said how many",
                where="analyses=[curve]",
                next="say it: snapshots=10 val_fraction=0.1",
            )


@dataclass
class ProfileConfig(Asked):
    """conf/profile.yaml after composition. Names that run.yaml has mean the same."""

    methods: list[str]
    datasets: list[str]
    ipcs: list[int]
    architectures: list[str]
    preset: str
    iterations_fraction: float
    steps: int
    precision: str
    compile: bool | None
    device: str
    threads: int | None
    data_root: str
    method: dict[str, Any] = field(default_factory=dict)

    def run_config(self) -> RunConfig:
        """The run whose steps are looked at. Its dry run needs no dataset to be there."""
        shared = {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name != "steps"}
        return RunConfig(
            **shared,
            dry_run=True, seeds=[0], protocols=["quick"], baselines=[],
            variants=[], eval_architectures=[], num_eval=1, robustness_scores=False, val_fraction=0.0, budget_seconds=None, snapshots=None,
            expert_seed=0, launcher="local", cluster=None, wait=False, retry=None, workers=None, checkpoint_seconds=30.0,
            store="",
        )  # fmt: skip

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        if self.steps < 1:
            raise BenchmarkError(f"steps must be at least 1, got {self.steps}", where=f"steps={self.steps}")
        if not self.methods:
            raise BenchmarkError("methods is empty", where="methods=[]", next="name at least one: methods=[…]")
        self.run_config().check()


@dataclass
class EvaluateConfig(Scoring):
    """conf/evaluate.yaml after composition. Names that run.yaml has mean the same."""

    set: Any  # a path, or a list of them
    dataset: str | None
    name: str | None
    method: str | None
    factor: int | None
    pixel_scale: str | None
    mean: list[float] | None
    std: list[float] | None
    set_index: list[int] | None
    quantize: str | None

    @property
    def paths(self) -> list[Path]:
        return [Path(path).expanduser().absolute() for path in ([self.set] if isinstance(self.set, str) else self.set)]

    def run_config(self, dataset: str = "", ipc: int = 1, sets: int = 1) -> RunConfig:
        """The run of controls beside `sets` sets of so many images a class."""
        shared = {spec.name: getattr(self, spec.name) for spec in fields(Scoring)}
        seeds = list(dict.fromkeys([*range(sets), *self.seeds]))
        return RunConfig(
            **shared | {"seeds": seeds, "variants": []},
            methods=["a set made elsewhere"], datasets=[dataset], ipcs=[ipc], architectures=["auto"],
            budget_seconds=None, snapshots=None, expert_seed=0, launcher="local", cluster=None, wait=False,
        )  # fmt: skip

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        if not self.set or not isinstance(self.set, str | list) or not all(isinstance(p, str) for p in self.set):
            raise BenchmarkError(
                "which set is to be scored?", where=f"set={self.set}", next="name its file or folder: set=PATH"
            )
        for name, known in (("pixel_scale", UNITS), ("quantize", ("8bit",))):
            if (value := getattr(self, name)) is not None and value not in known:
                raise unknown(name, value, known, where=f"{name}={value}")
        if (self.mean is None) != (self.std is None):
            raise BenchmarkError("mean and std go together", where="mean, std", next="give both, a value a channel")
        if self.std is not None and min(self.std, default=0.0) <= 0:
            raise BenchmarkError("std must be positive, a value a channel", where=f"std={self.std}")
        if self.factor is not None and self.factor < 1:
            raise BenchmarkError(f"factor must be at least 1, got {self.factor}", where="factor")
        self.run_config().check()


@dataclass
class ReportConfig(Asked):
    """conf/report.yaml after composition."""

    store: str
    tables: list[str]
    formats: list[str]
    methods: list[str]
    baselines: list[str]
    datasets: list[str]
    ipcs: list[int]
    architectures: list[str]
    eval_architectures: list[str]
    protocols: list[str]
    order: str
    highlight: str
    explain_missing: bool
    figures: bool
    page: bool

    def options(self) -> Options:
        """The same as plain values for `results.rendering.files`."""
        values: dict[str, Any] = {spec.name: getattr(self, spec.name) for spec in fields(Options)}
        for name, value in values.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return Options(**values)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        known = {"tables": TABLES, "formats": FORMATS, "baselines": BASELINES}
        for spec in fields(self):
            values = getattr(self, spec.name)
            if not isinstance(values, list):
                continue
            if len(set(values)) != len(values):
                raise BenchmarkError(f"{spec.name} names something twice", where=f"{spec.name}={values}")
            for name in values if spec.name in known else ():
                if name not in known[spec.name]:
                    raise unknown(spec.name.removesuffix("s"), name, known[spec.name], where=f"{spec.name}=[{name}]")
        for name in ("tables", "formats"):
            if not getattr(self, name):
                raise BenchmarkError(f"{name} is empty", where=f"{name}=[]", next=f"known: {', '.join(known[name])}")
        for name, words in (("order", ORDERS), ("highlight", HIGHLIGHTS)):
            if getattr(self, name) not in words:
                raise unknown(name, getattr(self, name), words, where=f"{name}={getattr(self, name)}")
        if self.order == "listed" and not self.methods:
            raise BenchmarkError("order=listed is that of methods", where="order=listed", next="name them: methods=[…]")
