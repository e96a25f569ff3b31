"""Which done tasks are done again: those whose inputs changed, and on request those that other code made."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from benchmark.execution.method_code import method_code
from results.store.store import Store
from results.types import Json


def why_again(record: Json, store: Store, again: Collection[str]) -> str:
    """Why a task with this record is done again, "" if it is not. again: methods, as `Runtime.again`."""
    return store.outdated(record) or made_by_other_code(record, again)


def made_by_other_code(record: Json, methods: Collection[str]) -> str:
    """A sentence if one of these methods condensed the set with code that is not today's, else ""."""
    method: Any = record["resolved"].get("method")
    if record["kind"] != "condense" or method not in methods:
        return ""
    code = method_code(method)["sha256"]
    return "" if record["code"] and record["code"]["sha256"] == code else f"other code of {method} made it"
