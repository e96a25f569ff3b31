"""The losses of sets along their steps: a panel for each row, with a line for each loss and seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from results.aggregation.row_styles import PALETTE
from results.errors import ResultsError
from results.figures.sets import Scenario, StoredSet
from results.figures.style import COLUMN, PAGE, log_values, new_figure, styled, whole_numbers
from results.store.artifacts import checked_artifact
from results.store.store import Store
from results.types import Json

FILE = "losses.csv"
_COLUMNS, _HEIGHT = 2, 2.0  # panels in a row, and inches of each
_STYLES = ("-", "--", ":", "-.")  # of losses by name


@dataclass(frozen=True)
class LossPanels:
    """Rows → the sets whose losses are stored, by seed, of one dataset, network and ipc."""

    scenario: Scenario
    rows: Mapping[str, Sequence[StoredSet]]


def loss_panels(records: Sequence[Json], sets: Mapping[str, StoredSet]) -> list[LossPanels]:
    """One for each dataset, network and ipc with a set whose record names a file of losses."""
    with_losses = {record["identity"] for record in records if FILE in record["artifacts"]}
    panels: dict[Scenario, dict[str, list[StoredSet]]] = {}
    for stored in sets.values():  # in the order of tables
        if stored.identity in with_losses:
            panels.setdefault(stored.scenario, {}).setdefault(stored.name, []).append(stored)
    return [LossPanels(scenario, rows) for scenario, rows in panels.items()]


def loss_figure(panels: LossPanels, store: Store) -> Figure:
    """The figure. Raises ResultsError if no file of losses can be read."""
    rows = {name: [(stored, _losses(stored, store)) for stored in sets] for name, sets in panels.rows.items()}
    lines, columns = -(-len(rows) // _COLUMNS), min(len(rows), _COLUMNS)
    scenario = panels.scenario
    title = f"Losses while sets are condensed: {scenario.dataset_title}, ipc {scenario.ipc}"
    facts = (f"condensed with {scenario.condense_architecture}", "a colour for each seed")
    with styled():
        figure = new_figure(PAGE if columns > 1 else COLUMN, _HEIGHT * lines, title, facts)
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        for panel, (name, sets) in zip(axes, rows.items(), strict=False):
            panel.set_title(name)
            names = list(dict.fromkeys(loss for _, losses in sets for loss in losses))
            for index, (_, losses) in enumerate(sets):
                for loss, points in losses.items():
                    style = _STYLES[names.index(loss) % len(_STYLES)]
                    label = loss if index == 0 else None
                    panel.plot(*zip(*points, strict=True), style, color=PALETTE[index % len(PALETTE)], label=label)
            if all(y > 0 for _, losses in sets for points in losses.values() for _, y in points):
                log_values(panel)
            whole_numbers(panel, "Step")
            panel.legend(handlelength=1.5)
        for empty in axes[len(rows) :]:
            empty.set_visible(False)
    return figure


def _losses(stored: StoredSet, store: Store) -> dict[str, list[tuple[int, float]]]:
    folder = store.folder({"kind": stored.kind, "identity": stored.identity})
    record = store.record({"kind": stored.kind, "identity": stored.identity})
    if record is None:
        raise ResultsError("a set has no record any more", where=str(folder))
    return read_losses(folder, record)


def read_losses(folder: Path, record: Json) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each loss of a set, by name. Raises ResultsError for a missing or damaged file."""
    try:
        table = csv.DictReader(io.StringIO(checked_artifact(folder, record, FILE).read_text("utf-8")))
        rows = [{name: float(value) for name, value in row.items() if value} for row in table]
        names = list(dict.fromkeys(name for row in rows for name in row if name != "step"))
        return {name: [(int(row["step"]), row[name]) for row in rows if name in row] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"its losses cannot be read: {error}", where=str(folder / FILE)) from error
