"""All that a report stands on: a store's records, what is wrong with it in a line each, and what came to no end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.schema import problem_of_task
from results.store.store import REMOVE_FOLDER, Store
from results.store.task_states import State, state_of

_ARTEFACTS = {"prepare": "experts.safetensors", "condense": "synthetic.safetensors", "import": "synthetic.safetensors"}
_NAMED = 3  # files of one trouble that are named


@dataclass(frozen=True)
class Stored:
    """What a store holds.

    records: all usable ones, in the order of their folders.
    problems: why others cannot be used, one error for all that suffer from the same.
    unfinished: condense and evaluate tasks without a record, in its form: `status` is one of survey.STATUSES, `message`
    what the last attempt said, `result` and `environment` are empty. Tables show them as cells without a number.
    notes: sentences on what else is odd, and keeps nothing from being shown.
    """

    records: list[dict[str, Any]]
    problems: list[ResultsError]
    unfinished: list[dict[str, Any]]
    notes: list[str]


def gather(root: Path) -> Stored:
    """Read a whole store. Nothing is written. Raises ResultsError only where the folders cannot be listed."""
    found = Store(root).read()
    states = [state_of(folder) for folder in found.without]
    problems = [*found.problems, *(_unreadable(state) for state in states if state.status == "unreadable")]
    states = [state for state in states if state.status != "unreadable"]
    unfinished = [_as_record(state.task, state) for state in states if _is_shown(state)]
    records = list(found.records.values())
    notes = [*_open(states), *_lost(found.records), *_versions(records)]
    return Stored(records, list(_together(problems)), unfinished, notes)


# --- tasks without a record -------------------------------------------------------------------------------------------


def _unreadable(state: State) -> ResultsError:
    return ResultsError(state.message.partition(" (")[0], where=str(state.folder), next=REMOVE_FOLDER)


def _is_shown(state: State) -> bool:
    """Whether it can have a cell: one of a table's tasks, whose task.json says all that is needed."""
    return state.task["kind"] in ("condense", "evaluate") and not problem_of_task(state.task)


def _as_record(task: Mapping[str, Any], state: State) -> dict[str, Any]:
    found = {key: task[key] for key in ("kind", "identity", "resolved", "display")}
    message = " ".join(state.message.split()) or "it has no record yet"
    return {**found, "status": state.status, "message": message, "result": {}, "environment": {}, "seconds": 0.0}


def _open(states: Sequence[State]) -> Iterator[str]:
    counts = Counter(state.status for state in states)
    if states:
        which = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in counts.items())
        have = "task has" if len(states) == 1 else "tasks have"
        yield f"{len(states):,} {have} no record ({which}); python -m benchmark.status names them"
    bare = [state.folder for state in states if problem_of_task(state.task)]
    if bare:
        yield f"{len(bare):,} of them cannot be placed in a table, as no whole task.json says where: {_some(bare)}"


# --- what else is odd -------------------------------------------------------------------------------------------------


def _lost(records: Mapping[Path, Mapping[str, Any]]) -> Iterator[str]:
    """Sets and experts whose files have gone: their numbers stay."""
    kept = {folder: _ARTEFACTS[r["kind"]] for folder, r in records.items() if r["kind"] in _ARTEFACTS and _is_ok(r)}
    lost = [folder / name for folder, name in kept.items() if not (folder / name).exists()]
    if lost:
        what = "1 file is" if len(lost) == 1 else f"{len(lost):,} files are"
        yield f"{what} missing: the numbers are shown, pictures cannot be: {_some(lost)}"


def _is_ok(record: Mapping[str, Any]) -> bool:
    return bool(record["status"] == "ok")


def _versions(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Protocols and methods of several versions, which stand apart in tables; code and libraries, which do not."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        resolved, environment = record["resolved"], record["environment"]
        if record["kind"] == "condense":
            found.setdefault(str(resolved["method"]), {})[f"v{resolved['version']}"] = None
        if record["kind"] == "evaluate":
            protocol = resolved["protocol"]
            found.setdefault(f"protocol {protocol['name']}", {})[f"v{protocol['version']}"] = None
        if environment.get("torch"):
            found.setdefault("torch", {})[str(environment["torch"])] = None
    mixed = {name: sorted(versions) for name, versions in found.items() if len(versions) > 1}
    libraries = mixed.pop("torch", None)
    if mixed:
        said = "; ".join(f"{name} {', '.join(versions)}" for name, versions in mixed.items())
        yield f"records of several versions stand apart and are not compared: {said}"
    if libraries:
        yield f"records of several versions of torch stand together: {', '.join(libraries)}"


def _together(problems: Sequence[ResultsError]) -> Iterator[ResultsError]:
    """One error for all files that suffer from the same."""
    alike: dict[tuple[str, str], list[str]] = {}
    for error in problems:
        alike.setdefault((error.what.partition(": line")[0], error.next), []).append(error.where)
    for (what, cure), files in alike.items():
        if len(files) == 1:
            yield next(error for error in problems if error.where == files[0])
        else:
            yield ResultsError(f"{len(files):,} times: {what}", where=_some(files), next=cure)


def _some(paths: Sequence[Any]) -> str:
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return ", ".join(map(str, paths[:_NAMED])) + more
