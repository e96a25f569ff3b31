"""The words of `python -m methods …`: what they ask for, checked, and the page that answers them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import RenderableType
from yaml import YAMLError

from methods import diff, explain, registry
from methods.errors import MethodError

USAGE = "python -m methods NAME [DATASET IPC [preset=quick] [iterations_fraction=F] [SETTING=VALUE …]], or diff PATH …"


@dataclass(frozen=True)
class Answer:
    """What to print, whether stored settings differ from published ones, and what went wrong beside that."""

    parts: Sequence[RenderableType]
    differs: bool = False
    errors: Sequence[MethodError] = field(default_factory=tuple)


def answer(words: Sequence[str]) -> Answer:
    """The page for one command line. Raises MethodError for a request that makes no sense."""
    if not words:
        return Answer(explain.overview())
    if words[0] == "diff":
        return _differences(words[1:])
    plain = [word for word in words if "=" not in word]
    options = [word for word in words if "=" in word]
    if not plain:
        raise MethodError("no method is named", where=" ".join(words), next=USAGE)
    name, *cell = plain
    registry.described(name)  # an unknown name is said before anything else is looked at
    if not cell and options:
        what = "a setting is given a value, and no cell to look at it in"
        raise MethodError(what, where=options[0], next=f"python -m methods {name} cifar10 10 {options[0]}")
    if not cell:
        return Answer(explain.method_page(name))
    return Answer(_cell(name, cell, options))


def _differences(paths: Sequence[str]) -> Answer:
    if not paths:
        raise MethodError("diff compares what is stored: no path is named", next="python -m methods diff outputs")
    compared, errors = diff.compare([Path(path) for path in paths])
    return Answer(diff.pages(compared), any(one.differs for one in compared), errors)


# --- a cell -----------------------------------------------------------------------------------------------------------


def _cell(name: str, cell: Sequence[str], options: Sequence[str]) -> list[RenderableType]:
    """The page of `NAME DATASET IPC [OPTION=VALUE …]`."""
    dataset, ipc = _place(name, cell)
    preset, fraction, overrides = _options(name, options)
    known = registry.datasets()
    notes = []
    if dataset not in {*known, *registry.datasets(name)} and (near := difflib.get_close_matches(dataset, known, n=1)):
        notes.append(f"no settings name a dataset '{dataset}'; did you mean '{near[0]}'?")
    if preset == "quick" and fraction == 1:
        notes.append("a run with preset=quick also cuts the iterations; iterations_fraction=F shows by how much")
    return explain.cell_page(
        name, dataset=dataset, ipc=ipc, preset=preset, fraction=fraction, overrides=overrides, notes=notes
    )


def _place(name: str, cell: Sequence[str]) -> tuple[str, int | None]:
    """The dataset whose settings apply, and the ipc: None for the whole set, which has none."""
    dataset, *rest = cell
    if dataset.lstrip("+-").isdecimal():
        raise MethodError(f"no dataset is named before {dataset}", where=" ".join([name, *cell]), next=USAGE)
    if len(rest) > 1:
        raise MethodError(f"'{rest[1]}' is one word too many", where=" ".join([name, *cell]), next=USAGE)
    if not rest and name not in registry.UNCONDENSED:
        example = f"python -m methods {name} {dataset} 10"
        raise MethodError("a cell of the tables has an ipc, images per class", where=f"{name} {dataset}", next=example)
    ipc = None
    if rest:
        if not re.fullmatch("0*[1-9][0-9]{0,8}", rest[0]):
            raise MethodError(f"ipc must be a whole number from 1, got '{rest[0]}'", where=" ".join([name, *cell]))
        ipc = int(rest[0])
    return dataset.partition("@")[0], ipc  # settings do not depend on the split that a name may carry


def _options(name: str, words: Sequence[str]) -> tuple[str, float, dict[str, Any]]:
    """Preset, fraction of the iterations, and settings with their values as YAML reads them, as a run does."""
    preset, fraction = "paper", 1.0
    overrides: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key == "preset":
            if text not in registry.PRESETS:
                raise registry.unknown("preset", text, registry.PRESETS, where=word)
            preset = text
        elif key == "iterations_fraction":
            fraction = _fraction(text, word)
        else:
            overrides[_setting(name, key, word)] = _value(text, word)
    return preset, fraction, overrides


def _fraction(text: str, word: str) -> float:
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise MethodError(f"iterations_fraction must be a number in (0, 1], got '{text}'", where=word)
    return fraction


def _setting(name: str, key: str, word: str) -> str:
    """The setting's own name, of `SETTING` or `method.NAME.SETTING`."""
    if not key.startswith("method."):
        return key
    _, owner, setting = [*key.split(".", 2), ""][:3]
    if owner != name or not setting:
        raise MethodError(f"'{key}' is no setting of {name}", where=word, next=f"method.{name}.SETTING=VALUE")
    return setting


def _value(text: str, word: str) -> Any:
    try:
        values: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise MethodError("a value that cannot be read", where=word, next="quote it for the shell") from error
    return values["value"]
