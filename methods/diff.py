"""Stored condense tasks against what was published for their cells: which settings differ, and how much was run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from methods import registry
from methods.errors import MethodError
from methods.layout import add, columns, shown

NONE = "–"


@dataclass(frozen=True)
class Difference:
    """A setting whose stored value is not the published one; NONE where one side has no such setting."""

    setting: str
    stored: str
    published: str
    source: str


@dataclass(frozen=True)
class Compared:
    """One stored task beside the published settings of its cell. `told`: what to know beside the differences."""

    name: str
    cell: str
    differences: tuple[Difference, ...]
    versions: str
    told: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return bool(self.differences or self.versions)


def compare(paths: Sequence[Path]) -> tuple[list[Compared], list[MethodError]]:
    """Every condense task under the paths, and what is wrong with those that cannot be compared."""
    tasks: dict[Path, None] = {}  # in order, each once
    compared: list[Compared] = []
    errors: list[MethodError] = []
    for path in paths:
        try:
            tasks |= dict.fromkeys(found.absolute() for found in _tasks(path))
        except MethodError as error:
            errors.append(error)
    for task in tasks:
        try:
            compared.append(_compared(task))
        except MethodError as error:
            errors.append(error)
    return compared, errors


def pages(compared: Sequence[Compared]) -> list[RenderableType]:
    """What differs, said once for all tasks that differ alike (by their seed alone, say), and a count at the end."""
    alike: dict[Compared, list[str]] = {}
    for one in compared:
        alike.setdefault(replace(one, name=""), []).append(one.name)
    parts: list[RenderableType] = []
    for one, names in alike.items():
        parts.append(Text(f"{one.cell}{'' if one.differs else ': as published'}", style="bold"))
        parts += [Text(f"  {name}") for name in names]
        if one.differences:
            listed = columns("Setting", "Stored", "Published", "Source")
            for each in one.differences:
                add(listed, each.setting, each.stored, each.published, each.source)
            parts.append(listed)
        parts += [Text(f"  {text}") for text in (one.versions, *one.told) if text]
    if compared:
        count = sum(one.differs for one in compared)
        parts.append(Text(f"{count} of {len(compared)} condense tasks differ from what was published for their cells"))
    return parts


# --- what is stored ---------------------------------------------------------------------------------------------------

_WANTED = "name a store (a folder with condense/ in it), a condense task's folder, or its task.json"
_KINDS = {
    "prepare": "this task trains an expert",
    "import": "this task holds a set made elsewhere",
    "evaluate": "this task scores a set",
    "analyze": "this task looks at sets",
}


def _tasks(path: Path) -> list[Path]:
    """The task.json files a path stands for. Raises MethodError when there are none."""
    try:
        path = path.expanduser()
        if path.is_file():
            return [path]
        if (path / "task.json").is_file():
            return [path / "task.json"]
        folder, there = path if path.name == "condense" else path / "condense", path.exists()
        found, is_store = sorted(folder.glob("*/task.json")), folder.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: ~NAME of nobody
        reason = getattr(error, "strerror", None) or error
        raise MethodError(f"this path cannot be read: {reason}", where=str(path), next=_WANTED) from error
    if is_store and not found:
        raise MethodError("the store holds no condense task yet", where=str(path), next=_WANTED)
    if not found:
        what = "there is no stored task here" if there else "there is nothing at this path"
        raise MethodError(what, where=str(path), next=_WANTED)
    return found


def _read(path: Path) -> dict[str, Any]:
    """A condense task as the planner wrote it. Raises MethodError for anything else."""
    try:
        task: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MethodError(f"cannot be read: {error.strerror or error}", where=str(path), next=_WANTED) from error
    except ValueError as error:
        raise MethodError("this is no task: it is not JSON", where=str(path), next=_WANTED) from error
    known: dict[str, Any] = task if isinstance(task, dict) else {}
    kind, resolved, label = known.get("kind"), known.get("resolved"), known.get("display")
    if not (isinstance(resolved, dict) and isinstance(label, dict)):
        raise MethodError("this is no task of a store", where=str(path), next=_WANTED)
    if kind in _KINDS:
        raise MethodError(f"{_KINDS[kind]}, which no method's paper sets", where=str(path), next=_WANTED)
    wanted = {"method": str, "settings": dict, "ipc": int, "version": int}
    lacking = [key for key, type_ in wanted.items() if not isinstance(resolved.get(key), type_)]
    lacking += ["ipc"] if not lacking and resolved["ipc"] < 1 else []
    wrong = [f"its kind is {kind!r}"] if kind != "condense" else []
    wrong += [f"its asked.{key} is missing, or nothing a planner writes" for key in lacking]
    if wrong:
        raise MethodError(f"this is no condense task: {wrong[0]}", where=str(path), next=_WANTED)
    return known


# --- against what was published ---------------------------------------------------------------------------------------


def _compared(path: Path) -> Compared:
    """One task beside its cell. Raises MethodError when it cannot be read, or its method is not installed."""
    task = _read(path)
    resolved, label = task["resolved"], task["display"]
    name, dataset = resolved["method"], str(label.get("published_as") or label.get("dataset") or "an unnamed dataset")
    try:
        published = registry.resolve(name, dataset=dataset, ipc=resolved["ipc"], preset="paper")
    except MethodError as error:
        raise MethodError(error.what, where=str(path), next=error.next) from error
    return Compared(
        name=path.parent.name,
        cell=_cell(label, name, dataset, resolved["ipc"]),
        differences=tuple(_differences(resolved["settings"], published, resolved["version"], name)),
        versions=_versions(resolved["version"], registry.described(name).card.version, name),
        told=(
            *_budget(resolved["settings"], published, label),
            *_ending(path.with_name("record.json")),
            *(f"note: {note}" for note in published.notes),
        ),
    )


def _cell(label: Mapping[str, Any], name: str, dataset: str, ipc: int) -> str:
    shown_as = label.get("dataset", dataset)
    like = "" if shown_as == dataset or str(shown_as).partition("@")[0] == dataset else f", like {dataset},"
    return f"{label.get('row', name)} on {shown_as}{like} at ipc {ipc}"


def _differences(
    stored: Mapping[str, Any], published: registry.ResolvedSettings, version: int, name: str
) -> list[Difference]:
    """In the order of the method's settings; those it no longer has come last."""
    values = json.loads(json.dumps(asdict(published.config), default=str))  # as a task stores them: lists for tuples
    found = []
    for spec in fields(published.config):
        key, value = spec.name, values[spec.name]
        if key not in stored:
            told = f"version {version} of {name} as stored has no such setting"
            found.append(Difference(key, NONE, shown(value), told))
        elif stored[key] != value:
            origin = published.origins[key]
            found.append(Difference(key, shown(stored[key]), shown(value), f"{origin.provenance}: {origin.source}"))
    gone = sorted(stored.keys() - values.keys())
    return found + [Difference(key, shown(stored[key]), NONE, f"{name} no longer has this setting") for key in gone]


def _versions(stored: int, now: int, name: str) -> str:
    return "" if stored == now else f"made by version {stored} of {name}; this is version {now}, whose results differ"


def _budget(stored: Mapping[str, Any], published: registry.ResolvedSettings, label: Mapping[str, Any]) -> list[str]:
    """How many of the published iterations the task asks for, where the method has any."""
    full, resolved = asdict(published.config).get("iterations"), stored.get("iterations")
    if not full or not isinstance(resolved, int):
        return []
    fraction = label.get("fraction")
    told = fraction if isinstance(fraction, int | float) else resolved / full
    return [f"{resolved:,} of {full:,} iterations" + ("" if resolved == full else f", a fraction of {told:.3g}")]


def _ending(record: Path) -> list[str]:
    """What to know of a task that is not known to have come to a good end."""
    try:
        status = json.loads(record.read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, TypeError, KeyError):
        return ["no record beside it says that it was carried out"]
    return [] if status == "ok" else [f"its record says {status}"]
