"""What the page shows of one cell: settings, networks, sets, curves, logs, and the command that repeats the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from results.errors import ResultsError
from results.figures.losses import FILE as LOSSES
from results.figures.losses import read_losses
from results.formatting import percent, seconds, size
from results.page.cell_records import CellRecords
from results.page.previews import CLASSES
from results.page.rerun_command import rerun_command
from results.page.table import PageRow, facts
from results.store.atomic_files import read_json
from results.store.identity import PREFIX
from results.store.schema import WHOLE_SET
from results.store.store import Store
from results.types import Cell, Json

LOG_LINES = 12  # shown of the end of a log
_LOG_BYTES = 4_000
_LOSS_POINTS = 200  # of a curve of losses, at most about


class TaskFolders:
    """The task folders of a store, listed once."""

    def __init__(self, store: Store) -> None:
        self.root = store.root
        try:
            self._folders = store.task_folders()
        except ResultsError:
            self._folders = {}

    def folder(self, record: Json) -> Path | None:
        """The folder of the record's task, if there are several the one with the record; None without a folder."""
        candidates = self._folders.get((record["kind"], record["identity"][:PREFIX]), [])
        return next((path for path in candidates if (path / "record.json").exists()), next(iter(candidates), None))

    def relative_path(self, record: Json) -> str:
        """The path of the task's folder within the store, or ""; the whole path in another of several stores."""
        folder = self.folder(record)
        if folder is None:
            return ""
        return (folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder).as_posix()

    def requested(self, records: Iterable[Json]) -> Json:
        """The `requested` part of the first task.json of these records that has one, or {}."""
        for record in records:
            try:
                folder = self.folder(record)
                task = read_json(folder / "task.json") if folder else None
            except ResultsError:
                continue
            if task and isinstance(task.get("requested"), Mapping):
                return dict(task["requested"])
        return {}

    def log(self, record: Json) -> str:
        """The last lines of the task's log, or "" if it cannot be read."""
        folder = self.folder(record)
        try:
            if folder is None:
                return ""
            with (folder / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _LOG_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(deque(text.splitlines(), LOG_LINES))


# --- one cell ---------------------------------------------------------------------------------------------------------


def run_details(
    cell: Cell, row: PageRow, records: CellRecords, curves: Mapping[str, list[Json]], store_folders: TaskFolders
) -> dict[str, Any]:
    """A cell as JSON: names and texts for a reader, in order. curves: from `anytime_curves`."""
    condensed = records.sets[0]["resolved"] if records.sets else {}
    evaluated = records.evaluations[0]["resolved"] if records.evaluations else {}
    command = rerun_command(records, store_folders.requested([*records.sets, *records.evaluations]))
    return {
        "title": f"{row.name}, ipc {row.filters['ipc']}, {row.filters['dataset']}",
        "facts": facts(cell, row),
        "paper": _paper(records),
        "sets": [record["identity"] for record in records.sets],
        "networks": [_networks(record, records, store_folders) for record in records.evaluations],
        "settings": _settings(condensed.get("settings") or evaluated.get("whole") or {}),
        "recipe": _settings(_recipe(records.evaluations)),
        "curves": [curve for key in _curve_keys(records) for curve in curves.get(key, [])],
        "command": command.text,
        "notes": list(command.notes),
    }


def _paper(records: CellRecords) -> str:
    first = next(iter([*records.sets, *records.evaluations]), None)
    card = first["display"]["card"] if first else {}
    venue = f"{card.get('venue', '')} {card.get('year') or ''}".strip()
    paper = card.get("paper", "")
    scheme = "doi" if "/" in paper else "arXiv"
    return ", ".join(filter(None, [venue, f"{scheme}:{paper}" if paper else ""]))


def _recipe(evaluations: Sequence[Json]) -> Json:
    """The values of the protocol; as lr the learning rates that were used, where sets may bring their own."""
    protocol = evaluations[0]["resolved"].get("protocol", {}) if evaluations else {}
    if not protocol.get("lr_from_set"):
        return protocol
    rates = {record["result"]["lr"] for record in evaluations if "lr" in record["result"]}
    return {**protocol, "lr": sorted(rates) or protocol["lr"]}


def _settings(values: Json) -> list[tuple[str, str]]:
    return [(name, _setting_text(value)) for name, value in sorted(values.items())]


def _setting_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_setting_text, value))
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _networks(record: Json, records: CellRecords, store_folders: TaskFolders) -> dict[str, Any]:
    """One evaluation: the networks trained on one set."""
    sets = {record["identity"]: record for record in records.sets}
    set_record = sets.get(record["resolved"]["set"], record)
    accuracies = record["result"].get("accuracies") or []
    return {
        "seed": set_record["resolved"].get("seed", record["resolved"]["seed"]),
        "accuracies": [percent(value) for value in accuracies],
        "mean": percent(fmean(accuracies)) if accuracies else "–",
        "status": record["status"],
        "message": record["message"],
        "seconds": seconds(record["seconds"]),
        "folder": store_folders.relative_path(record),
        "log": store_folders.log(record),
    }


# --- one set ----------------------------------------------------------------------------------------------------------


def set_details(record: Json, store_folders: TaskFolders) -> dict[str, Any]:
    """A set as JSON, for every cell that it belongs to."""
    result = record["result"]
    set_facts = [
        ("Stored images", str(result.get("stored_images", ""))),
        ("Decoded images", str(result.get("decoded_images", ""))),
        ("Size", size(result["bytes"]) if "bytes" in result else ""),
        ("Steps", str(record["steps"])),
        ("Seconds", seconds(record["seconds"])),
        ("Peak memory", size(record["peak_memory_bytes"]) if record["peak_memory_bytes"] else ""),
        ("Finished", str(record["finished"])),
    ]
    return {
        "seed": record["resolved"].get("seed", 0),
        "status": record["status"],
        "message": record["message"],
        "facts": [(name, text) for name, text in set_facts if text],
        "names": list(map(str, result.get("classes", ())))[:CLASSES],
        "losses": _settings(result.get("losses") or {}),
        "curves": _loss_curves(record, store_folders.folder(record)),
        "folder": store_folders.relative_path(record),
        "log": store_folders.log(record),
    }


def _loss_curves(record: Json, folder: Path | None) -> list[Json]:
    """Name, steps and values of each loss, thinned; none if there is no file of losses, or it cannot be read."""
    try:
        losses = read_losses(folder, record) if folder and LOSSES in record["artifacts"] else {}
    except ResultsError:
        return []
    curves: list[Json] = []
    for name, points in losses.items():
        kept = points[:: -(-len(points) // _LOSS_POINTS)]
        kept += points[-1:] if kept[-1] != points[-1] else []
        curves.append(
            {"name": name, "steps": [step for step, _ in kept], "values": [float(f"{y:.4g}") for _, y in kept]}
        )
    return curves


# --- curves -----------------------------------------------------------------------------------------------------------


def anytime_curves(records: Iterable[Json]) -> dict[str, list[Json]]:
    """The curves among the analyses by the identity of their set; those of the whole set by `_whole_key`."""
    curves: dict[str, list[Json]] = {}
    for record in records:
        resolved = record["resolved"]
        is_curve = record["kind"] == "analyze" and resolved.get("analysis") == "curve"
        if is_curve and record["result"].get("points"):
            for identity in resolved["sets"]:
                key = _whole_key(record) if identity == WHOLE_SET else identity
                curves.setdefault(key, []).append(_curve(record))
    return curves


def _curve(record: Json) -> dict[str, Any]:
    resolved, result = record["resolved"], record["result"]
    protocol = resolved.get("protocol")
    name = protocol.get("name") if isinstance(protocol, Mapping) else protocol
    words = [f"seed {resolved.get('seed', 0)}", *([f"protocol {name}"] if name else []), str(resolved["architecture"])]
    points = [(p["step"], p["seconds"], 100 * fmean(p["accuracies"])) for p in result["points"] if p["accuracies"]]
    along = "training" if resolved["sets"] == ["whole"] else "condensing"
    return {"name": ", ".join(words), "split": result["split"], "along": along, "points": points}


def _whole_key(record: Json) -> str:
    return f"whole {record['display']['dataset']} {record['resolved']['architecture']}"


def _curve_keys(records: CellRecords) -> Sequence[str]:
    if records.sets:
        return [record["identity"] for record in records.sets]
    wholes = [record for record in records.evaluations if record["resolved"]["set"] == WHOLE_SET]
    return list(dict.fromkeys(map(_whole_key, wholes)))
