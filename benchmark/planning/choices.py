"""The settings that tuning chose for a row of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.datasets import Outline
from benchmark.planning.plan import Part, ResolvedRow, images_content
from benchmark.utils.errors import BenchmarkError, did_you_mean
from methods import registry
from results.store import choices
from results.store.choices import Choice

DEFAULT = "default"  # in `settings`: those of the method itself


def what_is_tuned(row: ResolvedRow, ipc: int, architecture: str, dataset: Outline) -> dict[str, Any]:
    """What a choice is found by: the row as it is without tuning, and where."""
    return {
        "method": row.row.method,
        "version": registry.load(row.row.method).card.version,
        "settings": Part.of(row.settings.config).specified,
        "ipc": ipc,
        "architecture": architecture,
        "dataset": images_content(dataset),
    }


def title(row: ResolvedRow, ipc: int, architecture: str, dataset: Outline) -> str:
    """ "dm on cifar10 at ipc 10, convnet3"."""
    return f"{row.display_name} on {dataset.name} at ipc {ipc}, {architecture}"


def find(store: Path, name: str, row: ResolvedRow, ipc: int, architecture: str, dataset: Outline) -> Choice:
    """The stored choice for a row. Raises BenchmarkError, with the command that makes it, if there is none."""
    choice = choices.find(store, name, what_is_tuned(row, ipc, architecture, dataset))
    if choice is not None:
        return choice
    known = [other for other in choices.names(store) if other != name]
    hint = did_you_mean(name, known) if name not in choices.names(store) else ""
    own = "" if name == "tuned" else f" name={name}"
    raise BenchmarkError(
        f"no settings '{name}' were chosen for {title(row, ipc, architecture, dataset)}, with these iterations and "
        f"other settings.{hint}",
        where=f"settings={name} store={store}",
        next=f"python -m benchmark.tune{own} with the other options of this command chooses them",
    )
