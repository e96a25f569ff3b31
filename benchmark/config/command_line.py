"""The words of a command line, as a shell hands them over, for Hydra's grammar: text needs no quotes of its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from benchmark.config.options import CommandConfig
from benchmark.utils.errors import BenchmarkError
from results.formatting import hydra_quoted

_PATHS = ("datasets", "dataset", "set", "store", "data_root", "cache", "cluster", "trace")  # their values can be paths
_OPTION = re.compile(r"(?:--)?([\w.-]+)=(.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z/][\w./@+-]*", re.ASCII)  # text that Hydra reads as such, unless it is a keyword
_KEYWORDS = ("null", "true", "false", "nan", "inf")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SWEEP = re.compile(r"(choice|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)  # functions of Hydra's for `-m`
_HYDRA_FLAGS = ("cfg", "package", "info", "config-path", "config-name", "config-dir", "experimental-rerun")


def for_hydra(name: str, of: type[CommandConfig], words: Sequence[str]) -> list[str]:
    """The words of command `name` for Hydra. Raises BenchmarkError, with the corrected command, for what is in pieces.

    `a,b` is a list where a list is wanted, and a sweep with `-m`. Elements of a list are one path where together, with
    the commas between them, they name a file or folder that exists.
    """
    types = {spec.name: str(spec.type) for spec in fields(of)}
    types = {option: wanted for option, wanted in types.items() if option != "preset" and "dict" not in wanted}
    if (whole := [_closed(word, types) for word in _joined(words, types)]) != list(words):
        command = shlex.join(["python", "-m", f"benchmark.{name}", *whole])
        what = "an option is one word, NAME=VALUE: quote spaces and brackets for the shell"
        raise BenchmarkError(what, where=" ".join(words), next=command)
    sweep = bool({"-m", "--multirun"} & set(words))
    return [_word(word, types, sweep) for word in words]


def quoted_command(name: str, of: type[CommandConfig], words: Sequence[str]) -> str:
    """The command with quotes for Hydra around each value that its grammar does not take."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    whole, parser = ["python", "-m", f"benchmark.{name}"], OverridesParser.create()
    for word in words:
        key, equals, value = word.partition("=")
        try:
            parser.parse_override(word)
        except HydraException:
            if key and equals and key not in of.__dataclass_fields__:
                word = f"{key}={hydra_quoted(value)}"
        whole.append(word)
    return shlex.join(whole)


def _joined(words: Sequence[str], types: Mapping[str, str]) -> list[str]:
    """The words, where those without `=` that follow an option belong to its value, and `--NAME` is `NAME=true`."""
    whole: list[str] = []
    for word in words:
        flag = word[2:].replace("-", "_") if word.startswith("--") else ""
        if "=" in word or word.startswith(("-", "~")):
            whole.append(f"{flag}=true" if flag in types else word)
        elif whole and "=" in whole[-1]:
            last = whole[-1].removesuffix("=true")  # --store PATH
            whole[-1] = f"{last}={word}" if last not in words and last in types else f"{whole[-1]} {word}"
        else:
            whole.append(word)
    return whole


def _closed(word: str, types: Mapping[str, str]) -> str:
    name, _, value = word.partition("=")
    opened = _is_list(types.get(name, "")) and value.startswith("[") and not value.endswith("]")
    return f"{word}]" if opened and not _exists(value) else word


def _word(word: str, types: Mapping[str, str], sweep: bool) -> str:
    match = _OPTION.fullmatch(word)
    name = match[1].replace("-", "_") if match else ""
    if match is None or name not in types:
        return word if match is None or match[1] in _HYDRA_FLAGS else word.removeprefix("--")
    values = _elements(match[2], name) if sweep else [match[2].strip()]
    return f"{name}={','.join(_value(value, name, types[name], sweep) for value in values)}"


def _value(value: str, name: str, wanted: str, sweep: bool) -> str:
    if sweep and _SWEEP.fullmatch(value):
        return value
    is_text = "str" in wanted or wanted == "Any"
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else None
    if _is_list(wanted) and not (name in _PATHS and _exists(value)) and (inside is not None or "," in value):
        elements = _elements(value if inside is None else inside, name)
        texts = [_text(element, name, wanted) if is_text else element for element in elements]
        return texts[0] if len(texts) == 1 and inside is None else f"[{','.join(texts)}]"
    return _text(value, name, wanted) if is_text else value


def _text(value: str, name: str, wanted: str) -> str:
    """One text, in quotes where it needs them. `${…}` is an interpolation, unless there is such a path."""
    keyword, exists = value.lower() in _KEYWORDS, name in _PATHS and _exists(value)
    if _QUOTED.fullmatch(value) or ("${" in value and not exists):
        return value
    if value.lower() == "null" and ("None" in wanted or wanted == "Any"):
        return value
    return value if _PLAIN.fullmatch(value) and not keyword else hydra_quoted(value)


def _elements(text: str, name: str) -> Iterator[str]:
    """The elements of a list, between commas that are not inside brackets, quotes or a path."""
    pieces = text.split(",") if text.strip() else []
    while pieces:
        starts = [(count, ",".join(pieces[:count]).strip()) for count in range(1, len(pieces) + 1)]
        paths = [start for start in starts[1:] if name in _PATHS and _exists(start[1])]
        count, element = next((s for s in [*reversed(paths), *starts] if s in paths or _is_whole(s[1])), starts[0])
        yield element
        pieces = pieces[count:]


def _is_list(wanted: str) -> bool:
    return wanted.startswith("list[") or wanted == "Any"


def _is_whole(text: str) -> bool:
    if text.startswith(("'", '"')):
        return bool(_QUOTED.fullmatch(text))
    return all(text.count(opening) == text.count(closing) for opening, closing in ("[]", "()", "{}"))


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, of no user, with a NUL
        return False
