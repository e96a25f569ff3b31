"""The command that repeats one cell, rebuilt from the specifications in its records.

It names every setting, so that neither a preset nor a fraction of the iterations can change it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from results.formatting import hydra_quoted
from results.page.cell_records import CellRecords
from results.types import Json

_UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+-]*")  # strings that Hydra reads without quotes
_KEYWORDS = {"null", "true", "false", "nan", "inf"}  # except these, which it reads as values
# The parts of a specification that a command can express; a record of a later version may have more.
_CONDENSE = {
    *("kind", "method", "version", "settings", "ipc", "seed", "architecture", "dataset", "experts", "val_fraction"),
    *("precision", "snapshots", "unequal_batches"),
}
_EVALUATE = {
    *("kind", "set", "seed", "architecture", "protocol", "num_eval", "dataset", "val_fraction", "precision"),
    *("whole", "imported"),
}
_MIN_RANDOM_SUBSETS = 5  # that a run makes


@dataclass(frozen=True)
class RerunCommand:
    """A command line for a shell, or "" if there is none, and notes for the reader."""

    text: str
    notes: tuple[str, ...] = ()


def rerun_command(records: CellRecords, requested: Json) -> RerunCommand:
    """The command that plans the tasks of one cell. requested: of a task.json of the cell, {} if there is none."""
    if not (records.evaluations or records.sets):
        return RerunCommand("", ("its records are missing",))
    first = (records.evaluations or records.sets)[0]
    imported = any(record["kind"] == "import" for record in records.sets)
    if imported and not requested.get("source"):
        return RerunCommand("", ("the file of the set is not recorded",))
    words = ["python", "-m", "benchmark.evaluate" if imported else "benchmark.run"]
    words += _import_options(records, requested) if imported else _run_options(records, requested)
    words += _evaluation_options(records.evaluations)
    words += _common_options(first["resolved"])
    return RerunCommand(" ".join(map(shlex.quote, words)), tuple(_notes(records, first, requested)))


def _run_options(records: CellRecords, requested: Json) -> Iterator[str]:
    first = (records.sets or records.evaluations)[0]
    resolved = first["resolved"]
    dataset = _value([requested.get("dataset") or first["display"]["dataset"]])
    if not records.sets:  # the whole training set
        yield from ("methods=[]", f"datasets={dataset}", "baselines=[whole]")
        yield from _settings("whole", resolved.get("whole", {}))
        yield f"seeds=[{resolved['seed']}]"
    else:
        yield from (f"methods={_value([resolved['method']])}", f"datasets={dataset}", f"ipcs=[{resolved['ipc']}]")
        yield f"architectures={_value([resolved['architecture']])}"
        yield f"seeds={_value(_seeds(records.sets))}"
        yield from _settings(resolved["method"], resolved["settings"])
        yield from [f"expert_seed={seed}" for seed in sorted(_expert_seeds(records) - {0})[:1]]
        if resolved.get("snapshots"):
            yield f"snapshots={_value(resolved['snapshots'])}"
        yield "baselines=[]"
    yield from _data_root(requested)


def _import_options(records: CellRecords, requested: Json) -> Iterator[str]:
    """For a set made elsewhere: its files, the options that were given for them, and the index of its set in them."""
    source, resolved, display = requested["source"], records.sets[0]["resolved"], records.sets[0]["display"]
    paths = source["paths"]
    yield f"set={_value(paths[0] if len(paths) == 1 else paths)}"
    yield f"dataset={_value(requested['dataset'])}"
    overrides = display.get("overrides")
    yield f"name={_value(display['display_name'].removesuffix(f' ({overrides})' if overrides else ''))}"
    yield f"factor={resolved['factor']}"
    yield f"pixel_scale={_value(source['pixel_scale'])}"
    if source.get("constants"):
        yield from (f"mean={_value(source['constants'][0])}", f"std={_value(source['constants'][1])}")
    yield f"set_index={_value([_set_index(record, source) for record in _in_file_order(records)])}"
    if not display["card"]["name"].startswith("released "):
        yield f"method={_value(display['card']['name'])}"
    if resolved.get("quantize"):
        yield f"quantize={_value(resolved['quantize'])}"
    yield "baselines=[]"
    yield from _data_root(requested)


def _in_file_order(records: CellRecords) -> list[Json]:
    """The sets in the order of `set_index`, which is that of the seeds of their evaluations."""
    sets = {record["identity"]: record for record in records.sets}
    return [sets[r["resolved"]["set"]] for r in records.evaluations if r["resolved"]["set"] in sets]


def _set_index(record: Json, source: Json) -> int:
    return int(record["result"].get("source", source).get("set_index", 0))


def _evaluation_options(evaluations: Sequence[Json]) -> Iterator[str]:
    if evaluations:
        resolved = evaluations[0]["resolved"]
        yield f"protocols={_value([evaluations[0]['display']['protocol']])}"
        yield f"eval_architectures={_value([resolved['architecture']])}"
        yield f"num_eval={resolved['num_eval']}"


def _common_options(resolved: Json) -> Iterator[str]:
    if resolved.get("val_fraction"):
        yield f"val_fraction={_value(resolved['val_fraction'])}"
    if resolved["dataset"].get("imbalance"):
        yield f"imbalance={_value(resolved['dataset']['imbalance'])}"
    if resolved.get("precision", "fp32") != "fp32":
        yield f"precision={_value(resolved['precision'])}"


def _settings(method: str, settings: Json) -> Iterator[str]:
    for name, value in settings.items():
        yield f"method.{method}.{name}={_value(value)}"


def _data_root(requested: Json) -> Iterator[str]:
    """The folder of downloaded datasets, unless it has the default name, and that of decoded ones if it was named."""
    root = requested.get("data_root")
    if root and PurePath(root).name != "data":
        yield f"data_root={_value(root)}"
    if cache := requested.get("cache"):
        yield f"cache={_value(cache)}"


def _seeds(records: Sequence[Json]) -> list[int]:
    return list(dict.fromkeys(record["resolved"]["seed"] for record in records))


def _expert_seeds(records: CellRecords) -> set[int]:
    return {expert["resolved"].get("expert_seed", 0) for expert in records.experts}


def _value(value: Any) -> str:
    """A JSON value in the grammar of Hydra's command line."""
    if isinstance(value, str):
        return value if _UNQUOTED.fullmatch(value) and value.lower() not in _KEYWORDS else hydra_quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    return json.dumps(value)


# --- notes ------------------------------------------------------------------------------------------------------------


def _notes(records: CellRecords, first: Json, requested: Json) -> Iterator[str]:
    if not requested:
        yield "The dataset is called as in tables, as its name on the command line is not recorded any more."
    elif requested.get("dataset") != "digits" and not list(_data_root(requested)):
        yield "Run it from the folder that contains data/, where datasets are."
    sets = [record for record in records.sets if record["kind"] == "condense"]
    if sets and sets[0]["resolved"]["method"] == "random" and len(_seeds(sets)) < _MIN_RANDOM_SUBSETS:
        yield f"A run makes at least {_MIN_RANDOM_SUBSETS} random subsets, so it adds those that are missing here."
    if len(_expert_seeds(records)) > 1:
        yield "Its sets used several pools of experts; this command uses the first of them."
    evaluation_seeds = [record["resolved"]["seed"] for record in records.evaluations]
    if "source" in requested and evaluation_seeds != list(range(len(evaluation_seeds))):
        yield "Some of the file's sets are missing here, so its networks get other seeds."
    if any(record["resolved"].get("quantize") for record in records.sets):
        yield "It also scores the set without quantization."
    unknown = {name for record in sets for name in record["resolved"]} - _CONDENSE
    unknown |= {name for record in records.evaluations for name in record["resolved"]} - _EVALUATE
    if unknown:
        yield f"The command cannot express these parts of its specification: {', '.join(sorted(unknown))}."
