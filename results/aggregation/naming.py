"""What rows and sets are called, with the settings that tell equal names apart."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence

from results.aggregation.grouping import ipc
from results.types import Cell, Json

_MAX_SETTINGS = 3  # settings that a name shows, where these tell it apart


def title(row: Cell) -> str:
    """The label of a row, else the method's title for its name: "dm@f2 (lr_img=2.0)" is "DM@f2 (lr_img=2.0)"."""
    if label := row.get("label"):
        return str(label)
    name, method = str(row["display_name"]), str(row["method"])
    return f"{row['title']}{name[len(method) :]}" if name.startswith(method) else name


def names(rows: Sequence[Cell]) -> list[str]:
    """The names of the rows of one table; those of one name and ipc also show the settings in which they differ."""
    alike: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        alike.setdefault((row["display_name"], ipc(row)), []).append(index)
    row_names = [title(row) for row in rows]
    for indices in alike.values():
        if len(indices) > 1:
            differences = distinguish([rows[index]["cell_spec"] for index in indices])
            for index, difference in zip(indices, differences, strict=True):
                row_names[index] += f" [{difference}]"
    return row_names


def distinguish(specs: Sequence[Json], settings: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """One text for each specification that tells it from the others: "lr_img=1.0, augment=none".

    specs: flat mappings as `links.cell_spec` makes them; their "condensed" is "here" or "elsewhere", and these two are
    not compared with each other. settings: by these two words, which settings a text shows; None means those in which
    the specifications differ. A text shows the first three of them, or all of them if two texts would be equal.
    """
    origins = {spec["condensed"] for spec in specs}
    if settings is None:
        settings = {origin: differing([spec for spec in specs if spec["condensed"] == origin]) for origin in origins}
    shown = [_difference(spec, settings[spec["condensed"]], _MAX_SETTINGS, len(origins) > 1) for spec in specs]
    if len(set(shown)) < len(shown):
        shown = [_difference(spec, settings[spec["condensed"]], None, len(origins) > 1) for spec in specs]
    return shown


def _difference(spec: Json, settings: Sequence[str], limit: int | None, mixed: bool) -> str:
    """The first `limit` of the settings with their values. mixed: whether sets condensed elsewhere must say so."""
    if not settings:
        return f"condensed {spec['condensed']}"
    short = {name: name.removeprefix("settings.") for name in settings}
    values = [f"{short[name]}={spec[name]}" for name in settings if name in spec]
    text = ", ".join(values[:limit]) or f"without {', '.join([*short.values()][:limit])}"
    return f"condensed elsewhere, {text}" if mixed and spec["condensed"] == "elsewhere" else text


def differing(specs: Sequence[Json]) -> list[str]:
    """The names of the settings on which these specifications differ, or which only some of them have; shortest first.

    Settings of evaluations are compared among the specifications that have any: the others were never evaluated.
    """
    evaluated = [spec for spec in specs if any(map(_of_evaluation, spec))]
    different = [
        name
        for name in dict.fromkeys(name for spec in specs for name in spec)
        if len({json.dumps(spec.get(name)) for spec in (evaluated if _of_evaluation(name) else specs)}) > 1
    ]
    return sorted(different, key=lambda name: (len(name), name))


def _of_evaluation(name: str) -> bool:
    return name.startswith("evaluation.")
