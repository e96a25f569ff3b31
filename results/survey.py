"""How far tasks are, as their folders tell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class State:
    """How far a task is, as its folder tells."""

    task: Mapping[str, Any]
    folder: Path | None
    status: str
    message: str = ""
    record_status: str = ""
    owner: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] | None = None
    modified: float | None = None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def survey(root: Path, tasks: Iterable[Mapping[str, Any]] | None = None) -> dict[str, State]:
    """By identity, every task of the store (tasks=None), or those given."""
    found: dict[str, State] = {}
    for folder in sorted(root.glob("*/*-????????????")):
        record, task = _read(folder / "record.json"), _read(folder / "task.json")
        if not task:
            continue
        owner, progress = _read(folder / "lock.json"), _read(folder / "progress.json")
        times = [(folder / n).stat().st_mtime for n in ("lock.json", "progress.json") if (folder / n).exists()]
        attempts = sorted((folder / "attempts").glob("*.json"))
        last = _read(attempts[-1]) if attempts else None
        if record:
            state = State(task, folder, "done", "" if record["status"] == "ok" else record["message"], record["status"])
        else:
            status, message = (last["status"], last["message"]) if last else ("begun", "")
            state = State(task, folder, status, message, "", owner, progress, max(times, default=None))
        found[task["identity"]] = state
    if tasks is None:
        return found
    return {t["identity"]: found.get(t["identity"]) or State(t, None, "new") for t in tasks}
