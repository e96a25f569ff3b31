"""dataset.yaml: what a person says about a folder of images (name, what it is like, size, mirroring)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmark.datasets.builtin import KNOWN, name_of
from benchmark.utils.errors import BenchmarkError, unknown

FILE = "dataset.yaml"
_KEYS = ("name", "like", "flip", "size")
_SIZES = (4, 1024)  # pixels a side that make sense here


@dataclass(frozen=True)
class Description:
    """name: as tables print it. like: a known dataset or None. flip: may images be mirrored.

    size: pixels a side to which images are resized (short side, centre cut out), None for images as they are.
    """

    name: str
    like: str | None
    flip: bool
    size: int | None


def describe(folder: Path) -> Description:
    """What the folder's dataset.yaml says, with defaults for what it does not. Raises BenchmarkError.

    Without a name the folder's is taken; a folder that is called like a known dataset gets `-folder` appended, since
    the bare name would claim the published numbers of images that nobody has compared.
    """
    path = folder / FILE
    said = _read(path) if path.is_file() else {}
    for key in said:
        if key not in _KEYS:
            raise unknown(f"key of {FILE}", str(key), _KEYS, where=str(path))
    like = _like(said.get("like"), path)
    flip = said.get("flip", KNOWN[like].flip if like else True)
    if not isinstance(flip, bool):
        raise BenchmarkError(f"flip must be true or false, got {flip!r}", where=f"{path}, flip")
    size = said.get("size")
    if size is not None and not (type(size) is int and _SIZES[0] <= size <= _SIZES[1]):
        raise BenchmarkError(f"size must be {_SIZES[0]} to {_SIZES[1]} pixels, got {size!r}", where=f"{path}, size")
    if "name" in said:
        return Description(_checked_name(said["name"], f"{path}, name"), like, flip, size)
    name = folder.name or "dataset"
    name = f"{name}-folder" if name in KNOWN else name
    return Description(_checked_name(name, f"{folder}; `name` in its {FILE} goes first"), like, flip, size)


def _read(path: Path) -> dict[Any, Any]:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise BenchmarkError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}", where=str(path), next=_example()
        ) from error
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise BenchmarkError(f"{path} must hold keys and values, got {said!r}", where=str(path), next=_example())
    return said


def _like(said: object, path: Path) -> str | None:
    """The key of a known dataset, which may be called as tables print it: imagenette@ilsvrc."""
    printed = {name_of(key): key for key in KNOWN}
    like = printed.get(said, said) if isinstance(said, str) else said
    if like is None or (isinstance(like, str) and like in KNOWN):
        return like
    raise unknown("dataset", str(like), KNOWN, where=f"{path}, like")


def _checked_name(name: object, where: str) -> str:
    """A name that can stand in a table, a file name and a command."""
    if not isinstance(name, str) or not name.strip():
        raise BenchmarkError(f"name must be text, got {name!r}", where=where, next="write it in quotes")
    if name.partition("@")[0] in KNOWN:
        raise BenchmarkError(
            f"the name '{name}' belongs to a known dataset, whose published numbers would then apply to these images",
            where=where,
            next=f"call it something else, and say like: {name.partition('@')[0]} to use its constants and settings",
        )
    if name != name.strip() or name[0] in ".~" or not name.isprintable() or set(name) & set("/\\") or len(name) > 60:
        raise BenchmarkError(
            f"the name {name!r} cannot be part of a file name", where=where,
            next="use letters, digits, dots and dashes, 60 at most",
        )  # fmt: skip
    return name


def _example() -> str:
    return "for example: name: my-images, like: cifar10, flip: true, each on a line of its own"
