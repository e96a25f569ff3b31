"""The records of a store as one tidy frame, for whatever no table here shows.

from results.frame import load

runs = load("outputs")
means = runs.groupby(["dataset", "ipc", "display_name", "seed"])["accuracy"].mean()
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from results.aggregation.cells import device
from results.aggregation.links import Links, cell_spec
from results.aggregation.links import text as as_text
from results.errors import ResultsError
from results.store.read_all import read_all
from results.store.schema import Status

# Accuracies are fractions; seconds are those of the whole set, whatever the number of its networks.
# fmt: off
COLUMNS = {
    "dataset": "str", "display_name": "str", "method": "str", "title": "str", "family": "str", "ipc": "Int64", "seed": "Int64",
    "network": "int64", "protocol": "str", "recipe": "str", "version": "int64", "condense_architecture": "str",
    "architecture": "str", "accuracy": "float64", "validation_accuracy": "float64", "prepare_seconds": "float64",
    "prepare_shared": "float64", "condense_seconds": "float64", "evaluate_seconds": "float64", "factor": "Int64",
    "iterations_fraction": "float64", "provenance": "str", "val_fraction": "float64", "device": "str", "precision": "str",
    "commit": "str", "finished": "str", "settings": "object", "resolved": "object", "set": "str", "evaluation": "str",
}
# fmt: on
_OF_NETWORKS = ("network", "accuracy", "validation_accuracy")
_OF_SETS = {name: kind for name, kind in COLUMNS.items() if name not in _OF_NETWORKS}


def load(out: str | Path) -> pd.DataFrame:
    """One row for each network's accuracy on the test split, in the order of the records; no row for what has none.

    dataset, row (the method as tables know it), ipc (NA: the whole training set), seed (of condensing), network (its
    place among those of a set), protocol (as asked for), recipe and version (what that was), condensed_with and
    architecture (the networks; condensed_with is "" for the whole set), accuracy and validation_accuracy (fractions;
    nan without a validation split). prepare_seconds (all experts of the set), prepare_amortised (each one's / the sets
    of the store that use it), condense_seconds, evaluate_seconds (of all networks of the set). settings: what the
    method was asked for, as JSON with sorted keys; asked: all else that may tell two rows apart. set, evaluation: the
    identities of both tasks (set is "whole" for the training set). Other columns as in `aggregate.cells`.

    What is wrong with a store is warned of, in a line for each trouble. Raises ResultsError when there is no store.
    """
    root = Path(out).expanduser()
    if not root.is_dir():
        raise ResultsError(f"there is no store at {root}", next="name the folder a run wrote to")
    stored = read_all(root)
    for problem in stored.problems:
        warnings.warn(f"{problem.what} ({problem.where})", stacklevel=2)
    return frame(stored.records)


def frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`load` for records at hand."""
    links = Links.of(records)
    scored = [record for record in links.evaluations if record["status"] == Status.OK]
    texts: dict[str, str] = {}  # 100,000 records have few different requests: each is kept once
    sets = pd.DataFrame([_common(record, links, texts) for record in scored], columns=list(_OF_SETS)).astype(_OF_SETS)
    networks = [len(record["result"]["accuracies"]) for record in scored]
    found = sets.loc[sets.index.repeat(networks)].reset_index(drop=True)
    found["network"] = np.concatenate([np.arange(number) for number in networks] or [np.arange(0)])
    found["accuracy"] = [value for record in scored for value in record["result"]["accuracies"]]
    found["validation_accuracy"] = [value for record in scored for value in _validation(record["result"])]
    return found[list(COLUMNS)].astype({name: COLUMNS[name] for name in _OF_NETWORKS})


def _validation(result: Mapping[str, Any]) -> list[float]:
    return result.get("validation_accuracies") or [math.nan] * len(result["accuracies"])


def _common(record: Mapping[str, Any], links: Links, texts: dict[str, str]) -> dict[str, Any]:
    """What all networks of a set have in common. texts: every JSON text made so far, by itself."""

    def text(value: Mapping[str, Any]) -> str:
        made = as_text(value)
        return texts.setdefault(made, made)

    resolved, display, environment = record["resolved"], record["display"], record["environment"]
    condensed = links.condensed(record)
    card = display["card"]
    others = {key: value for key, value in cell_spec(record, condensed).items() if not key.startswith("settings.")}
    return {
        **{
            name: display[name]
            for name in ("dataset", "display_name", "ipc", "protocol", "factor", "iterations_fraction", "provenance")
        },
        **{name: resolved[name] for name in ("set", "architecture", "val_fraction", "precision")},
        **{name: card[name] for name in ("title", "family")},
        **_seconds(record, condensed, links),
        "method": card["name"],
        "seed": (condensed or record)["resolved"]["seed"],
        "condense_architecture": display["condense_architecture"] or "",
        "recipe": resolved["protocol"]["name"].removeprefix("native:"),
        "version": resolved["protocol"]["version"],
        "device": device(environment),
        "commit": environment.get("commit") or "",
        "finished": record["finished"],
        "settings": text(condensed["resolved"]["settings"] if condensed else {}),
        "resolved": text(others),
        "evaluation": record["identity"],
    }


def _seconds(record: Mapping[str, Any], condensed: Mapping[str, Any] | None, links: Links) -> dict[str, float]:
    """Nothing is condensed for the whole set; what was condensed elsewhere took an unknown time."""
    unknown = 0.0 if record["resolved"]["set"] == "whole" else math.nan
    return {
        "prepare_seconds": links.prepare_seconds(condensed, shared=False) if condensed else unknown,
        "prepare_shared": links.prepare_seconds(condensed, shared=True) if condensed else unknown,
        "condense_seconds": condensed["seconds"] if condensed else unknown,
        "evaluate_seconds": record["seconds"],
    }
