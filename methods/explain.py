"""Pages about methods: all of them, one with each of its settings, one cell of the tables with each of its values."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from fractions import Fraction
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from methods import registry
from methods.base import Condenser, Described, ExpertRecipe
from methods.errors import MethodError
from methods.layout import add, columns, shown
from methods.registry import Block


def overview() -> list[RenderableType]:
    """Every method of this package and of others; one that cannot be imported is a line of its own."""
    who = columns("Method", "Title", "Family", "Paper", "Labels", "Protocol", "Steps")
    needs = columns("Method", "Prepared beforehand", "Settings for (dataset: ipcs)")
    broken = []
    for name in sorted(registry.locations()):
        try:
            method = registry.described(name)
            card, covered = method.card, _covered(registry.blocks(name, "paper"))
            row = (name, card.title, card.family, _paper(method), card.labels, card.native, _steps(method))
            prepared = _prepared(name, method)
        except MethodError as error:
            broken.append(Text(f"{error.what} ({error.where})" if error.where else error.what))
            continue
        add(who, *row)
        add(needs, name, prepared, covered)
    after = "python -m methods NAME: each setting; NAME DATASET IPC: each value of a cell, and who says so"
    return [who, needs, *broken, Text(after)]


def method_page(name: str) -> list[RenderableType]:
    """Who a method is, each of its settings, and the cells that its settings files name."""
    method = registry.described(name)
    card = method.card
    facts = columns("family", card.family)
    for fact, value in (
        ("paper", _paper(method)),
        ("labels", card.labels),
        ("version", str(card.version)),
        ("protocol", card.native),
        ("prepared", _prepared(name, method)),
        ("steps", _steps(method)),
    ):
        add(facts, fact, value)
    parts: list[RenderableType] = [Text(f"{name}: {card.title}", style="bold"), *_introduction(method), facts]
    return [*parts, _settings_table(name, method), *_published(name)]


def cell_page(
    name: str,
    *,
    dataset: str,
    ipc: int | None,
    preset: str,
    fraction: float,
    overrides: Mapping[str, Any],
    notes: Iterable[str],
) -> list[RenderableType]:
    """One cell's settings: each value, where it comes from, what an override replaces, and what to know beside."""
    plain = registry.resolve(name, dataset=dataset, ipc=ipc, preset=preset, fraction=fraction)
    found = registry.resolve(
        name, dataset=dataset, ipc=ipc, preset=preset, fraction=fraction, overrides=overrides or None
    )
    listed, sources = columns("Setting", "Value", "Provenance", "Source"), Numbered()
    for spec in fields(found.config):
        origin, value = found.origins[spec.name], getattr(found.config, spec.name)
        if spec.name in found.changed:
            before = shown(getattr(plain.config, spec.name))
            source = f"{origin.source}, instead of {before} {sources.number(plain.origins[spec.name].source)}"
        else:
            source = sources.number(origin.source)
        add(listed, spec.name, shown(value), origin.provenance, source)
    same = [f"{key}={shown(value)} changes nothing" for key, value in overrides.items() if key not in found.changed]
    weak = [key for key, origin in found.origins.items() if origin.provenance == found.provenance]
    return [
        Text(f"{name} on {dataset if ipc is None else f'{dataset} at ipc {ipc}'}, preset {preset}", style="bold"),
        listed,
        *sources.listed(),
        *(Text(f"note: {text}") for text in [*found.notes, *notes, *same]),
        Text(f"weakest provenance: {found.provenance} ({', '.join(weak)})"),
    ]


class Numbered:
    """Sources as numbers, since many values share one; each is said once, below."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def number(self, source: str) -> str:
        return self.known.setdefault(source, f"[{len(self.known) + 1}]")

    def listed(self) -> list[RenderableType]:
        return [Text(f"{number} {source}") for source, number in self.known.items()]


# --- parts of pages ---------------------------------------------------------------------------------------------------


def _introduction(method: type[Described]) -> list[RenderableType]:
    """The first paragraph of the method's module, or of its class."""
    said = inspect.getdoc(sys.modules[method.__module__]) or method.__doc__ or ""
    first = " ".join(said.strip().split("\n\n")[0].split())
    return [Text(first)] if first else []


def _paper(method: type[Described]) -> str:
    card = method.card
    return ", ".join(filter(None, [card.paper, " ".join(filter(None, [card.venue, str(card.year or "")]))])) or "–"


def _steps(method: type[Described]) -> str:
    """The steps of a full run with the method's own defaults."""
    if not issubclass(method, Condenser):
        return "–"
    constant = getattr(method, "total_steps", None)  # of a class: what selects has none to take
    default = next((spec.default for spec in fields(method.Config) if spec.name == "iterations"), None)
    steps = constant if isinstance(constant, int) else default
    return f"{steps:,}" if isinstance(steps, int) else "?"


def _prepared(name: str, method: type[Described]) -> str:
    """The experts a method asks for, in words. Raises MethodError when it cannot say."""
    if not issubclass(method, Condenser):
        return "nothing"
    try:
        recipe = method.experts(method.Config())
    except Exception as error:
        raise MethodError(f"method '{name}' does not say what it needs: {type(error).__name__}: {error}") from error
    return "nothing" if recipe is None else _recipe(recipe)


def _recipe(recipe: ExpertRecipe) -> str:
    """`5 experts: 60 epochs …`, with the steps of the schedule as fractions of the epochs."""
    lr_milestones = " and ".join(str(Fraction(drop).limit_denominator(100)) for drop in recipe.lr_milestones)
    return (
        f"{recipe.count} experts, each {recipe.epochs} epochs on the real images: batch {recipe.batch}, "
        f"SGD {recipe.lr:g} (momentum {recipe.momentum:g}, weight decay {recipe.weight_decay:g}), times "
        f"{recipe.lr_gamma:g} after {lr_milestones} of them, {recipe.augment}, CutMix with probability {recipe.cutmix:g}"
    )


def _covered(blocks: Sequence[Block]) -> str:
    """`cifar10, cifar100: 1, 10, 50; digits: any`, or `any` where no block names a dataset."""
    by_dataset: dict[str, set[int]] = {}
    for block in blocks:
        for dataset in block.datasets:
            by_dataset.setdefault(dataset, set()).update(block.ipcs)
    by_ipcs: dict[tuple[int, ...], list[str]] = {}
    for dataset, ipcs in by_dataset.items():
        by_ipcs.setdefault(tuple(sorted(ipcs)), []).append(dataset)
    named = [f"{', '.join(some)}: {', '.join(map(str, ipcs)) or 'any'}" for ipcs, some in by_ipcs.items()]
    return "; ".join(named) or ("any" if blocks else "–")


def _settings_table(name: str, method: type[Described]) -> Table:
    title = f"method.{name}.SETTING=VALUE on a run's command line"
    listed = columns("Setting", "Default", "Meaning", "Source", title=title)
    for spec in fields(method.Config):
        options = spec.metadata.get("options")
        meaning = spec.metadata.get("meaning", "–") + (f" (one of {', '.join(options)})" if options else "")
        add(listed, spec.name, _default(spec), meaning, spec.metadata.get("source", "–"))
    return listed


def _default(spec: Field[Any]) -> str:
    if spec.default is not MISSING:
        return shown(spec.default)
    return "–" if spec.default_factory is MISSING else shown(spec.default_factory())


def _published(name: str) -> list[RenderableType]:
    """The blocks of the settings file as they stand on each other, and those that a quick run puts on top."""
    paper, quick = registry.blocks(name, "paper"), registry.blocks(name, "quick")
    if not quick:
        return [Text("no settings file: every cell takes the defaults above")]
    title = "published settings, later lines on top of earlier ones"
    listed = columns("Datasets", "ipcs", "Settings", "Provenance", "Source", title=title)
    for index, block in enumerate(quick):
        where = ", ".join(block.datasets) or "any"
        values = ", ".join(f"{key}={shown(value)}" for key, value in block.settings.items())
        add(
            listed,
            where + (" (preset=quick)" if index >= len(paper) else ""),
            ", ".join(map(str, block.ipcs)) or "any",
            values,
            block.provenance,
            block.source,
        )
    return [listed]
