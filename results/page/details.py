"""What a reader finds on opening a cell: settings, networks, sets, curves, ends of logs, the command to repeat it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from results.errors import ResultsError
from results.formatting import percent, seconds, size
from results.page.cell_records import Behind
from results.page.rerun_command import command
from results.page.table import Row, facts
from results.store.atomic_files import read_json
from results.store.store import PREFIX, task_folders
from results.types import Cell, Json

LOG_LINES = 12  # of a log's end
_LOG_BYTES = 4_000


class Shelf:
    """The folders of a store, listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self._listed = task_folders(root)
        except ResultsError:
            self._listed = {}

    def folder(self, record: Json) -> Path | None:
        """The folder of a record's task, of several the one with the record; None when there is none."""
        alike = self._listed.get((record["kind"], record["identity"][:PREFIX]), [])
        return next((path for path in alike if (path / "record.json").exists()), alike[0] if alike else None)

    def named(self, record: Json) -> str:
        """Where the folder lies in the store, "" when it does not."""
        folder = self.folder(record)
        return folder.relative_to(self.root).as_posix() if folder else ""

    def requested(self, records: Iterable[Json]) -> Json:
        """What the first of these tasks that still says so was called with, {} when none does."""
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
        """The last lines of a task's log, "" when there is none that can be read."""
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


def run(cell: Cell, row: Row, stands: Behind, curves: Mapping[str, list[Json]], shelf: Shelf) -> dict[str, Any]:
    """A cell as JSON: names and texts for a reader, in order; sets by identity (see `made`)."""
    resolved = stands.sets[0]["resolved"] if stands.sets else {}
    first = stands.evaluations[0]["resolved"] if stands.evaluations else {}
    said = command(stands, shelf.requested([*stands.sets, *stands.evaluations]))
    drawn = [curve for key in _curve_keys(stands) for curve in curves.get(key, [])]
    return {
        "title": f"{row.name}, ipc {row.filters['ipc']}, {row.filters['dataset']}",
        "facts": facts(cell, row),
        "paper": _paper(stands),
        "sets": [record["identity"] for record in stands.sets],
        "networks": [_networks(record, stands, shelf) for record in stands.evaluations],
        "settings": _settings(resolved.get("settings") or first.get("whole") or {}),
        "recipe": _settings(first.get("protocol", {})),
        "curves": drawn,
        "command": said.text,
        "notes": list(said.notes),
    }


def _paper(stands: Behind) -> str:
    records = [*stands.sets, *stands.evaluations]
    card = records[0]["display"]["card"] if records else {}
    words = [f"{card.get('venue', '')} {card.get('year') or ''}".strip()]
    words += [f"arXiv:{card['paper']}"] if card.get("paper") else []
    return ", ".join(filter(None, words))


def _settings(values: Json) -> list[tuple[str, str]]:
    return [(name, _worded(value)) for name, value in sorted(values.items())]


def _worded(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_worded, value))
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _networks(record: Json, stands: Behind, shelf: Shelf) -> dict[str, Any]:
    """One evaluation: the networks trained on one set."""
    resolved, result = record["resolved"], record["result"]
    sets = {made["identity"]: made for made in stands.sets}
    seed = sets.get(resolved["set"], record)["resolved"].get("seed", resolved["seed"])
    accuracies = result.get("accuracies") or []
    return {
        "seed": seed,
        "accuracies": [percent(value) for value in accuracies],
        "mean": percent(fmean(accuracies)) if accuracies else "–",
        "status": record["status"],
        "message": record["message"],
        "seconds": seconds(record["seconds"]),
        "folder": shelf.named(record),
        "log": shelf.log(record),
    }


# --- one set ----------------------------------------------------------------------------------------------------------


def made(record: Json, shelf: Shelf) -> dict[str, Any]:
    """One set as JSON, for every cell it stands behind."""
    result = record["result"]
    return {
        "seed": record["resolved"].get("seed", 0),
        "status": record["status"],
        "message": record["message"],
        "facts": [
            (name, text)
            for name, text in (
                ("Stored images", str(result.get("stored_images", ""))),
                ("Decoded images", str(result.get("decoded_images", ""))),
                ("Size", size(result["bytes"]) if "bytes" in result else ""),
                ("Steps", str(record["steps"])),
                ("Seconds", seconds(record["seconds"])),
                ("Peak memory", size(record["peak_memory_bytes"]) if record["peak_memory_bytes"] else ""),
                ("Finished", str(record["finished"])),
            )
            if text
        ],
        "losses": _settings(result.get("losses") or {}),
        "folder": shelf.named(record),
        "log": shelf.log(record),
    }


# --- curves -----------------------------------------------------------------------------------------------------------


def curves(records: Iterable[Json]) -> dict[str, list[Json]]:
    """Anytime curves of analyses by the set they are of; those of the whole set by `_whole`."""
    found: dict[str, list[Json]] = {}
    for record in records:
        resolved, points = record["resolved"], record["result"].get("points")
        if record["kind"] != "analyze" or resolved.get("analysis") != "curve" or not points:
            continue
        for identity in resolved["sets"]:
            key = _whole(record) if identity == "whole" else identity
            found.setdefault(key, []).append(_curve(record))
    return found


def _curve(record: Json) -> dict[str, Any]:
    resolved, result = record["resolved"], record["result"]
    protocol = resolved.get("protocol")
    name = protocol.get("name") if isinstance(protocol, Mapping) else protocol
    words = [f"seed {resolved.get('seed', 0)}", *([f"protocol {name}"] if name else []), str(resolved["architecture"])]
    points = [(p["step"], p["seconds"], 100 * fmean(p["accuracies"])) for p in result["points"] if p["accuracies"]]
    along = "training" if resolved["sets"] == ["whole"] else "condensing"
    return {"name": ", ".join(words), "split": result["split"], "along": along, "points": points}


def _whole(record: Json) -> str:
    return f"whole {record['display']['dataset']} {record['resolved']['architecture']}"


def _curve_keys(stands: Behind) -> Sequence[str]:
    if stands.sets:
        return [record["identity"] for record in stands.sets]
    return list(dict.fromkeys(_whole(record) for record in stands.evaluations if record["resolved"]["set"] == "whole"))
