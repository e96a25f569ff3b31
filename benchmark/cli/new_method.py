"""A package with a method of one's own, written to start from: docs/extend/method.md explains its parts."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from benchmark.utils.errors import BenchmarkError
from methods import registry

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FILES = {  # in the package's folder → template
    "pyproject.toml": "pyproject.toml.txt",
    "NAME_method/__init__.py": "method.py.txt",
    "NAME_method/settings/NAME.yaml": "settings.yaml.txt",
    "tests/test_NAME.py": "test.py.txt",
}


def write(name: str, where: Path) -> Path:
    """Write the package of a method called `name` into a new folder in `where`; returns the folder.

    Raises BenchmarkError for a name that is no identifier or is taken, and if the folder exists or cannot be made.
    """
    if not _NAME.fullmatch(name):
        raise BenchmarkError(
            f"'{name}' cannot be the name of a method", where=f"new {name}", next="lower-case letters, digits and _"
        )
    if name in registry.locations():
        raise BenchmarkError(f"there is a method '{name}' already", where=f"new {name}", next="choose another name")
    folder, words = where / f"{name}-method", {"NAME": name, "CLASS": "".join(map(str.capitalize, name.split("_")))}
    try:
        folder.mkdir()
        for path, template in _FILES.items():
            target = folder / _filled(path, words)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = (files("benchmark") / "templates" / "method" / template).read_text("utf-8")
            target.write_text(_filled(text, words), "utf-8")
    except OSError as error:
        what = f"cannot write the package: {error.strerror}"
        raise BenchmarkError(what, where=str(folder), next="run the command in another folder") from error
    return folder


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text
