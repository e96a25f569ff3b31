"""The commands, each with its options: every option is declared once, with its default and the words of `--help`.

What several commands have is in `shared_options`; the report's options are in `report_options`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from benchmark.config.options import (
    FACTORS,
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
from benchmark.config.report_options import ReportConfig
from benchmark.config.shared_options import ComputeConfig, EvaluationConfig, GridConfig, PlanConfig, StoreConfig
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.paths import expand_user
from results.store import reference, space

TRIALS = Range(2, 10_000)  # of one nothing can be chosen
CLEAN_KINDS = (*space.KINDS, "images", "kernels")  # the last two are caches
PIXEL_SCALES = ("raw", "normalized", "bytes", "whitened")  # of external sets
INTERRUPTIONS = {
    "warning": "signalled that its time limit is near",
    "requeue": "requeued, as after pre-emption",
    "cancel": "cancelled, and queued again by the same command",
}


@dataclass(kw_only=True)
class RunConfig(PlanConfig):
    """Options of `python -m benchmark.run`."""

    about: ClassVar[str] = "Condense, evaluate, store, and print the comparison."

    robustness_scores: bool = option(  # type: ignore[misc] # an option here, fixed for other commands
        False, "true: also evaluate without augmentation, for the label- and augmentation-robust scores"
    )
    best_on_test: bool = option(  # type: ignore[misc] # an option here, fixed for other commands
        False, "true: after the run score snapshots on the test split; the best is shown beside, and is optimistic"
    )


@dataclass(kw_only=True)
class ReferenceConfig(StoreConfig, ComputeConfig, GridConfig):
    """Options of `python -m benchmark.reference`. Those of `RunConfig` mean the same here."""

    about: ClassVar[str] = (
        "Run the cells of the DANCE paper's tables at full budgets, cheapest first, some minutes at a time."
    )

    tables: list[int] = option([1, 2], "tables of the paper: 1 (up to 64 pixels), 2 (ImageNet subsets)", Range(1, 2))
    methods: list[str] = option([], "methods of these tables; empty: all that are there")
    datasets: list[str] = option([], "datasets of these tables, or folders that are `like` one; empty: all")
    ipcs: list[int] = option([], "synthetic images per class; empty: all, and the whole training set", IPCS)
    architectures: list[str] = option(["auto"], "networks to condense with; auto: that of the published cell")
    minutes: float = option(
        9.0, "minutes after which it has stopped, with exit status 3; the same command continues", Range(0, 1e6, True)
    )
    protocols: list[str] = option(["native", "dance"], "recipes by which evaluation networks train on a set")
    num_eval: int = option(5, "evaluation networks trained on each set; one on each random subset", Range(1, 10_000))
    iterations_fraction: float = option(
        1.0, "fraction of its paper's iterations that each method runs; less only for a trial", FRACTION
    )
    snapshots: int = option(
        20, "snapshots that are scored where the published number is the best on the test split", Range(1, 10_000)
    )
    precision: str = option("bf16", "fp32 (never TF32), tf32, bf16")
    benchmarks: bool = option(
        False, "true: first measure the speed ratios of tests/benchmarks, into STORE/benchmarks; needs a checkout"
    )
    retry: str | None = option(None, "failed: also run tasks that failed or ran out of memory before")
    dry_run: bool = option(False, "true: only print the cells: published number, what is done, what the rest takes")
    checkpoint_seconds: float = option(
        30.0, "seconds between checkpoints of a task; a killed task loses at most these", SECONDS
    )

    def run_config(self, **changes: Any) -> RunConfig:
        """The run of one set of each method under this command's options, with `changes`."""
        shared = {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name in _RUN_OPTIONS}
        shared |= {"preset": "paper", "snapshots": None, "seeds": [0], "baselines": [], "variants": []}
        return RunConfig(**shared | changes)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        for name in ("tables", "architectures", "protocols"):
            require_some(self, name)
        for name in ("tables", "methods", "datasets", "ipcs", "architectures", "protocols"):
            require_distinct(self, name)
        self.run_config(methods=["random"], datasets=["of its cells"], ipcs=[1], method={}).check()


_RUN_OPTIONS = {spec.name for spec in fields(RunConfig)}


@dataclass(kw_only=True)
class AnalyzeConfig(PlanConfig):
    """Options of `python -m benchmark.analyze`. Nothing is evaluated. Each analysis checks its own options later."""

    about: ClassVar[str] = (
        "Analyze condensed sets and experts for the figures of the report; missing sets are condensed first."
    )

    analyses: list[str] = option(
        ["discrepancy", "interpolation", "expert", "embedding"],
        "analyses to make; curve needs snapshots=N and, as training_curve, val_fraction=F",
    )
    layout: str = option("tsne", "projection of the analysis embedding: tsne, pca")

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_some(self, "analyses")
        require_distinct(self, "analyses")


@dataclass(kw_only=True)
class TuneConfig(PlanConfig):
    """Options of `python -m benchmark.tune`. The run with the chosen settings has those of `RunConfig`."""

    about: ClassVar[str] = "Choose settings of methods on withheld training images, then run them beside their own."
    settings: ClassVar[list[str]] = ["default"]  # type: ignore[misc] # options of runs, fixed here
    budget_seconds: ClassVar[None] = None  # type: ignore[misc]
    snapshots: ClassVar[None] = None  # type: ignore[misc]

    trials: int = option(20, "settings to try for each method, its own among them; the same number for all", TRIALS)
    name: str = option("tuned", "what the chosen settings are called: settings=NAME in a run")
    val_fraction: float = option(
        0.2,
        "fraction of the training images that is withheld in trials, which are scored on it; then all are used",
        Range(0, 1, open_below=True, open_above=True),
    )
    trial_seeds: list[int] = option(
        [0], "condensation seeds of each trial; those of the chosen settings are in seeds", SEEDS
    )
    tuning_seed: int = option(0, "seed of the draw of the settings", SEEDS)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_some(self, "trial_seeds")
        require_distinct(self, "trial_seeds")
        require_some(self, "methods")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name) or self.name == "default":
            raise BenchmarkError(
                f"'{self.name}' is no name for settings",
                where=f"name={self.name}",
                next="use letters, digits, - and _; default is each method's own",
            )

    def run_config(self) -> RunConfig:
        """The run of the methods' own settings and of the chosen ones on all training images."""
        shared = {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name in _RUN_OPTIONS}
        return RunConfig(**shared | {"settings": ["default", self.name], "val_fraction": 0.0})


@dataclass(kw_only=True)
class EvaluateConfig(EvaluationConfig):
    """Options of `python -m benchmark.evaluate`."""

    about: ClassVar[str] = "Evaluate a synthetic set from any source, and as many random images for comparison."

    set: Any = option(
        None,
        "the set's file or folder, or its files: 'set=[images.pt,labels.pt]'; reference:METHOD/DATASET/IPC: "
        "one that comes with the package",
    )
    dataset: str | None = option(None, "the dataset of the set: a known name or a folder; null: as the set's card says")
    name: str | None = option(None, "the name of its row in the tables; null: the file's name")
    method: str | None = option(None, "the method whose published numbers to print beside it: dsa, mtt, …")
    factor: int | None = option(
        None, "each stored image holds factor x factor small ones; null: as the set's card says, else 1", FACTORS
    )
    pixel_scale: str | None = option(
        None, "raw (0..1), normalized, bytes (0..255), whitened (ZCA); null: inferred from the pixels' statistics"
    )
    mean: list[float] | None = option(
        None, "channel means by which the set was normalized; null: the dataset's", Range(-1000.0, 1000.0)
    )
    std: list[float] | None = option(
        None, "channel standard deviations, likewise; null: the dataset's", Range(0.001, 1000.0)
    )
    set_index: list[int] | None = option(
        None, "indices, from 0, of the sets to use from a file with several; null: all, as one sample"
    )
    quantize: str | None = option(None, "8bit: also evaluate a copy with pixels rounded to 256 levels")
    robustness_scores: bool = option(  # type: ignore[misc] # an option here, fixed for other commands
        False, "true: also evaluate without augmentation, for the label- and augmentation-robust scores"
    )

    @property
    def paths(self) -> list[Path]:
        """The files of the set, absolute. Raises ResultsError for an unknown reference set."""
        if self.reference is not None:
            return [reference.set_file(self.reference)]
        return [
            expand_user(path, where="set").absolute()
            for path in ([self.set] if isinstance(self.set, str) else self.set)
        ]

    @property
    def reference(self) -> str | None:
        """METHOD/DATASET/IPC of a set that comes with the package, None for files."""
        is_reference = isinstance(self.set, str) and self.set.startswith(reference.NAME)
        return self.set.removeprefix(reference.NAME) if is_reference else None

    def run_config(self, dataset: str, ipc: int = 1, sets: int = 1) -> RunConfig:
        """The run of the baselines beside `sets` sets of `ipc` images per class."""
        shared = {spec.name: getattr(self, spec.name) for spec in fields(EvaluationConfig)}
        seeds = list(dict.fromkeys([*range(sets), *self.seeds]))
        return RunConfig(
            **shared | {"seeds": seeds, "variants": [], "robustness_scores": self.robustness_scores},
            methods=["external"],
            datasets=[dataset],
            ipcs=[ipc],
        )

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        if not self.set or not isinstance(self.set, str | list) or not all(isinstance(p, str) for p in self.set):
            raise BenchmarkError(
                "no set is named", where=f"set={self.set}", next="name the set's file or folder: set=PATH"
            )
        for name, known in (("pixel_scale", PIXEL_SCALES), ("quantize", ("8bit",))):
            value = getattr(self, name)
            require_known(name, [] if value is None else [value], known)
        if (self.mean is None) != (self.std is None):
            raise BenchmarkError("mean and std go together", where="mean, std", next="give both, a value a channel")
        self.run_config(self.dataset or "of its card").check()


@dataclass(kw_only=True)
class StatusConfig(CommandConfig):
    """Options of `python -m benchmark.status`."""

    about: ClassVar[str] = "Show the progress of a store: its finished, running, queued and failed tasks."

    store: list[str] = option(["outputs"], "the folder with all results; [a,b]: of several, each task once")
    tables: bool = option(False, "true: also print the tables of what is finished")

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_some(self, "store")
        require_distinct(self, "store")


@dataclass(kw_only=True)
class CleanConfig(StoreConfig):
    """Options of `python -m benchmark.clean`."""

    about: ClassVar[str] = "List what a store and the caches take on the disk, and delete what is named."

    delete: list[str] = option(
        [],
        "kinds to delete: checkpoints (of ended tasks), experts, snapshots, attempts (of done tasks), images "
        "(decoded), kernels (compiled); empty: only list",
    )

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        for kind in self.delete:
            if kind not in CLEAN_KINDS:
                raise unknown("kind of files", kind, CLEAN_KINDS, where=f"delete=[{kind}]")
        require_distinct(self, "delete")


@dataclass(kw_only=True)
class CancelConfig(CommandConfig):
    """Options of `python -m benchmark.cancel`."""

    about: ClassVar[str] = "Cancel the SLURM jobs of a store, and no others."

    store: str = option("outputs", "the folder with all results")
    run: str | None = option(None, "the run to cancel, by its folder in STORE/slurm; null: all runs")


@dataclass(kw_only=True)
class DrillConfig(CommandConfig):
    """Options of `python -m benchmark.drill`."""

    about: ClassVar[str] = "Interrupt a real job on your cluster, and check that nothing is lost."

    cluster: str | None = option(None, "your cluster: a name in slurm/clusters, or the path of your own YAML file")
    mode: str = option(
        "requeue",
        "how: warning (as near the time limit), requeue (as after pre-emption), cancel (then queued again)",
    )
    steps: int | None = option(
        None, "iterations of each of the two jobs; null: 400 on a CPU, 40,000 on a GPU", Range(1, 1_000_000_000)
    )
    device: str = option("auto", "auto: a GPU if the cluster file requests one; cpu: never a GPU")
    data_root: str = option("data", "where datasets are kept; the drill uses the digits that come with scikit-learn")
    store: str = option("outputs", "the drill makes two small stores in STORE/drill")

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_known("mode", [self.mode], INTERRUPTIONS)
        if self.cluster is None:
            raise BenchmarkError("a drill needs a cluster file", where="cluster=null", next="cluster=PATH.yaml")


@dataclass(kw_only=True)
class ProfileConfig(GridConfig):
    """Options of `python -m benchmark.profile`."""

    about: ClassVar[str] = "Show where the time of a condensation step goes; nothing is stored."

    preset: str = "quick"
    iterations_fraction: float = from_preset(
        "fraction of its paper's iterations that each method runs; at least 50", FRACTION
    )
    ipcs: list[int] = option([10], "synthetic images per class", IPCS)
    steps: int = option(3, "steps to measure, after two warm-up steps", Range(1, 1_000_000))
    trace: str | None = option(None, "file to write a trace to, for Perfetto (ui.perfetto.dev) or chrome://tracing")
    precision: str = option("fp32", "fp32 (never TF32), tf32, bf16")
    compile: bool | None = option(None, "true, false; null: as a run with this preset, which compiles long tasks")
    device: str = option("auto", "auto, cpu, cuda, cuda:N")
    threads: int | None = option(None, "CPU threads; null: as many as each task of a run has")
    data_root: str = option("data", "where datasets are kept; a folder's images give their shape")
    cache: str | None = option(
        None, "where decoded images are kept; null: data_root/cache, or in ~/.cache if that cannot be written"
    )

    def run_config(self) -> RunConfig:
        """The run whose steps are profiled. Its dry run needs no dataset to be there."""
        shared = {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name not in ("steps", "trace")}
        return RunConfig(**shared, dry_run=True, seeds=[0], protocols=["quick"], baselines=[], variants=[], num_eval=1)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        require_some(self, "methods")
        self.run_config().check()


# The commands that Hydra composes, by the names of their modules, in the order in which people meet them.
SCHEMAS: dict[str, type[CommandConfig]] = {
    "run": RunConfig,
    "tune": TuneConfig,
    "reference": ReferenceConfig,
    "evaluate": EvaluateConfig,
    "analyze": AnalyzeConfig,
    "report": ReportConfig,
    "status": StatusConfig,
    "clean": CleanConfig,
    "cancel": CancelConfig,
    "drill": DrillConfig,
    "profile": ProfileConfig,
}
