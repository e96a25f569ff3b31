"""A stranger's set made one of ours: float32 pixels class by class, known by what it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.datasets import Constants, Dataset
from benchmark.external_sets import read, zca
from benchmark.external_sets.pixel_scale import NORMALIZED, UNITS, WHITENED, Units, tell
from benchmark.utils.errors import BenchmarkError
from methods.base import SyntheticSet

QUANTIZED = "8bit"


def units_of(found: read.ExternalSet, dataset: Dataset, said: str | None, given: Constants | None) -> Units:
    """The units of a set's values: as `said`, as its form says, or as its statistics tell. Raises BenchmarkError.

    `given` are the constants that normalised it, where they are not the dataset's.
    """
    constants = given or dataset.constants
    where = ", ".join(map(str, found.files[:2]))
    name, reason = said or found.units, "as was said" if said else "as its form says"
    if name is None:
        # Whitened sets come as separate files (MTT); DC's family saves normalised ones, IDC's raw ones.
        units = tell([images for images, _ in found.sets], constants, white=found.form == read.PAIR, where=where)
    else:
        assert name in UNITS
        units = Units(name, reason, constants if name == NORMALIZED else None)
    if given and units.name != NORMALIZED:
        raise BenchmarkError(
            f"mean and std are given, but its pixels are {units.name} ({units.reason})",
            where="mean, std",
            next="leave them away, or say pixel_scale=normalised",
        )
    if units.name == WHITENED:
        zca.check_size(dataset.image_shape)
    return units


def digest(values: Tensor, labels: Tensor) -> str:
    """SHA-256 over shape, float32 values and int64 labels, little-endian."""
    mark = hashlib.sha256(json.dumps(list(values.shape)).encode())
    mark.update(values.contiguous().numpy().astype("<f4").data)
    mark.update(labels.contiguous().numpy().astype("<i8").data)
    return mark.hexdigest()


def remake(
    requested: Mapping[str, Any], asked: Mapping[str, Any], dataset: Dataset
) -> tuple[SyntheticSet, dict[str, Any]]:
    """The set that an import task asks for, and what its record says of where it came from.

    Raises BenchmarkError when the files hold another set than was planned with.
    """
    source = requested["source"]
    found = read.read([Path(path) for path in source["paths"]], dataset)
    constants = source["constants"]
    units = Units(source["units"], source["reason"], Constants(*map(tuple, constants)) if constants else None)
    place = source["place"]
    images, labels = found.sets[place] if place < len(found.sets) else (torch.empty(0), torch.empty(0))
    pixels = units.pixels(images)
    if digest(pixels, labels) != asked["digest"]:
        raise BenchmarkError(
            "the set is not the one that was planned with: its file has changed",
            where=", ".join(source["paths"]),
            next="run the same command again",
            passing=True,
        )
    if units.name == WHITENED:
        pixels = zca.unwhiten(pixels, dataset.train)
    facts: dict[str, Any] = {
        "source": {
            "files": [{"name": Path(name).name, "sha256": mark} for name, mark in found.digests.items()],
            "form": found.form,
            "place": place,
            "units": units.name,
            "units_reason": units.reason,
            "constants": constants,
        }
    }
    if asked.get("quantize") == QUANTIZED:
        facts["clamped"] = float(((pixels < 0) | (pixels > 1)).float().mean())
        pixels = pixels.clamp(0, 1).mul(255).round() / 255
    training = found.own.training if found.own else {}
    return SyntheticSet(pixels, labels, asked["ipc"], asked["factor"], training), facts


def files_mark(digests: Sequence[str]) -> str:
    """One short mark for all the files of a set, which tells rows of one name apart."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
