"""The command that asks for one cell again, rebuilt from what its records say was asked. Pure.

Every setting is named, so that neither a preset nor a fraction of the iterations can change it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from results.page.cell_records import Behind

Json = Mapping[str, Any]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+-]*")  # what Hydra takes as a string without quotes
_WORDS = {"null", "true", "false", "nan", "inf"}  # and these it does not
# What commands can say of a request; a record of a later version may hold more.
# fmt: off
_CONDENSE = {"kind", "method", "version", "settings", "ipc", "seed", "architecture", "dataset", "experts", "validation",
             "precision", "snapshots"}
_EVALUATE = {"kind", "set", "seed", "architecture", "protocol", "networks", "dataset", "validation", "precision",
             "whole", "imported"}
# fmt: on
_RANDOM_SUBSETS = 5  # a run takes at least so many


@dataclass(frozen=True)
class Command:
    """A line for a shell, "" where none can be had, and what a person should know of it."""

    text: str
    notes: tuple[str, ...] = ()


def command(behind: Behind, request: Json) -> Command:
    """What plans the tasks of one cell; `request` is that of a task.json of the cell ({} where there is none)."""
    if not (behind.evaluations or behind.sets):
        return Command("", ("its records are not there",))
    first = (behind.evaluations or behind.sets)[0]
    imported = any(record["kind"] == "import" for record in behind.sets)
    if imported and not request.get("source"):
        return Command("", ("it is not known any more which file the set came from",))
    words = ["python", "-m", "benchmark.evaluate" if imported else "benchmark.run"]
    words += _given(behind, request) if imported else _run(behind, request)
    words += _scored(behind.evaluations)
    words += _common(first["asked"])
    return Command(" ".join(map(shlex.quote, words)), tuple(_notes(behind, first, request)))


def _run(behind: Behind, request: Json) -> Iterator[str]:
    first = (behind.sets or behind.evaluations)[0]
    dataset = _value([request.get("dataset") or first["label"]["dataset"]])
    if not behind.sets:  # the whole training set
        yield from ("methods=[]", f"datasets={dataset}", "controls=[whole]")
        yield from _settings("whole", first["asked"].get("whole", {}))
        yield f"seeds=[{first['asked']['seed']}]"
    else:
        asked = first["asked"]
        yield from (f"methods={_value([asked['method']])}", f"datasets={dataset}", f"ipcs=[{asked['ipc']}]")
        yield f"architectures={_value([asked['architecture']])}"
        yield f"seeds={_value(_seeds(behind.sets))}"
        yield from _settings(asked["method"], asked["settings"])
        pools = {expert["asked"].get("pool_seed", 0) for expert in behind.experts} - {0}
        yield from [f"pool_seed={pool}" for pool in sorted(pools)[:1]]
        if asked.get("snapshots"):
            yield f"curve={_value(asked['snapshots'])}"
        yield "controls=[]"
    yield from _data_root(request)


def _given(behind: Behind, request: Json) -> Iterator[str]:
    """A set made elsewhere: its files, what was told of it, and which of the sets in them."""
    source, first = request["source"], behind.sets[0]
    paths = source["paths"]
    yield f"set={_value(paths[0] if len(paths) == 1 else paths)}"
    yield f"dataset={_value(request['dataset'])}"
    name, variant, method = first["label"]["row"], first["label"].get("variant"), first["label"]["card"]["name"]
    yield f"name={_value(name.removesuffix(f' ({variant})') if variant else name)}"
    yield f"factor={first['asked']['factor']}"
    yield f"units={_value(source['units'])}"
    if source.get("constants"):
        yield from (f"mean={_value(source['constants'][0])}", f"std={_value(source['constants'][1])}")
    yield f"entries={_value([_place(record, source) for record in _in_order(behind)])}"
    if not method.startswith("released "):
        yield f"method={_value(method)}"
    if first["asked"].get("quantise"):
        yield f"quantise={_value(first['asked']['quantise'])}"
    yield "controls=[]"
    yield from _data_root(request)


def _in_order(behind: Behind) -> list[Json]:
    """The sets by the seeds of their evaluations, which are their places in `entries`."""
    by_identity = {record["identity"]: record for record in behind.sets}
    return [by_identity[r["asked"]["set"]] for r in behind.evaluations if r["asked"]["set"] in by_identity]


def _place(record: Json, source: Json) -> int:
    return int(record["result"].get("source", source).get("place", 0))


def _scored(evaluations: Sequence[Json]) -> Iterator[str]:
    if evaluations:
        asked = evaluations[0]["asked"]
        yield f"protocols={_value([evaluations[0]['label']['protocol']])}"
        yield f"eval_architectures={_value([asked['architecture']])}"
        yield f"networks={asked['networks']}"


def _common(asked: Json) -> Iterator[str]:
    if asked.get("validation"):
        yield f"validation={_value(asked['validation'])}"
    if asked.get("precision", "fp32") != "fp32":
        yield f"precision={_value(asked['precision'])}"


def _settings(method: str, settings: Json) -> Iterator[str]:
    for name, value in settings.items():
        yield f"method.{method}.{name}={_value(value)}"


def _data_root(request: Json) -> Iterator[str]:
    """Where downloaded datasets lie, unless it is called as it is called without being asked."""
    root = request.get("data_root")
    if root and PurePath(root).name != "data":
        yield f"data_root={_value(root)}"


def _seeds(records: Sequence[Json]) -> list[int]:
    return list(dict.fromkeys(record["asked"]["seed"] for record in records))


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


def _notes(behind: Behind, first: Json, request: Json) -> Iterator[str]:
    if not request:
        yield "What the dataset was called by the command is not recorded any more: its name in tables stands here."
    elif first["label"]["dataset"] != "digits" and not list(_data_root(request)):
        yield "Run it from the folder that holds data/, where datasets lie."
    sets = [record for record in behind.sets if record["kind"] == "condense"]
    seeds = _seeds(sets)
    if sets and sets[0]["asked"]["method"] == "random" and len(seeds) < _RANDOM_SUBSETS:
        yield f"A run takes at least {_RANDOM_SUBSETS} random subsets: it also makes those that are not here yet."
    if len({expert["asked"].get("pool_seed", 0) for expert in behind.experts}) > 1:
        yield "Its sets used several pools of experts: this asks for the first of them."
    if "source" in request and [r["asked"]["seed"] for r in behind.evaluations] != list(range(len(behind.evaluations))):
        yield "Some of the file's sets are missing here, so that its networks are not the same ones."
    if any(record["asked"].get("quantise") for record in behind.sets):
        yield "It scores the set as it is, too."
    asked = {key for record in sets for key in record["asked"]} - _CONDENSE
    asked |= {key for record in behind.evaluations for key in record["asked"]} - _EVALUATE
    if asked:
        yield f"Something else was asked that this command does not say: {', '.join(sorted(asked))}."
