"""From records to the cells of tables: one row per dataset, networks, protocol, method, ipc and specification.

The accuracies of one set's networks are averaged first; the sample is the sets, one for each condensation seed.
`links` says how records are joined.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from results.aggregation.grouping import family_rank, is_native, is_random
from results.aggregation.links import Links, cell_key, cell_spec, flat_spec, sorted_json
from results.store.schema import OWN_PACKAGE, RECORDED, WHOLE_SET, Status
from results.types import Json

# fmt: off
COLUMNS = (
    "dataset", "dataset_title", "condense_architecture", "architecture", "protocol", "recipe", "version", "epochs",
    "protocol_note", "constants", "ipc", "class_sizes", "display_name", "role", "method", "title", "family", "year",
    "overrides", "published_as", "num_classes", "train_images", "test_images", "status", "message", "accuracy", "sd",
    "sd_networks", "validation_accuracy", "head_accuracy", "middle_accuracy", "tail_accuracy",
    "optimistic_best_on_test", "optimistic_best_on_test_sd",
    "optimistic_best_on_test_sd_networks", "sets", "networks", "expected", "missing", "prepare_seconds",
    "prepare_shared", "prepare_divisor", "condense_seconds", "evaluate_seconds", "stored_images", "decoded_images",
    "bytes", "labels", "label_bytes", "teacher_accuracy", "teacher_bytes", "experts", "optimizer_steps",
    "prepare_peak_bytes", "condense_peak_bytes", "evaluate_peak_bytes", "factor", "iterations_fraction",
    "raised_to_floor", "provenance", "val_fraction", "devices", "precisions", "mixed", "commits", "package",
    "budget_seconds", "budget_spread", "tuning", "trials", "tuning_seconds", "tuning_accuracies",
    "sample", "accuracies", "cell_spec", "evaluation_ids", "set_ids",
)
_COUNTS = (
    "ipc", "epochs", "stored_images", "decoded_images", "bytes", "experts", "optimizer_steps", "prepare_peak_bytes",
    "condense_peak_bytes", "evaluate_peak_bytes", "factor", "test_images", "trials",
)
# fmt: on


def cells(records: Iterable[Json]) -> pd.DataFrame:
    """One row for each cell, sorted, with COLUMNS. Accuracies are fractions; an unknown value is nan or NA.

    recipe, version, epochs: of the protocol; under `native` the recipe is the method's own. constants: the mean and the
    std, one a channel, with which evaluation networks see images, or "zca"; empty without an evaluation. protocol_note:
    what of the protocol is in no public code. class_sizes: images of the smallest and the largest class, "9–11", where
    they differ; the ipc is then the rounded mean.
    status, message: "ok" if any set has an accuracy, and why others have none; else what became of the tasks. Tasks
    without a record (`StoredResults.unfinished`) may be among the records.
    accuracy, sd: mean and sample deviation (ddof 1) over sets, nan for the deviation of one set; sd_networks: over the
    networks of the only set, else nan. sample: {seed: mean of its set}. accuracies: {seed: [one for each network]}.
    head_accuracy, middle_accuracy, tail_accuracy: means over sets, networks and the classes of `_thirds`; nan if no
    class has twice as many training images as another.
    optimistic_best_on_test, …: as accuracy, sd and sd_networks, but of the snapshot of each set that is the best on the
    test split; nan unless every scored set has such an analysis.
    sets: with an accuracy; expected: condense tasks of the cell, whatever became of them; missing: those without one.
    prepare_seconds: of the experts that a set used; prepare_shared: each expert's seconds divided by the number of
    condense tasks among the records that use it; prepare_divisor: these numbers as text ("5" or "5–15"). All seconds
    are means over sets; of a set condensed elsewhere they are unknown, of the whole set 0.
    labels: "hard", or "soft" where networks trained with the labels of a teacher. label_bytes, teacher_bytes: of
    float32 values; teacher_accuracy: on the test split. Its seconds are in preparing, those of labelling in condensing.
    experts: prepare tasks of one set. *_peak_bytes: the most memory of any task of that kind.
    package: that a plug-in method comes from, with its version; "" for the methods of this project.
    budget_seconds, budget_spread: that a set with its experts was given, and by which fraction of itself its share of
    the iterations may be wrong; nan without a budget in seconds.
    tuning, trials, tuning_seconds, tuning_accuracies: the name of the tuning that chose the settings, the number of
    settings that it tried, the seconds of all its tasks, and the accuracy of each trial on withheld images, nan without
    a set; "", NA, 0 and () without tuning.
    mixed: whether devices or precisions differ, so that seconds do not compare.
    cell_spec: {name: value} of the specifications, see `links.cell_spec`. evaluation_ids, set_ids: identities of the
    evaluations, and of the sets with those that condensing or importing failed to make.
    """
    links = Links.of(list(records))
    evaluations: dict[tuple[str, ...], list[Json]] = defaultdict(list)
    for record in links.evaluations:
        evaluations[cell_key(record, links)].append(record)
    rows = [_evaluated(same_cell, links) for same_cell in evaluations.values()]
    rows += list(_unevaluated(rows, links))
    return as_frame(rows)


def as_frame(rows: Iterable[Json]) -> pd.DataFrame:
    """These rows, in the order and with the types of `cells`."""
    ordered: list[Json] = sorted(rows, key=_order)
    return pd.DataFrame(ordered, columns=list(COLUMNS)).astype(dict.fromkeys(_COUNTS, "Int64"))


# --- a cell that was evaluated ----------------------------------------------------------------------------------------


def _evaluated(evaluations: Sequence[Json], links: Links) -> dict[str, Any]:
    first, condensed = evaluations[0], links.condensed(evaluations[0])
    resolved, display = first["resolved"], first["display"]
    scored = _ok(evaluations)
    condense = list({record["identity"]: record for record in map(links.condensed, evaluations) if record}.values())
    seed_group = links.seed_groups[links.seed_group_of[condensed["identity"]]] if condensed else []
    sets = {record["resolved"]["set"] for record in evaluations}
    imports = [links.imports[identity] for identity in sets if identity in links.imports]
    bad = [record for record in [*evaluations, *seed_group] if record["status"] != Status.OK]
    scores = _scores(scored, links)
    return {
        **_labels(display),
        "condense_architecture": display["condense_architecture"] or "",
        "architecture": resolved["architecture"],
        "protocol": display["protocol"],
        "recipe": resolved["protocol"]["name"].removeprefix("native:"),
        "version": resolved["protocol"]["version"],
        "epochs": resolved["protocol"].get("epochs", math.nan),
        "protocol_note": display.get("protocol_note", ""),
        "constants": _constants(resolved["dataset"]),
        "role": display["role"],
        "overrides": condensed["display"]["overrides"] if condensed else _overrides_of_name(display["display_name"]),
        "factor": display["factor"],
        "val_fraction": resolved["val_fraction"],
        **_outcome(bad, any_ok=bool(scored)),
        **scores,
        **_accuracy_of_thirds(scored),
        **_best_on_test(scored, links),
        **_missing(scores["sets"], len(seed_group) or len(sets)),
        **_sizes(scored, condense, imports, links),
        **_labelling(scored, imports, links),
        **_costs(scored, condense, whole=resolved["set"] == WHOLE_SET, links=links),
        **_hardware(evaluations, condense, links),
        "cell_spec": cell_spec(first, condensed),
        "evaluation_ids": sorted(record["identity"] for record in evaluations),
        "set_ids": sorted(record["identity"] for record in [*seed_group, *imports]),
    }


def _ok(records: Iterable[Json]) -> list[Json]:
    return [record for record in records if record["status"] == Status.OK]


def _overrides_of_name(display_name: str) -> str:
    """ "dm (lr_img=2.0)" gives "lr_img=2.0"."""
    return display_name.partition(" (")[2].rstrip(")")


def _labels(display: Json) -> dict[str, Any]:
    card = display["card"]
    same = ("dataset", "display_name", "num_classes", "train_images", "iterations_fraction", "provenance")
    return {
        **{name: display[name] for name in same},
        "dataset_title": display.get("dataset_title") or display["dataset"],
        "budget_seconds": display.get("budget", {}).get("seconds", math.nan),
        "budget_spread": display.get("budget", {}).get("spread", math.nan),
        **_tuning(display.get("tuning")),
        "raised_to_floor": display.get("raised_to_floor", False),
        "published_as": display["published_as"] or "",
        "ipc": display.get("ipc"),
        "labels": display.get("labels", "hard"),
        "class_sizes": "–".join(map(str, display.get("class_sizes", ()))),
        "method": card["name"],
        "title": card["title"],
        "family": card["family"],
        "year": card.get("year", 0),
    }


def _tuning(tuning: Json | None) -> dict[str, Any]:
    if tuning is None:
        return {"tuning": "", "trials": math.nan, "tuning_seconds": 0.0, "tuning_accuracies": ()}
    accuracies = tuple(math.nan if value is None else value for value in tuning["accuracies"])
    own = {"tuning": tuning["name"], "trials": tuning["trials"], "tuning_seconds": tuning["seconds"]}
    return {**own, "tuning_accuracies": accuracies}


def _outcome(bad: Sequence[Json], *, any_ok: bool) -> dict[str, Any]:
    if any_ok:
        reasons = {f"seed {r['resolved']['seed']} {r['status']}: {r['message']}".rstrip(": ") for r in bad}
        return {"status": Status.OK.value, "message": "; ".join(sorted(reasons))}
    messages = sorted({record["message"] for record in bad if record["message"]})
    return {"status": bad[0]["status"] if bad else Status.MISSING.value, "message": "; ".join(messages)}


def _scores(scored: Sequence[Json], links: Links) -> dict[str, Any]:
    by_set: dict[str, list[Json]] = defaultdict(list)
    for record in scored:
        by_set[record["resolved"]["set"]].append(record)
    networks = {identity: _joined(evaluations, "accuracies") for identity, evaluations in by_set.items()}
    accuracies: dict[str, list[float]] = {}
    for identity, evaluations in by_set.items():
        seed = str((links.condensed(evaluations[0]) or evaluations[0])["resolved"]["seed"])
        # Sets of one seed may differ in their expert pools.
        accuracies[f"{seed}/{identity[:8]}" if seed in accuracies else seed] = networks[identity]
    sample = {seed: fmean(values) for seed, values in accuracies.items()}
    means = list(sample.values())
    only = next(iter(networks.values())) if len(networks) == 1 else []
    validation = [_mean(_joined(evaluations, "validation_accuracies")) for evaluations in by_set.values()]
    return {
        "accuracy": _mean(means),
        "sd": deviation(means),
        "sd_networks": deviation(only),
        "validation_accuracy": _mean(validation),
        "sets": len(by_set),
        "networks": min(map(len, networks.values()), default=0),
        "sample": sample,
        "accuracies": accuracies,
    }


def _best_on_test(scored: Sequence[Json], links: Links) -> dict[str, float]:
    analyses = [links.best_on_test_of(record) for record in scored]
    found = [analysis for analysis in analyses if analysis is not None]
    best = [max((p["accuracies"] for p in a["result"]["points"]), key=fmean) for a in found]  # of its networks
    complete = bool(found) and len(found) == len(analyses)
    means = [fmean(accuracies) for accuracies in best] if complete else []
    return {
        "optimistic_best_on_test": _mean(means),
        "optimistic_best_on_test_sd": deviation(means),
        "optimistic_best_on_test_sd_networks": deviation(best[0]) if len(means) == 1 else math.nan,
    }


def _accuracy_of_thirds(scored: Sequence[Json]) -> dict[str, float]:
    """Means over sets of the accuracy of each part of `_thirds`, in which every class counts alike."""
    by_set: dict[str, list[list[float]]] = defaultdict(list)
    for result, identity in ((record["result"], record["resolved"]["set"]) for record in scored):
        parts = _thirds(result.get("train_images_per_class", []))
        for right in result["right_per_class"]:
            of_class = [n / total for n, total in zip(right, result["test_images_per_class"], strict=True)]
            by_set[identity].append([_mean([of_class[label] for label in part]) for part in parts])
    of_sets = [[fmean(values) for values in zip(*networks, strict=True)] for networks in by_set.values()]
    means = [fmean(values) for values in zip(*of_sets, strict=True)] or [math.nan] * 3
    return dict(zip(("head_accuracy", "middle_accuracy", "tail_accuracy"), means, strict=True))


def _thirds(counts: Sequence[int]) -> list[list[int]]:
    """The labels of the third of the classes with most training images, of the others, and of that with fewest.

    Classes of one count are in the dataset's order. All three are empty unless one class has twice another's images.
    """
    unequal = bool(counts) and max(counts) >= 2 * min(counts)
    order = sorted(range(len(counts)), key=lambda label: -counts[label]) if unequal else []
    third = round(len(order) / 3)
    return [order[:third], order[third : len(order) - third], order[len(order) - third :]]


def _missing(sets: int, expected: int) -> dict[str, int]:
    return {"expected": max(sets, expected), "missing": max(0, expected - sets)}


def _sizes(scored: Sequence[Json], condense: Sequence[Json], imports: Sequence[Json], links: Links) -> dict[str, Any]:
    """Sizes of the sets, experts, steps and memory."""
    set_results = [record["result"] for record in _ok([*condense, *imports])]
    results = [record["result"] for record in scored]
    return {
        "stored_images": _largest([result.get("stored_images") for result in set_results]),
        "decoded_images": _largest([result.get("decoded_images") for result in [*set_results, *results]]),
        "bytes": _largest([result.get("bytes") for result in set_results]),
        "optimizer_steps": _largest([result.get("optimizer_steps") for result in results]),
        "test_images": _largest([result.get("test_images") for result in results]),
        "experts": _largest([len(set(record["resolved"]["experts"])) for record in _ok(condense)]),
        "prepare_peak_bytes": _peak(_experts_of(condense, links)),
        "condense_peak_bytes": _peak(condense),
        "evaluate_peak_bytes": _peak(scored),
    }


def _labelling(scored: Sequence[Json], imports: Sequence[Json], links: Links) -> dict[str, Any]:
    """What the soft labels of a set take, and how good their teacher is if it is known; nan without."""
    results = [record["result"] for record in links.labelled(scored)]
    return {
        "label_bytes": _largest(
            [record["result"].get("label_bytes") for record in [*links.labelled(scored), *imports]]
        ),
        "teacher_accuracy": _mean([result["teacher_accuracy"] for result in results]),
        "teacher_bytes": _largest([result["teacher_bytes"] for result in results]),
    }


def _peak(records: Sequence[Json]) -> float:
    return _largest([record.get("peak_memory_bytes") for record in records])


def _experts_of(condense: Sequence[Json], links: Links) -> list[Json]:
    """The stored records of the experts that these sets use."""
    experts = sorted({expert for record in condense for expert in record["resolved"]["experts"]})
    return [links.prepare[expert] for expert in experts if expert in links.prepare]


def _costs(scored: Sequence[Json], condense: Sequence[Json], *, whole: bool, links: Links) -> dict[str, Any]:
    condensed = _ok(condense)
    divisors = sorted({links.users[expert] for record in condensed for expert in record["resolved"]["experts"]})
    unknown, labels = 0.0 if whole else math.nan, links.labelled(scored)
    teacher, shared = (_mean([links.teacher_seconds(r, shared=shared) for r in labels], 0) for shared in (False, True))
    sets = {record["resolved"]["set"] for record in scored}
    return {
        "prepare_seconds": _mean([links.prepare_seconds(r, shared=False) for r in condensed], unknown) + teacher,
        "prepare_shared": _mean([links.prepare_seconds(r, shared=True) for r in condensed], unknown) + shared,
        "prepare_divisor": "–".join(map(str, dict.fromkeys((divisors[0], divisors[-1])))) if divisors else "",
        "condense_seconds": _mean([r["seconds"] for r in condensed], unknown)
        + _mean([r["seconds"] for r in labels], 0),
        "evaluate_seconds": sum(r["seconds"] for r in scored) / len(sets) if sets else math.nan,
    }


def _hardware(evaluations: Sequence[Json], condense: Sequence[Json], links: Links) -> dict[str, Any]:
    tasks = [*evaluations, *condense, *_experts_of(condense, links)]
    recorded = [record for record in tasks if record["status"] in RECORDED]
    devices = sorted({device(record["environment"]) for record in recorded})
    precisions = sorted({str(record["resolved"].get("precision", "")) for record in recorded} - {""})
    return {
        "devices": ", ".join(devices),
        "precisions": ", ".join(precisions),
        "mixed": len(devices) > 1 or len(precisions) > 1,
        "commits": ", ".join(sorted({_commit(record["environment"]) for record in recorded} - {""})),
        "package": ", ".join(sorted({_package(record) for record in condense} - {""})),
    }


def _package(condensed: Json) -> str:
    """The package of a set's method with its version, "" for the methods of this project."""
    code = condensed.get("code") or {}
    name = code.get("distribution")
    return "" if name in (None, OWN_PACKAGE) else f"{name} {code.get('version') or ''}".strip()


def device(environment: Json) -> str:
    """What seconds depend on: the hardware, the threads of a CPU, and whether other tasks ran on it."""
    name = str(environment.get("device") or "unknown device")
    threads = environment.get("threads")
    if threads and (environment.get("device_type") == "cpu" or "cpu" in name.lower()):
        name += f" × {threads} thread{'s' if threads > 1 else ''}"
    return name + (" (shared)" if environment.get("shared") else "")


def _commit(environment: Json) -> str:
    commit = str(environment.get("commit") or "")[:10]
    return f"{commit} (dirty)" if commit and environment.get("dirty") else commit


# --- a cell without an evaluation -------------------------------------------------------------------------------------


def _unevaluated(rows: Sequence[Json], links: Links) -> Iterator[dict[str, Any]]:
    """Cells of condense tasks without a set, in each table in which their evaluations would have been."""
    evaluated = {links.seed_group_of.get(record["resolved"]["set"]) for record in links.evaluations}
    for seed_group, records in links.seed_groups.items():
        bad = [record for record in records if record["status"] != Status.OK]
        if bad and seed_group not in evaluated:
            native = bad[0]["display"]["card"].get("native", "")
            for table in _tables(rows, seed_group[0], seed_group[1], native) or [("", "", "", 0)]:
                set_ids = sorted(record["identity"] for record in records)
                yield _failed(bad, len(records), table, links) | {"evaluation_ids": [], "set_ids": set_ids}


def _tables(rows: Sequence[Json], dataset: str, network: str, native: str) -> list[tuple[Any, ...]]:
    """Architecture, protocol, recipe and version of each table with rows of this dataset and condensing network."""
    same = [row for row in rows if row["dataset"] == dataset and row["condense_architecture"] == network]
    recipes = [(native, 0) if is_native(row) else (row["recipe"], row["version"]) for row in same]
    return sorted({(row["architecture"], row["protocol"], *recipe) for row, recipe in zip(same, recipes, strict=True)})


def _constants(dataset: Json) -> Any:
    return "zca" if "whitening" in dataset else tuple(tuple(dataset.get(name, ())) for name in ("mean", "std"))


def _failed(bad: Sequence[Json], expected: int, table: tuple[Any, ...], links: Links) -> dict[str, Any]:
    resolved, display = bad[0]["resolved"], bad[0]["display"]
    return {
        **_labels(display),
        **dict(zip(("architecture", "protocol", "recipe", "version"), table, strict=True)),
        "epochs": math.nan,
        "protocol_note": "",
        "constants": ((), ()),
        "ipc": resolved["ipc"],
        "condense_architecture": resolved["architecture"],
        "role": "baseline" if is_random(display["display_name"]) else "method",
        "overrides": display["overrides"],
        "factor": display.get("factor"),
        "val_fraction": resolved["val_fraction"],
        **_outcome(bad, any_ok=False),
        **_scores([], links),
        **_accuracy_of_thirds([]),
        **_best_on_test([], links),
        **_missing(0, expected),
        **_sizes([], bad, [], links),
        **_labelling([], [], links),
        **_costs([], [], whole=False, links=links),
        **_hardware([], bad, links),
        "cell_spec": {"condensed": "here", **flat_spec(resolved)},
    }


# --- numbers ----------------------------------------------------------------------------------------------------------


def _joined(records: Sequence[Json], name: str) -> list[float]:
    return [value for record in records for value in record["result"].get(name) or []]


def _mean(values: Sequence[float], empty: float = math.nan) -> float:
    return fmean(values) if values else empty


def deviation(values: Sequence[float]) -> float:
    """The sample deviation (ddof 1), nan for fewer than two values. Exact sums make it independent of the order."""
    if len(values) < 2:
        return math.nan
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _largest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=math.nan)


def _order(row: Json) -> tuple[Any, ...]:
    """Tables in alphabetical order; within one: by ipc, the whole set last, baselines first, then families by year."""
    table = tuple(str(row[name]) for name in ("dataset", "condense_architecture", "architecture", "protocol"))
    version = ("", 0) if is_native(row) else (row["recipe"], row["version"])
    ipc: float = math.inf if pd.isna(row["ipc"]) else row["ipc"]
    method = (row["role"] != "baseline", family_rank(row["family"])[0], row["year"] or 0, row["display_name"])
    return *table, *version, ipc, *method, sorted_json(row["cell_spec"])
