"""From records to cells: one row for each (dataset, condensing and evaluation network, protocol, row, ipc). Pure.

Networks of one set are averaged first; the sample is the sets (condensation seeds). Records are joined by identities:
evaluate.asked.set → condense record → asked.experts → prepare records (`links`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from results.aggregation.grouping import is_native
from results.aggregation.links import Links, cell_spec, flat, key, text
from results.store.schema import RECORDED, Status
from results.types import Json

FAMILIES = ("coreset", "gradient matching", "trajectory matching", "distribution matching")
# Accuracies and deviations are fractions, seconds and bytes as named; nan or NA where nothing is known.
# fmt: off
COLUMNS = (
    "dataset", "dataset_title", "condense_architecture", "architecture", "protocol", "recipe", "version", "ipc", "display_name",
    "role", "method", "title", "family", "year", "overrides", "published_as", "num_classes", "train_images",
    "test_images",
    "status", "message", "accuracy", "sd", "sd_networks", "validation_accuracy", "sets", "networks", "expected",
    "missing", "prepare_seconds", "prepare_shared", "prepare_divisor", "condense_seconds", "evaluate_seconds",
    "stored_images", "decoded_images", "bytes", "experts", "optimizer_steps", "prepare_peak_bytes",
    "condense_peak_bytes", "evaluate_peak_bytes", "factor", "iterations_fraction", "provenance", "val_fraction",
    "devices", "precisions", "mixed", "commits", "sample", "accuracies", "cell_spec",
)
# fmt: on
_COUNTS = (
    "ipc",
    "stored_images",
    "decoded_images",
    "bytes",
    "experts",
    "optimizer_steps",
    "prepare_peak_bytes",
    "condense_peak_bytes",
    "evaluate_peak_bytes",
    "factor",
    "test_images",
)


def cells(records: Iterable[Json]) -> pd.DataFrame:
    """One row a cell with the columns of COLUMNS, sorted; see the notes below for those that are not plain.

    sd: over set means (ddof 1), nan with one set. sd_networks: over the networks of the only set, else nan.
    expected: condense tasks recorded for the cell, whatever came of them; missing: those without an accuracy.
    prepare_seconds: of the experts a set used; prepare_amortised: each expert's seconds / the condense tasks among
    these records that use it; prepare_divisor: those numbers as text ("5" or "5–15"). Seconds are means over sets.
    experts: how many prepare tasks stand behind one set. *_peak_bytes: the most that any task of the kind had at once.
    sample: {seed: set mean}; accuracies: {seed: [every network's]}. spec: {name: value} of all else that was asked.
    A task that leaves a cell without accuracy (diverged, unsupported, or one of `gather.Stored.unfinished` among the
    records) gives its status and message.
    """
    links = Links.of(list(records))
    groups: dict[tuple[str, ...], list[Json]] = defaultdict(list)
    for record in links.evaluations:
        groups[key(record, links)].append(record)
    rows = [_evaluated(group, links) for group in groups.values()]
    rows += list(_unevaluated(rows, links))
    rows.sort(key=_order)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(_COUNTS, "Int64"))


# --- a cell that was evaluated ----------------------------------------------------------------------------------------


def _evaluated(group: Sequence[Json], links: Links) -> dict[str, Any]:
    first, condensed = group[0], links.condensed(group[0])
    resolved, display = first["resolved"], first["display"]
    scored = [record for record in group if record["status"] == Status.OK]
    sources = list({r["identity"]: r for r in map(links.condensed, group) if r}.values())
    batch = links.batches[links.batch_of[condensed["identity"]]] if condensed else []
    bad = [record for record in [*group, *batch] if record["status"] != Status.OK]
    given = [links.imports[r["resolved"]["set"]] for r in group if r["resolved"]["set"] in links.imports]
    scores = _scores(scored, links)
    return {
        **_labels(display),
        "condense_architecture": display["condense_architecture"] or "",
        "architecture": resolved["architecture"],
        "protocol": display["protocol"],
        "recipe": resolved["protocol"]["name"].removeprefix("native:"),
        "version": resolved["protocol"]["version"],
        "role": display["role"],
        "overrides": condensed["display"]["overrides"]
        if condensed
        else display["display_name"].partition(" (")[2].rstrip(")"),
        "factor": display["factor"],
        "val_fraction": resolved["val_fraction"],
        **_outcome(bad, any_ok=bool(scored)),
        **scores,
        **_missing(scores["sets"], len(batch) or len({r["resolved"]["set"] for r in group})),
        **_sizes(scored, sources, given, links),
        **_costs(scored, sources, whole=resolved["set"] == "whole", links=links),
        **_surroundings(group, sources, links),
        "cell_spec": cell_spec(first, condensed),
    }


def _labels(display: Json) -> dict[str, Any]:
    card = display["card"]
    same = ("dataset", "display_name", "num_classes", "train_images", "iterations_fraction", "provenance")
    return {
        **{name: display[name] for name in same},
        "dataset_title": display.get("dataset_title") or display["dataset"],
        "published_as": display["published_as"] or "",
        "ipc": display.get("ipc"),
        "method": card["name"],
        "title": card["title"],
        "family": card["family"],
        "year": card.get("year", 0),
    }


def _outcome(bad: Sequence[Json], *, any_ok: bool) -> dict[str, Any]:
    """ok as soon as there is a number; the message then tells which seeds have none."""
    said = {f"seed {r['resolved']['seed']} {r['status']}: {r['message']}".rstrip(": ") for r in bad}
    if any_ok:
        return {"status": Status.OK.value, "message": "; ".join(sorted(said))}
    messages = sorted({r["message"] for r in bad if r["message"]})
    return {"status": bad[0]["status"] if bad else "missing", "message": "; ".join(messages)}


def _scores(scored: Sequence[Json], links: Links) -> dict[str, Any]:
    sets: dict[str, list[Json]] = defaultdict(list)
    for record in scored:
        sets[record["resolved"]["set"]].append(record)
    networks = {name: _joined(group, "accuracies") for name, group in sets.items()}
    each: dict[str, list[float]] = {}
    for name, group in sets.items():
        seed = str((links.condensed(group[0]) or group[0])["resolved"]["seed"])
        each[f"{seed}/{name[:8]}" if seed in each else seed] = networks[name]  # two expert pools, one seed
    sample = {seed: fmean(values) for seed, values in each.items()}
    means = list(sample.values())
    only = next(iter(networks.values())) if len(networks) == 1 else []
    return {
        "accuracy": _mean(means),
        "sd": deviation(means),
        "sd_networks": deviation(only),
        "validation_accuracy": _mean([_mean(_joined(group, "validation_accuracies")) for group in sets.values()]),
        "sets": len(sets),
        "networks": min(map(len, networks.values()), default=0),
        "sample": sample,
        "accuracies": each,
    }


def _missing(sets: int, expected: int) -> dict[str, int]:
    return {"expected": max(sets, expected), "missing": max(0, expected - sets)}


def _sizes(scored: Sequence[Json], sources: Sequence[Json], given: Sequence[Json], links: Links) -> dict[str, Any]:
    """Sizes of the sets, condensed here or `given`, and what tasks took beside time."""
    made = [record["result"] for record in [*sources, *given] if record["status"] == Status.OK]
    results = [record["result"] for record in scored]
    decoded = _largest([r.get("decoded_images") for r in [*made, *results]])
    return {
        "stored_images": _largest([r.get("stored_images") for r in made]),
        "decoded_images": decoded,
        "bytes": _largest([r.get("bytes") for r in made]),
        "optimizer_steps": _largest([r.get("optimizer_steps") for r in results]),
        "test_images": _largest([r.get("test_images") for r in results]),
        "experts": _largest([len(set(r["resolved"]["experts"])) for r in sources if r["status"] == Status.OK]),
        "prepare_peak_bytes": _peak([links.prepare[e] for e in _experts_of(sources) if e in links.prepare]),
        "condense_peak_bytes": _peak(sources),
        "evaluate_peak_bytes": _peak(scored),
    }


def _peak(records: Sequence[Json]) -> float:
    return _largest([record.get("peak_memory_bytes") for record in records])


def _experts_of(sources: Sequence[Json]) -> list[str]:
    return sorted({expert for record in sources for expert in record["resolved"]["experts"]})


def _costs(scored: Sequence[Json], sources: Sequence[Json], *, whole: bool, links: Links) -> dict[str, Any]:
    """Mean seconds of a set. The whole training set is not condensed: 0; one condensed elsewhere: nan."""
    made = [record for record in sources if record["status"] == Status.OK]
    used = sorted({links.users[expert] for record in made for expert in record["resolved"]["experts"]})
    unknown = 0.0 if whole else math.nan
    sets = {record["resolved"]["set"] for record in scored}
    return {
        "prepare_seconds": _mean([links.prepare_seconds(r, shared=False) for r in made], unknown),
        "prepare_shared": _mean([links.prepare_seconds(r, shared=True) for r in made], unknown),
        "prepare_divisor": "–".join(map(str, dict.fromkeys((used[0], used[-1])))) if used else "",
        "condense_seconds": _mean([r["seconds"] for r in made], unknown),
        "evaluate_seconds": sum(r["seconds"] for r in scored) / len(sets) if sets else math.nan,
    }


def _surroundings(group: Sequence[Json], sources: Sequence[Json], links: Links) -> dict[str, Any]:
    experts = (links.prepare[expert] for expert in _experts_of(sources) if expert in links.prepare)
    involved = [record for record in [*group, *sources, *experts] if record["status"] in RECORDED]
    devices = sorted({device(record["environment"]) for record in involved})
    precisions = sorted({str(record["resolved"].get("precision", "")) for record in involved} - {""})
    return {
        "devices": ", ".join(devices),
        "precisions": ", ".join(precisions),
        "mixed": len(devices) > 1 or len(precisions) > 1,
        "commits": ", ".join(sorted({_commit(r["environment"]) for r in involved} - {""})),
    }


def device(environment: Json) -> str:
    """What timings depend on: hardware, threads of a CPU, and whether other tasks ran on it."""
    name = str(environment.get("device") or "unknown device")
    threads = environment.get("threads")
    if threads and (environment.get("device_type") == "cpu" or "cpu" in name.lower()):
        name += f" × {threads} thread{'s' if threads > 1 else ''}"
    return name + (" (shared)" if environment.get("shared") else "")


def _commit(environment: Json) -> str:
    commit = str(environment.get("commit") or "")[:10]
    return f"{commit} (dirty)" if commit and environment.get("dirty") else commit


# --- a cell that never got as far as an evaluation --------------------------------------------------------------------


def _unevaluated(rows: Sequence[Json], links: Links) -> Iterator[dict[str, Any]]:
    """Cells for condense tasks that diverged or are unsupported, in every table their sets would have been in."""
    reached = {links.batch_of.get(record["resolved"]["set"]) for record in links.evaluations}
    for batch, records in links.batches.items():
        bad = [record for record in records if record["status"] != Status.OK]
        if bad and batch not in reached:
            native = bad[0]["display"]["card"].get("native", "")
            for place in _places(rows, batch[0], batch[1], native) or [("", "", "", 0)]:
                yield _failed(bad, len(records), place, links)


def _places(rows: Sequence[Json], dataset: str, network: str, native: str) -> list[tuple[Any, ...]]:
    near = [row for row in rows if row["dataset"] == dataset and row["condense_architecture"] == network]
    found = {
        (row["architecture"], row["protocol"], native, 0)
        if is_native(row)
        else (row["architecture"], row["protocol"], row["recipe"], row["version"])
        for row in near
    }
    return sorted(found)


def _failed(bad: Sequence[Json], expected: int, place: tuple[Any, ...], links: Links) -> dict[str, Any]:
    resolved, display = bad[0]["resolved"], bad[0]["display"]
    return {
        **_labels(display),
        **dict(zip(("architecture", "protocol", "recipe", "version"), place, strict=True)),
        "ipc": resolved["ipc"],
        "condense_architecture": resolved["architecture"],
        "role": "baseline" if is_random(display["display_name"]) else "method",
        "overrides": display["overrides"],
        "factor": display.get("factor"),
        "val_fraction": resolved["val_fraction"],
        **_outcome(bad, any_ok=False),
        **_scores([], links),
        **_missing(0, expected),
        **_sizes([], bad, [], links),
        **_costs([], [], whole=False, links=links),
        **_surroundings([], bad, links),
        "cell_spec": {"condensed": "here", **flat(resolved)},
    }


def is_random(row: str) -> bool:
    """Whether a row is one of the controls that a method must beat: random, or random at some factor."""
    return row == "random" or row.startswith("random@f")


# --- small things -----------------------------------------------------------------------------------------------------


def _joined(records: Sequence[Json], name: str) -> list[float]:
    return [value for record in records for value in record["result"].get(name) or []]


def _mean(values: Sequence[float], empty: float = math.nan) -> float:
    return fmean(values) if values else empty


def deviation(values: Sequence[float]) -> float:
    """The sample deviation (ddof 1), nan for fewer than two; whatever the order, as its sums are exact."""
    if len(values) < 2:
        return math.nan
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _largest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=math.nan)


def _order(row: Json) -> tuple[Any, ...]:
    """Tables in alphabetical order; within one: ipc (the whole set last), controls, then families by year."""
    table = tuple(str(row[name]) for name in ("dataset", "condense_architecture", "architecture", "protocol"))
    version = ("", 0) if is_native(row) else (row["recipe"], row["version"])
    ipc = math.inf if row["ipc"] is None else row["ipc"]
    family = FAMILIES.index(row["family"]) if row["family"] in FAMILIES else len(FAMILIES)
    kind = (row["role"] != "baseline", family, row["year"] or 0, row["display_name"])
    return *table, *version, ipc, *kind, text(row["cell_spec"])
