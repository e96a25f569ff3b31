"""Composition: Hydra fills the dataclasses of the schema from presets and the command line.

Hydra and OmegaConf are imported where they are used, as they take longer to load than `--help` takes to print.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from importlib.resources import files
from typing import Any, TypeVar

import yaml

from benchmark.config import command_line
from benchmark.config.options import CommandConfig
from benchmark.config.report_options import ReportConfig
from benchmark.config.schema import SCHEMAS, EvaluateConfig, ProfileConfig, RunConfig
from benchmark.config.shared_options import GridConfig
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.paths import expand_user
from methods.plug_ins import PlugInGroup

Schema = TypeVar("Schema", bound=CommandConfig)

RUN_PRESETS = ("quick", "paper")
# NAME=VALUE with a value that Hydra, too, reads as text, unless it is one of _NO_TEXT.
_PLAIN_OPTION = re.compile(r"(\w+)=([A-Za-z/][\w./-]*)")
_NO_TEXT = ("null", "nan", "inf")
# Options that hold names, by the kind of plug-in that they name.
_GROUPS = {
    "methods": "methods",
    "variants": "methods",
    "again": "methods",
    "method": "methods",
    "architectures": "architectures",
    "eval_architectures": "architectures",
    "protocols": "protocols",
    "analyses": "analyses",
}
_HELP = """\
{about}

  python -m benchmark.{name} [NAME=VALUE ...]      quote brackets: 'NAME=[a,b]'

{options}

-m runs every combination of NAME=a,b; --cfg job prints the composed options; --hydra-help has the rest.
"""


def with_hydra(name: str, words: Sequence[str], command: Callable[[Mapping[str, Any]], None]) -> None:
    """Compose configuration `name` from the words and call the command with it, for each job of a sweep.

    Raises BenchmarkError as `command_line.for_hydra`.
    """
    words = command_line.for_hydra(name, SCHEMAS[name], words)
    # argparse refuses what stands behind a flag that stands behind an option
    sys.argv[1:] = sorted(words, key=lambda word: word not in ("-m", "--multirun"))
    import hydra

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra passes errors on instead of printing them
    register()
    hydra.main(version_base="1.3", config_path="pkg://benchmark.conf", config_name=name)(command)()


def register() -> None:
    """Give Hydra a configuration of every command, made of its dataclass. No folder or log of Hydra's appears."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    open_node = OmegaConf.create(
        {}, flags={"struct": False}
    )  # method.NAME.SETTING is checked by the method's dataclass
    store.store(name="open_methods", node=OmegaConf.create({"method": open_node}))
    for name in SCHEMAS:
        store.store(name=name, node=_node(name))
    OmegaConf.register_new_resolver("scratch", _scratch, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("help_of", help_of, replace=True)


def _node(name: str) -> dict[str, Any]:
    of = SCHEMAS[name]
    names = {spec.name for spec in fields(of)}
    values = {spec.name: _default(spec) for spec in fields(of) if "meaning" in spec.metadata and not _is_preset(spec)}
    composed = ["open_methods"] if issubclass(of, GridConfig) else []
    presets: list[Any] = [{"preset": "quick"}] if "preset" in names else []
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    hydra = {
        "help": {"template": f"${{help_of:{name}}}"},
        "output_subdir": None,
        "run": {"dir": "."},
        "sweep": {"dir": "${scratch:}", "subdir": "."},
    }
    return {"defaults": ["_self_", *composed, *presets, *quiet], **values, "hydra": hydra}


def plain_options(name: str, words: Sequence[str]) -> dict[str, str] | None:
    """The options on a command line that Hydra is not needed for, None if it is.

    These are lines of plain NAME=VALUE words for a command without presets, such as looking at a store: loading Hydra
    takes longer than all else that it does.
    """
    listed = {spec.name for spec in fields(SCHEMAS[name])}
    matches = [_PLAIN_OPTION.fullmatch(word) for word in words]
    options = {match[1]: match[2] for match in matches if match and match[2].lower() not in _NO_TEXT}
    plain = all(matches) and len(options) == len(words) and options.keys() <= listed
    return options if plain and "preset" not in listed else None


def help_of(name: str) -> str:
    """What `--help` prints."""
    return _HELP.format(about=SCHEMAS[name].about, name=name, options=options_of(name))


def options_of(name: str) -> str:
    """Each option with its default and meaning, then what each preset sets."""
    of = SCHEMAS[name]
    lines = [_line(spec.name, _default(spec), spec) for spec in _listed(of) if not _is_preset(spec)]
    given = {spec.name: spec for spec in _listed(of) if _is_preset(spec)}
    if not given:
        return "\n".join(lines)
    if name != "evaluate":
        lines.append("method.NAME.SETTING=VALUE # any setting of a method; python -m benchmark.methods NAME lists them")
    for preset in RUN_PRESETS:
        values = _preset(preset)
        lines += ["", f"preset={preset}{' (the default)' * (preset == 'quick')}"]
        lines += [f"  {_line(key, values[key], spec)}" for key, spec in given.items()]
    return "\n".join(lines)


def _listed(of: type[CommandConfig]) -> Iterator[Field[Any]]:
    unused = {"variants", "iterations_fraction"} if of is EvaluateConfig else set()  # nothing is condensed
    return (spec for spec in fields(of) if "meaning" in spec.metadata and spec.name not in unused)


def _is_preset(spec: Field[Any]) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _default(spec: Field[Any]) -> Any:
    return spec.default_factory() if spec.default_factory is not MISSING else spec.default


def _line(name: str, value: Any, spec: Field[Any]) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    meaning = spec.metadata["meaning"]
    return f"{name}: {text}" + (f" # {meaning}" if meaning else "")


def _preset(name: str) -> dict[str, Any]:
    found = yaml.safe_load((files("benchmark.conf") / "preset" / f"{name}.yaml").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def _scratch() -> str:
    """A folder for what Hydra writes beside a sweep, gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="condensation-sweep-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _as_list(value: Any, wanted: Any) -> Any:
    """A list of the value where a list is wanted and one value was given: ipcs=10 means ipcs=[10]."""
    return [value] if str(wanted).startswith("list[") and isinstance(value, str | int | float) else value


def _literal(value: Any) -> Any:
    """A resolved value, in which OmegaConf is not to find an interpolation again."""
    if isinstance(value, list):
        return [_literal(element) for element in value]
    return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value) if isinstance(value, str) else value


def _lower_names(config: CommandConfig) -> None:
    """Turn DM into dm: this project's names are in lower case. Those of other packages stay as they are."""
    for option, group in _GROUPS.items():
        value, points = getattr(config, option, None), PlugInGroup(group, ()).points()
        if isinstance(value, list):
            setattr(config, option, [_lower_name(name, points) for name in value])
        elif isinstance(value, str):
            setattr(config, option, _lower_name(value, points))


def _lower_name(text: str, other_packages: Collection[str]) -> str:
    name, at, settings = text.partition("@")
    is_ours = name not in other_packages and name.partition("-")[0] not in other_packages
    return f"{name.lower()}{at}{settings}" if is_ours else text


def parse(config: Mapping[str, Any]) -> RunConfig:
    """A run's composed configuration as checked plain values. Raises BenchmarkError for a value of the wrong type."""
    return parse_as(RunConfig, config)


def parse_profile(config: Mapping[str, Any]) -> ProfileConfig:
    """`parse` for a profile, which takes only some of what a preset gives; the rest is left out, unless it was set."""
    preset = _preset(config["preset"])
    taken = {spec.name for spec in fields(ProfileConfig)}
    kept = {name: value for name, value in config.items() if name in taken or value != preset.get(name)}
    return parse_as(ProfileConfig, kept)


def parse_as(of: type[Schema], config: Mapping[str, Any]) -> Schema:
    """`parse` for any command's schema."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    types = {spec.name: spec.type for spec in fields(of)}
    try:
        plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)
    except OmegaConfBaseException as error:
        raise BenchmarkError(
            str(error).partition("\n")[0], where=str(error.full_key), next="${…} is an interpolation"
        ) from error
    assert isinstance(plain, dict)
    values = {name: _literal(_as_list(plain[name], types[name])) for name in types if name in plain}
    for name in config:
        if name not in values:
            raise unknown("option", str(name), values, where="command line")
    try:
        parsed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(of), values))
    except OmegaConfBaseException as error:
        name = str(getattr(error, "full_key", None) or "?").split("[")[0]
        wanted = types.get(name, "another type")
        raise BenchmarkError(
            f"{name} must be {wanted}, got {values.get(name)}", where=name, next="see --help"
        ) from error
    assert isinstance(parsed, of)
    if of is not ReportConfig:  # whose rows have names of their own
        _lower_names(parsed)
    parsed.check()
    for name in {"store", "data_root", "cache"} & types.keys():
        path = getattr(parsed, name)
        if isinstance(path, list):
            setattr(parsed, name, [str(expand_user(each, where=name)) for each in path])
        elif path is not None:
            setattr(parsed, name, str(expand_user(path, where=name)))
    return parsed
