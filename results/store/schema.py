"""The contents of the store: tasks and their records, key by key with units and ranges.

`StoredTask` and `Record` say what every kind of task has. The specification, display and result of a kind have classes
of their own: CondenseSpec, CondenseDisplay, CondenseResult and so on. All values are JSON values. `validation` checks
records against these classes, so the documentation cannot differ from the check.
"""

# Annotations are evaluated here (no `from __future__`): otherwise NotRequired keys would count as required.
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from results.types import Json

SCHEMA = 3  # raised when the shape of a record changes
KINDS = ("whiten", "prepare", "condense", "import", "label", "evaluate", "analyze")
OWN_PACKAGE = "condensation-benchmark"  # the distribution of this project, in a record's code
WHOLE_SET = "whole"  # in `resolved`, in place of a set's identity: the whole training set


class Status(StrEnum):
    """How a task ended, or how far it is. Files hold the values."""

    # Outcomes that are final and make a record.
    OK = "ok"
    DIVERGED = "diverged"  #: the loss, the network or the images are not finite
    UNSUPPORTED = "unsupported"  #: the method cannot use this network

    # How an attempt ended that made no record.
    FAILED = "failed"  #: an error
    OUT_OF_MEMORY = "out_of_memory"  #: of the device or the host
    TIMED_OUT = "timed_out"  #: at the time limit of a job; the same command continues from the checkpoint
    INTERRUPTED = "interrupted"  #: by a signal or a fault outside the task; the same command continues

    # How far a task is in its store.
    NEW = "new"  #: it has no folder
    BEGUN = "begun"  #: it has a folder, without a record and without an attempt
    DONE = "done"  #: it has a record
    OUTDATED = "outdated"  #: it has a record, and an input was made again since; the same command does it again
    UNREADABLE = "unreadable"  #: a file of its folder cannot be read

    # What a run does about a task, and where it is in a queue.
    TO_DO = "to do"  #: nothing was done yet
    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"  #: it was begun and nothing works on it; the same command continues
    WAITING = "waiting"  #: it failed before; only `retry=failed` tries again
    HELD = "held"  #: another process works on it
    BLOCKED = "blocked"  #: a task whose result it needs has none

    # Of a table's cell.
    MISSING = "missing"  #: its sets have no accuracy, and no record says why


RECORDED = (Status.OK, Status.DIVERGED, Status.UNSUPPORTED)
ATTEMPTED = (Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.INTERRUPTED)
NEEDS_RETRY = (Status.FAILED, Status.OUT_OF_MEMORY)  # attempts after which only `retry=failed` tries again


Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # 64 hexadecimal digits
InFolder = Annotated[str, Meta(pattern=r"^[^/.][^/]*(/[^/.][^/]*)*$")]  # path of a file in the task's folder
Fraction = Annotated[float, Meta(ge=0, le=1)]  # accuracies, among others
Seconds = Annotated[float, Meta(ge=0, lt=1e12)]
Share = Annotated[float, Meta(gt=0, lt=1e12)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]


class Code(TypedDict):
    """The code of a method. A value is None where it is not known."""

    distribution: str | None  #: the Python distribution that has the method
    version: str | None  #: of the distribution
    commit: str | None  #: of the checkout
    dirty: bool | None  #: whether files of the checkout differ from the commit
    sha256: Sha256  #: of the syntax trees, without docstrings, of the method's modules


class Environment(TypedDict):
    """The hardware, libraries and code of a task. Any key may be missing, and a value is None where it is not known."""

    device: NotRequired[str]  #: name of the GPU ("NVIDIA H100"), or of the CPU
    device_type: NotRequired[str]  #: "cuda" or "cpu"
    driver: NotRequired[str | None]  #: version of the GPU's driver
    processor: NotRequired[str]  #: name of the CPU
    instructions: NotRequired[str]  #: best instruction set of the CPU that torch uses, "AVX512"
    blas: NotRequired[str]  #: library of matrix products on the CPU, "mkl", "openblas"
    threads: NotRequired[int]
    shared: NotRequired[bool]  #: whether other tasks ran on the device meanwhile
    precision: NotRequired[str]  #: "fp32", "tf32", "bf16"
    chunk: NotRequired[int]  #: pixels per forward pass without gradients
    graph: NotRequired[int]  #: pixels per forward pass with gradients
    num_parallel: NotRequired[int]  #: networks trained at once
    stepped_down: NotRequired[int]  #: how often one of these three was halved because memory ran out
    compiled: NotRequired[bool]  #: whether the functions that can be compiled were
    uncompiled: NotRequired[list[str]]  #: a sentence for each of them that the compiler could not compile
    python: NotRequired[str]
    torch: NotRequired[str]
    torchvision: NotRequired[str]
    cuda: NotRequired[str | None]
    host: NotRequired[str]
    slurm_job: NotRequired[str | None]
    commit: NotRequired[str | None]  #: of this project's checkout
    dirty: NotRequired[bool | None]  #: whether files of the checkout differ from the commit
    plug_ins: NotRequired[list[str]]  #: of other packages, if any took part: "dataset moons of other 1.0"


class StoredTask(TypedDict):
    """One unit of work: a network to train, a set to condense, … (task.json, written when the task is begun)."""

    kind: str  #: one of KINDS
    identity: Sha256  #: of `spec`: equal specifications are one task
    slug: str  #: short readable text; it only names the folder
    spec: Json  #: all that can change the result, without values at their defaults: a changed default raises a version
    resolved: Json  #: the same with every value
    display: Json  #: what tables and figures show, which cannot change the result
    requested: Json  #: where to find the data: dataset, data_root and cache, as given; of an import also its source


class Record(TypedDict):
    """The outcome of a task that is ok, diverged or unsupported (record.json; there is never a second one)."""

    schema: int  #: SCHEMA of the version that wrote it; a record of another schema is ignored
    checksum: Sha256  #: of the record without this key (`identity.checksum`)
    kind: str
    identity: Sha256
    status: str  #: one of RECORDED
    message: str  #: a sentence on why it is not ok, "" when it is
    spec: Json
    resolved: Json
    display: Json
    result: Json  #: {} unless ok
    artifacts: Mapping[InFolder, Sha256]  #: of each file that the task keeps, by its path in the folder
    inputs: Mapping[str, Sha256]  #: of each file of other tasks that it used, by KIND/IDENTITY/PATH
    code: Code | None  #: of a condense task
    seconds: Seconds  #: charged (benchmark.utils.timing): with warm-up; no checkpoints, snapshots, waiting for a CPU
    steps: Count  #: optimization steps of the task in all
    peak_memory_bytes: Count | None  #: most at one time: GPU allocations, or the process's resident set; None: unknown
    environment: Environment
    finished: str  #: ISO 8601 with offset


class AttemptFile(TypedDict):
    """An attempt without a result (attempts/NNN.json)."""

    status: str  #: one of ATTEMPTED
    message: str
    steps: NotRequired[Count]  #: done so far
    finished: NotRequired[str]  #: ISO 8601 with offset


class PlannedTask(TypedDict):
    """A task of a run that was queued."""

    identity: Sha256
    kind: str  #: one of KINDS
    slug: str
    inputs: list[str]  #: identities of the tasks whose results it reads


class RequestFile(TypedDict):
    """A run that was queued (slurm/RUN/request.json)."""

    tasks: list[PlannedTask]


class StepProgressFile(TypedDict):
    """How far a running task is (progress.json, replaced every few seconds)."""

    done: Count  #: steps
    total: Count
    rate: Annotated[float, Meta(ge=0, lt=1e12)]  #: steps per second
    losses: Mapping[str, float | None]


# --- what several kinds of task have ----------------------------------------------------------------------------------


class DatasetSpec(TypedDict):
    """The images of a task, and how networks see them."""

    fingerprint: str
    mean: NotRequired[list[float]]  #: of the normalization, one a channel
    std: NotRequired[list[float]]
    whitening: NotRequired[Sha256]  #: in place of mean and std: identity of the whiten task
    flip: NotRequired[bool]  #: whether augmentation may mirror the images
    imbalance: NotRequired[float]  #: images of the first class over those of the last, in a long tail


class ProtocolSpec(TypedDict):
    """How networks are trained on a set; `resolved` has all fields of `benchmark.training.protocols.Protocol`."""

    name: str
    version: int


class NetworkSpec(TypedDict):
    """The values of every task that trains or uses networks."""

    architecture: str
    dataset: DatasetSpec
    val_fraction: Fraction  #: of the training images, withheld
    precision: str


class DatasetDisplay(TypedDict):
    dataset: str
    dataset_parent: NotRequired[str]  #: name of the folder above that of a dataset which is not built in
    dataset_title: NotRequired[str]  #: as papers print it, "CIFAR-10"; tables print `dataset` without it


class MethodCard(TypedDict):
    """What tables show of a method; a record includes it, so tables need no method code (`methods.base.Card`)."""

    name: str
    title: str
    family: str
    paper: NotRequired[str]  #: arXiv number, or DOI
    venue: NotRequired[str]
    year: NotRequired[int]
    native: NotRequired[str]  #: name of the protocol of the method's own paper


class Budget(TypedDict):
    """The seconds that a set and its experts were given (budget_seconds)."""

    seconds: Seconds
    spread: Annotated[float, Meta(ge=0)]  #: by which fraction of itself the share of the iterations may be wrong


class Tuning(TypedDict):
    """How the settings of a method were chosen (`python -m benchmark.tune`)."""

    name: str  #: of the tuning
    trials: Positive  #: number of settings that were tried, the method's own among them
    seconds: Seconds  #: of all tasks of the trials, each once: experts, sets, networks trained on them
    accuracies: list[Fraction | None]  #: of the trials on withheld training images, in their order; None without a set


class MethodDisplay(DatasetDisplay):
    """What tables show of a set."""

    published_as: str | None  #: the dataset in papers whose numbers are shown; if not `dataset`, it is only similar
    num_classes: Positive
    train_images: Positive  #: in the whole training set
    display_name: str  #: "dm", "dm@f2", "dance (alignment=random)"
    card: MethodCard
    labels: NotRequired[str]  #: "soft" where networks are trained with the labels of a teacher
    provenance: str  #: of the setting with the weakest source: paper, code, author, third party, ours
    iterations_fraction: Share  #: of the full iterations, the paper's if there is one; more than 1 if asked for
    budget: NotRequired[Budget]
    tuning: NotRequired[Tuning]  #: of an evaluation, where tuning chose the settings of its set
    raised_to_floor: NotRequired[bool]  #: whether the fraction asked for was less, and registry.MIN_STEPS ran


class SetResult(TypedDict):
    """The sizes of a synthetic set."""

    stored_images: Positive
    decoded_images: Positive  #: images that networks are trained on: stored_images · factor²
    factor: Positive  #: a stored image is a grid of factor × factor images
    bytes: Positive  #: of synthetic.safetensors
    classes: NotRequired[list[str]]  #: the dataset's names of them, in the order of the labels


# --- whiten: ZCA of the training images -------------------------------------------------------------------------------


class WhitenSpec(TypedDict):
    """Images to which ZCA whitening is fitted."""

    version: int
    dataset: DatasetSpec
    val_fraction: Fraction  #: of the training images, withheld


class WhitenResult(TypedDict):
    images: Positive  #: to which it was fitted


# --- prepare: one expert ----------------------------------------------------------------------------------------------


class PrepareSpec(NetworkSpec):
    """A network to train on the real training images."""

    recipe: Json  #: how it is trained: the fields of `methods.base.ExpertRecipe` without count and per_seed
    index: Count  #: of the expert in its pool
    expert_seed: int  #: of the pool


class PrepareResult(TypedDict):
    train_accuracy: NotRequired[Fraction]


# --- condense: one synthetic set --------------------------------------------------------------------------------------


class CondenseSpec(NetworkSpec):
    """A set to condense. The normalization of its dataset may be that of the method's paper."""

    method: str
    version: int  #: of the method
    settings: Json  #: fields of the method's Config
    ipc: Positive  #: images per class
    seed: int
    experts: list[Sha256]  #: identities of prepare tasks
    snapshots: NotRequired[Count | None]  #: sets to keep besides the first one, at equal numbers of steps
    unequal_batches: NotRequired[bool]  #: whether a class has fewer images than others draw in a step


class CondenseDisplay(MethodDisplay):
    trial_of: NotRequired[str]  #: of a trial of tuning: the row that is tuned
    overrides: str  #: settings that differ from the preset's, "" if none


class CondenseResult(SetResult):
    losses: NotRequired[Mapping[str, float | None]]  #: of the last step, by name
    snapshots: NotRequired[list[Json]]  #: step, and seconds up to it; the set is in snapshots/STEP.safetensors


# --- import: one synthetic set made elsewhere -------------------------------------------------------------------------


class ImportSpec(TypedDict):
    """A set that was condensed elsewhere."""

    digest: Sha256  #: of its pixels and labels (of its whitened values if it is whitened)
    ipc: Positive
    factor: Positive
    dataset: DatasetSpec
    training: NotRequired[Json]  #: what it brings for training networks: lr, a learned learning rate; space: "zca"
    quantize: NotRequired[str]  #: "8bit": pixels are clamped to 0..1 and rounded to 256 levels


class ImportDisplay(DatasetDisplay):
    num_classes: Positive
    labels: NotRequired[str]  #: "soft" where it brings soft labels
    display_name: str
    card: MethodCard
    source: str  #: short hash of its files


class ImportResult(SetResult):
    source: Json  #: files with their SHA-256, form, set_index, pixel_scale, pixel_scale_reason, constants
    label_bytes: NotRequired[Positive]  #: of its soft labels as float32
    clamped: NotRequired[Fraction]  #: fraction of the pixels that quantizing clamped


# --- label: soft labels of a set --------------------------------------------------------------------------------------


class LabelSpec(NetworkSpec):
    """A teacher that labels the decoded images of a set."""

    set: str  #: identity of a condense task
    experts: list[Sha256]  #: of one prepare task, the teacher
    temperature: Share  #: by which its logits are divided


class LabelResult(TypedDict):
    label_bytes: Positive  #: of the labels as float32
    teacher_bytes: Positive  #: of its weights as float32
    teacher_accuracy: Fraction  #: on the test split


# --- evaluate: several networks trained on one set --------------------------------------------------------------------


class EvaluateSpec(NetworkSpec):
    """Networks to train on a set and to score."""

    set: str  #: identity of a condense or import task, or "whole" for the training set
    imported: NotRequired[bool]  #: whether `set` is an import task
    labels: NotRequired[Sha256]  #: identity of the label task whose soft labels take the place of the set's classes
    teacher: NotRequired[Json]  #: of these labels: its settings
    tuned: NotRequired[Json]  #: if tuning chose the settings of the set: trials, their number, and the choice's digest
    seed: int
    protocol: ProtocolSpec
    num_eval: Positive  #: networks


class EvaluateDisplay(MethodDisplay):
    ipc: Positive | None  #: None for the whole training set
    class_sizes: NotRequired[list[Positive]]  #: images of the smallest and the largest class, if they differ
    condense_architecture: str | None  #: "" or None if none was used: the row is in the tables of every architecture
    protocol: str  #: its name in the command: of a shared protocol, or "native"
    protocol_note: NotRequired[str]  #: what of it is in no public code, and so ours
    role: str  #: "method" or "baseline"
    factor: Positive
    source: NotRequired[str]  #: of an imported set


class EvaluateResult(TypedDict):
    accuracies: list[Fraction]  #: of each network on the test split after its last epoch
    right_per_class: list[list[Count]]  #: of each network: the test images of each class that it classifies correctly
    test_images_per_class: list[Count]
    train_images_per_class: NotRequired[list[Count]]  #: without the withheld ones
    optimizer_steps: Positive  #: of one network
    lr: NotRequired[Share]  #: the initial learning rate: the protocol's, or the one that the set brings
    test_images: Positive
    decoded_images: Positive
    validation_accuracies: NotRequired[list[Fraction]]  #: of each network on the withheld images, [] without any
    validation_right_per_class: NotRequired[list[list[Count]]]
    validation_images_per_class: NotRequired[list[Count]]  #: [] if none are withheld


# --- analyze: properties of sets and experts other than the accuracy --------------------------------------------------


class AnalyzeSpec(NetworkSpec):
    """An analysis of sets or experts."""

    analysis: str  #: one of ANALYSIS_RESULTS, or that of a plug-in
    version: int  #: of the analysis
    sets: list[str]  #: identities of condense tasks, or "whole"
    experts: list[Sha256]  #: identities of prepare tasks
    seed: NotRequired[int]
    protocol: NotRequired[ProtocolSpec]  #: of the networks that are trained
    num_eval: NotRequired[Positive]
    method: NotRequired[str]  #: of an embedding: tsne, pca


class AnalyzeDisplay(DatasetDisplay):
    published_as: NotRequired[str | None]
    num_classes: Positive
    train_images: Positive
    condense_architecture: str  #: "" for the whole training set
    ipc: NotRequired[Positive | None]  #: of all its sets; None if they differ, without sets, and for the whole set
    protocol: NotRequired[str]  #: its name in the command


class SnapshotAccuracy(TypedDict):
    """A set along condensing."""

    step: Count  #: the first is 0
    seconds: Seconds  #: up to the step
    accuracies: list[Fraction]  #: one a network


class CurveResult(TypedDict):
    """Accuracy along condensing, or along training on the whole set."""

    split: str  #: "validation"
    points: list[SnapshotAccuracy]


class BestOnTestResult(TypedDict):
    """Accuracy of a set's snapshots on the test split. The best is optimistic: the test split chooses it."""

    points: list[SnapshotAccuracy]  #: of those after the first step
    test_images: Count


class ValidationResult(TypedDict):
    """Accuracy of a finished set on withheld training images, by which tuning chooses."""

    accuracies: list[Fraction]  #: of each network after its last epoch
    images: Positive  #: withheld


class DiscrepancyResult(TypedDict):
    """Distances of the features of sets and real images along a network's training on the real images."""

    steps: list[Count]  #: of the training
    sets: Mapping[str, Mapping[str, list[float | None]]]  #: by identity: mean_distance, relative_distance, one a step


class InterpolationResult(TypedDict):
    """Accuracy of networks between the first and the last weights of an expert."""

    lambdas: list[float]  #: weight of the first weights: 0 is the expert
    split: str  #: "validation" or "train"
    images: NotRequired[Positive]  #: number of images scored: all of the split, or a sample
    accuracies: list[list[Fraction]]  #: for each λ, one an expert


class ExpertResult(TypedDict):
    """Accuracy of experts on real images and on sets."""

    real: Mapping[str, Fraction | None]  #: "train" and "validation": means over the experts
    images: NotRequired[Positive]  #: number of training images scored for "train"
    sets: Mapping[str, Json]  #: by identity: steps, and for each of them accuracies, one an expert


class EmbeddingResult(TypedDict):
    """Positions of images in two dimensions."""

    method: str  #: "tsne" or "pca"
    real: Json  #: xy, one pair an image; labels
    sets: Mapping[str, Json]  #: by identity: xy, labels


ANALYSIS_RESULTS: dict[str, Any] = {
    "curve": CurveResult,
    "training_curve": CurveResult,
    "best_on_test": BestOnTestResult,
    "validation": ValidationResult,
    "discrepancy": DiscrepancyResult,
    "interpolation": InterpolationResult,
    "expert": ExpertResult,
    "embedding": EmbeddingResult,
}

PARTS: dict[str, dict[str, Any]] = {  # by kind: the shapes of a record's parts
    "whiten": {"resolved": WhitenSpec, "display": DatasetDisplay, "result": WhitenResult},
    "prepare": {"resolved": PrepareSpec, "display": DatasetDisplay, "result": PrepareResult},
    "condense": {"resolved": CondenseSpec, "display": CondenseDisplay, "result": CondenseResult},
    "import": {"resolved": ImportSpec, "display": ImportDisplay, "result": ImportResult},
    "label": {"resolved": LabelSpec, "display": MethodDisplay, "result": LabelResult},
    "evaluate": {"resolved": EvaluateSpec, "display": EvaluateDisplay, "result": EvaluateResult},
    "analyze": {"resolved": AnalyzeSpec, "display": AnalyzeDisplay},  # the result's shape is that of its analysis
}
