"""Evaluation of an external set as a plan: import it, evaluate it, and add random baselines of the same size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark import datasets
from benchmark.config.schema import EvaluateConfig
from benchmark.config.shared_options import PlanConfig
from benchmark.datasets import BUILTIN, Constants, Dataset
from benchmark.datasets.base import Progress
from benchmark.datasets.normalization import ZCA
from benchmark.external_sets.convert import QUANTIZED, files_digest, resolve_pixel_scale, set_digest
from benchmark.external_sets.pixel_scale import WHITENED, PixelScale
from benchmark.external_sets.read import PAIR, ExternalSet, read_external_set
from benchmark.external_sets.validate import MAX_BYTES
from benchmark.planning.grid import TaskPlanner
from benchmark.planning.plan import WHOLE_CARD, Plan, check_factor
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.regular_files import check_content, check_file
from benchmark.utils.tensor_files import load_names
from methods import registry
from methods.base import Card, Condenser
from results.aggregation.grouping import is_random
from results.formatting import printable
from results.published import compare

FAMILY = "released"
_LONGEST_NAME = 100  # characters of a row's name
MOST_PIXEL = 1e6  # of a set; learned images leave 0..1, by little


@dataclass
class ExternalPlan:
    """The plan, the run's configuration, and lines that describe the set to the user.

    quantized: for each set, the identities of the import of the set as it is and of its copy in 8 bits.
    """

    plan: Plan
    run: PlanConfig
    description: list[str]
    quantized: list[tuple[str, str]] = field(default_factory=list)


def build(config: EvaluateConfig, progress: Progress | None = None) -> ExternalPlan:
    """Read the set and plan its evaluation. Raises BenchmarkError before anything runs or is written."""
    entry, root = config.dataset or _dataset_of(config.paths), Path(config.data_root)
    _check_method(config.method)
    dataset = datasets.load(entry, root, progress, config.cache_path)
    external = read_external_set(config.paths, dataset)
    scale = resolve_pixel_scale(external, dataset, config.pixel_scale, _constants(config, dataset))
    factor = _factor(config, external, dataset.image_shape[1:])
    check_factor(factor, dataset.outline, where=f"factor={factor}" if config.factor else f"set={config.paths[0]}")
    indices = _set_indices(config, external)
    ipc = external.ipc(indices[0], dataset.num_classes)
    if other := [index for index in indices if external.ipc(index, dataset.num_classes) != ipc]:
        raise BenchmarkError(
            f"sets {indices[0]} and {other[0]} of the file hold different numbers of images",
            where="set",
            next=f"evaluate them one at a time: 'set_index=[{indices[0]}]'",
        )
    sizes = _class_sizes(external, indices)
    run = config.run_config(entry, ipc, len(indices))
    plan = Plan()
    plan.outlines[dataset.name] = dataset.outline
    plan.note(*filter(None, [dataset.note]))
    planner = TaskPlanner(run, plan, dataset.outline, entry, "auto", {})
    row, method = _row_name(config), _method_of(external)
    native = method.card.native if method else _native(config, dataset, ipc)
    normalized_as = method.constants(dataset.published_as) if method else dataset.published_as
    external_plan = ExternalPlan(
        plan, run, _description(row, external, scale, factor, ipc, sizes, len(indices), dataset, config)
    )
    files = files_digest(list(external.digests.values()))
    for seed, index in enumerate(indices):
        images, labels, soft = external.sets[index]
        pixels = scale.to_pixels(images)
        _check_pixels(pixels, scale, config)
        content: dict[str, Any] = {"digest": set_digest(pixels, labels, soft), "ipc": ipc, "factor": factor}
        training = dict(external.training) | ({"space": ZCA} if scale.name == WHITENED else {})
        if training:
            content["training"] = training
        source = {
            "paths": [str(path) for path in external.files],
            "set_index": index,
            "pixel_scale": scale.name,
            "reason": scale.reason,
            "constants": [list(scale.constants.mean), list(scale.constants.std)] if scale.constants else None,
        }
        imports = []
        for copy in (None, config.quantize) if config.quantize else (None,):
            display = _display(row, copy, config.method, ipc, factor) | {"source": files}
            display |= {"class_sizes": sizes} if sizes else {}
            display |= {"labels": "soft"} if soft is not None else {}
            slug = f"{row}{f'-{copy}' if copy else ''}-{dataset.name}-ipc{ipc}-set{index}"
            quantize = {"quantize": QUANTIZED} if copy else {}
            imported = planner.add_import(
                content | quantize, slug, display, source, seed,
                whitened=scale.name == WHITENED, native=native, normalized_as=normalized_as,
            )  # fmt: skip
            imports.append(imported)
        if config.quantize:
            external_plan.quantized.append((imports[0], imports[1]))
    planner.add_baselines(ipc, factor)
    return external_plan


# --- parts of the request ---------------------------------------------------------------------------------------------


def _dataset_of(paths: Sequence[Path]) -> str:
    """The dataset for which this project made a set: by its fingerprint among known ones, else by its task.json."""
    path = paths[0]
    try:
        path = path / "synthetic.safetensors" if path.is_dir() else path
        _, card = load_names(path)
        fingerprint = card["made by"]["resolved"]["dataset"]["fingerprint"]
    except (BenchmarkError, LookupError, TypeError, OSError):
        fingerprint = None
    if name := next((key for key, card in BUILTIN.items() if fingerprint and card.fingerprint == fingerprint), None):
        return name
    try:
        check_file(path.parent / "task.json", MAX_BYTES)
        task = json.loads((path.parent / "task.json").read_text(encoding="utf-8"))
        if fingerprint and task["resolved"]["dataset"]["fingerprint"] == fingerprint:
            return str(task["requested"]["dataset"])
    except (BenchmarkError, OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    if path.is_file():
        check_content(path)
    raise BenchmarkError("for which dataset was the set made?", where=f"set={path}", next="name it: dataset=NAME")


def _check_method(name: str | None) -> None:
    known = {entry.method for entry in compare.load()}
    if name is not None and name not in known:
        raise unknown("published method", name, known, where=f"method={name}")


def _constants(config: EvaluateConfig, dataset: Dataset) -> Constants | None:
    if config.mean is None or config.std is None:
        return None
    channels = dataset.image_shape[0]
    if not len(config.mean) == len(config.std) == channels:
        raise BenchmarkError(
            f"mean and std need {channels} values, one for each channel of {dataset.name}",
            where=f"mean={config.mean} std={config.std}",
        )
    return Constants(tuple(config.mean), tuple(config.std))


def _factor(config: EvaluateConfig, external: ExternalSet, sides: Sequence[int]) -> int:
    """The factor of the set's card if it is one of this project, else the option's.

    A card's factor divides the sides of the images, unless the settings that made the set have the same factor.
    """
    if external.own is None:
        return config.factor or 1
    own = external.own.factor
    made_with = ((external.own.card.get("resolved") or {}).get("settings") or {}).get("factor")
    if made_with != own and any(side % own for side in sides):
        raise BenchmarkError(
            f"the set's card says factor {own}, which does not divide images of {'×'.join(map(str, sides))}",
            where=f"set={config.paths[0]}",
            next="take a sound copy; or save images and labels alone, and name their factor with factor=N",
        )
    if config.factor not in (None, own):
        raise BenchmarkError(f"the set has factor {own}", where=f"factor={config.factor}", next="leave factor away")
    return own


def _check_pixels(pixels: Tensor, scale: PixelScale, config: EvaluateConfig) -> None:
    """Raise BenchmarkError for pixels so far from 0..1 that no network could be trained on them."""
    if not bool((pixels.abs() < MOST_PIXEL).all()):
        raise BenchmarkError(
            f"as {scale.name} values its pixels go from {float(pixels.min()):g} to {float(pixels.max()):g}, not 0 to 1",
            where=f"set={config.set}",
            next="check pixel_scale, mean and std, and whether the file is damaged",
        )


def _set_indices(config: EvaluateConfig, external: ExternalSet) -> list[int]:
    count = len(external.sets)
    indices = list(range(count)) if config.set_index is None else config.set_index
    if not indices or len(set(indices)) < len(indices) or not all(0 <= index < count for index in indices):
        raise BenchmarkError(
            f"the file holds {count} set{'s' * (count > 1)}, from 0 to {count - 1}",
            where=f"set_index={config.set_index}",
        )
    return indices


def _class_sizes(external: ExternalSet, indices: Sequence[int]) -> list[int]:
    """Images of the smallest and the largest class of these sets; [] if all have equally many."""
    counts = [count for index in indices for count in external.sets[index].labels.bincount().tolist()]
    return [] if min(counts) == max(counts) else [min(counts), max(counts)]


def _row_name(config: EvaluateConfig) -> str:
    path = config.paths[0]
    of_file = path.parent.name if path.name == "synthetic.safetensors" else path.stem
    name = printable(config.name or (of_file if config.reference is None else config.set))
    if len(name) > _LONGEST_NAME:
        raise BenchmarkError(
            f"the name of the row has {len(name)} characters; at most {_LONGEST_NAME} fit into a table",
            where="set, name",
            next="give it a shorter name: name=NAME",
        )
    if is_random(name) or name == WHOLE_CARD.name:
        raise BenchmarkError(
            f"'{name}' is the name of a baseline", where="set, name", next="give the row another name: name=NAME"
        )
    return name


def _method_of(external: ExternalSet) -> type[Condenser] | None:
    """The method that made a set of this project, if it is still there."""
    name = (external.own.card.get("resolved") or {}).get("method") if external.own else None
    return registry.get(name) if isinstance(name, str) and name in registry.locations() else None


def _native(config: EvaluateConfig, dataset: Dataset, ipc: int) -> str:
    """The protocol under which the set's paper reports its accuracy; `dsa` if it is unknown and not needed."""
    printed = compare.lookup(config.method, dataset.published_as, ipc) if config.method else ()
    known = [entry.protocol for entry in printed if entry.protocol in protocols.names()]
    if not known and any(name.startswith("native") for name in config.protocols):
        raise BenchmarkError(
            "which protocol is the set's own?",
            where=f"protocols={config.protocols}",
            next="name a protocol, or the method that published a number for this cell under a known one: method=NAME",
        )
    return known[0] if known else "dsa"


def _display(row: str, copy: str | None, method: str | None, ipc: int, factor: int) -> dict[str, Any]:
    """What tables show of a set. Only with `method` is it compared with published numbers, whatever its file name."""
    name = method or f"{FAMILY} {row}"
    card = Card(name, name if row.startswith(name) else row, FAMILY, paper="")
    return {
        "display_name": f"{row} ({copy})" if copy else row,
        "overrides": copy or "",
        "card": {key: getattr(card, key) for key in ("name", "title", "family", "paper", "venue", "year", "native")},
        "ipc": ipc,
        "factor": factor,
        "role": "method",
        "iterations_fraction": 1.0,
        "provenance": "author" if method else "third party",
    }


# --- description of the set -------------------------------------------------------------------------------------------


def _description(
    row: str,
    external: ExternalSet,
    scale: PixelScale,
    factor: int,
    ipc: int,
    sizes: list[int],
    sets: int,
    dataset: Dataset,
    config: EvaluateConfig,
) -> list[str]:
    files = ", ".join(path.name for path in external.files[:4]) + (" …" if len(external.files) > 4 else "")
    of_all = f"{sets} of {len(external.sets)} sets, each of " if len(external.sets) > 1 else ""
    amount = f"{sizes[0]} to {sizes[1]} (about {ipc})" if sizes else ipc
    assumed = "" if external.own or config.factor else " (assumed; set factor=N for mosaics)"
    lines = [
        f"set: {row}, from {files} ({external.format}): {of_all}{amount} images a class, factor {factor}{assumed}",
        f"pixel scale: {scale.name} ({scale.reason})",
    ]
    if scale.constants:
        lines.append(f"normalized with {_options(scale.constants)}")
    notes = [*external.notes, *_notes(external, scale, dataset, config)]
    return lines + [f"note: {text}" for text in notes]


def _options(constants: Constants) -> str:
    """As `mean=[…] std=[…]`, the options that set them."""
    values = {"mean": constants.mean, "std": constants.std}
    return " ".join(f"{name}=[{','.join(f'{value:g}' for value in values[name])}]" for name in values)


def _notes(external: ExternalSet, scale: PixelScale, dataset: Dataset, config: EvaluateConfig) -> list[str]:
    notes = []
    if external.training.get("lr") is not None:
        lr = external.training["lr"]
        notes.append(f"it brings the learning rate {lr:g}, which only native and NAME@lr take, no other protocol")
    elif external.format == PAIR:
        notes.append("these files hold no learned learning rate; networks train with the protocol's, not with MTT's")
    if external.training.get("space") == ZCA or scale.name == WHITENED:
        notes.append("it is of whitened images: under native networks see whitened ones, under others pixels")
    if scale.constants and config.mean is None and dataset.published_as == "cifar100":
        constants = _options(BUILTIN["cifar10"].constants)
        notes.append(f"IDC, DREAM, DANCE and MTT normalize CIFAR-100 with CIFAR-10's constants: {constants}")
    resolved = (external.own.card.get("resolved") if external.own else None) or {}
    fingerprint = (resolved.get("dataset") or {}).get("fingerprint")
    if fingerprint and fingerprint != dataset.fingerprint:
        notes.append(f"the set was made from other images than those of {dataset.name} here")
    return notes
