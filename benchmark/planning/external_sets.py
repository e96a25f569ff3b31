"""From a set made elsewhere to tasks: take it in, evaluate it, and random controls of the same size beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark import datasets
from benchmark.config.schema import EvaluateConfig, PlanConfig
from benchmark.datasets import BUILTIN, Constants, Dataset
from benchmark.datasets.base import Progress
from benchmark.external_sets import zca
from benchmark.external_sets.convert import QUANTIZED, files_digest, resolve_pixel_scale, set_digest
from benchmark.external_sets.pixel_scale import WHITENED, PixelScale
from benchmark.external_sets.read import PAIR, ExternalSet, read_external_set
from benchmark.planning.grid import Cells, Plan
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError, unknown
from benchmark.utils.tensor_files import load_tensors
from methods.base import Card
from results.aggregation.cells import is_random
from results.published import compare

FAMILY = "released"


@dataclass
class ExternalPlan:
    """The plan, the run that carries it out, what a person should know of the set, and what is to be compared.

    copies: identities of the import tasks of a set as it is, and of its copy in 8 bits.
    """

    plan: Plan
    run: PlanConfig
    said: list[str]
    copies: list[tuple[str, str]] = field(default_factory=list)


def build(config: EvaluateConfig, progress: Progress | None = None) -> ExternalPlan:
    """Read the set and plan its evaluation. Raises BenchmarkError before anything runs or is written."""
    entry, root = config.dataset or _dataset_of(config.paths), Path(config.data_root)
    _check_method(config.method)
    dataset = datasets.load(entry, root, progress)
    found = read_external_set(config.paths, dataset)
    scale = resolve_pixel_scale(found, dataset, config.pixel_scale, _constants(config, dataset))
    factor = _factor(config, found)
    places = _places(config, found)
    ipc = found.ipc(places[0], dataset.num_classes)
    if uneven := [place for place in places if found.ipc(place, dataset.num_classes) != ipc]:
        raise BenchmarkError(
            f"sets 0 and {uneven[0]} of the file hold different numbers of images",
            where="set",
            next="score them apart: 'set_index=[0]'",
        )
    run = config.run_config(entry, ipc, len(places))
    plan = Plan()
    plan.outlines[dataset.name] = dataset.outline
    cells = Cells(run, plan, dataset.outline, entry, "auto", {})
    row = _name(config)
    given = ExternalPlan(plan, run, _described(row, found, scale, factor, ipc, len(places), dataset, config))
    marks = files_digest(list(found.digests.values()))
    for seed, place in enumerate(places):
        images, labels = found.sets[place]
        asked: dict[str, Any] = {"digest": set_digest(scale.to_pixels(images), labels), "ipc": ipc, "factor": factor}
        if scale.name == WHITENED:
            asked["whitening"] = {"kind": "zca", "eps": zca.EPS}
        source = {
            "paths": [str(path) for path in found.files],
            "set_index": place,
            "pixel_scale": scale.name,
            "reason": scale.reason,
            "constants": [list(scale.constants.mean), list(scale.constants.std)] if scale.constants else None,
        }
        kept = []
        for copy in (None, config.quantize) if config.quantize else (None,):
            called = f"{row} ({copy})" if copy else row
            display = _label(called, row, config.method, ipc, factor) | {"source": marks}
            slug = f"{row}{f'-{copy}' if copy else ''}-{dataset.name}-ipc{ipc}-set{place}"
            wanted = asked | ({"quantize": QUANTIZED} if copy else {})
            kept.append(cells.add_import(wanted, slug, display, source, seed, _native(config, dataset, ipc)))
        given.copies += [(kept[0], kept[1])] if config.quantize else []
    cells.add_controls(ipc, factor)
    return given


# --- what was asked ---------------------------------------------------------------------------------------------------


def _dataset_of(paths: Sequence[Path]) -> str:
    """The dataset that a set of this project was made for: known by its fingerprint, or said by its task."""
    path = paths[0] / "synthetic.safetensors" if paths[0].is_dir() else paths[0]
    try:
        _, card = load_tensors(path)
        mark = card["made by"]["resolved"]["dataset"]["fingerprint"]
    except (BenchmarkError, LookupError, TypeError):
        mark = None
    if name := next((key for key, card in BUILTIN.items() if mark and card.fingerprint == mark), None):
        return name
    try:
        task = json.loads((path.parent / "task.json").read_text(encoding="utf-8"))
        if mark and task["resolved"]["dataset"]["fingerprint"] == mark:
            return str(task["requested"]["dataset"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise BenchmarkError("which dataset was the set made for?", where=f"set={path}", next="say it: dataset=NAME")


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
            f"mean and std need {channels} values, one a channel of {dataset.name}",
            where=f"mean={config.mean} std={config.std}",
        )
    return Constants(tuple(config.mean), tuple(config.std))


def _factor(config: EvaluateConfig, found: ExternalSet) -> int:
    own = found.own.factor if found.own else None
    if own is not None and config.factor not in (None, own):
        raise BenchmarkError(f"its card says factor {own}", where=f"factor={config.factor}", next="leave factor away")
    return own or config.factor or 1


def _places(config: EvaluateConfig, found: ExternalSet) -> list[int]:
    count = len(found.sets)
    places = list(range(count)) if config.set_index is None else config.set_index
    if not places or len(set(places)) < len(places) or not all(0 <= place < count for place in places):
        raise BenchmarkError(
            f"the file holds {count} set{'s' * (count > 1)}, from 0 to {count - 1}",
            where=f"set_index={config.set_index}",
        )
    return places


def _name(config: EvaluateConfig) -> str:
    path = config.paths[0]
    name = config.name or (path.parent.name if path.name == "synthetic.safetensors" else path.stem)
    if is_random(name) or name == "whole":
        raise BenchmarkError(
            f"'{name}' is the name of a control", where="set, name", next="give the row another name: name=NAME"
        )
    return name


def _native(config: EvaluateConfig, dataset: Dataset, ipc: int) -> str:
    """The protocol its own paper scores it with."""
    entry = compare.lookup(config.method, dataset.published_as, ipc) if config.method else None
    if entry and entry.protocol not in protocols.NAMES:  # MTT's, say, which needs its learned step size
        entry = None
    if entry is None and any(name.startswith("native") for name in config.protocols):
        raise BenchmarkError(
            "which protocol is the set's own?",
            where=f"protocols={config.protocols}",
            next="name a protocol, or the method that published a number for this cell under a known one: method=NAME",
        )
    return entry.protocol if entry else "dsa"


def _label(called: str, row: str, method: str | None, ipc: int, factor: int) -> dict[str, Any]:
    """What tables need. A method's row is titled by the name that was given, whatever the method is called."""
    name = method or f"{FAMILY} {row}"  # no row is compared with a paper because of what its file is called
    card = Card(name, name if row.startswith(name) else row, FAMILY, paper="")
    return {
        "display_name": called,
        "overrides": called[len(row) :].strip(" ()"),
        "card": {key: getattr(card, key) for key in ("name", "title", "family", "paper", "venue", "year", "native")},
        "ipc": ipc,
        "factor": factor,
        "role": "method",
        "iterations_fraction": 1.0,
        "provenance": "author" if method else "third party",
    }


# --- what a person is told --------------------------------------------------------------------------------------------


def _described(
    row: str,
    found: ExternalSet,
    scale: PixelScale,
    factor: int,
    ipc: int,
    sets: int,
    dataset: Dataset,
    config: EvaluateConfig,
) -> list[str]:
    files = ", ".join(path.name for path in found.files[:4]) + (" …" if len(found.files) > 4 else "")
    several = f"{sets} of {len(found.sets)} sets, each of " if len(found.sets) > 1 else ""
    assumed = "" if found.own or config.factor else " (assumed; say factor=N for mosaics)"
    lines = [
        f"set: {row}, from {files} ({found.format}): {several}{ipc} images a class, factor {factor}{assumed}",
        f"pixel scale: {scale.name} ({scale.reason})",
    ]
    if scale.constants:
        words = (f"{word}=[{','.join(f'{value:g}' for value in values)}]" for word, values in
                 (("mean", scale.constants.mean), ("std", scale.constants.std)))  # fmt: skip
        lines.append(f"normalized with {' '.join(words)}")
    notes = [*found.notes, *_notes(found, scale, dataset, config)]
    return lines + [f"note: {text}" for text in notes]


def _notes(found: ExternalSet, scale: PixelScale, dataset: Dataset, config: EvaluateConfig) -> list[str]:
    notes = []
    if found.format == PAIR:
        notes.append("such files hold no learned step size; networks train with the protocol's, not with MTT's")
    if scale.name == WHITENED:
        notes.append("whitening is undone, and networks see pixels: its paper trains and tests on whitened images")
    if scale.constants and config.mean is None and dataset.published_as == "cifar100":
        both = " ".join(f"{word}=[{','.join(f'{v:g}' for v in getattr(BUILTIN['cifar10'].constants, word))}]"
                        for word in ("mean", "std"))  # fmt: skip
        notes.append(f"IDC's family and MTT normalise CIFAR-100 with CIFAR-10's constants: {both}")
    made_on = _fingerprint(found)
    if made_on and made_on != dataset.fingerprint:
        notes.append(f"the set was made from other images than those of {dataset.name} here")
    return notes


def _fingerprint(found: ExternalSet) -> str | None:
    asked = (found.own.card if found.own else {}).get("resolved", {})
    mark: str | None = asked.get("dataset", {}).get("fingerprint")
    return mark
