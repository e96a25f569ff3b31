"""Moving finished cells of a store into the reference results of this checkout: a maintainer's work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmark import datasets
from benchmark.condensation.synthetic_set import load_set
from benchmark.config.plain_protocols import is_native
from benchmark.external_sets.real_selection import save_selection
from benchmark.external_sets.score import score
from benchmark.utils.tensor_files import load_tensors, save_tensors, write_bytes
from methods.base import SyntheticSet
from results.aggregation.full_budget import full_budget
from results.store import reference
from results.store.artifacts import checked_artifact
from results.store.atomic_files import read_json, replace, to_json, writing
from results.store.reference import ReferenceSet
from results.store.schema import KINDS
from results.store.store import Store, different_records, same_numbers
from results.types import Json

_SET = "synthetic.safetensors"


@dataclass(frozen=True)
class _CondensedSet:
    """A condense record with the files beside it. evaluations: of its set."""

    record: Json
    folder: Path
    evaluations: Sequence[Json]

    @property
    def entry(self) -> str:
        """The dataset as the run named it."""
        task = read_json(self.folder / "task.json") or {}
        return str(task["requested"]["dataset"])

    @property
    def name(self) -> str:
        """ "dance@alignment:random/fashionmnist/10"."""
        display = self.record["display"]
        method = display["display_name"].replace(" (", "@").rstrip(")").replace(", ", "@").replace("=", ":")
        return f"{method}/{display['dataset']}/{self.record['resolved']['ipc']}"

    @property
    def file(self) -> str:
        resolved, display = self.record["resolved"], self.record["display"]
        words = [self.name.split("/")[0], display["dataset"], f"ipc{resolved['ipc']}", resolved["architecture"]]
        slug = re.sub(r"[^A-Za-z0-9._@+-]+", "-", "-".join([*words, f"seed{resolved['seed']}"]))
        return f"{slug}-{self.record['identity'][:12]}.safetensors"


def collect(store: Store, data_root: Path) -> Iterator[str]:
    """Add the store's complete cells to the reference results; yields a sentence on each thing that was done or not.

    What is there already stays as it is. Raises BenchmarkError or ResultsError, before any file is written, if a record
    differs from the one that is there.
    """
    contents = store.read()
    for problem in contents.problems:
        yield f"left out: {problem.what} ({problem.where})"
    complete, left_out = full_budget(list(contents.records.values()))
    yield from left_out
    merged = _merged(complete)
    folders = {record["identity"]: folder for folder, record in contents.records.items()}
    for source in _sources(complete, folders):
        yield _add_set(source, data_root)
    for path, records in merged.items():
        yield _write_records(path, records)


# --- records ----------------------------------------------------------------------------------------------------------


def _merged(complete: Sequence[Json]) -> dict[Path, list[Json]]:
    """By file, its records and the new ones. Raises ResultsError for a record that differs from the one there."""
    files: dict[Path, dict[str, Json]] = {}
    for record in complete:
        path = reference.FOLDER / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', record['display']['dataset'])}.jsonl"
        if path not in files:
            files[path] = _stored(path)
        known = files[path].setdefault(record["identity"], record)
        if not same_numbers([known, record]):
            raise different_records([path / record["kind"] / record["identity"][:12], Path("the store")])
    return {path: sorted(records.values(), key=_order) for path, records in files.items()}


def _stored(path: Path) -> dict[str, Json]:
    lines = list(reference.read_lines(path)) if path.exists() else []
    if unusable := [line.error for line in lines if line.error]:
        raise unusable[0]
    return {line.record["identity"]: line.record for line in lines}


def _order(record: Json) -> tuple[Any, ...]:
    display, resolved = record["display"], record["resolved"]
    cell = str(display.get("display_name", "")), display.get("ipc") or 0, str(display.get("protocol", ""))
    return KINDS.index(record["kind"]), *cell, resolved.get("seed", 0), record["identity"]


def _write_records(path: Path, records: Sequence[Json]) -> str:
    lines = [json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")) for record in records]
    text = "".join(f"{line}\n" for line in lines)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return f"unchanged: {path.name}, {len(records)} records"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, text)
    return f"written: {path.name}, {len(records)} records"


# --- sets -------------------------------------------------------------------------------------------------------------


def _sources(complete: Sequence[Json], folders: dict[str, Path]) -> Iterator[_CondensedSet]:
    """The condensed sets of seed 0."""
    for record in complete:
        if record["kind"] == "condense" and record["resolved"]["seed"] == 0:
            evaluations = [
                r for r in complete if r["kind"] == "evaluate" and r["resolved"]["set"] == record["identity"]
            ]
            yield _CondensedSet(record, folders[record["identity"]], evaluations)


def _add_set(source: _CondensedSet, data_root: Path) -> str:
    shipped, name = reference.sets(), source.name
    if name in shipped:
        if shipped[name]["identity"] == source.record["identity"]:
            return f"unchanged: set {name}"
        return f"left out: set {name} of {source.folder.name}, as there is another one: {shipped[name]['file']}"
    made, folder = checked_artifact(source.folder, source.record, _SET), reference.FOLDER / reference.SETS
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    check: dict[str, Any] = {}
    if source.record["display"]["card"]["family"] == "coreset":
        pixels, downsample = "indices", source.record["resolved"]["settings"].get("downsample", "area")
        sha256 = save_selection(
            folder / source.file, load_set(made), datasets.load(source.entry, data_root), downsample
        )
    else:
        check = _float16_check(source, load_set(made), data_root)
        pixels = "float16" if check.get("passed") else "float32"
        sha256 = _save_pixels(made, folder / source.file, pixels)
    shipped[name] = ReferenceSet(
        file=source.file,
        identity=source.record["identity"],
        sha256=sha256,
        original=source.record["artifacts"][_SET],
        pixels=pixels,
        check=check,
    )
    replace(reference.FOLDER / reference.INDEX, to_json(shipped))
    return f"written: set {name} as {pixels}" + (f" ({json.dumps(check, sort_keys=True)})" if check else "")


def _float16_check(source: _CondensedSet, synthetic: SyntheticSet, data_root: Path) -> dict[str, Any]:
    """One network trained on the set with float16 pixels, as the first network of a stored evaluation was.

    It passes if its accuracy is within two sample deviations of the mean of the stored networks. It is trained in fp32,
    which every CPU does at full speed. Without several networks under a shared protocol there is nothing to compare
    with, and the answer is {}.
    """
    for record in source.evaluations:
        display, resolved, accuracies = record["display"], record["resolved"], record["result"].get("accuracies", [])
        if len(accuracies) > 1 and not is_native(display["protocol"]):
            (accuracy,) = score(
                synthetic.images.half().float(),
                synthetic.labels,
                source.entry,
                display["protocol"],
                architecture=resolved["architecture"],
                num_eval=1,
                factor=synthetic.factor,
                seed=resolved["seed"],
                data_root=data_root,
            )
            mean, sd = fmean(accuracies), stdev(accuracies)
            return {
                **{"protocol": display["protocol"], "accuracies": accuracies},
                **{"float16_accuracy": accuracy, "sd": sd, "passed": abs(accuracy - mean) <= 2 * sd},
            }
    return {}


def _save_pixels(made: Path, path: Path, pixels: str) -> str:
    """A copy of a set's file, its images rounded to float16 if `pixels` says so; returns its SHA-256."""
    if pixels == "float32":
        return write_bytes(path, made.read_bytes())
    tensors, card = load_tensors(made)
    rounded = card | {"pixels": card["pixels"].replace("float32", pixels)}
    return save_tensors(path, tensors | {"images": tensors["images"].half()}, rounded)
