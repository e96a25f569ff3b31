"""What rows are called: labels that a report asks for, and names without the settings that all variants share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from results.errors import ResultsError
from results.types import Json


def with_labels(cells: pd.DataFrame, asked: Mapping[str, str]) -> pd.DataFrame:
    """The cells with two more columns: `label`, "" for the usual name, and `shared`, settings that it leaves out.

    asked: labels by display name. Raises ResultsError for a name that no cell has.
    """
    known = list(dict.fromkeys(cells["display_name"]))
    if unknown := [name for name in asked if name not in known]:
        what, where = f"nothing stored is called {unknown[0]!r}", f"labels=['{unknown[0]}={asked[unknown[0]]}']"
        raise ResultsError(what, where=where, next=f"known: {', '.join(known)}")
    labels: dict[str, str] = {}
    shared: dict[str, str] = {}
    for method, title in dict.fromkeys(zip(cells["method"], cells["title"], strict=True)):
        of_method = cells[(cells["method"] == method) & (cells["title"] == title)]
        short, common = shortened(list(dict.fromkeys(of_method["display_name"])))
        labels |= {name: title + text.removeprefix(method) for name, text in short.items()}
        shared |= dict.fromkeys(short, f"{title}: {', '.join(common)}")
    labels |= asked
    names = cells["display_name"]
    return cells.assign(label=[labels.get(name, "") for name in names], shared=[shared.get(name, "") for name in names])


def with_display_labels(records: Sequence[Json], cells: pd.DataFrame) -> list[Json]:
    """The records with the labels of these cells in what they display."""
    labels = {name: text for name, text in zip(cells["display_name"], cells["label"], strict=True) if text}
    return [
        {**record, "display": {**record["display"], "label": labels[record["display"]["display_name"]]}}
        if record["display"].get("display_name") in labels
        else record
        for record in records
    ]


def shortened(names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Names of one method's rows without the settings that all of its variants share, and these settings.

    "dance (lr=1, steps=5)" and "dance (lr=2, steps=5)" are "dance (lr=1)" and "dance (lr=2)". Nothing is left out where
    a name would be that of another row.
    """
    variants = {name: settings for name in names if (settings := _settings(name))}
    if len(variants) < 2:
        return {}, []
    first, *others = variants.values()
    common = [setting for setting in first if all(setting in settings for settings in others)]
    short = {}
    for name, settings in variants.items():
        rest = ", ".join(setting for setting in settings if setting not in common)
        short[name] = name.partition(" (")[0] + (f" ({rest})" if rest else "")
    taken = [name for name in names if name not in variants]
    if not common or len({*short.values(), *taken}) < len(names):
        return {}, []
    return short, common


def _settings(name: str) -> list[str]:
    """ "dance@f2 (lr=1, steps=5)" → ["lr=1", "steps=5"]."""
    text = re.fullmatch(r"[^(]+ \((.*=.*)\)", name)
    return re.split(r", (?=[\w.]+=)", text[1]) if text else []
