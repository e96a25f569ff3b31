"""Parsing and checking the command line of `python -m benchmark.methods`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from benchmark.utils.errors import BenchmarkError, unknown
from methods import registry

COMMAND = "python -m benchmark.methods"
USAGE = f"{COMMAND} NAME [DATASET IPC [preset=quick] [iterations_fraction=F] [SETTING=VALUE …]], or diff PATH …"


@dataclass(frozen=True)
class MethodRequest:
    """A method, or one cell of it. dataset: whose settings apply, None for no cell; ipc: None for the whole set."""

    method: str
    dataset: str | None = None
    ipc: int | None = None
    preset: str = "paper"
    iterations_fraction: float = 1.0
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, overrides: Mapping[str, Any]) -> registry.ResolvedSettings:
        """The settings of the cell with these overrides. Raises MethodError for one that is no setting."""
        assert self.dataset is not None
        return registry.resolve(
            self.method,
            dataset=self.dataset,
            ipc=self.ipc,
            preset=self.preset,
            iterations_fraction=self.iterations_fraction,
            overrides=overrides,
        )


def parse(words: Sequence[str]) -> MethodRequest:
    """`NAME [DATASET IPC [OPTION=VALUE …]]`. Raises BenchmarkError or MethodError for anything else."""
    plain, options = [word for word in words if "=" not in word], [word for word in words if "=" in word]
    if not plain:
        raise BenchmarkError("no method is named", where=" ".join(words), next=USAGE)
    name, *cell = plain
    registry.load(name)  # an unknown name is the first error to report
    if not cell and options:
        example = f"{COMMAND} {name} cifar10 10 {options[0]}"
        raise BenchmarkError("a setting needs a cell, DATASET and IPC", where=options[0], next=example)
    if not cell:
        return MethodRequest(name)
    dataset, ipc = _cell(name, *cell)
    preset, iterations_fraction, overrides = _options(name, options)
    return MethodRequest(name, dataset, ipc, preset, iterations_fraction, overrides)


def _cell(name: str, dataset: str, *rest: str) -> tuple[str, int | None]:
    where = " ".join([name, dataset, *rest])
    if dataset.lstrip("+-").isdecimal():
        raise BenchmarkError(f"no dataset is named before {dataset}", where=where, next=USAGE)
    if len(rest) > 1:
        raise BenchmarkError(f"'{rest[1]}' is one word too many", where=where, next=USAGE)
    if not rest and name not in registry.UNCONDENSED:
        raise BenchmarkError("a cell needs an ipc, images per class", where=where, next=f"{COMMAND} {where} 10")
    if rest and not re.fullmatch("0*[1-9][0-9]{0,8}", rest[0]):
        raise BenchmarkError(f"ipc must be a whole number from 1, got '{rest[0]}'", where=where)
    return dataset.partition("@")[0], int(rest[0]) if rest else None  # settings do not depend on the split after @


def _options(name: str, words: Sequence[str]) -> tuple[str, float, dict[str, Any]]:
    """Preset, fraction of the iterations, and settings. Values are read as YAML, as for a run."""
    options: dict[str, Any] = {"preset": "paper", "iterations_fraction": 1.0}
    for word in words:
        key, _, text = word.partition("=")
        if key.startswith("method."):
            _, owner, setting = [*key.split(".", 2), ""][:3]
            if owner != name or not setting:
                what = f"'{key}' is no setting of {name}"
                raise BenchmarkError(what, where=word, next=f"method.{name}.SETTING=VALUE")
            key = setting
        try:
            parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        except (YAMLError, OmegaConfBaseException, ValueError) as error:
            raise BenchmarkError("the value is malformed", where=word, next="quote it for the shell") from error
        options[key] = parsed["value"]
    preset, iterations_fraction = options.pop("preset"), options.pop("iterations_fraction")
    if preset not in registry.SETTINGS_PRESETS:
        raise unknown("preset", str(preset), registry.SETTINGS_PRESETS, where=f"preset={preset}")
    if not (isinstance(iterations_fraction, int | float) and 0 < iterations_fraction <= 1):
        what = f"iterations_fraction must be a number in (0, 1], got '{iterations_fraction}'"
        raise BenchmarkError(what, where=f"iterations_fraction={iterations_fraction}")
    return preset, iterations_fraction, options
