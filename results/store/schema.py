"""The shape of what is stored: tasks and records of each kind, with units; and the check that a record has it.

Accuracies are fractions in [0, 1]. The required keys of these classes are what `problem` looks for, so that the
documentation cannot drift from the check.
"""

# Annotations are evaluated here (no `from __future__`): otherwise NotRequired keys would count as required.
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

SCHEMA = 2
KINDS = ("prepare", "condense", "import", "evaluate", "analyze")
RECORDED = ("ok", "diverged", "unsupported")  # outcomes that are final: these make a record.json
ATTEMPTED = ("failed", "out_of_memory", "timed_out", "interrupted")  # outcomes that may be tried again


class Task(TypedDict):
    """One unit of work. `asked` is all that can change its result; `label` is for readers.

    spec: `asked` without what is at its default; `identity` is its hash. A default that changes raises a version.
    """

    kind: str
    identity: str  # sha256, 64 hexadecimal digits
    slug: str  # short, readable; only names the folder
    spec: Mapping[str, Any]
    resolved: Mapping[str, Any]
    display: Mapping[str, Any]


class Record(TypedDict):
    """What happened to a task that came to an end (record.json)."""

    schema: int
    kind: str
    identity: str
    status: str  # one of RECORDED
    message: str  # for a person; empty when ok
    spec: Mapping[str, Any]
    resolved: Mapping[str, Any]
    display: Mapping[str, Any]
    result: Mapping[str, Any]  # empty unless ok
    artifacts: Mapping[str, str]  # SHA-256 of each file that the task keeps, by its path in the folder
    code: Mapping[str, Any] | None  # of a condense task: see Code
    seconds: float  # of the device doing this task, warm-up and compilation included, checkpoints not
    steps: int
    peak_memory_bytes: int | None
    environment: Mapping[str, Any]  # see Environment
    finished: str  # ISO 8601 with offset


class Code(TypedDict):
    """Which code a method was; each value is null where it is not known."""

    distribution: str | None
    version: str | None
    commit: str | None
    dirty: bool | None
    sha256: str  # of the syntax trees, without docstrings, of the method's modules


class Environment(TypedDict):
    """Where and with what it ran; any key may be missing."""

    device: NotRequired[str]  # hardware name, "NVIDIA H100" or a CPU type
    driver: NotRequired[str | None]  # of the GPU
    processor: NotRequired[str]  # CPU type
    instructions: NotRequired[str]  # that torch uses on it, "AVX512"
    blas: NotRequired[str]  # "mkl", "openblas"
    threads: NotRequired[int]
    shared: NotRequired[bool]  # other tasks ran on the device meanwhile
    compiled: NotRequired[bool]  # whether what can be compiled was
    uncompiled: NotRequired[list[str]]  # what was not all the same and why, a sentence each; mostly none
    torch: NotRequired[str]
    python: NotRequired[str]
    commit: NotRequired[str]
    dirty: NotRequired[bool]
    host: NotRequired[str]


class Card(TypedDict):
    """Who a method is, embedded so that tables need no method code."""

    name: str
    title: str
    family: str
    paper: NotRequired[str]
    venue: NotRequired[str]
    year: NotRequired[int]
    native: NotRequired[str]


# --- prepare: one expert ----------------------------------------------------------------------------------------------


class PrepareSpec(TypedDict):
    dataset: Mapping[str, Any]  # fingerprint, constants, …
    architecture: str
    recipe: Mapping[str, Any]
    index: int
    expert_seed: int
    val_fraction: float  # fraction of the training images withheld
    precision: str


class PrepareDisplay(TypedDict):
    dataset: str
    dataset_title: NotRequired[str]


class PrepareResult(TypedDict):
    train_accuracy: NotRequired[float]


# --- condense: one synthetic set --------------------------------------------------------------------------------------


class CondenseSpec(TypedDict):
    method: str
    version: int
    settings: Mapping[str, Any]
    ipc: int
    seed: int
    architecture: str
    dataset: Mapping[str, Any]
    experts: list[str]  # identities of prepare tasks
    val_fraction: float
    precision: str
    snapshots: NotRequired[int]  # kept beside the first, evenly over the steps


class CondenseDisplay(TypedDict):
    dataset: str
    dataset_title: NotRequired[str]  # as papers print it, "CIFAR-10"; without it the name stands in tables
    published_as: str | None  # the dataset whose published numbers apply; another name than `dataset`: only like it
    num_classes: int
    train_images: int  # of the whole training set
    display_name: str  # "dm", "dm@f2", "dance (alignment=random)"
    card: Card
    overrides: str  # settings that differ from the paper's, "" when none
    provenance: str  # of its weakest setting: paper, code, author, third party, ours
    iterations_fraction: float  # of the paper's iterations


class CondenseResult(TypedDict):
    stored_images: int
    decoded_images: int
    factor: int
    bytes: int  # of synthetic.safetensors
    losses: NotRequired[Mapping[str, float]]  # of the last step
    snapshots: NotRequired[list[Mapping[str, Any]]]  # step, and seconds charged up to it: snapshots/STEP.safetensors


# --- import: one synthetic set made elsewhere -------------------------------------------------------------------------


class ImportSpec(TypedDict):
    digest: str  # sha256 of its pixels and labels (whitened values where it is whitened)
    ipc: int
    factor: int
    dataset: Mapping[str, Any]  # fingerprint
    whitening: NotRequired[Mapping[str, Any]]  # how it is undone
    quantize: NotRequired[str]  # "8bit": clamped to 0..1 and rounded to 256 levels


class ImportDisplay(TypedDict):
    dataset: str
    num_classes: int
    display_name: str
    card: Card
    source: str  # mark of the files it came from


class ImportResult(TypedDict):
    stored_images: int
    decoded_images: int
    factor: int
    bytes: int
    source: Mapping[str, Any]  # files with their sha256, form, set_index, pixel_scale, pixel_scale_reason, constants
    clamped: NotRequired[float]  # share of the pixels that quantising clamped


# --- evaluate: several networks trained on one set --------------------------------------------------------------------


class EvaluateSpec(TypedDict):
    set: str  # identity of the condense or import task, or "whole"
    imported: NotRequired[bool]  # True: `set` is an import task
    seed: int
    architecture: str  # of the network that is trained and scored
    protocol: Mapping[str, Any]  # name, version and the recipe itself
    num_eval: int
    dataset: Mapping[str, Any]
    val_fraction: float
    precision: str


class EvaluateDisplay(TypedDict):
    dataset: str
    dataset_title: NotRequired[str]
    published_as: str | None
    num_classes: int
    train_images: int
    display_name: str
    card: Card
    ipc: int | None  # None for the whole training set
    condense_architecture: str | None  # architecture; None or "" when none was used: shown in the tables of all
    protocol: str  # as asked for: a name of a shared protocol, or "native"
    role: str  # "method" or "control"
    iterations_fraction: float
    provenance: str
    factor: int
    source: NotRequired[str]  # of a set made elsewhere: mark of the files it came from


class EvaluateResult(TypedDict):
    accuracies: list[float]  # on the test split after the last epoch, one a network
    right_per_class: list[list[int]]  # of each network: the test images of each class that it classifies right
    test_images_per_class: list[int]
    optimizer_steps: int  # of one network
    test_images: int
    decoded_images: int
    validation_accuracies: NotRequired[list[float]]
    validation_right_per_class: NotRequired[list[list[int]]]
    validation_images_per_class: NotRequired[list[int]]  # [] where none are withheld


# --- analyse: what can be learnt of sets and experts beside their scores ----------------------------------------------


class AnalyzeSpec(TypedDict):
    analysis: str  # one of ANALYSES
    version: int
    sets: list[str]  # identities of condense tasks, or "whole"; [] where none is looked at
    experts: list[str]  # identities of prepare tasks; [] where none is looked at
    architecture: str
    dataset: Mapping[str, Any]
    val_fraction: float
    precision: str
    seed: NotRequired[int]
    protocol: NotRequired[Mapping[str, Any]]  # of the networks that are trained
    num_eval: NotRequired[int]
    method: NotRequired[str]  # of an embedding: tsne, pca


class AnalyzeDisplay(TypedDict):
    dataset: str
    dataset_title: NotRequired[str]
    published_as: NotRequired[str | None]
    num_classes: int
    train_images: int
    condense_architecture: str  # architecture; "" for the whole training set
    ipc: NotRequired[int | None]  # of all its sets; None where they differ, without any, and for the whole training set
    protocol: NotRequired[str]  # as asked for


class CurveResult(TypedDict):
    split: str  # "validation"
    points: list[Mapping[str, Any]]  # step, seconds charged up to it, accuracies (one a network); the first at step 0


class DiscrepancyResult(TypedDict):
    steps: list[int]  # of a network's training on the real images
    sets: Mapping[str, Mapping[str, list[float | None]]]  # identity → mean_distance, relative_distance, one a step


class InterpolationResult(TypedDict):
    lambdas: list[float]  # of the initial weights: 0 is the expert
    split: str  # "validation" or "train"
    images: NotRequired[int]  # scored on, drawn where there are more
    accuracies: list[list[float]]  # for each λ, one an expert


class ExpertResult(TypedDict):
    real: Mapping[str, float | None]  # "train" and "validation": means over the experts
    images: NotRequired[int]  # of the training images that "train" stands on
    sets: Mapping[str, Mapping[str, Any]]  # identity → steps, and for each accuracies, one an expert


class EmbeddingResult(TypedDict):
    method: str  # "tsne" or "pca"
    real: Mapping[str, Any]  # xy: a pair an image; labels
    sets: Mapping[str, Mapping[str, Any]]  # identity → xy, labels


ANALYSES: dict[str, Any] = {
    "curve": CurveResult,
    "discrepancy": DiscrepancyResult,
    "interpolation": InterpolationResult,
    "expert": ExpertResult,
    "embedding": EmbeddingResult,
}


_PARTS: dict[str, tuple[Any, Any, Any]] = {
    "prepare": (PrepareSpec, PrepareDisplay, PrepareResult),
    "condense": (CondenseSpec, CondenseDisplay, CondenseResult),
    "import": (ImportSpec, ImportDisplay, ImportResult),
    "evaluate": (EvaluateSpec, EvaluateDisplay, EvaluateResult),
    "analyze": (AnalyzeSpec, AnalyzeDisplay, None),  # the result by its analysis: ANALYSES
}


_NEEDED = {  # the keys of a record's parts, by kind
    kind: [frozenset(shape.__required_keys__) for shape in shapes if shape] for kind, shapes in _PARTS.items()
}
_FOUND = {name: frozenset(shape.__required_keys__) for name, shape in ANALYSES.items()}  # of an analysis' result


def problem(record: Mapping[str, Any]) -> str:
    """A sentence saying why this record cannot be used, "" when it can."""
    if record.get("schema") != SCHEMA:
        return f"its schema is {record.get('schema')!r}, this version reads {SCHEMA}"
    if record.get("kind") not in KINDS or record.get("status") not in RECORDED:
        return f"its kind is {record.get('kind')!r} and its status {record.get('status')!r}"
    if record["kind"] == "analyze" and (named := (record.get("resolved") or {}).get("analysis")) not in ANALYSES:
        return f"its analysis is {named!r}"
    parts = ("resolved", "display", "result") if record["status"] == "ok" else ("resolved", "display")
    return _lacks([*(key for key in Record.__required_keys__ if key not in record), *_lacking(record, parts)])


def problem_of_task(task: Mapping[str, Any]) -> str:
    """The same for a task that came to no end: of what it asked and how it is called."""
    return _lacks(_lacking(task, ("resolved", "display")))


def _lacks(names: Iterable[str]) -> str:
    found = sorted(names)
    return f"it lacks {', '.join(found)}" if found else ""


def _lacking(record: Mapping[str, Any], parts: Sequence[str]) -> Iterator[str]:
    needs = _NEEDED[record["kind"]]
    if record["kind"] == "analyze" and "result" in parts:
        needs = [*needs, _FOUND[record["resolved"]["analysis"]]]
    for part, needed in zip(parts, needs, strict=False):  # a record that is not ok has no result
        held = record.get(part)
        yield from (f"{part}.{key}" for key in (needed - held.keys() if isinstance(held, Mapping) else needed))
