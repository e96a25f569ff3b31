"""Composition: Hydra and the YAML files of `conf/` around the dataclasses of the schema."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.config.schema import Asked, ProfileConfig, RunConfig
from benchmark.utils.errors import BenchmarkError, unknown

Schema = TypeVar("Schema", bound=Asked)


def register() -> None:
    """Tell Hydra what YAML cannot say: an open `method` node, and a scratch folder for sweeps."""
    open_node = OmegaConf.create({}, flags={"struct": False})
    ConfigStore.instance().store(name="open_methods", node=OmegaConf.create({"method": open_node}))
    OmegaConf.register_new_resolver("scratch", _scratch, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("settings_of", settings_of, replace=True)


def settings_of(name: str) -> str:
    """What `--help` shows: conf/NAME.yaml's settings with their comments, and what each preset sets on top."""
    conf = files("benchmark.conf")
    lines = (conf / f"{name}.yaml").read_text().split("\nhydra:")[0].split("\n\n", 1)[1].strip().splitlines()
    if name in ("run", "analyze", "evaluate", "profile"):
        lines += ["method.NAME.SETTING=VALUE # any setting of a method, over its preset"] * (name != "evaluate")
        for preset in ("quick", "paper"):
            body = (conf / "preset" / f"{preset}.yaml").read_text().splitlines()[1:]
            if name in _OF_PRESETS:
                body = [line for line in body if re.match(f"({_OF_PRESETS[name]}):", line)]
            lines += ["", f"preset={preset}{' (the default)' * (preset == 'quick')}", *(f"  {line}" for line in body)]
    return "\n".join(lines)


# What presets set for commands that do not take all of it: nothing is condensed, or nothing evaluated.
_OF_PRESETS = {"evaluate": "protocols|seeds|networks", "profile": "iterations_fraction"}


def _scratch() -> str:
    """A folder for what Hydra writes beside a sweep, gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="condensation-sweep-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def parse(config: DictConfig) -> RunConfig:
    """A run's composed configuration as checked plain values. Raises BenchmarkError for a value of the wrong type."""
    return parse_as(RunConfig, config)


def parse_profile(config: DictConfig) -> ProfileConfig:
    """`parse` for a profile, which takes only some of what a preset sets: the rest is left out, unless it was said."""
    preset = OmegaConf.load(str(files("benchmark.conf") / "preset" / f"{config.preset}.yaml"))
    taken = {spec.name for spec in fields(ProfileConfig)}
    names = [str(name) for name in config]
    said = [name for name in names if name in taken or config[name] != OmegaConf.select(preset, name)]
    return parse_as(ProfileConfig, OmegaConf.masked_copy(config, said))


def parse_as(schema: type[Schema], config: DictConfig) -> Schema:
    """`parse` for any command's schema."""
    types = {spec.name: spec.type for spec in fields(schema)}
    values = {name: config[name] for name in types if name in config}
    for name in config:
        if name not in values:
            raise unknown("setting", str(name), values, where="command line")
    try:
        parsed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values))
    except OmegaConfBaseException as error:
        name = str(getattr(error, "full_key", None) or "?").split("[")[0]
        wanted = types.get(name, "another type")
        raise BenchmarkError(
            f"{name} must be {wanted}, got {values.get(name)}", where=name, next="see --help"
        ) from error
    assert isinstance(parsed, schema)
    parsed.check()
    for name in {"out", "data_root"} & types.keys():
        setattr(parsed, name, str(Path(getattr(parsed, name)).expanduser()))
    return parsed
