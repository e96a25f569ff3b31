"""External sets converted to synthetic sets of this project: float32 pixels, class by class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.datasets import Constants, Dataset
from benchmark.datasets.normalization import check_whitening
from benchmark.external_sets.pixel_scale import NORMALIZED, WHITENED, PixelScale, infer_pixel_scale
from benchmark.external_sets.read import EXPERIMENTS, ExternalSet, read_external_set
from benchmark.external_sets.validate import ImagesAndLabels
from benchmark.utils.errors import BenchmarkError
from methods.base import SyntheticSet

QUANTIZED = "8bit"


def resolve_pixel_scale(
    external: ExternalSet, dataset: Dataset, requested: str | None, constants: Constants | None
) -> PixelScale:
    """The pixel scale of a set: as requested, else as its format implies, else inferred. Raises BenchmarkError.

    `constants` are those that normalized it, if they are not the dataset's.
    """
    name = requested or external.pixel_scale
    if name is None:
        # DC's family saves its experiments normalized. Whitened sets come as separate files (MTT, DATM) or in one list.
        scale = infer_pixel_scale(
            [each.images for each in external.sets],
            constants or dataset.constants,
            may_be_whitened=external.format != EXPERIMENTS,
            where=", ".join(map(str, external.files[:2])),
        )
    else:
        reason = "as requested" if requested else "implied by the format"
        scale = PixelScale(name, reason, (constants or dataset.constants) if name == NORMALIZED else None)
    if constants and scale.name != NORMALIZED:
        raise BenchmarkError(
            f"mean and std are given, but its pixels are {scale.name} ({scale.reason})",
            where="mean, std",
            next="omit them, or set pixel_scale=normalized",
        )
    if scale.name == WHITENED:
        check_whitening(dataset.image_shape, where="pixel_scale=whitened")
    return scale


def set_digest(values: Tensor, labels: Tensor, soft: Tensor | None = None) -> str:
    """SHA-256 over shape, float32 values, int64 labels and the float32 logits of soft ones, little-endian."""
    digest = hashlib.sha256(json.dumps(list(values.shape)).encode())
    digest.update(values.contiguous().numpy().astype("<f4").data)
    digest.update(labels.contiguous().numpy().astype("<i8").data)
    if soft is not None:
        digest.update(soft.contiguous().numpy().astype("<f4").data)
    return digest.hexdigest()


def convert_set(
    requested: Mapping[str, Any],
    resolved: Mapping[str, Any],
    dataset: Dataset,
    unwhiten: Callable[[Tensor], Tensor] | None,
) -> tuple[SyntheticSet, dict[str, Any]]:
    """The synthetic set of an import task, and the facts about its source for the record.

    unwhiten: turns whitened images (N, ch, H, W) into pixels, if the set has such. Raises BenchmarkError if the files
    no longer hold the set that was planned with.
    """
    source = requested["source"]
    external = read_external_set([Path(path) for path in source["paths"]], dataset)
    constants = source["constants"]
    scale = PixelScale(
        source["pixel_scale"], source["reason"], Constants(*map(tuple, constants)) if constants else None
    )
    index = source["set_index"]
    found = external.sets[index] if index < len(external.sets) else ImagesAndLabels(torch.empty(0), torch.empty(0))
    pixels = scale.to_pixels(found.images)
    if set_digest(pixels, found.labels, found.soft) != resolved["digest"]:
        raise BenchmarkError(
            "the set is not the one that was planned with: its file has changed",
            where=", ".join(source["paths"]),
            next="run the same command again",
            transient=True,
        )
    if unwhiten:
        pixels = unwhiten(pixels)
    facts: dict[str, Any] = {
        "source": {
            "files": [{"name": Path(name).name, "sha256": digest} for name, digest in external.digests.items()],
            "form": external.format,
            "set_index": index,
            "pixel_scale": scale.name,
            "pixel_scale_reason": scale.reason,
            "constants": constants,
        }
    }
    if resolved.get("quantize") == QUANTIZED:
        facts["clamped"] = float(((pixels < 0) | (pixels > 1)).float().mean())
        pixels = pixels.clamp(0, 1).mul(255).round() / 255
    training, factor = resolved.get("training", {}), resolved["factor"]
    soft = found.soft
    if soft is not None:
        facts["label_bytes"] = 4 * soft.numel()
        if len(soft) == len(pixels):  # one for each stored image: all of its tiles have it
            soft = soft.repeat(factor**2, 1)
    return SyntheticSet(pixels, found.labels, resolved["ipc"], factor, training, soft=soft), facts


def files_digest(digests: Sequence[str]) -> str:
    """One short digest of all the files of a set, which distinguishes rows of one name."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
