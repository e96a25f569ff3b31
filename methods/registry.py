"""Names to methods, imported when asked for, and the settings each was published with."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from methods.base import Condenser, MethodError, Settings

GROUP = "condensation_benchmark.methods"  # entry points by which other packages join
BUILT_IN = {
    "dance": "methods.dance:DANCE",
    "dm": "methods.dm:DistributionMatching",
    "random": "methods.coreset:RandomSubset",
}
PROVENANCES = ("paper", "code", "author", "third party", "ours")  # strongest first


def locations() -> dict[str, str]:
    """Every method's name and "module:Class". Raises MethodError when two claim one name."""
    found = dict(BUILT_IN)
    for point in entry_points(group=GROUP):
        if found.setdefault(point.name, point.value) != point.value:
            raise MethodError(
                f"two methods are called '{point.name}': {found[point.name]} and {point.value}",
                where=f"entry-point group {GROUP}",
                next="rename one, or uninstall its package",
            )
    return found


def names() -> list[str]:
    """Every method that can be asked for by name."""
    return sorted(locations())


def get(name: str) -> type[Condenser]:
    """The method of that name. Raises MethodError for an unknown name or a plug-in that does not import."""
    known = locations()
    if name not in known:
        raise _unknown("method", name, known)
    module, _, attribute = known[name].partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise MethodError(
            f"method '{name}' does not import: {type(error).__name__}: {error}", where=known[name]
        ) from error
    if not (isinstance(found, type) and issubclass(found, Condenser)):
        raise MethodError(f"method '{name}' is not a methods.base.Condenser", where=known[name])
    return found


# --- settings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Where a setting's value comes from. `provenance` is one of PROVENANCES."""

    source: str
    provenance: str


@dataclass(frozen=True)
class Resolved:
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


def resolve(
    name: str, *, dataset: str, ipc: int, preset: str, fraction: float = 1.0, overrides: Mapping[str, Any] | None = None
) -> Resolved:
    """Settings of method `name`: dataclass < preset < fraction of the iterations < overrides.

    `dataset` is the known dataset whose settings apply. A preset `quick` stands on top of `paper`. For an ipc that a
    block does not list, the nearest listed one in log scale is taken and a note says so. Raises MethodError for a
    setting that does not exist or does not fit its type.
    """
    method = get(name)
    values, origins, notes = _preset(method, name, dataset, ipc, preset)
    config = _typed(method, values, where=f"settings of {name}")
    published = asdict(config).get("iterations")
    config = config.scaled(fraction)
    if fraction < 1 and published is not None:
        notes.append(f"{name}: {asdict(config)['iterations']:,} of the paper's {published:,} iterations")
    changed: tuple[str, ...] = ()
    if overrides:
        base = {spec.name: getattr(config, spec.name) for spec in fields(config)}
        config = _typed(method, base | dict(overrides), where=f"method.{name}")
        changed = tuple(key for key in sorted(overrides) if getattr(config, key) != base[key])
        origins |= {key: Origin("command line", "ours") for key in changed}
    done = asdict(config).get("iterations", published)
    return Resolved(config, changed, origins, tuple(notes), done / published if published else 1.0)


def _preset(
    method: type[Condenser], name: str, dataset: str, ipc: int, preset: str
) -> tuple[dict[str, Any], dict[str, Origin], list[str]]:
    """The values of a preset's blocks that apply to (dataset, ipc), later blocks on top."""
    path = Path(inspect.getfile(method)).parent / "settings" / f"{name}.yaml"
    document: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {}
    blocks = list(document.get("paper", [])) + (list(document.get(preset, [])) if preset != "paper" else [])
    named = {d for block in blocks for d in block.get("datasets", [])}
    values: dict[str, Any] = {}
    origins = {
        spec.name: Origin(spec.metadata.get("source", "the method's default"), "code") for spec in fields(method.Config)
    }
    notes: list[str] = []
    for block in blocks:
        if dataset not in block.get("datasets", [dataset]):
            continue
        ipcs = block.get("ipcs")
        if ipcs and ipc not in ipcs:
            same = [b for b in blocks if b.get("datasets") == block.get("datasets") and "ipcs" in b]
            nearest = min((i for b in same for i in b["ipcs"]), key=lambda i: abs(math.log(i / ipc)))
            if nearest not in ipcs:
                continue
            notes.append(f"{name}: no published settings for {dataset} at ipc {ipc}, those of ipc {nearest} are used")
        values |= block["settings"]
        origins |= {key: Origin(block["source"], block["provenance"]) for key in block["settings"]}
    if named and dataset not in named:
        notes.append(f"{name}: no published settings for {dataset}, the generic ones are used")
        origins["dataset"] = Origin("generic settings on another dataset", "ours")
    return values, origins, notes


def _typed(method: type[Condenser], values: Mapping[str, Any], *, where: str) -> Settings:
    """The method's dataclass from plain values; 1 and 1.0 become the same where the field is a float."""
    known = [spec.name for spec in fields(method.Config)]
    for key in values:
        if key not in known:
            raise _unknown("setting", key, known, where=f"{where}.{key}")
    schema = OmegaConf.structured(method.Config)
    OmegaConf.set_readonly(schema, False)  # a frozen dataclass makes a read-only node
    try:
        config = OmegaConf.to_object(OmegaConf.merge(schema, dict(values)))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise MethodError(str(error).splitlines()[0], where=f"{where}.{key}") from error
    except MethodError as error:
        raise MethodError(error.what, where=f"{where}.{error.where}", next=error.next) from error
    assert isinstance(config, Settings)
    return config


def _unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> MethodError:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return MethodError(f"no {kind} '{name}'.{hint}", where=where, next=f"known: {', '.join(sorted(known))}")
