"""dataset.yaml: what the user declares about a folder of images (name, like, flip, size, image, label)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.datasets.base import one_line
from benchmark.datasets.builtin import card_of, key_of, names
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.regular_files import check_file
from slurm.plain_yaml import MAX_BYTES, read_yaml

FILE = "dataset.yaml"
_KEYS = ("name", "like", "flip", "size", "image", "label")
_COLUMNS = ("image", "label")
_SIZES = (4, 1024)  # smallest and largest side in pixels
_EXAMPLE = "for example: name: my-images, like: cifar10, flip: true, each on a line of its own"


@dataclass(frozen=True)
class Description:
    """name: as tables print it. like: a built-in dataset or None. flip: may images be mirrored.

    size: the side in pixels to which images are resized (short side, then center crop); None leaves them as they are.
    image, label: the columns of a table, None if they are to be found.
    """

    name: str
    like: str | None
    flip: bool
    size: int | None
    image: str | None
    label: str | None


def read_description(folder: Path) -> Description:
    """The folder's dataset.yaml, with defaults for missing keys. Raises BenchmarkError.

    Without a name the folder's is taken; a folder with the name of a built-in dataset gets `-folder` appended, since
    the bare name would claim the published numbers for images that nobody has compared.
    """
    path = folder / FILE
    values = _read(path) if path.exists() else {}
    for key in values:
        if key not in _KEYS:
            raise unknown(f"key of {FILE}", str(key)[:40], _KEYS, where=str(path))
    like = _like(values.get("like"), path)
    flip = values.get("flip", card_of(like).flip if like else True)
    if not isinstance(flip, bool):
        raise BenchmarkError(f"flip must be true or false, got {_kind(flip)}", where=f"{path}, flip")
    size = values.get("size")
    if size is not None and not (type(size) is int and _SIZES[0] <= size <= _SIZES[1]):
        raise BenchmarkError(
            f"size must be {_SIZES[0]} to {_SIZES[1]} pixels, got {_kind(size)}", where=f"{path}, size"
        )
    if "name" in values:
        name = _check_name(values["name"], f"{path}, name")
    else:
        name = folder.name or "dataset"
        name = f"{name}-folder" if name in names() else name
        where, cure = f"{folder}; `name` in its {FILE} takes precedence", f"write `name: my-images` into {path}"
        name = _check_name(name, where, cure)
    return Description(name, like, flip, size, *(_column(values.get(key), f"{path}, {key}") for key in _COLUMNS))


def _read(path: Path) -> dict[Any, Any]:
    try:
        check_file(path, MAX_BYTES)
        return read_yaml(path)
    except ValueError as error:
        what = f"{path} cannot be read: {one_line(error)[:200]}"
        raise BenchmarkError(what, where=str(path), next=_EXAMPLE) from error


def _column(value: object, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        what = f"the name of a column must be text, got {_kind(value)}"
        raise BenchmarkError(what, where=where, next="write it in quotes")
    return value


def _kind(value: object) -> str:
    """A short number as it is, of other values their type: a file can hold any amount of them."""
    return str(value) if isinstance(value, int) and abs(value) < 10**9 else f"a value of type {type(value).__name__}"


def _like(value: object, path: Path) -> str | None:
    """The key of a dataset with a card; its name in tables, as imagenette@ilsvrc, is accepted too."""
    like = key_of(value) if isinstance(value, str) else None
    if value is not None and like is None:
        raise unknown("dataset", str(value)[:60], names(), where=f"{path}, like")
    return like


def _check_name(name: object, where: str, next: str = "use letters, digits, dots and dashes, 60 at most") -> str:
    """The name, if it can be used in a table, a file name and a command; else raises BenchmarkError."""
    if not isinstance(name, str) or not name.strip():
        raise BenchmarkError(f"name must be text, got {_kind(name)}", where=where, next="write it in quotes")
    builtin = name.partition("@")[0]
    if builtin in names():
        raise BenchmarkError(
            f"the name '{name}' belongs to a built-in dataset, whose published numbers would then apply to your images",
            where=where,
            next=f"choose another name, and set like: {builtin} to use its constants and settings",
        )
    if name != name.strip() or name[0] in ".~" or not name.isprintable() or set(name) & set("/\\") or len(name) > 60:
        raise BenchmarkError(
            f"the name {name!r} cannot be part of a file name",
            where=where,
            next=next,
        )
    return name
