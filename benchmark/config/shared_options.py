"""Options that several commands have: what is condensed, how it is evaluated, where it runs and is stored."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from benchmark.config import plain_protocols
from benchmark.config.options import (
    FRACTION,
    IPCS,
    SECONDS,
    SEEDS,
    CommandConfig,
    Range,
    from_preset,
    option,
    require_distinct,
    require_known,
    require_some,
)
from benchmark.utils.errors import BenchmarkError
from results.aggregation.options import BASELINES, KNOWN_BASELINES
from results.store import reference

LAUNCHERS = ("local", "slurm")
TRACKERS = ("none", "tensorboard")  # where losses are logged besides the store
PROGRESS = ("auto", "bar", "plain", "none")


@dataclass(kw_only=True)
class GridConfig(CommandConfig):
    """Which sets are condensed."""

    methods: list[str] = option(
        ["dance", "dm"], "NAME; NAME@fN for multi-formation factor N; NAME@SETTING:VALUE for a variant"
    )
    datasets: list[str] = option(["digits"], "a known name, or a folder of tables (parquet, arrow) or class folders")
    ipcs: list[int] = option([1, 10], "synthetic images per class", IPCS)
    architectures: list[str] = option(
        ["auto"],
        "networks to condense with; auto: ConvNet, deeper for larger images; native: of each method's own paper",
    )
    method: dict[str, Any] = field(default_factory=dict)  # not listed by --help: method.NAME.SETTING=VALUE is


@dataclass(kw_only=True)
class PresetConfig(CommandConfig):
    """What presets give."""

    preset: str = "quick"
    protocols: list[str] = from_preset("recipes by which evaluation networks train on a set")
    seeds: list[int] = from_preset("condensation seeds: of initial images, real batches, augmentation, networks", SEEDS)
    num_eval: int = from_preset("evaluation networks trained on each set", Range(1, 10_000))
    iterations_fraction: float = from_preset(
        "fraction of its paper's iterations that each method runs; at least 50", FRACTION
    )
    variants: list[str] = from_preset("rows that are added when their method is in methods")


@dataclass(kw_only=True)
class ComputeConfig(CommandConfig):
    """How tasks are computed."""

    precision: str = option("fp32", "fp32 (never TF32), tf32, bf16")
    compile: bool | None = option(None, "true, false; null: only long tasks are compiled")
    device: str = option("auto", "auto, cpu, cuda, cuda:N")
    workers: int | None = option(None, "tasks that run at once; null: one for each core (at most 8), or for each GPU")
    threads: int | None = option(None, "CPU threads of each task; null: the cores are divided among the workers")


@dataclass(kw_only=True)
class StoreConfig(CommandConfig):
    """Where things are."""

    data_root: str = option("data", "where datasets are kept")
    cache: str | None = option(
        None, "where decoded images are kept; null: data_root/cache, or in ~/.cache if that cannot be written"
    )
    store: str = option("outputs", "the folder with all results")

    @property
    def cache_path(self) -> Path | None:
        """`cache` as a path."""
        return Path(self.cache) if self.cache else None

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        if reference.is_reference(self.store):
            raise BenchmarkError(
                "the reference results come with the package, and nothing can be added to them",
                where=f"store={self.store}",
                next="name a folder: store=PATH; python -m benchmark.report store=reference: shows them",
            )


@dataclass(kw_only=True)
class EvaluationConfig(StoreConfig, ComputeConfig, PresetConfig):
    """How sets are evaluated, and how the tasks of a plan are run."""

    robustness_scores: ClassVar[bool] = False

    eval_architectures: list[str] = option([], "networks trained on each set; empty: the one that condensed it")
    baselines: list[str] = option(
        list(BASELINES),
        "rows to compare with; random includes mosaics for each factor in use; reference: those that come with the "
        "package, in the tables; []: none",
    )
    val_fraction: float = option(
        0.0,
        "fraction of the training images that is withheld; networks are scored on it and on the test split",
        Range(0, 1, open_above=True),
    )
    retry: str | None = option(None, "failed: also run tasks that failed or ran out of memory before")
    again: list[str] = option([], "methods whose sets are condensed again if another version of their code made them")
    dry_run: bool = option(False, "true: only print the plan and its cost, which a few probed steps give")
    progress: str = option(
        "auto", "bar, plain (lines), none (breakpoint() in a step works, with workers=1); auto: bars on a terminal"
    )
    checkpoint_seconds: float = option(
        30.0, "seconds between checkpoints of a task; a killed task loses at most these", SECONDS
    )
    tracker: str = option("none", "tensorboard: also log losses to STORE/tensorboard, with the package tensorboard")
    max_wait_seconds: float = option(
        3600.0, "seconds to wait for tasks that another run is working on; 0: do not wait", Range(0, 1e9)
    )

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_known("tracker", [self.tracker], TRACKERS)
        if self.tracker == "tensorboard" and not importlib.util.find_spec("tensorboard"):
            raise BenchmarkError(
                "the package tensorboard is not installed",
                where="tracker=tensorboard",
                next="pip install tensorboard, or leave the option away: losses.csv of each set's folder has them, too",
            )
        require_known("progress", [self.progress], PROGRESS)

    @property
    def set_protocols(self) -> list[str]:
        """The protocols under which sets are evaluated; the whole training set is evaluated under `protocols` alone."""
        return plain_protocols.add_plain_protocols(self.protocols) if self.robustness_scores else self.protocols


@dataclass(kw_only=True)
class PlanConfig(EvaluationConfig, GridConfig):
    """What a plan is made of: condensing, evaluating, and where its tasks run."""

    best_on_test: ClassVar[bool] = False

    imbalance: float = option(
        1.0,
        "F: give the training images a long tail; the first class keeps F times as many as the last, and those between "
        "an exponential profile",
        Range(1, 1e6),
    )
    settings: list[str] = option(
        ["default"],
        "default: each method's own; NAME: those that python -m benchmark.tune name=NAME has chosen; "
        "[default,NAME]: rows of both",
    )
    budget_seconds: float | None = option(
        None, "seconds for each set with its experts, converted to iterations; replaces iterations_fraction", SECONDS
    )
    snapshots: int | None = option(
        None, "N: store N + 1 snapshots of each set while it is condensed; val_fraction=F scores them", Range(1, 10_000)
    )
    expert_seed: int = option(0, "the seed of the pool of experts", SEEDS)
    launcher: str = option("local", "local: on this machine; slurm: as jobs of a cluster")
    cluster: str | None = option(None, "the cluster: a name in slurm/clusters, or the path of your own YAML file")
    wait: bool = option(
        False, "true: with launcher=slurm, wait until all queued jobs have finished, then print the tables"
    )

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        for name in ("datasets", "ipcs", "architectures", "protocols", "seeds", "settings"):
            require_some(self, name)
            require_distinct(self, name)
        if self.budget_seconds is not None and self.settings != ["default"]:
            raise BenchmarkError(
                "settings are chosen for a number of iterations, which budget_seconds changes",
                where=f"settings={self.settings} budget_seconds={self.budget_seconds}",
                next="leave one of them away",
            )
        if not self.methods and not self.baselines:
            raise BenchmarkError("there is nothing to run", where="methods=[] baselines=[]")
        if self.best_on_test and self.snapshots is None:
            raise BenchmarkError(
                "best_on_test scores snapshots, and their number was not given",
                where="best_on_test=true",
                next="choose it: snapshots=20",
            )
        for name, settings in self.method.items():
            if not isinstance(settings, dict):
                raise BenchmarkError(
                    f"method.{name} holds settings",
                    where=f"method.{name}={settings}",
                    next=f"method.{name}.SETTING=VALUE",
                )
        require_known("baselines", self.baselines, KNOWN_BASELINES)
        if self.robustness_scores:
            plain_protocols.check(self.protocols, self.baselines)
        require_known("launcher", [self.launcher], LAUNCHERS)
        if self.launcher == "local" and (self.cluster is not None or self.wait):
            raise BenchmarkError(
                "cluster and wait belong to launcher=slurm", where="launcher=local", next="add launcher=slurm"
            )
        require_known("retry", [] if self.retry is None else [self.retry], ("failed",))
