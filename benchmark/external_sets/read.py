"""The forms in which sets are given away, each known by what it is, whatever it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.condensation.synthetic_set import load_set
from benchmark.datasets import Dataset
from benchmark.external_sets import images as pictures
from benchmark.external_sets import safe_load
from benchmark.external_sets.pixel_scale import BYTES, RAW
from benchmark.external_sets.validate import Pair, checked
from benchmark.utils.errors import BenchmarkError
from methods.base import SyntheticSet

WANTED = (
    "known: a .pt with 'data', a list of [images, labels] (DC, DSA, DM, DataDAM); a .pt with [images, labels] (IDC, "
    "DREAM, DANCE); two .pt files, 'set=[images.pt,labels.pt]' (MTT); class folders of images; parquet; "
    "synthetic.safetensors"
)
OWN, EXPERIMENTS, LIST, PAIR = "a set of this project", "experiments", "images and labels", "separate files"


@dataclass(frozen=True, eq=False)
class ExternalSet:
    """What lies in the files. sets: values (N, ch, H, W) and int64 labels (N,), class by class, as many of each.

    units: where the form itself says them, else None. own: the set as this project wrote it, with its factor.
    """

    form: str
    files: tuple[Path, ...]
    sets: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    units: str | None = None
    own: SyntheticSet | None = field(default=None)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file, by its path."""
        return {str(path): _sha256(path) for path in self.files}

    def ipc(self, place: int, num_classes: int) -> int:
        return len(self.sets[place][1]) // num_classes


def read(paths: Sequence[Path], dataset: Dataset) -> ExternalSet:
    """The sets in these files, or in this folder. Raises BenchmarkError for what is no set for the dataset."""
    for path in paths:
        if not path.exists():
            above = next((parent for parent in path.parents if parent.is_dir()), path)
            raise BenchmarkError(f"there is no file {path}", where="set", next=f"check the path: {above} is there")
    try:
        found = _folder(paths[0], dataset) if len(paths) == 1 and paths[0].is_dir() else _files(paths, dataset)
    except OSError as error:
        raise BenchmarkError(f"cannot read {paths[0]}: {error}", where="set") from error
    sets = tuple(
        checked(images, labels, dataset, where=_place(found, place))
        for place, (images, labels) in enumerate(found.sets)
    )
    return ExternalSet(found.form, found.files, sets, found.notes, found.units, found.own)


def _place(found: ExternalSet, place: int) -> str:
    name = ", ".join(str(path) for path in found.files[:2])
    return f"{name}, set {place} of {len(found.sets)}" if len(found.sets) > 1 else name


# --- folders ----------------------------------------------------------------------------------------------------------


def _folder(folder: Path, dataset: Dataset) -> ExternalSet:
    """Whatever a folder holds, and only if it holds one thing."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    own = folder / "synthetic.safetensors"
    kinds: dict[str, Callable[[], ExternalSet]] = {}
    if own in inside:
        return _files([own], dataset)
    if tensors := [path for path in inside if path.suffix in (".pt", ".pth")]:
        kinds[f"{len(tensors)} .pt files"] = lambda: _files(_pairs(tensors, folder), dataset)
    if tables := [path for path in inside if path.suffix == ".parquet"]:
        kinds["parquet"] = lambda: _parquet(tables, dataset)
    if any(path.is_dir() and pictures.holds_images(path) for path in inside):
        kinds["class folders"] = lambda: _class_folders(folder, dataset)
    if len(kinds) == 1:
        return next(iter(kinds.values()))()
    if kinds:
        raise BenchmarkError(
            f"{folder} holds {' and '.join(kinds)}: which of them is the set?",
            where="set",
            next="name the file, or move what does not belong",
        )
    held = f"holds {', '.join(path.name for path in inside[:5])}, but no set" if inside else "is empty"
    raise BenchmarkError(f"folder {folder} {held}", where="set", next=WANTED)


def _pairs(tensors: Sequence[Path], folder: Path) -> list[Path]:
    """One .pt file, or images and labels: images_best.pt, its parts images_best_0.pt …, or the only such pair."""
    if len(tensors) == 1:
        return list(tensors)
    partner = {path: path.with_name(path.name.replace("images", "labels")) for path in tensors if "images" in path.name}
    pairs = {images: labels for images, labels in partner.items() if labels in tensors}
    best = folder / "images_best.pt"
    if best in pairs:
        return [best, pairs[best]]
    parts = sorted(path for path in pairs if path.stem.rpartition("_")[0] == "images_best")
    if parts and [path.stem.rpartition("_")[2] for path in parts] == [str(place) for place in range(len(parts))]:
        return [*parts, *(pairs[path] for path in parts)]
    if len(pairs) == 1:
        return [path for pair in pairs.items() for path in pair]
    names = ", ".join(path.name for path in tensors[:6])
    raise BenchmarkError(
        f"folder {folder} holds several .pt files ({names}): which are the set?",
        where="set",
        next="name one, as set=FOLDER/data.pt, or two, as 'set=[FOLDER/images.pt,FOLDER/labels.pt]'",
    )


def _class_folders(folder: Path, dataset: Dataset) -> ExternalSet:
    images, labels, notes = pictures.class_folders(folder, dataset)
    return ExternalSet("class folders", (folder,), ((images, labels),), notes, BYTES)


def _parquet(files: Sequence[Path], dataset: Dataset) -> ExternalSet:
    images, labels, notes = pictures.parquet(files, dataset)
    return ExternalSet("parquet", tuple(files), ((images, labels),), notes, BYTES)


# --- files ------------------------------------------------------------------------------------------------------------


def _files(paths: Sequence[Path], dataset: Dataset) -> ExternalSet:
    if folders := [path for path in paths if path.is_dir()]:
        raise BenchmarkError(f"{folders[0]} is a folder, and stands beside files", where="set", next=WANTED)
    if len(paths) > 1:
        return _separate(paths)
    (path,) = paths
    with path.open("rb") as file:
        head = file.read(9)
    if head[:4] == b"PAR1":
        return _parquet([path], dataset)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        own = load_set(path)
        return ExternalSet(OWN, (path,), ((own.images, own.labels),), (), RAW, own)
    return _loaded(path, safe_load.load(path))


def _loaded(path: Path, value: Any) -> ExternalSet:
    """One file of torch.save."""
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
        if not (isinstance(value, list | tuple) and value and all(map(_is_pair, value))):
            raise _unknown(path, {"data": value})
        return ExternalSet(EXPERIMENTS, (path,), tuple((images, labels) for images, labels in value))
    if _is_pair(value):
        return ExternalSet(LIST, (path,), ((value[0], value[1]),))
    if isinstance(value, list | tuple) and value and all(map(_is_pair, value)):
        return ExternalSet(EXPERIMENTS, (path,), tuple((images, labels) for images, labels in value))
    if isinstance(value, Tensor):
        raise BenchmarkError(
            f"{path.name} holds one tensor only, {_said(value)}",
            where=str(path),
            next="give images and labels together: 'set=[images.pt,labels.pt]'",
        )
    raise _unknown(path, value)


def _separate(paths: Sequence[Path]) -> ExternalSet:
    """Images in one file, labels in another, told by their shapes; or both in as many parts, in the order given."""
    values = {path: safe_load.load(path) for path in paths}
    for path, value in values.items():
        if not isinstance(value, Tensor):
            raise _unknown(path, value)
    images = [value for value in values.values() if value.ndim == 4]
    labels = [value for value in values.values() if value.ndim < 4]
    if len(images) != len(labels) or any(len(i) != len(t) for i, t in zip(images, labels, strict=False) if t.ndim):
        held = "; ".join(f"{path.name}: {_said(value)}" for path, value in values.items())
        raise BenchmarkError(
            f"these files are not images and their labels ({held})",
            where="set",
            next="wanted: images (N, ch, H, W) and labels (N,), in as many files of each",
        )
    if len({value.shape[1:] for value in images}) > 1 or len({value.shape[1:] for value in labels}) > 1:
        raise BenchmarkError("the parts of the set differ in shape", where="set")
    return ExternalSet(PAIR, tuple(paths), ((torch.cat(images), torch.cat(labels)),))


def _is_pair(value: Any) -> bool:
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, Tensor) for part in value)):
        return False
    return bool(value[0].ndim == 4 and value[1].ndim < 4)


def _unknown(path: Path, value: Any) -> BenchmarkError:
    return BenchmarkError(
        f"{path.name} is in no form that is known: it holds {_said(value)}", where=str(path), next=WANTED
    )


def _said(value: Any, depth: int = 0) -> str:
    """What something is, in a few words."""
    if isinstance(value, Tensor):
        return (
            f"a tensor of {'x'.join(map(str, value.shape)) or 'one number'} ({str(value.dtype).removeprefix('torch.')})"
        )
    if isinstance(value, dict):
        keys = ", ".join(repr(key)[:40] for key in list(value)[:5])
        inside = f": {_said(next(iter(value.values())), depth + 1)}" if len(value) == 1 and depth < 2 else ""
        return f"a dict with {keys}{', …' if len(value) > 5 else ''}{inside}" if value else "an empty dict"
    if isinstance(value, list | tuple):
        inside = f", the first {_said(value[0], depth + 1)}" if value and depth < 3 else ""
        return f"a {type(value).__name__} of {len(value)}{inside}"
    return f"a value of type {type(value).__name__}"


def _sha256(path: Path) -> str:
    """Of a file; of a folder, over the names and contents of the files in it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for inside in sorted(path.rglob("*")):
        if inside.is_file() and not inside.name.startswith("."):
            digest.update(f"{inside.relative_to(path)}\0{_sha256(inside)}\0".encode())
    return digest.hexdigest()
