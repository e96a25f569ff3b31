"""The command that asks for one cell again, rebuilt from what its records say was asked. Pure.

Every setting is named, so that neither a preset nor a fraction of the iterations can change it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from results.page.cell_records import Behind
from results.types import Json

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+-]*")  # what Hydra takes as a string without quotes
_WORDS = {"null", "true", "false", "nan", "inf"}  # and these it does not
# What commands can say of a request; a record of a later version may hold more.
# fmt: off
_CONDENSE = {"kind", "method", "version", "settings", "ipc", "seed", "architecture", "dataset", "experts", "val_fraction",
             "precision", "snapshots"}
_EVALUATE = {"kind", "set", "seed", "architecture", "protocol", "num_eval", "dataset", "val_fraction", "precision",
             "whole", "imported"}
# fmt: on
_RANDOM_SUBSETS = 5  # a run takes at least so many


@dataclass(frozen=True)
class Command:
    """A line for a shell, "" where none can be had, and what a person should know of it."""

    text: str
    notes: tuple[str, ...] = ()


def command(behind: Behind, requested: Json) -> Command:
    """What plans the tasks of one cell; `request` is that of a task.json of the cell ({} where there is none)."""
    if not (behind.evaluations or behind.sets):
        return Command("", ("its records are not there",))
    first = (behind.evaluations or behind.sets)[0]
    imported = any(record["kind"] == "import" for record in behind.sets)
    if imported and not requested.get("source"):
        return Command("", ("it is not known any more which file the set came from",))
    words = ["python", "-m", "benchmark.evaluate" if imported else "benchmark.run"]
    words += _given(behind, requested) if imported else _run(behind, requested)
    words += _scored(behind.evaluations)
    words += _common(first["resolved"])
    return Command(" ".join(map(shlex.quote, words)), tuple(_notes(behind, first, requested)))


def _run(behind: Behind, requested: Json) -> Iterator[str]:
    first = (behind.sets or behind.evaluations)[0]
    dataset = _value([requested.get("dataset") or first["display"]["dataset"]])
    if not behind.sets:  # the whole training set
        yield from ("methods=[]", f"datasets={dataset}", "baselines=[whole]")
        yield from _settings("whole", first["resolved"].get("whole", {}))
        yield f"seeds=[{first['resolved']['seed']}]"
    else:
        resolved = first["resolved"]
        yield from (f"methods={_value([resolved['method']])}", f"datasets={dataset}", f"ipcs=[{resolved['ipc']}]")
        yield f"architectures={_value([resolved['architecture']])}"
        yield f"seeds={_value(_seeds(behind.sets))}"
        yield from _settings(resolved["method"], resolved["settings"])
        pools = {expert["resolved"].get("expert_seed", 0) for expert in behind.experts} - {0}
        yield from [f"expert_seed={pool}" for pool in sorted(pools)[:1]]
        if resolved.get("snapshots"):
            yield f"snapshots={_value(resolved['snapshots'])}"
        yield "baselines=[]"
    yield from _data_root(requested)


def _given(behind: Behind, requested: Json) -> Iterator[str]:
    """A set made elsewhere: its files, what was told of it, and which of the sets in them."""
    source, first = requested["source"], behind.sets[0]
    paths = source["paths"]
    yield f"set={_value(paths[0] if len(paths) == 1 else paths)}"
    yield f"dataset={_value(requested['dataset'])}"
    name, variant, method = (
        first["display"]["display_name"],
        first["display"].get("overrides"),
        first["display"]["card"]["name"],
    )
    yield f"name={_value(name.removesuffix(f' ({variant})') if variant else name)}"
    yield f"factor={first['resolved']['factor']}"
    yield f"pixel_scale={_value(source['pixel_scale'])}"
    if source.get("constants"):
        yield from (f"mean={_value(source['constants'][0])}", f"std={_value(source['constants'][1])}")
    yield f"set_index={_value([_place(record, source) for record in _in_order(behind)])}"
    if not method.startswith("released "):
        yield f"method={_value(method)}"
    if first["resolved"].get("quantize"):
        yield f"quantize={_value(first['resolved']['quantize'])}"
    yield "baselines=[]"
    yield from _data_root(requested)


def _in_order(behind: Behind) -> list[Json]:
    """The sets by the seeds of their evaluations, which are their places in `entries`."""
    by_identity = {record["identity"]: record for record in behind.sets}
    return [by_identity[r["resolved"]["set"]] for r in behind.evaluations if r["resolved"]["set"] in by_identity]


def _place(record: Json, source: Json) -> int:
    return int(record["result"].get("source", source).get("set_index", 0))


def _scored(evaluations: Sequence[Json]) -> Iterator[str]:
    if evaluations:
        resolved = evaluations[0]["resolved"]
        yield f"protocols={_value([evaluations[0]['display']['protocol']])}"
        yield f"eval_architectures={_value([resolved['architecture']])}"
        yield f"num_eval={resolved['num_eval']}"


def _common(resolved: Json) -> Iterator[str]:
    if resolved.get("val_fraction"):
        yield f"val_fraction={_value(resolved['val_fraction'])}"
    if resolved.get("precision", "fp32") != "fp32":
        yield f"precision={_value(resolved['precision'])}"


def _settings(method: str, settings: Json) -> Iterator[str]:
    for name, value in settings.items():
        yield f"method.{method}.{name}={_value(value)}"


def _data_root(requested: Json) -> Iterator[str]:
    """Where downloaded datasets lie, unless it is called as it is called without being asked."""
    root = requested.get("data_root")
    if root and PurePath(root).name != "data":
        yield f"data_root={_value(root)}"


def _seeds(records: Sequence[Json]) -> list[int]:
    return list(dict.fromkeys(record["resolved"]["seed"] for record in records))


def _value(value: Any) -> str:
    """A JSON value as Hydra's command line reads it."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Backslashes count for themselves, except before a quote and at the end."""
    return '"' + re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + (r"\"" if m[2] else ""), text) + '"'


# --- what a person should know ----------------------------------------------------------------------------------------


def _notes(behind: Behind, first: Json, requested: Json) -> Iterator[str]:
    if not requested:
        yield "What the dataset was called by the command is not recorded any more: its name in tables stands here."
    elif first["display"]["dataset"] != "digits" and not list(_data_root(requested)):
        yield "Run it from the folder that holds data/, where datasets lie."
    sets = [record for record in behind.sets if record["kind"] == "condense"]
    seeds = _seeds(sets)
    if sets and sets[0]["resolved"]["method"] == "random" and len(seeds) < _RANDOM_SUBSETS:
        yield f"A run takes at least {_RANDOM_SUBSETS} random subsets: it also makes those that are not here yet."
    if len({expert["resolved"].get("expert_seed", 0) for expert in behind.experts}) > 1:
        yield "Its sets used several pools of experts: this asks for the first of them."
    if "source" in requested and [r["resolved"]["seed"] for r in behind.evaluations] != list(
        range(len(behind.evaluations))
    ):
        yield "Some of the file's sets are missing here, so that its networks are not the same ones."
    if any(record["resolved"].get("quantize") for record in behind.sets):
        yield "It scores the set as it is, too."
    resolved = {key for record in sets for key in record["resolved"]} - _CONDENSE
    resolved |= {key for record in behind.evaluations for key in record["resolved"]} - _EVALUATE
    if resolved:
        yield f"Something else was asked that this command does not say: {', '.join(sorted(resolved))}."
