"""The evaluations of a store as one tidy pandas frame, for questions that no table answers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.aggregation.cells import device
from results.aggregation.links import Links, cell_spec, sorted_json
from results.store.read_all import read_all
from results.store.reference import StoreName
from results.store.schema import WHOLE_SET, Status
from results.types import Json

# fmt: off
COLUMNS = {
    "dataset": "str", "display_name": "str", "method": "str", "title": "str", "family": "str", "ipc": "Int64",
    "seed": "Int64", "network": "int64", "protocol": "str", "recipe": "str", "version": "int64",
    "condense_architecture": "str", "architecture": "str", "accuracy": "float64", "validation_accuracy": "float64",
    "prepare_seconds": "float64", "prepare_shared": "float64", "condense_seconds": "float64",
    "evaluate_seconds": "float64", "factor": "Int64", "iterations_fraction": "float64", "provenance": "str",
    "val_fraction": "float64", "trials": "Int64",
    "tuning_seconds": "float64", "device": "str", "precision": "str", "commit": "str", "finished": "str",
    "settings": "object", "resolved": "object", "set": "str", "evaluation": "str",
}
# fmt: on
_OF_NETWORKS = ("network", "accuracy", "validation_accuracy")
_OF_SETS = {name: dtype for name, dtype in COLUMNS.items() if name not in _OF_NETWORKS}


def load(store: StoreName | Sequence[StoreName]) -> pd.DataFrame:
    """One row per network, in the order of the records. Sets without a score have no row.

    - `dataset`, `method`, `title`, `family`: of the row; `display_name`: the method as tables name it.
    - `ipc`: images per class, NA for the whole training set; `factor`: of multi-formation.
    - `seed`: of condensing; `network`: index of the network among those of its set.
    - `protocol`: its name in the command; `recipe`, `version`: the protocol that was used.
    - `condense_architecture`: the network that condensed the set, "" for the whole training set; `architecture`: the
      network that was trained on it.
    - `accuracy`: on the test split; `validation_accuracy`: on the withheld images, nan without any. Both are fractions.
    - `prepare_seconds`: of all experts of the set; `prepare_shared`: each expert's divided by the number of sets in the
      store that use it; `condense_seconds`; `evaluate_seconds`: of all networks of the set. The first three are nan for
      sets that were made elsewhere.
    - `iterations_fraction`: of the full iterations; `provenance`: of the setting with the weakest source.
    - `trials`: settings that tuning tried, NA without tuning; `tuning_seconds`: of all their tasks, 0 without.
    - `val_fraction`: of the training images, withheld; `device`, `precision`, `commit`, `finished`: of the evaluation.
    - `settings`: of the method; `resolved`: other values in which rows may differ. Both are JSON with sorted keys.
    - `set`, `evaluation`: identities of the tasks; `set` is "whole" for the whole training set.

    `load("reference:")` has the results that are shipped with the package, `load([a, b])` those of several stores
    (`results.store.combined`). Warns of each problem of the store. Raises ResultsError if there is no store.
    """
    stored = read_all(store)
    for problem in stored.problems:
        warnings.warn(f"{problem.what} ({problem.where})", stacklevel=2)
    return frame(stored.records)


def frame(records: Sequence[Json]) -> pd.DataFrame:
    """`load` for records that are in memory."""
    links = Links.of(records)
    scored = [record for record in links.evaluations if record["status"] == Status.OK]
    texts: dict[str, str] = {}  # 100,000 records have few different settings: each text is kept once
    sets = pd.DataFrame([_of_set(record, links, texts) for record in scored], columns=list(_OF_SETS)).astype(_OF_SETS)
    networks = [len(record["result"]["accuracies"]) for record in scored]
    runs = sets.loc[sets.index.repeat(networks)].reset_index(drop=True)
    runs["network"] = np.concatenate([np.arange(number) for number in networks] or [np.arange(0)])
    runs["accuracy"] = [value for record in scored for value in record["result"]["accuracies"]]
    runs["validation_accuracy"] = [value for record in scored for value in _validation(record["result"])]
    return runs[list(COLUMNS)].astype({name: COLUMNS[name] for name in _OF_NETWORKS})


def _validation(result: Json) -> list[float]:
    return result.get("validation_accuracies") or [math.nan] * len(result["accuracies"])


def _of_set(record: Json, links: Links, texts: dict[str, str]) -> dict[str, Any]:
    """The values that all networks of one evaluation share. texts: each JSON text that was made, by itself."""

    def text(value: Json) -> str:
        json_text = sorted_json(value)
        return texts.setdefault(json_text, json_text)

    resolved, display, environment = record["resolved"], record["display"], record["environment"]
    condensed = links.condensed(record)
    spec = {key: value for key, value in cell_spec(record, condensed).items() if not key.startswith("settings.")}
    of_display = ("dataset", "display_name", "ipc", "protocol", "factor", "iterations_fraction", "provenance")
    return {
        **{name: display[name] for name in of_display},
        **{name: resolved[name] for name in ("set", "architecture", "val_fraction", "precision")},
        **{name: display["card"][name] for name in ("title", "family")},
        **_seconds(record, condensed, links),
        "method": display["card"]["name"],
        "trials": display.get("tuning", {}).get("trials"),
        "tuning_seconds": display.get("tuning", {}).get("seconds", 0.0),
        "seed": (condensed or record)["resolved"]["seed"],
        "condense_architecture": display["condense_architecture"] or "",
        "recipe": resolved["protocol"]["name"].removeprefix("native:"),
        "version": resolved["protocol"]["version"],
        "device": device(environment),
        "commit": environment.get("commit") or "",
        "finished": record["finished"],
        "settings": text(condensed["resolved"]["settings"] if condensed else {}),
        "resolved": text(spec),
        "evaluation": record["identity"],
    }


def _seconds(record: Json, condensed: Json | None, links: Links) -> dict[str, float]:
    unknown = 0.0 if record["resolved"]["set"] == WHOLE_SET else math.nan
    return {
        "prepare_seconds": links.prepare_seconds(condensed, shared=False) if condensed else unknown,
        "prepare_shared": links.prepare_seconds(condensed, shared=True) if condensed else unknown,
        "condense_seconds": condensed["seconds"] if condensed else unknown,
        "evaluate_seconds": record["seconds"],
    }
