"""All that tables need of a store: its records, what is wrong with others, and the tasks without a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.combined import CombinedStore
from results.store.reference import ReferenceStore, StoreName, open_store
from results.store.schema import Status
from results.store.store import Store
from results.store.task_states import TaskState, task_state
from results.store.validation import problem_of_task
from results.types import Json

_FILES = {
    "whiten": "whitening.safetensors",
    "prepare": "experts.safetensors",
    "condense": "synthetic.safetensors",
    "import": "synthetic.safetensors",
    "label": "labels.safetensors",
}
_NO_COSTS = "other work ran beside the reference runs: their seconds are no measure of what the methods cost"
_OF_TRIALS = "validation"  # the analysis by which tuning scores its trials
_MAX_NAMED = 3  # files that one message names


@dataclass(frozen=True)
class StoredResults:
    """What a store holds.

    records: all usable ones, in the order of their folders, without sets of tuning's trials that nothing else uses.
    problems: why others cannot be used, one error for all files with the same cause.
    unfinished: condense and evaluate tasks without a record, as records whose `status` is that of their `TaskState`,
    whose `message` is that of the last attempt, and whose `result` and `environment` are empty. They give cells
    without a number.
    notes: sentences on what else is unusual and does not prevent anything from being shown.
    """

    records: list[dict[str, Any]]
    problems: list[ResultsError]
    unfinished: list[dict[str, Any]]
    notes: list[str]


def read_all(store: Store | StoreName | Sequence[StoreName]) -> StoredResults:
    """Read a whole store, as `open_store` opens it unless it is open. Nothing is written.

    Raises ResultsError only if there is no such folder, or folders cannot be listed.
    """
    store = store if isinstance(store, Store) else open_store(store)
    contents = store.read()
    states = [task_state(folder) for folder in contents.unrecorded]
    problems = [*contents.problems, *(state.error for state in states if state.error)]
    states = [state for state in states if not state.error]
    unfinished = [_as_record(state) for state in states if _has_cell(state)]
    records = list(_without_trials(contents.records.values()))
    names = _distinct_dataset_names([*records, *unfinished])
    files = [_NO_COSTS] if isinstance(store, ReferenceStore) else _missing_files(contents.records)  # few are shipped
    several = store.notes if isinstance(store, CombinedStore) else []
    notes = [*several, *_without_record(states), *files, *_versions(records), *_shared_names(names)]
    return StoredResults(
        [_renamed(record, names) for record in records],
        list(_merged(problems)),
        [_renamed(record, names) for record in unfinished],
        notes,
    )


def _without_trials(records: Collection[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records without sets that only tuning scored: the choice among them has their numbers."""
    trials = {record["identity"] for record in records if record["display"].get("trial_of")}
    for resolved in (record["resolved"] for record in records if trials):
        if resolved.get("analysis") != _OF_TRIALS:
            trials -= {resolved.get("set"), *resolved.get("sets", ())}
    yield from (record for record in records if record["identity"] not in trials)


# --- datasets ---------------------------------------------------------------------------------------------------------


def _distinct_dataset_names(records: Sequence[Json]) -> dict[tuple[str, str], str]:
    """New names for datasets that share theirs, by the shared name and the images' fingerprint."""
    parents: dict[str, dict[str, str]] = {}
    for record in records:
        display = record["display"]
        same_name = parents.setdefault(display["dataset"], {})
        same_name[_fingerprint(record)] = display.get("dataset_parent", "")
    names: dict[tuple[str, str], str] = {}
    for name, by_fingerprint in parents.items():
        distinct = "" not in by_fingerprint.values() and len(set(by_fingerprint.values())) == len(by_fingerprint)
        for fingerprint, parent in by_fingerprint.items() if len(by_fingerprint) > 1 else ():
            names[name, fingerprint] = f"{parent}/{name}" if distinct else f"{name} [{fingerprint[:6]}]"
    return names


def _fingerprint(record: Json) -> str:
    return str(record["resolved"]["dataset"]["fingerprint"])


def _renamed(record: dict[str, Any], names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    name = names.get((record["display"]["dataset"], _fingerprint(record)))
    return {**record, "display": {**record["display"], "dataset": name, "dataset_title": name}} if name else record


def _shared_names(names: Mapping[tuple[str, str], str]) -> Iterator[str]:
    shared: dict[str, list[str]] = {}
    for (name, _), new in names.items():
        shared.setdefault(name, []).append(new)
    for name, distinct in shared.items():
        yield f"different images are called {name}; they are shown as {', '.join(sorted(distinct))}"


# --- tasks without a record -------------------------------------------------------------------------------------------


def _has_cell(state: TaskState) -> bool:
    """Whether tables have a cell for the task, and its task.json tells which."""
    of_trial = "trial_of" in state.task["display"]
    return state.task["kind"] in ("condense", "evaluate") and not of_trial and not problem_of_task(state.task)


def _as_record(state: TaskState) -> dict[str, Any]:
    task = {key: state.task[key] for key in ("kind", "identity", "resolved", "display")}
    message = " ".join(state.message.split()) or "it has no record yet"
    return {**task, "status": state.status.value, "message": message, "result": {}, "environment": {}, "seconds": 0.0}


def _without_record(states: Sequence[TaskState]) -> Iterator[str]:
    counts = Counter(state.status for state in states)
    if states:
        by_status = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in counts.items())
        have = "task has" if len(states) == 1 else "tasks have"
        yield f"{len(states):,} {have} no record ({by_status}); python -m benchmark.status names them"
    without_cell = [state.folder for state in states if problem_of_task(state.task)]
    if without_cell:
        number = f"{len(without_cell):,} of them"
        yield f"{number} cannot be placed in a table, because no complete task.json tells where: {_some(without_cell)}"


# --- notes on records -------------------------------------------------------------------------------------------------


def _missing_files(records: Mapping[Path, Json]) -> Iterator[str]:
    """Sets and experts whose files were removed: their numbers are kept."""
    ok = {folder: record["kind"] for folder, record in records.items() if record["status"] == Status.OK}
    files = [folder / _FILES[kind] for folder, kind in ok.items() if kind in _FILES]
    missing = [file for file in files if not file.exists()]
    if missing:
        number = "1 file is" if len(missing) == 1 else f"{len(missing):,} files are"
        yield f"{number} missing: the numbers are shown, pictures cannot be: {_some(missing)}"


def _versions(records: Sequence[Json]) -> Iterator[str]:
    """Protocols and methods of several versions, which tables separate; and of torch, which they do not."""
    versions: dict[str, dict[str, None]] = {}
    for record in records:
        resolved, environment = record["resolved"], record["environment"]
        if record["kind"] == "condense":
            versions.setdefault(str(resolved["method"]), {})[f"v{resolved['version']}"] = None
        if record["kind"] == "evaluate":
            protocol = resolved["protocol"]
            versions.setdefault(f"protocol {protocol['name']}", {})[f"v{protocol['version']}"] = None
        if environment.get("torch"):
            versions.setdefault("torch", {})[str(environment["torch"])] = None
    mixed = {name: sorted(values) for name, values in versions.items() if len(values) > 1}
    torch_versions = mixed.pop("torch", None)
    if mixed:
        names = "; ".join(f"{name} {', '.join(values)}" for name, values in mixed.items())
        yield f"records of several versions have rows of their own and are not compared: {names}"
    if torch_versions:
        yield f"records of several versions of torch are compared: {', '.join(torch_versions)}"


# --- messages ---------------------------------------------------------------------------------------------------------


def _merged(problems: Sequence[ResultsError]) -> Iterator[ResultsError]:
    """One error for all files with the same cause and cure."""
    same: dict[tuple[str, str], list[ResultsError]] = {}
    for error in problems:
        same.setdefault((error.what.partition(": line")[0], error.next), []).append(error)
    for (what, cure), errors in same.items():
        if len(errors) == 1:
            yield errors[0]
        else:
            yield ResultsError(f"{len(errors):,} times: {what}", where=_some([e.where for e in errors]), next=cure)


def _some(paths: Sequence[Any]) -> str:
    more = f" and {len(paths) - _MAX_NAMED:,} more" if len(paths) > _MAX_NAMED else ""
    return ", ".join(map(str, paths[:_MAX_NAMED])) + more
