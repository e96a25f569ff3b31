"""The options of every command: each is declared once, with its default and the words that `--help` prints."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from benchmark.config import plain_protocols
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
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.paths import expand_user
from methods.plug_ins import PlugInGroup
from results.aggregation.options import BASELINES, FORMATS, HIGHLIGHTS, KNOWN_BASELINES, ORDERS, TABLES, Options
from results.store import reference

# Another package adds a table by an entry point `NAME = "MODULE:FUNCTION"` in `condensation_benchmark.tables`, a
# `results.tables.registry.TableBuilder`: tables=[…,NAME] asks for it.
TABLE_PLUG_INS = PlugInGroup("tables", TABLES, BenchmarkError)
LAUNCHERS = ("local", "slurm")
TRACKERS = ("none", "tensorboard")  # where losses are logged besides the store
PIXEL_SCALES = ("raw", "normalized", "bytes", "whitened")  # of external sets
INTERRUPTIONS = {
    "warning": "signalled that its time limit is near",
    "requeue": "requeued, as after pre-emption",
    "cancel": "cancelled, and queued again by the same command",
}


# --- options that several commands have -------------------------------------------------------------------------------


@dataclass(kw_only=True)
class GridConfig(CommandConfig):
    """Which sets are condensed."""

    methods: list[str] = option(
        ["dance", "dm"], "NAME; NAME@fN for multi-formation factor N; NAME@SETTING:VALUE for a variant"
    )
    datasets: list[str] = option(["digits"], "a known name, or a folder of parquet files or class folders")
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

    data_root: str = option("data", "where downloaded and decoded datasets are kept")
    store: str = option("outputs", "the folder with all results")

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
        require_known("progress", [self.progress], ("auto", "bar", "plain", "none"))

    @property
    def set_protocols(self) -> list[str]:
        """The protocols under which sets are evaluated; the whole training set is evaluated under `protocols` alone."""
        return plain_protocols.add_plain_protocols(self.protocols) if self.robustness_scores else self.protocols


@dataclass(kw_only=True)
class PlanConfig(EvaluationConfig, GridConfig):
    """What a plan is made of: condensing, evaluating, and where its tasks run."""

    best_on_test: ClassVar[bool] = False

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
        for name in ("datasets", "ipcs", "architectures", "protocols", "seeds"):
            require_some(self, name)
            require_distinct(self, name)
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


# --- the commands -----------------------------------------------------------------------------------------------------


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
class ReportConfig(CommandConfig):
    """Options of `python -m benchmark.report`. Those of `results.aggregation.options.Options` mean the same there."""

    about: ClassVar[str] = "Make tables, figures and a page from what is stored; no dataset, network or GPU is needed."

    store: str = option("outputs", "the folder with all results; reference: those that come with the package")
    tables: list[str] = option(list(TABLES), "tables to make, in this order")
    formats: list[str] = option(
        list(FORMATS), "all but terminal are files in STORE/report; csv: raw numbers; sheets: a CSV file for each table"
    )
    methods: list[str] = option(
        [], "rows to show, by name, with their variants; NAME*: all that start with NAME; empty: all"
    )
    labels: list[str] = option([], "what rows are called: NAME=LABEL, where NAME is that of the row in tables.csv")
    baselines: list[str] = option(
        list(BASELINES), "baselines to show beside the methods; reference: rows that come with the package"
    )
    datasets: list[str] = option([], "columns to show, in this order; empty: all; likewise the next four options")
    ipcs: list[int] = option([], "synthetic images per class", IPCS)
    architectures: list[str] = option([], "networks that condensed the sets")
    eval_architectures: list[str] = option([], "networks that were trained on the sets")
    protocols: list[str] = option([], "recipes by which these networks were trained")
    columns: list[str] = option([], "columns of tables with a row for each cell, by name; empty: all of a table")
    order: str = option("family", "order of rows: family, listed (as in methods), accuracy (best first), name")
    highlight: str = option(
        "significance", "rule for best and second best: significance (tested), mean (highest means, untested), none"
    )
    explain_missing: bool = option(False, "true: a note says why a cell is empty")
    figures: bool = option(True, "true: draw figures of everything stored, in STORE/report/figures")
    titles: bool = option(False, "true: figures show their titles and facts, which figures/captions.tex has")
    font: str = option("sans", "of figures: sans, or serif (as Times)")
    page: bool = option(True, "true: write a page of everything stored, STORE/report/report.html")

    def options(self) -> Options:
        """The same as plain values for `results.rendering.files`."""
        values: dict[str, Any] = {spec.name: getattr(self, spec.name) for spec in fields(Options)}
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return Options(**plain)

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense."""
        super().check()
        for spec in fields(self):
            if isinstance(getattr(self, spec.name), list):
                require_distinct(self, spec.name)
        for name, known in (
            ("tables", (*TABLES, *TABLE_PLUG_INS.points())),
            ("formats", FORMATS),
            ("baselines", KNOWN_BASELINES),
        ):
            require_known(name, getattr(self, name), known)
            if not getattr(self, name) and name != "baselines":
                raise BenchmarkError(f"{name} is empty", where=f"{name}=[]", next=f"known: {', '.join(known)}")
        require_known("order", [self.order], ORDERS)
        require_known("highlight", [self.highlight], HIGHLIGHTS)
        require_known("font", [self.font], ("sans", "serif"))
        for label in self.labels:
            if not all(part.strip() for part in label.rpartition("=")):
                raise BenchmarkError(f"{label!r} is no label", where="labels", next="write NAME=LABEL")
        if self.order == "listed" and not self.methods:
            raise BenchmarkError("order=listed needs methods", where="order=listed", next="name them: methods=[…]")


@dataclass(kw_only=True)
class StatusConfig(CommandConfig):
    """Options of `python -m benchmark.status`."""

    about: ClassVar[str] = "Show the progress of a store: its finished, running, queued and failed tasks."

    store: str = option("outputs", "the folder with all results")
    tables: bool = option(False, "true: also print the tables of what is finished")


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
    data_root: str = option("data", "where decoded datasets are kept; a folder's images give their shape")

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
    "reference": ReferenceConfig,
    "evaluate": EvaluateConfig,
    "analyze": AnalyzeConfig,
    "report": ReportConfig,
    "status": StatusConfig,
    "cancel": CancelConfig,
    "drill": DrillConfig,
    "profile": ProfileConfig,
}
