"""Protocols: named, versioned recipes for training a network on a set, so that sets are compared on equal terms.

Each is a YAML file, NAME.yaml: those of this project in this folder, those of another package beside the module that
its entry point `NAME = "MODULE"` in the group `condensation_benchmark.protocols` names. Such a file is all of a
protocol:

    version: 1 # raise it with every change of a value
    blocks: # later ones override earlier ones
    - source: arXiv:2106.00001, appendix B
      values: {batch: 64, lr: 0.01, lr_gamma: 0.2, reset_optimizer: false, augment: dsa:color_crop_flip, cutmix: 0.0}
    - source: "ours: no paper says how long"
      values: {epochs: 100, lr_milestones: [2/3, 90]}
    - datasets: [mnist, svhn]
      source: arXiv:2106.00001, table 3
      values: {epochs: {10: 50, 50: 20}}

The values are the fields of `Protocol`. A milestone is an epoch, or a fraction of the epochs, rounded down. Epochs by
images per class hold from each number to the next: here 50 epochs from ipc 10 to 49, 20 from 50 on; below 10, and for
the whole training set, the block says nothing of them. A block applies where all of its conditions hold:

    datasets: names as in papers        architectures: shell patterns of canonical names
    num_classes: a list of numbers      min_classes, min_resolution: at least so many classes, pixels a side
    factors, ipcs: lists of factors and of stored images a class      min_factor, min_ipc: at least so much

Conditions on factor and ipc hold under `native` alone: other protocols train all sets of an ipc in the same way. What
`exception` says of a block's values, "without CutMix", is added to the protocol's name where the block applies.

A source that begins with "ours: " is printed as a note; {epochs}, {num_classes} and {architecture} in it are replaced.
Importing this module loads no torch.
"""

from __future__ import annotations

import fractions
import importlib.util
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmark.utils.errors import BenchmarkError, unknown
from methods import registry
from methods.plug_ins import PlugInGroup, stamp
from results.store.schema import Fraction, Positive, Share

if TYPE_CHECKING:
    from benchmark.training.trainer import Recipe

BUILT_IN = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
NATIVE = "native"  # the protocol of each method's own paper
_SUFFIXES = ("steps", "lr", "plain", "hard")
# Suffixes: NAME@VARIANT.
VARIANTS = tuple("@".join(some) for count in (1, 2, 3, 4) for some in itertools.combinations(_SUFFIXES, count))
PLUG_INS = PlugInGroup("protocols", (*BUILT_IN, NATIVE), BenchmarkError)


@dataclass(frozen=True)
class Protocol:
    """A recipe in epochs, independent of the number of images: SGD on cross-entropy.

    lr_milestones: epochs after which lr is multiplied by lr_gamma. reset_optimizer: whether the momentum is reset then.
    augment: a strategy of `benchmark.augmentation`. cutmix: its probability for each batch. steps_fixed: train for the
    optimizer steps of the factor-1 set, whatever the factor. lr_from_set: the learning rate that a set brings takes the
    place of lr (`SyntheticSet.training`); without one, lr stays. hard_labels: train on the classes of images also where
    a set has soft labels. source: where the values come from; it begins with "ours: " where no public code has this
    recipe for this network or number of classes.
    """

    name: str
    version: int
    source: str
    epochs: Positive
    batch: Positive
    lr: Share
    lr_milestones: tuple[Positive, ...]
    lr_gamma: Share
    reset_optimizer: bool
    augment: str
    cutmix: Fraction
    momentum: Fraction = 0.9
    weight_decay: Fraction = 5e-4
    steps_fixed: bool = False
    lr_from_set: bool = False
    hard_labels: bool = False

    def recipe(self, stored: int, decoded: int) -> Recipe:
        """The recipe for a set of `stored` images, which `decode` turns into `decoded` images."""
        num_images = stored if self.steps_fixed else decoded
        return self._recipe(num_images, lambda epochs: epochs)

    def recipe_for_whole(self, images: int, whole_epochs: int) -> Recipe:
        """The recipe for the whole training set: `whole_epochs` epochs, with lr_milestones scaled in proportion."""
        scale = whole_epochs / self.epochs
        return self._recipe(images, lambda epochs: min(whole_epochs, round(epochs * scale)))

    def _recipe(self, num_images: int, scaled: Callable[[int], int]) -> Recipe:
        from benchmark.training.trainer import Recipe, epochs_to_steps  # loads torch, which names do without

        def steps(epochs: int) -> int:
            return epochs_to_steps(num_images, self.batch, scaled(epochs))

        return Recipe(
            steps=steps(self.epochs),
            batch=self.batch,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            lr_milestones=tuple(steps(epoch) for epoch in self.lr_milestones),
            lr_gamma=self.lr_gamma,
            reset_optimizer=self.reset_optimizer,
            augment=self.augment,
            cutmix=self.cutmix,
        )

    def plain(self) -> Protocol:
        """The protocol without augmentation and mixing; itself if it has neither."""
        if self.augment == "none" and not self.cutmix:
            return self
        return replace(self, name=f"{self.name}@plain", augment="none", cutmix=0.0)


def from_resolved(values: Mapping[str, Any]) -> Protocol:
    """The protocol of a task from its `resolved` values, which lack its source."""
    return Protocol(**{**values, "lr_milestones": tuple(values["lr_milestones"]), "source": ""})


# --- names ------------------------------------------------------------------------------------------------------------


def names() -> list[str]:
    """The names of all protocols. Raises BenchmarkError as `PLUG_INS`."""
    return [*BUILT_IN, NATIVE, *PLUG_INS.points()]


def check_name(name: str) -> None:
    """Raise BenchmarkError for a name that `get` does not know, or whose file cannot be used."""
    base = _base(name)
    if base != NATIVE:
        path = _path(base)
        _read(path, stamp(path))


def citation(name: str) -> str:
    """What papers cite for a protocol, as entries of BibTeX: NAME.bib beside NAME.yaml, or those of the method NAME.

    "" if there is neither. Raises BenchmarkError for an unknown name, and MethodError as `registry.citation`.
    """
    base = _base(name.partition(" ")[0])  # without an exception
    if base != NATIVE and (path := _path(base).with_suffix(".bib")).is_file():
        return path.read_text("utf-8", "replace")
    return registry.citation(base) if base in registry.locations() else ""


def _base(name: str) -> str:
    """The name without its variant. Raises BenchmarkError for an unknown one."""
    base, at, variant = name.partition("@")
    if base not in names() or (at and variant not in VARIANTS):
        known = [*names(), *(f"{n}@{v}" for v in VARIANTS for n in names())]
        raise unknown("protocol", name, known, where=f"protocols=[{name}]")
    return base


def get(
    name: str,
    *,
    native: str,
    published_as: str,
    resolution: int,
    num_classes: int,
    ipc: int | None,
    factor: int,
    architecture: str = "",
    learns_lr: bool = False,
) -> Protocol:
    """The protocol called `name` for one dataset, ipc and architecture. Raises BenchmarkError for an unknown name.

    `NAME@steps` trains for the optimizer steps of the factor-1 set; `NAME@lr` takes the learning rate that a set
    brings; `NAME@plain` turns augmentation and mixing off; `NAME@hard` takes no soft labels; `NAME@steps@lr@plain@hard`
    does all. `native` is the protocol
    that the argument `native` names, with the set's learning rate if learns_lr. architecture: canonical name of the
    network to be trained. ipc: None for the whole training set. Epochs depend on the dataset and the stored ipc,
    not on the factor, except that `native` counts decoded images, as its own code does.
    """
    base = _base(name)
    is_native = base == NATIVE
    images = ipc * factor**2 if is_native and ipc is not None else ipc
    stored = (ipc, factor) if is_native and ipc is not None else None
    cell = TrainingCell(published_as, resolution, num_classes, images, architecture, stored)
    path = _path(_base(native) if is_native else base)
    protocol = _resolve(path, stamp(path), cell)
    if is_native:
        protocol = replace(protocol, name=f"{NATIVE}:{protocol.name}", lr_from_set=learns_lr)
    variant = name.partition("@")[2].split("@")
    if "steps" in variant:
        protocol = replace(protocol, name=f"{protocol.name}@steps", steps_fixed=True)
    if "lr" in variant:
        protocol = replace(protocol, name=f"{protocol.name}@lr", lr_from_set=True)
    if "hard" in variant:
        protocol = replace(protocol, name=f"{protocol.name}@hard", hard_labels=True)
    return protocol.plain() if "plain" in variant else protocol


# --- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingCell:
    """What the values of a protocol can depend on.

    resolution: pixels of the shorter side. ipc: images per class, by which epochs are looked up. stored: under `native`
    alone, the stored images a class and the factor of the set.
    """

    published_as: str
    resolution: int
    num_classes: int
    ipc: int | None
    architecture: str
    stored: tuple[int, int] | None = None


class ProtocolBlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Values with one source, and the conditions on which they apply."""

    source: str
    values: dict[str, Any]
    datasets: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    num_classes: tuple[int, ...] | None = None
    min_classes: int = 0
    min_resolution: int = 0
    factors: tuple[int, ...] | None = None
    ipcs: tuple[int, ...] | None = None
    min_factor: int = 0
    min_ipc: int = 0
    exception: str = ""

    def applies(self, cell: TrainingCell) -> bool:
        return (
            self._fits_stored(*(cell.stored or (0, 0)))
            and (self.datasets is None or cell.published_as in self.datasets)
            and (self.num_classes is None or cell.num_classes in self.num_classes)
            and (self.architectures is None or any(fnmatchcase(cell.architecture, p) for p in self.architectures))
            and cell.num_classes >= self.min_classes
            and cell.resolution >= self.min_resolution
        )

    def _fits_stored(self, ipc: int, factor: int) -> bool:
        """Whether a set of this ipc and factor fits; 0 and 0 where they do not count."""
        return (
            (self.factors is None or factor in self.factors)
            and (self.ipcs is None or ipc in self.ipcs)
            and factor >= self.min_factor
            and ipc >= self.min_ipc
        )


class ProtocolFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of NAME.yaml."""

    version: int
    blocks: tuple[ProtocolBlock, ...]


def _path(name: str) -> Path:
    """The file of a protocol. The module that a plug-in names is found without importing it."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    point = PLUG_INS.points()[name]
    PLUG_INS.check_interface(point)
    try:
        spec = importlib.util.find_spec(point.module)
    except ImportError:  # of a package above it
        spec = None
    if spec is None or spec.origin is None:
        raise PLUG_INS.wrong(name, f"has no file: there is no module {point.module}")
    path = Path(spec.origin).parent / f"{name}.yaml"
    if not path.is_file():
        raise PLUG_INS.wrong(name, f"has no file {path}", "the data of its package must include it")
    return path


@lru_cache(maxsize=64)
def _read(path: Path, state: object) -> ProtocolFile:
    """The file at a path. state: its `stamp`, so that a file which has changed is read again."""
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=ProtocolFile)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise _malformed(path, error) from error
    known = {spec.name for spec in fields(Protocol)} - {
        "name",
        "version",
        "source",
        "steps_fixed",
        "lr_from_set",
        "hard_labels",
    }
    for key in (key for block in file.blocks for key in block.values):
        if key not in known:
            raise unknown("value of a protocol", key, known, where=str(path))
    return file


def _malformed(path: Path, error: Exception) -> BenchmarkError:
    reason = " ".join(str(error).split())
    return BenchmarkError(
        f"the protocol {path.stem} is malformed: {reason}", where=str(path), next="see benchmark.training.protocols"
    )


@lru_cache(maxsize=4096)
def _resolve(path: Path, state: object, cell: TrainingCell) -> Protocol:
    """The protocol of a file for one cell. Raises BenchmarkError for a value that is missing or wrong."""
    from benchmark.augmentation import strategies  # loads torch, which names do without

    file = _read(path, state)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    applying = [block for block in file.blocks if block.applies(cell)]
    for block in applying:
        for key, value in block.values.items():
            if isinstance(value, dict):
                value = _at_ipc(value, cell.ipc)
            if value is not None:
                values[key], sources[key] = value, block.source
    try:
        values["lr_milestones"] = [
            int(fractions.Fraction(part) * values["epochs"]) if isinstance(part, str) else part
            for part in values.get("lr_milestones", ())
        ]
        name = " ".join([path.stem, *filter(None, (block.exception for block in applying))])
        names = {"name": name, "version": file.version, "source": _source(sources, values, cell)}
        protocol = msgspec.convert(values | names, Protocol)
    except (KeyError, ValueError, TypeError, ArithmeticError, msgspec.ValidationError) as error:
        raise _malformed(path, error) from error
    try:
        strategies.parse(protocol.augment)
    except BenchmarkError as error:
        raise BenchmarkError(error.what, where=f"{path}, augment", next=error.next) from error
    return protocol


def _at_ipc(by_ipc: Mapping[int, Any], ipc: int | None) -> Any:
    """The value at the largest number that is not above the ipc, None if there is none."""
    return by_ipc.get(max((least for least in by_ipc if ipc is not None and least <= ipc), default=-1))


def _source(sources: Mapping[str, str], values: Mapping[str, Any], cell: TrainingCell) -> str:
    """The first source that is ours and says why, or all of them."""
    distinct = list(dict.fromkeys(sources.values()))
    source = next((source for source in distinct if source.startswith("ours: ")), "; ".join(distinct))
    known = {"epochs": f"{values.get('epochs'):,}", "num_classes": cell.num_classes, "architecture": cell.architecture}
    for key, value in known.items():
        source = source.replace(f"{{{key}}}", str(value))
    return source
