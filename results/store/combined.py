"""Several stores read as one: those of two clusters, or of two people. Nothing is written into them.

A task that several of them hold is one record where its results agree. Where they differ, a set or an evaluation of a
later store is a row of its own, whose name says in which store it is and what else differs. Experts that differ make
no row: each set is charged with those of its own store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.store.identity import PREFIX
from results.store.store import Store, StoreContents, same_numbers
from results.types import Json

REPORTS = "combined-report"  # a folder in the working directory
_ROWS = ("condense", "import", "evaluate")  # kinds whose records make rows of tables
Key = tuple[str, str]  # kind and identity


@dataclass(frozen=True)
class _Differences:
    """What one store holds otherwise than those before it. aliases: new identities by the stored ones."""

    aliases: Mapping[str, str]
    values: Sequence[str]  # of the store's records: "NVIDIA A100", "commit 0123456789"


class CombinedStore(Store):
    """The stores of a list. After `read`, tasks are found by the identities that its records have."""

    def __init__(self, members: Sequence[Store]) -> None:
        super().__init__(members[0].root)
        self.members = list(members)
        self.notes: list[str] = []
        self._places: dict[Key, tuple[Store, str]] = {}

    @property
    def reports(self) -> Path:
        return Path(REPORTS)

    def read(self) -> StoreContents:
        """All that the stores have. Raises ResultsError if a folder cannot be listed."""
        contents = StoreContents({}, [], [])
        known: dict[Key, Json] = {}
        self._places, self.notes = {}, []
        for store, name in zip(self.members, _names(self.members), strict=True):
            of_store = store.read()
            contents.problems.extend(of_store.problems)
            differences = _differences(of_store.records.values(), known)
            self._add(contents.records, known, store, name, of_store.records, differences)
            contents.unrecorded.extend(of_store.unrecorded)
        _drop_begun_twice(contents)
        return contents

    def _add(
        self,
        records: dict[Path, dict[str, Any]],
        known: dict[Key, Json],
        store: Store,
        name: str,
        added: Mapping[Path, dict[str, Any]],
        differences: _Differences,
    ) -> None:
        suffix = f"in {name}{': ' if differences.values else ''}{', '.join(differences.values)}"
        apart = 0
        for folder, record in added.items():
            stored = record["identity"]
            if differences.aliases:
                record = _renamed(record, differences.aliases, suffix)
            key = (record["kind"], record["identity"])
            if key in known:
                continue
            apart += record["identity"] != stored and record["kind"] in _ROWS
            known[key], records[folder] = record, record
            self._places[key] = (store, stored)
        if apart:
            self.notes.append(
                f"{apart:,} sets and evaluations have other results in {store.root} than in the stores before it: "
                f"these rows are named '({suffix})'"
            )

    def find(self, task: Json) -> Path | None:
        store, stored = self._place(task)
        return store.find(stored)

    def folder(self, task: Json) -> Path:
        store, stored = self._place(task)
        return store.folder(stored)

    def record(self, task: Json) -> dict[str, Any] | None:
        store, stored = self._place(task)
        return store.record(stored)

    def artifact(self, task: Json, name: str) -> Path:
        store, stored = self._place(task)
        return store.artifact(stored, name)

    def task_folders(self) -> dict[tuple[str, str], list[Path]]:
        listed = {id(store): store.task_folders() for store in self.members}
        return {
            (kind, identity[:PREFIX]): listed[id(store)].get((kind, stored[:PREFIX]), [])
            for (kind, identity), (store, stored) in self._places.items()
        }

    def _place(self, task: Json) -> tuple[Store, Json]:
        """The store that has a task, and the task as this store knows it."""
        store, stored = self._places.get((task["kind"], task["identity"]), (self.members[0], task["identity"]))
        return store, {**task, "identity": stored}


def _names(stores: Sequence[Store]) -> list[str]:
    """The names of their folders, or their paths where two have one name."""
    names = [store.root.resolve().name for store in stores]
    return [name if names.count(name) == 1 else str(store.root) for name, store in zip(names, stores, strict=True)]


def _drop_begun_twice(contents: StoreContents) -> None:
    """Keep tasks without a record that no other store has done, each once."""
    done = {(record["kind"], record["identity"][:PREFIX]) for record in contents.records.values()}
    begun = {(folder.parent.name, folder.name[-PREFIX:]): folder for folder in reversed(contents.unrecorded)}
    contents.unrecorded[:] = [folder for key, folder in reversed(begun.items()) if key not in done]


# --- what differs -----------------------------------------------------------------------------------------------------


def _differences(added: Any, known: Mapping[Key, Json]) -> _Differences:
    """What these records of one store hold otherwise than the known ones.

    An evaluation of a set that differs is apart with it, whatever its own numbers are.
    """
    records = list(added)
    aliases: dict[str, str] = {}
    values: dict[str, None] = {}
    for record in records:
        other = known.get((record["kind"], record["identity"]))
        if other is not None and not same_numbers([other, record]):
            aliases[record["identity"]] = _alias(record["identity"], record["checksum"])
            if record["kind"] in _ROWS:
                values |= dict.fromkeys(_values_that_differ(other["environment"], record["environment"]))
    apart = {
        r["identity"] for r in records if r["identity"] in aliases and r["kind"] in ("condense", "import", "label")
    }
    for record in records if apart else ():
        if apart & _sets_of(record):
            aliases.setdefault(record["identity"], _alias(record["identity"], record["checksum"]))
    return _Differences(aliases, list(values))


def _alias(identity: str, checksum: str) -> str:
    return hashlib.sha256(f"{identity} {checksum}".encode()).hexdigest()


def _sets_of(record: Json) -> set[str]:
    resolved = record["resolved"]
    return {resolved.get("set"), resolved.get("labels"), *resolved.get("sets", ())} - {None}


_ENVIRONMENT = {"device": "", "threads": "threads ", "commit": "commit ", "torch": "torch "}


def _values_that_differ(first: Json, second: Json) -> list[str]:
    """Hardware and code of the second record, where the first has others."""
    different = [name for name in _ENVIRONMENT if first.get(name) != second.get(name)]
    return [
        f"{_ENVIRONMENT[name]}{str(second.get(name) or 'unknown')[: 40 if name != 'commit' else 10]}"
        for name in different
    ]


def _renamed(record: dict[str, Any], aliases: Mapping[str, str], suffix: str) -> dict[str, Any]:
    """The record with the new identities, and with the suffix in its name if it makes a row that differs."""
    display, identity = record["display"], record["identity"]
    parts = {name: _replaced(record[name], aliases) for name in ("resolved", "result")}
    if identity in aliases and record["kind"] in _ROWS:
        name = display["display_name"]
        shown = f"{name[:-1]}, {suffix})" if name.endswith(")") else f"{name} ({suffix})"
        display = {**display, "display_name": shown}
    return {**record, **parts, "display": display, "identity": aliases.get(identity, identity)}


def _replaced(value: Any, aliases: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return aliases.get(value, value)
    if isinstance(value, dict):
        return {aliases.get(key, key): _replaced(item, aliases) for key, item in value.items()}
    return [_replaced(item, aliases) for item in value] if isinstance(value, list) else value
