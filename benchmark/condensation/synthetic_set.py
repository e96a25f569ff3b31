"""Synthetic sets on disk: safetensors with the set's card in the metadata, and a preview as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import TensorDataset

from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tensors, save_tensors, write_bytes
from methods.base import LARGEST, SyntheticSet
from results.formatting import printable

_LONGEST_NAME = 24  # characters of a class in a preview


def save_set(path: Path, synthetic: SyntheticSet) -> str:
    """Write a set; equal sets give equal bytes. Returns the file's SHA-256, 64 hexadecimal digits.

    Raises ResultsError if the file cannot be written.
    """
    card = {
        "ipc": synthetic.ipc,
        "factor": synthetic.factor,
        "training": dict(synthetic.training),
        "made by": dict(synthetic.card),
        "pixels": "float32, 0..1 nominal, not clamped, not normalised",
    }
    tensors = {"images": synthetic.images, "labels": synthetic.labels}
    if synthetic.soft is not None:
        tensors["soft"] = synthetic.soft
        card["labels"] = "soft: logits of every decoded image, float32, whose softmax is the label"
    return save_tensors(path, tensors, card)


def load_set(path: Path, device: torch.device | str = "cpu") -> SyntheticSet:
    """Read a file that `save_set` wrote, images as float32 even if the file has float16 ones.

    Raises BenchmarkError if it is missing, damaged or another kind of file.
    """
    tensors, card = load_tensors(path, device)
    if not is_own(tensors, card):
        raise BenchmarkError(f"{path.name} is not a synthetic set of this project", where=str(path))
    check_card(card, path)
    return SyntheticSet(
        tensors["images"].float(),
        tensors["labels"],
        card["ipc"],
        card["factor"],
        card["training"],
        card["made by"],
        tensors.get("soft"),
    )


def is_own(tensors: Iterable[str], card: Mapping[str, Any]) -> bool:
    """Whether a file with tensors of these names, and this card, was written by `save_set`."""
    return {"ipc", "factor", "training", "made by"} <= card.keys() and {"images", "labels"} <= set(tensors)


class _MadeFor(msgspec.Struct):
    fingerprint: str = ""


class _Resolved(msgspec.Struct):
    dataset: _MadeFor | None = None
    method: str = ""
    settings: dict[str, Any] = {}  # msgspec copies it


class _MadeBy(msgspec.Struct):
    resolved: _Resolved | None = None


class _Card(msgspec.Struct):
    """What is read of a card, which anybody can have written. made_by: other keys are not looked at."""

    ipc: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
    factor: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
    made_by: _MadeBy = msgspec.field(name="made by")
    training: dict[str, Any] = msgspec.field(default_factory=dict)


def check_card(card: Mapping[str, Any], path: Path) -> None:
    """Raise BenchmarkError for a value of another type, an ipc or a factor below 1, and unknown keys of `training`."""
    try:
        training = msgspec.convert(card, _Card).training
        if training.get("space", "zca") != "zca" or training.keys() - {"lr", "space"}:
            raise ValueError(f"evaluation does not know what `training` holds: {', '.join(sorted(training))[:60]}")
    except (ValueError, RecursionError) as error:  # msgspec's are of this kind
        raise BenchmarkError(
            f"the card of {path.name} is not one that this project wrote: {str(error)[:200]}",
            where=str(path),
            next="take a sound copy; or save images and labels alone: torch.save([images, labels], 'set.pt')",
        ) from error


def learned_lr(training: Mapping[str, Any], where: str = "") -> float | None:
    """The learning rate among what a set brings for training (`SyntheticSet.training`), or None.

    Raises BenchmarkError if it is no positive number, or larger than `LARGEST`.
    """
    lr = training.get("lr")
    if lr is None:
        return None
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr <= LARGEST:
        raise BenchmarkError(
            f"the set's learning rate must be a positive number of at most {LARGEST:,}, got {lr!r}",
            where=where,
            next="such a set diverged, or its file is damaged",
        )
    return float(lr)


def load_dataset(path: Path | str) -> TensorDataset:
    """What networks are trained on, of a file that `save_set` wrote: mosaics are decoded.

    Items are an image, float32 (ch, H, W), pixels from 0 to 1 nominal and not normalized, and its label: a class, int64
    (), or the probabilities of all classes (C,) if the set has soft labels. Raises as `load_set`.
    """
    return TensorDataset(*training_pairs(load_set(Path(path))))


def training_pairs(synthetic: SyntheticSet, *, hard: bool = False) -> tuple[Tensor, Tensor]:
    """Decoded images (N, ch, H, W), and the labels that networks are trained with.

    Labels are classes, int64 (N,), or the probabilities of the set's soft labels, float32 (N, C), unless `hard`.
    """
    images, labels = synthetic.decode()
    return images, labels if synthetic.soft is None or hard else synthetic.soft.softmax(1)


def save_preview(path: Path, synthetic: SyntheticSet, names: Sequence[str], columns: int = 10) -> str:
    """Write a PNG grid with a row per class: its name and first stored images, clamped to [0, 1], small ones enlarged.

    The text "margin" in the file is the width of the names in pixels. Returns the file's SHA-256. Raises ResultsError
    if it cannot be written.
    """
    by_class = synthetic.images.detach().float().cpu().split(synthetic.labels.bincount().tolist())
    classes, columns = len(by_class), min(columns, synthetic.ipc)
    images = pad_sequence([images[:columns] for images in by_class], batch_first=True, padding_value=1.0).flatten(0, 1)
    images = F.interpolate(images.clamp(0, 1), scale_factor=max(1, 48 // images.shape[-1]), mode="nearest")
    framed = F.pad(images.expand(-1, 3, -1, -1), (2, 0, 2, 0), value=1.0).unflatten(0, (classes, columns))
    grid = F.pad(framed.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2), (0, 2, 0, 2), value=1.0)
    images_of_classes = Image.fromarray(grid.mul(255).round().byte().permute(1, 2, 0).numpy())
    picture, margin = _with_names(images_of_classes, list(map(_short, names[:classes])))
    facts = PngInfo()
    facts.add_text("margin", str(margin))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=facts)
    return write_bytes(path, buffer.getvalue())


def _short(name: str) -> str:
    name = " ".join(printable(name).split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _with_names(picture: Image.Image, names: Sequence[str]) -> tuple[Image.Image, int]:
    """The picture with a name to the left of each of its rows, of equal height, and the pixels that names take."""
    font = ImageFont.load_default(11)
    margin = 8 + int(max(map(font.getlength, names), default=0))
    framed = Image.new("RGB", (margin + picture.width, picture.height), "white")
    framed.paste(picture, (margin, 0))
    draw = ImageDraw.Draw(framed)
    for row, name in enumerate(names):
        draw.text((margin - 3, (row + 0.5) * picture.height / len(names)), name, "black", font, anchor="rm")
    return framed, margin
