"""Methods by name, imported on first use, and the settings with which each was published."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from methods import errors
from methods.base import Card, Condenser, Method, Settings
from methods.errors import MethodError
from methods.plug_ins import PlugInGroup, stamp

BUILT_IN = {
    "cafe": "methods.cafe:CAFE",
    "cafe_dsa": "methods.cafe:SiameseCAFE",
    "dance": "methods.dance:DANCE",
    "datadam": "methods.datadam:DataDAM",
    "dc": "methods.dc:GradientMatching",
    "dm": "methods.dm:DistributionMatching",
    "dream": "methods.dream:DREAM",
    "dsa": "methods.dsa:SiameseGradientMatching",
    "dsdm": "methods.dsdm:DSDM",
    "herding": "methods.coreset:Herding",
    "idc": "methods.idc:IDC",
    "idc_i": "methods.idc:IDCI",
    "idm": "methods.idm:ImprovedDistributionMatching",
    "kcenter": "methods.coreset:KCenter",
    "m3d": "methods.m3d:M3D",
    "mtt": "methods.mtt:TrajectoryMatching",
    "random": "methods.coreset:RandomSubset",
    "tgdd": "methods.tgdd:TGDD",
}
# What has settings but condenses nothing: a row of the tables, and the labels of rows.
UNCONDENSED = {"soft": "methods.soft_labels:SoftLabels", "whole": "methods.whole:WholeSet"}
PLUG_INS = PlugInGroup("methods", BUILT_IN.keys() | UNCONDENSED.keys())
SETTINGS_PRESETS = ("paper", "quick")
SEARCH = "search"  # the key of a settings file that is no preset
PROVENANCES = ("paper", "code", "author", "third party", "ours")  # strongest first
MIN_STEPS = 50  # that a fraction of the iterations leaves: sets of fewer steps are hardly more than their first images


def locations() -> dict[str, str]:
    """Names to "module:Class", of this package and of others. Raises MethodError if two methods have one name."""
    return BUILT_IN | UNCONDENSED | {name: point.value for name, point in PLUG_INS.points().items()}


def names() -> list[str]:
    """The names of all methods that condense, sorted."""
    return sorted(locations().keys() - UNCONDENSED.keys())


def get(name: str) -> type[Condenser]:
    """The method of that name. Raises MethodError if it is unknown, does not import, or condenses nothing."""
    if name in UNCONDENSED:
        raise MethodError(f"'{name}' condenses nothing", where=UNCONDENSED[name], next=f"known: {', '.join(names())}")
    if name not in locations():
        raise unknown("method", name, names())
    method = load(name)
    assert issubclass(method, Condenser)  # `load` has checked it
    return method


def load(name: str) -> type[Method]:
    """`get` that also returns rows which condense nothing, such as `whole`."""
    if own := (BUILT_IN | UNCONDENSED).get(name):
        module, _, attribute = own.partition(":")
        method: type[Method] = getattr(importlib.import_module(module), attribute)
        return method
    if name not in PLUG_INS.points():
        raise unknown("method", name, locations())
    plug_in = PLUG_INS.load(name)
    if not (isinstance(plug_in, type) and issubclass(plug_in, Condenser)):
        raise PLUG_INS.wrong(name, "is not a methods.base.Condenser")
    if not isinstance(getattr(plug_in, "card", None), Card):
        raise PLUG_INS.wrong(name, "has no card")
    config = getattr(plug_in, "Config", None)
    if not (isinstance(config, type) and issubclass(config, Settings) and is_dataclass(config)):
        raise PLUG_INS.wrong(name, "has no Config that is a methods.base.Settings")
    return plug_in


# --- settings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Provenance:
    """Where a setting's value comes from: `kind` is one of PROVENANCES, `source` names the place."""

    source: str
    kind: str


_COMMAND_LINE = Provenance("command line", "ours")


@dataclass(frozen=True)
class ResolvedSettings:
    """A method's settings for one dataset and ipc, the provenance of each, and notes for the user.

    changed: names of the settings to which the overrides give another value than the preset.
    iterations_fraction: the part of the full iterations that runs, in (0, 1] unless overrides ask for more.
    raised: whether the fraction asked for came to fewer than MIN_STEPS, which run instead.
    """

    config: Settings
    changed: tuple[str, ...]
    provenance: Mapping[str, Provenance]
    notes: tuple[str, ...]
    iterations_fraction: float
    raised: bool = False

    @property
    def weakest_provenance(self) -> str:
        return max((provenance.kind for provenance in self.provenance.values()), key=PROVENANCES.index)


@dataclass(frozen=True)
class Block:
    """Published values with one source, and where they apply: to all datasets, or all ipcs, if none is listed.

    public: values of the public code from which `settings` depart. Asked for by an option, they are not ours.
    """

    settings: Mapping[str, Any]
    source: str
    provenance: str
    public: Mapping[str, Any] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    ipcs: tuple[int, ...] = ()


def blocks(name: str, preset: str) -> tuple[Block, ...]:
    """The blocks of settings/NAME.yaml, a file next to the method's module; later blocks override earlier ones.

    A preset other than `paper` adds its blocks to those of `paper`. Raises MethodError for a malformed file.
    """
    path = _settings_path(name)
    return _read_blocks(path, preset, stamp(path))


@lru_cache(maxsize=256)
def _read_blocks(path: Path, preset: str, state: object) -> tuple[Block, ...]:
    """`blocks` of a file. Cached, since parsing YAML would take most of the time of planning."""
    document = _document(path)
    listed = [*document.get("paper", []), *(document.get(preset, []) if preset != "paper" else [])]
    return tuple(_block(values, path) for values in listed)


def _block(values: Any, path: Path) -> Block:
    """One parsed block. Raises MethodError, naming the file, if it is malformed."""
    try:
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        block = Block(**plain)
        if (
            not isinstance(block.settings, Mapping)
            or not isinstance(block.public, Mapping)
            or isinstance(block.datasets, str)
            or isinstance(block.ipcs, int)
        ):
            raise TypeError
    except (AttributeError, TypeError) as error:
        raise MethodError(
            "a block of settings is malformed",
            where=str(path),
            next="settings: {NAME: VALUE}, source and provenance, and where it applies, as lists: datasets, ipcs",
        ) from error
    if block.provenance not in PROVENANCES:
        raise unknown("provenance", str(block.provenance), PROVENANCES, where=str(path))
    return block


def citation(name: str) -> str:
    """What papers cite for a method, as entries of BibTeX: settings/NAME.bib, "" without one. Raises as `load`."""
    path = _settings_path(name).with_suffix(".bib")
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def datasets(name: str | None = None) -> list[str]:
    """The datasets that the settings file of one method names, or those of all methods of this package."""
    if name is not None:
        return sorted({dataset for block in blocks(name, "paper") for dataset in block.datasets})
    return sorted({dataset for built_in in BUILT_IN for dataset in datasets(built_in)})


def search_section(name: str) -> tuple[Path, Any]:
    """The settings file of a method, and what it has under `search`, {} without it (see `methods.search`)."""
    path = _settings_path(name)
    return path, _document(path).get(SEARCH) or {}


def _settings_path(name: str) -> Path:
    """The settings file of a method, which need not exist. Methods of this package are not imported for it."""
    ours = name in BUILT_IN or name in UNCONDENSED
    module = Path(__file__ if ours else inspect.getfile(load(name)))
    return module.parent / "settings" / f"{name}.yaml"


def _document(path: Path) -> dict[str, Any]:
    try:
        document = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {}
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise MethodError(f"settings cannot be read: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(document, dict):
        raise MethodError("settings must be lists of blocks under the names of presets", where=str(path))
    return {str(preset): listed or [] for preset, listed in document.items()}


def resolve(
    name: str,
    *,
    dataset: str,
    ipc: int | None,
    preset: str,
    iterations_fraction: float = 1.0,
    overrides: Mapping[str, Any] | None = None,
) -> ResolvedSettings:
    """The settings of a method: defaults < preset < fraction of the iterations < overrides.

    `dataset` is the known dataset whose settings apply; ipc is None for the whole set. The preset `quick` overrides
    `paper`. For an ipc that a block does not list, the nearest listed ipc in log scale applies, and a note says so.
    Raises MethodError for a setting that does not exist or has a value of the wrong type.
    """
    method = load(name)
    values, provenance, notes, public = _preset(method, name, dataset, ipc, preset)
    config = _typed(method, values, name, where=f"settings of {name}")
    full = config.iterations
    config = config.scaled(iterations_fraction, MIN_STEPS)
    raised = False
    if iterations_fraction < 1 and full is not None and config.iterations is not None:
        raised = config.iterations > round(iterations_fraction * full)
        notes.append(_budget_note(method.card, config.iterations, full, iterations_fraction, raised))
        source = f"fraction {config.iterations / full:g} of {full}: {provenance['iterations'].source}"
        provenance["iterations"] = Provenance(source, "ours")
    changed: tuple[str, ...] = ()
    if overrides:
        base = {spec.name: getattr(config, spec.name) for spec in fields(config)}
        config = _typed(method, base | dict(overrides), name, where=f"method.{name}")
        changed = tuple(key for key in sorted(overrides) if getattr(config, key) != base[key])
        for key in changed:
            is_public = key in public and getattr(config, key) == public[key]
            provenance[key] = Provenance("command line: the public code's", "code") if is_public else _COMMAND_LINE
    run = config.iterations / full if full and config.iterations else 1.0
    return ResolvedSettings(config, changed, provenance, tuple(notes), run, raised and "iterations" not in changed)


def _budget_note(card: Card, run: int, full: int, fraction: float, raised: bool) -> str:
    whose = "the paper's" if card.paper else "its"
    floor = f", {run / full:.2g} of them: fewer than {MIN_STEPS} steps show nothing ({fraction:g} was asked for)"
    return f"{card.name}: {run:,} of {whose} {full:,} iterations{floor if raised else ''}"


def _preset(
    method: type[Method], name: str, dataset: str, ipc: int | None, preset: str
) -> tuple[dict[str, Any], dict[str, Provenance], list[str], dict[str, Any]]:
    """The values of a preset for (dataset, ipc), the provenance of all settings, notes, and `Block.public`."""
    preset_blocks = blocks(name, preset)
    known_datasets = {d for block in preset_blocks for d in block.datasets}
    values: dict[str, Any] = {}
    provenance = {
        spec.name: Provenance(spec.metadata.get("source", "the method's default"), "code")
        for spec in fields(method.Config)
    }
    notes: list[str] = []
    public: dict[str, Any] = {}
    for block in preset_blocks:
        if block.datasets and dataset not in block.datasets:
            continue
        origin = Provenance(block.source, block.provenance)
        if block.ipcs and ipc not in block.ipcs:
            nearest = _nearest(ipc, [b for b in preset_blocks if b.datasets == block.datasets])
            if nearest not in block.ipcs:
                continue
            origin = Provenance(f"of ipc {nearest}, the nearest: {block.source}", "ours")
            note = f"{name}: no published settings for {dataset} at ipc {ipc}, those of ipc {nearest} are used"
            notes += [note] if note not in notes else []
        values |= block.settings
        public |= block.public
        provenance |= dict.fromkeys(block.settings, origin)
    by_ipc = method.Config.by_ipc(ipc) if ipc is not None else {}
    for key, (value, source, kind) in by_ipc.items():
        if key not in values:
            values[key], provenance[key] = value, Provenance(source, kind)
            if kind == "ours":
                notes.append(f"{name}: {key}={value} at ipc {ipc}, {source.removeprefix('ours: ')}")
    if known_datasets and dataset not in known_datasets:
        notes.append(f"{name}: no published settings for {dataset}, the generic ones are used")
        provenance["dataset"] = Provenance("generic settings on another dataset", "ours")
    return values, provenance, notes, public


def _nearest(ipc: int | None, same_datasets: Sequence[Block]) -> int | None:
    """Of the ipcs that blocks for the same datasets list, the nearest in log scale; None for the whole set."""
    if ipc is None:
        return None
    return min((i for block in same_datasets for i in block.ipcs), key=lambda i: abs(math.log(i / ipc)))


_TYPED: dict[tuple[type[Settings], str], Settings] = {}  # cache of `_typed`: the cells of a grid share few settings


def _typed(method: type[Method], values: Mapping[str, Any], name: str, *, where: str) -> Settings:
    """The method's dataclass with these values. 1 becomes 1.0 if the field is a float.

    Raises MethodError for a name that is no setting, a value of the wrong type or one that the dataclass refuses.
    """
    known = method.Config.names()
    for key in values:
        if key not in known:
            raise unknown("setting", key, known, where=f"{where}.{key}")
    cache_key = method.Config, repr(sorted(values.items()))  # as text, since 1, 1.0 and True are equal keys
    if cache_key in _TYPED:
        return _TYPED[cache_key]
    schema = OmegaConf.structured(method.Config)
    OmegaConf.set_readonly(schema, False)  # a frozen dataclass makes a read-only node
    cure = f"python -m benchmark.methods {name}   (each setting with its unit and source)"
    try:
        config = OmegaConf.to_object(OmegaConf.merge(schema, dict(values)))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise MethodError(str(error).splitlines()[0], where=f"{where}.{key}", next=cure) from error
    except MethodError as error:
        raise MethodError(error.what, where=f"{where}.{error.where}", next=error.next or cure) from error
    assert isinstance(config, Settings)
    _TYPED[cache_key] = config
    return config


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> MethodError:
    """The error for a name that does not exist: it suggests the nearest known name and lists all of them."""
    return errors.unknown(kind, name, known, MethodError, where)
