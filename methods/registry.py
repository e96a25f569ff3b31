"""Names to methods, imported when asked for, and the settings each was published with."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from methods.base import Card, Condenser, Described, Settings
from methods.errors import MethodError

GROUP = "condensation_benchmark.methods"  # entry points by which other packages join
BUILT_IN = {
    "dance": "methods.dance:DANCE",
    "dc": "methods.dc:GradientMatching",
    "dm": "methods.dm:DistributionMatching",
    "dsa": "methods.dsa:SiameseGradientMatching",
    "herding": "methods.coreset:Herding",
    "idm": "methods.idm:ImprovedDistributionMatching",
    "kcenter": "methods.coreset:KCenter",
    "random": "methods.coreset:RandomSubset",
}
UNCONDENSED = {"whole": "methods.whole:WholeSet"}  # rows with a card and settings, and nothing to condense
PRESETS = ("paper", "quick")
PROVENANCES = ("paper", "code", "author", "third party", "ours")  # strongest first


def locations() -> dict[str, str]:
    """The name and "module:Class" of all that can be described. Raises MethodError when two claim one name."""
    found = BUILT_IN | UNCONDENSED
    for name, value in _plugged_in(entry_points, tuple((path, _changed(Path(path))) for path in sys.path)):
        if found.setdefault(name, value) != value:
            raise MethodError(
                f"two methods are called '{name}': {found[name]} and {value}",
                where=f"entry-point group {GROUP}",
                next="rename one, or uninstall its package",
            )
    return found


@lru_cache(maxsize=1)
def _plugged_in(find: Callable[..., Any], searched: tuple[tuple[str, object], ...]) -> tuple[tuple[str, str], ...]:
    """Names and values of other packages' entry points, by `find`; `searched` tells when to look anew.

    Looking reads the metadata of every installed package, and a large plan asks thousands of times. A package that is
    installed or removed changes a folder of the search path.
    """
    return tuple((point.name, point.value) for point in find(group=GROUP))


def _changed(path: Path) -> tuple[int, int] | None:
    """What differs once a file has been written, or a folder has gained or lost an entry; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def names() -> list[str]:
    """Every method that condenses, in the order of the alphabet."""
    return sorted(locations().keys() - UNCONDENSED.keys())


def get(name: str) -> type[Condenser]:
    """The condenser of that name. Raises MethodError for an unknown name or a plug-in that does not import."""
    known = locations()
    if name in UNCONDENSED:
        raise MethodError(f"'{name}' condenses nothing", where=known[name], next=f"known: {', '.join(names())}")
    if name not in known:
        raise unknown("method", name, known.keys() - UNCONDENSED.keys())
    found = described(name)
    assert issubclass(found, Condenser)  # `described` lets nothing else pass under such a name
    return found


def described(name: str) -> type[Described]:
    """What has a card and settings under that name, a condenser or the whole set. Raises MethodError as `get`."""
    known = locations()
    if name not in known:
        raise unknown("method", name, known)
    module, _, attribute = known[name].partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise MethodError(f"method '{name}' does not import: {reason}", where=known[name]) from error
    base = Described if name in UNCONDENSED else Condenser
    if not (isinstance(found, type) and issubclass(found, base)):
        raise MethodError(f"method '{name}' is not a methods.base.{base.__name__}", where=known[name])
    if not (isinstance(getattr(found, "card", None), Card) and is_dataclass(getattr(found, "Config", None))):
        raise MethodError(f"method '{name}' has no card, or no Config that is a dataclass", where=known[name])
    return found


# --- settings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Where a setting's value comes from. `provenance` is one of PROVENANCES."""

    source: str
    provenance: str


@dataclass(frozen=True)
class ResolvedSettings:
    """A method's settings for one cell, where each value comes from, and what a person should be told.

    `changed` names the settings in which the overrides differ from the preset.
    """

    config: Settings
    changed: tuple[str, ...]
    origins: Mapping[str, Origin]
    notes: tuple[str, ...]
    fraction: float  # of the published iterations that this configuration runs

    @property
    def provenance(self) -> str:
        """The weakest provenance among the settings."""
        return max((origin.provenance for origin in self.origins.values()), key=PROVENANCES.index)


@dataclass(frozen=True)
class Block:
    """Published values that apply together: to its datasets and ipcs, or to all where it names none."""

    settings: Mapping[str, Any]
    source: str
    provenance: str
    datasets: tuple[str, ...] = ()
    ipcs: tuple[int, ...] = ()

    @property
    def origin(self) -> Origin:
        return Origin(self.source, self.provenance)


def blocks(name: str, preset: str) -> tuple[Block, ...]:
    """The blocks that settings/NAME.yaml, beside the method's module, holds for a preset; later ones stand on top.

    A preset other than `paper` stands on top of `paper`. Raises MethodError for a file that holds something else.
    """
    path = _settings_path(name)
    return _read_blocks(path, preset, _changed(path))


@lru_cache(maxsize=256)
def _read_blocks(path: Path, preset: str, changed: object) -> tuple[Block, ...]:
    """`blocks` of a file as it was at that change: reading YAML takes longer than all else that a plan does."""
    document = _document(path)
    listed = [*document.get("paper", []), *(document.get(preset, []) if preset != "paper" else [])]
    return tuple(_block(values, path) for values in listed)


def _block(values: Any, path: Path) -> Block:
    """A block as it is written. Raises MethodError, naming the file, for anything else."""
    try:
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        block = Block(**plain)
        if not isinstance(block.settings, Mapping) or isinstance(block.datasets, str) or isinstance(block.ipcs, int):
            raise TypeError
    except (AttributeError, TypeError) as error:
        raise MethodError(
            "a block of settings is not as blocks are",
            where=str(path),
            next="settings: {NAME: VALUE}, source and provenance, and where it applies, as lists: datasets, ipcs",
        ) from error
    if block.provenance not in PROVENANCES:
        raise unknown("provenance", str(block.provenance), PROVENANCES, where=str(path))
    return block


def datasets(name: str | None = None) -> list[str]:
    """The datasets that settings name: those of one method, or of every settings file of this package."""
    if name is not None:
        return sorted({dataset for block in blocks(name, "paper") for dataset in block.datasets})
    return sorted({dataset for built_in in BUILT_IN for dataset in datasets(built_in)})


def _settings_path(name: str) -> Path:
    """Where a method's published settings are, if it has any; those of this package without importing the method."""
    if name in BUILT_IN or name in UNCONDENSED:
        return Path(__file__).parent / "settings" / f"{name}.yaml"
    return Path(inspect.getfile(described(name))).parent / "settings" / f"{name}.yaml"


def _document(path: Path) -> dict[str, Any]:
    try:
        found = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {}
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise MethodError(f"settings cannot be read: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(found, dict):
        raise MethodError("settings must be lists of blocks under the names of presets", where=str(path))
    return {str(preset): listed or [] for preset, listed in found.items()}


def resolve(
    name: str,
    *,
    dataset: str,
    ipc: int | None,
    preset: str,
    fraction: float = 1.0,
    overrides: Mapping[str, Any] | None = None,
) -> ResolvedSettings:
    """Settings of `name`, a condenser or the whole set: dataclass < preset < fraction of the iterations < overrides.

    `dataset` is the known dataset whose settings apply; ipc is None for the whole set. A preset `quick` stands on top
    of `paper`. For an ipc that a block does not list, the nearest listed one in log scale is taken and a note says so.
    Raises MethodError for a setting that does not exist or does not fit its type.
    """
    method = described(name)
    values, origins, notes = _preset(method, name, dataset, ipc, preset)
    config = _typed(method, values, name, where=f"settings of {name}")
    published = asdict(config).get("iterations")
    config = config.scaled(fraction)
    if fraction < 1 and published is not None:
        notes.append(f"{name}: {asdict(config)['iterations']:,} of the paper's {published:,} iterations")
        origins["iterations"] = Origin(f"fraction {fraction:g} of {published}: {origins['iterations'].source}", "ours")
    changed: tuple[str, ...] = ()
    if overrides:
        base = {spec.name: getattr(config, spec.name) for spec in fields(config)}
        config = _typed(method, base | dict(overrides), name, where=f"method.{name}")
        changed = tuple(key for key in sorted(overrides) if getattr(config, key) != base[key])
        origins |= {key: Origin("command line", "ours") for key in changed}
    done = asdict(config).get("iterations", published)
    return ResolvedSettings(config, changed, origins, tuple(notes), done / published if published else 1.0)


def _preset(
    method: type[Described], name: str, dataset: str, ipc: int | None, preset: str
) -> tuple[dict[str, Any], dict[str, Origin], list[str]]:
    """The values of a preset's blocks that apply to (dataset, ipc), later blocks on top."""
    listed = blocks(name, preset)
    named = {d for block in listed for d in block.datasets}
    values: dict[str, Any] = {}
    origins = {
        spec.name: Origin(spec.metadata.get("source", "the method's default"), "code") for spec in fields(method.Config)
    }
    notes: list[str] = []
    for block in listed:
        if block.datasets and dataset not in block.datasets:
            continue
        origin = block.origin
        if block.ipcs and ipc not in block.ipcs:
            nearest = _nearest(ipc, [b for b in listed if b.datasets == block.datasets])
            if nearest not in block.ipcs:
                continue
            origin = Origin(f"of ipc {nearest}, the nearest: {block.source}", "ours")
            note = f"{name}: no published settings for {dataset} at ipc {ipc}, those of ipc {nearest} are used"
            notes += [note] if note not in notes else []
        values |= block.settings
        origins |= dict.fromkeys(block.settings, origin)
    derived = method.Config.by_ipc(ipc) if ipc is not None else {}
    for key, (value, source, provenance) in derived.items():
        if key not in values:
            values[key], origins[key] = value, Origin(source, provenance)
            if provenance == "ours":
                notes.append(f"{name}: {key}={value} at ipc {ipc}, {source.removeprefix('ours: ')}")
    if named and dataset not in named:
        notes.append(f"{name}: no published settings for {dataset}, the generic ones are used")
        origins["dataset"] = Origin("generic settings on another dataset", "ours")
    return values, origins, notes


def _nearest(ipc: int | None, alike: Sequence[Block]) -> int | None:
    """The ipc, of those that blocks for the same datasets list, nearest in log scale. None is near to none."""
    if ipc is None:
        return None
    return min((i for block in alike for i in block.ipcs), key=lambda i: abs(math.log(i / ipc)))


_TYPED: dict[tuple[type[Settings], str], Settings] = {}  # what `_typed` made of values: a grid asks for few of them


def _typed(method: type[Described], values: Mapping[str, Any], name: str, *, where: str) -> Settings:
    """The method's dataclass from plain values; 1 and 1.0 become the same where the field is a float."""
    known = [spec.name for spec in fields(method.Config)]
    for key in values:
        if key not in known:
            raise unknown("setting", key, known, where=f"{where}.{key}")
    exact = method.Config, repr(sorted(values.items()))  # the text tells 1 from 1.0 and from True, which are equal
    if exact in _TYPED:
        return _TYPED[exact]
    schema = OmegaConf.structured(method.Config)
    OmegaConf.set_readonly(schema, False)  # a frozen dataclass makes a read-only node
    cure = f"python -m methods {name}   (each setting with its unit and source)"
    try:
        config = OmegaConf.to_object(OmegaConf.merge(schema, dict(values)))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise MethodError(str(error).splitlines()[0], where=f"{where}.{key}", next=cure) from error
    except MethodError as error:
        raise MethodError(error.what, where=f"{where}.{error.where}", next=error.next or cure) from error
    assert isinstance(config, Settings)
    _TYPED[exact] = config
    return config


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> MethodError:
    """The error for a name that does not exist: says so, suggests the nearest, lists the rest."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return MethodError(f"no {kind} '{name}'.{hint}", where=where, next=f"known: {', '.join(names)}")
