"""Reading external sets: the formats in which sets are published, recognized by their content, not by their names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.condensation.synthetic_set import is_own, learned_lr, load_set
from benchmark.datasets import Dataset
from benchmark.datasets.base import one_line
from benchmark.datasets.readers.image_folder import holds_images, image_files, visible_children
from benchmark.external_sets import safe_load
from benchmark.external_sets.images import read_class_folders, read_parquet
from benchmark.external_sets.pixel_scale import BYTES, RAW
from benchmark.external_sets.real_selection import load_selection
from benchmark.external_sets.validate import MAX_BYTES, ImagesAndLabels, check_amount, mean_ipc, validate_set
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.regular_files import check_file
from benchmark.utils.tensor_files import load_tensors
from methods.base import SyntheticSet
from results.errors import ResultsError
from results.store.artifacts import checked_artifact
from results.store.atomic_files import read_json
from results.store.validation import problem

READABLE_FILES = (
    "known: a .pt with 'data', a list of [images, labels] (DC, DSA, DM, DataDAM); a .pt with [images, labels] (IDC, "
    "DREAM, DANCE); a dict of images and labels, as .pt, .npz or .safetensors; .pt or .npy files, "
    "'set=[images.pt,labels.pt]' (MTT), also with lr.pt; class folders of images; parquet; synthetic.safetensors"
)
_IMAGES, _LABELS = ("images", "image", "data", "x"), ("labels", "label", "targets", "target", "y")
OWN, EXPERIMENTS, LIST, PAIR = "a set of this project", "experiments", "images and labels", "separate files"


@dataclass(frozen=True, eq=False)
class ExternalSet:
    """The contents of the files of an external set, which may hold several sets.

    sets: values (N, ch, H, W), int64 labels (N,), class by class, and soft ones if there are. pixel_scale: if the
    format implies it, else None. own: the set as this project wrote it, with its factor. notes: for the user. training:
    as in `SyntheticSet`.
    """

    format: str
    files: tuple[Path, ...]
    sets: tuple[ImagesAndLabels, ...]
    notes: tuple[str, ...] = ()
    pixel_scale: str | None = None
    own: SyntheticSet | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file, by its path."""
        return {str(path): _sha256(path) for path in self.files}

    def ipc(self, index: int, num_classes: int) -> int:
        """Images per class of one of the sets; the rounded mean if its classes differ in size."""
        return mean_ipc(self.sets[index].labels, num_classes)


def read_external_set(paths: Sequence[Path], dataset: Dataset) -> ExternalSet:
    """The sets in these files, or in this folder. Raises BenchmarkError for files that hold no set for the dataset.

    The only place where a file becomes a set, whatever the file holds.
    """
    try:
        for path in paths:
            if not path.exists():
                nearest = next((parent for parent in path.parents if parent.is_dir()), path)
                raise BenchmarkError(f"there is no file {path}", where="set", next=f"check the path: {nearest} exists")
        is_folder = len(paths) == 1 and paths[0].is_dir()
        external = _read_folder(paths[0], dataset) if is_folder else _read_files(paths, dataset)
        where, count = ", ".join(map(str, external.files[:2])), len(external.sets)
        check_amount(count, sum(each.images.numel() for each in external.sets), where)
        sets = tuple(
            validate_set(
                *each[:2], dataset, each.soft, where=f"{where}, set {index} of {count}" if count > 1 else where
            )
            for index, each in enumerate(external.sets)
        )
        external = replace(external, sets=sets)
        if external.own and external.own.ipc != external.ipc(0, dataset.num_classes):
            have = external.ipc(0, dataset.num_classes)
            what = f"its card says {external.own.ipc} images per class, it has {have}"
            raise BenchmarkError(what, where=where, next="take a sound copy of the file")
        learned_lr(external.training, where)
    except (BenchmarkError, ResultsError):
        raise
    except Exception as error:  # whatever the content of a file leads to
        raise BenchmarkError(
            f"cannot read {paths[0]} as a set: {one_line(error)[:200]}", where="set", next=READABLE_FILES
        ) from error
    return external


# --- folders ----------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path, dataset: Dataset) -> ExternalSet:
    """The set in a folder. Raises BenchmarkError unless the folder holds files of exactly one format."""
    children = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    own = folder / "synthetic.safetensors"
    if own in children:
        return _read_files([own], dataset)
    readers: dict[str, Callable[[], ExternalSet]] = {}
    if tensors := [path for path in children if path.suffix in (".pt", ".pth")]:
        readers[f"{len(tensors)} .pt files"] = lambda: _read_files(_choose_tensors(tensors, folder), dataset)
    if tables := [path for path in children if path.suffix == ".parquet"]:
        readers["parquet"] = lambda: _from_parquet(tables, dataset)
    if any(path.is_dir() and holds_images(path) for path in children):
        readers["class folders"] = lambda: _from_class_folders(folder, dataset)
    if len(readers) == 1:
        return next(iter(readers.values()))()
    if readers:
        raise BenchmarkError(
            f"{folder} holds {' and '.join(readers)}: which of them is the set?",
            where="set",
            next="name the file, or move away what does not belong",
        )
    what = f"holds {', '.join(path.name for path in children[:5])}, but no set" if children else "is empty"
    raise BenchmarkError(f"folder {folder} {what}", where="set", next=READABLE_FILES)


def _choose_tensors(tensors: Sequence[Path], folder: Path) -> list[Path]:
    """One .pt file, or images and labels: images_best.pt, its parts images_best_0.pt …, or the only such pair.

    lr_best.pt comes with images_best.pt, as the learning rate of another such pair comes with it.
    """
    if len(tensors) == 1:
        return list(tensors)
    partner = {path: path.with_name(path.name.replace("images", "labels")) for path in tensors if "images" in path.name}
    pairs = {images: labels for images, labels in partner.items() if labels in tensors}
    best = folder / "images_best.pt"
    if best in pairs:
        return [best, pairs[best], *_lr_file(best, tensors)]
    parts = sorted(path for path in pairs if path.stem.rpartition("_")[0] == "images_best")
    if parts and [path.stem.rpartition("_")[2] for path in parts] == [str(number) for number in range(len(parts))]:
        return [*parts, *(pairs[path] for path in parts)]
    if len(pairs) == 1:
        ((images, labels),) = pairs.items()
        return [images, labels, *_lr_file(images, tensors)]
    names = ", ".join(path.name for path in tensors[:6])
    raise BenchmarkError(
        f"folder {folder} holds several .pt files ({names}): which are the set?",
        where="set",
        next="name one, as set=FOLDER/data.pt, or two, as 'set=[FOLDER/images.pt,FOLDER/labels.pt]'",
    )


def _lr_file(images: Path, tensors: Sequence[Path]) -> list[Path]:
    """The file of the learned learning rate beside a file of images, if there is one."""
    return [path for path in tensors if path == images.with_name(images.name.replace("images", "lr"))]


def _from_class_folders(folder: Path, dataset: Dataset) -> ExternalSet:
    images, labels, notes = read_class_folders(folder, dataset)
    return ExternalSet("class folders", (folder,), (ImagesAndLabels(images, labels),), notes, BYTES)


def _from_parquet(files: Sequence[Path], dataset: Dataset) -> ExternalSet:
    images, labels, notes = read_parquet(files, dataset)
    return ExternalSet("parquet", tuple(files), (ImagesAndLabels(images, labels),), notes, BYTES)


# --- files ------------------------------------------------------------------------------------------------------------


def _read_files(paths: Sequence[Path], dataset: Dataset) -> ExternalSet:
    if folders := [path for path in paths if path.is_dir()]:
        raise BenchmarkError(f"{folders[0]} is a folder among files", where="set", next=READABLE_FILES)
    for path in paths:
        check_file(path, MAX_BYTES)
    if len(paths) > 1:
        return _from_separate_files(paths)
    (path,) = paths
    with path.open("rb") as file:
        head = file.read(9)
    if head[:4] == b"PAR1":
        return _from_parquet([path], dataset)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:  # safetensors
        _check_against_record(path)
        try:
            tensors, card = load_tensors(path)
        except BenchmarkError as error:  # its advice is for files of a store
            raise BenchmarkError(error.what, where=str(path), next="download or copy it again") from error
        if "indices" not in tensors and not is_own(tensors, card):
            return _from_loaded(path, tensors)
        own = load_selection(path, dataset) or load_set(path)
        pair = ImagesAndLabels(own.images, own.labels, own.soft)
        return ExternalSet(OWN, (path,), (pair,), (), RAW, own, own.training)
    return _from_loaded(path, safe_load.load(path))


def _check_against_record(path: Path) -> None:
    """Raise BenchmarkError if the record of the task that made a set lies beside it and does not name this content."""
    folder = path.parent.parent if path.parent.name == "snapshots" else path.parent
    try:
        if (folder / "record.json").exists():
            check_file(folder / "record.json", MAX_BYTES)
        record = read_json(folder / "record.json")
        if record is None:
            return
        reason = problem(record)
        if not reason:
            checked_artifact(folder, record, path.relative_to(folder).as_posix())
    except ResultsError as error:
        reason = error.what
    if reason:
        raise BenchmarkError(
            f"the set is not the one that the record beside it describes: {reason}",
            where=str(path),
            next="take a sound copy of the folder; or move the file away from the record to evaluate it as it is",
        )


def _from_loaded(path: Path, value: Any) -> ExternalSet:
    """The set in what one file of torch.save, numpy or safetensors holds."""
    if isinstance(value, dict) and (pair := _named_pair(value)):
        value = pair
    if isinstance(value, dict) and "data" in value:
        if not _is_list_of_pairs(value["data"]):
            raise _unknown_format(path, {"data": value["data"]})
        value = value["data"]
    elif _is_pair(value):
        return ExternalSet(LIST, (path,), (ImagesAndLabels(value[0], value[1]),))
    if _is_list_of_pairs(value):
        return ExternalSet(EXPERIMENTS, (path,), tuple(ImagesAndLabels(*pair) for pair in value))
    if isinstance(value, Tensor):
        raise BenchmarkError(
            f"{path.name} holds one tensor only, {_describe(value)}",
            where=str(path),
            next="give images and labels together: 'set=[images.pt,labels.pt]'",
        )
    raise _unknown_format(path, value)


def _from_separate_files(paths: Sequence[Path]) -> ExternalSet:
    """Images in one file and labels in another, recognized by their shapes; or each in several parts, in this order.

    One number in a file of its own is a learned learning rate.
    """
    values = {path: safe_load.load(path) for path in paths}
    check_amount(1, sum(value.numel() for value in values.values() if isinstance(value, Tensor)), str(paths[0]))
    for path, value in values.items():
        if isinstance(value, float):
            values[path] = value = torch.tensor(value, dtype=torch.float64)
        if not isinstance(value, Tensor) or not (value.ndim or value.is_floating_point()):
            raise _unknown_format(path, value)
    images = [value for value in values.values() if value.ndim == 4]
    labels = [value for value in values.values() if 0 < value.ndim < 4]
    rates = [float(value) for value in values.values() if not value.ndim]
    differ = len(images) != len(labels) or any(len(i) != len(t) for i, t in zip(images, labels, strict=False))
    if differ or not images or len(rates) > 1:
        contents = "; ".join(f"{path.name}: {_describe(value)}" for path, value in values.items())
        raise BenchmarkError(
            f"these files are not images and their labels ({contents})",
            where="set",
            next="wanted: images (N, ch, H, W) and labels (N,), in equally many files, and at most one learning rate",
        )
    if len({value.shape[1:] for value in images}) > 1 or len({value.shape[1:] for value in labels}) > 1:
        raise BenchmarkError("the parts of the set differ in shape", where="set")
    training = {"lr": rates[0]} if rates else {}
    return ExternalSet(PAIR, tuple(paths), (ImagesAndLabels(torch.cat(images), torch.cat(labels)),), training=training)


def _is_pair(value: Any) -> bool:
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, Tensor) for part in value)):
        return False
    return bool(value[0].ndim == 4 and value[1].ndim < 4)


def _named_pair(value: Mapping[Any, Any]) -> tuple[Tensor, Tensor] | None:
    """The tensors of a dict that are called images and labels, or the like."""
    found = [[part for key, part in value.items() if str(key).lower() in names] for names in (_IMAGES, _LABELS)]
    pair = tuple(parts[0] for parts in found if len(parts) == 1)
    return (pair[0], pair[1]) if _is_pair(pair) else None


def _is_list_of_pairs(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_pair, value))


def _unknown_format(path: Path, value: Any) -> BenchmarkError:
    what = f"{path.name} has no known format: it holds {_describe(value)}"
    return BenchmarkError(what, where=str(path), next=READABLE_FILES)


def _describe(value: Any, depth: int = 0) -> str:
    """What a value is, in a few words."""
    if isinstance(value, Tensor):
        shape = "x".join(map(str, value.shape)) or "one number"
        return f"a tensor of {shape} ({str(value.dtype).removeprefix('torch.')})"
    if isinstance(value, dict):
        keys = ", ".join(repr(key)[:40] for key in list(value)[:5])
        inner = f": {_describe(next(iter(value.values())), depth + 1)}" if len(value) == 1 and depth < 2 else ""
        return f"a dict with {keys}{', …' if len(value) > 5 else ''}{inner}" if value else "an empty dict"
    if isinstance(value, list | tuple):
        inner = f", the first {_describe(value[0], depth + 1)}" if value and depth < 3 else ""
        return f"a {type(value).__name__} of {len(value)}{inner}"
    return f"a value of type {type(value).__name__}"


def _sha256(path: Path) -> str:
    """Of a file; of a folder of class folders, over the names and contents of the images in it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for folder in (child for child in visible_children(path) if child.is_dir()):
        for child in image_files(folder):
            digest.update(f"{child.relative_to(path)}\0{_sha256(child)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
