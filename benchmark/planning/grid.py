"""From a grid to tasks: which experts to train, which sets to condense and to evaluate, each known by what it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmark import datasets, networks
from benchmark.augmentation import strategies
from benchmark.config.schema import PlanConfig
from benchmark.datasets import Constants, Outline
from benchmark.datasets.base import Progress
from benchmark.datasets.splits import kept_counts
from benchmark.planning import analyses
from benchmark.planning.plan import WHOLE, Part, Row, absolute, data_asked, dataset_label
from benchmark.planning.plan import Plan as Plan
from benchmark.planning.plan import Task as Task
from benchmark.planning.plan import parse_row as parse_row
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.base import Card, ExpertRecipe

Shares = Mapping[tuple[str, str, int, str], float]  # by row, dataset, ipc and network: of the paper's iterations

RANDOM_SUBSETS = 5  # at least: random subsets vary more than networks do
EXPERTS_VERSION = 1  # raised when a change alters the experts a recipe yields


def build(config: PlanConfig, progress: Progress | None = None, shares: Shares | None = None) -> Plan:
    """The whole grid as tasks; `shares` stand above the one `fraction` for all.

    Raises the rooms' errors before anything runs: unknown names, an ipc too large, …
    """
    rows = [parse_row(text) for text in config.methods]
    for text in config.variants:
        row = replace(parse_row(text), unasked=True)
        if row.method in {r.method for r in rows} and replace(row, unasked=False) not in rows:
            rows.append(row)
    for name in config.method:
        registry.described(name)
        if name not in {row.method for row in rows} and name not in set(config.baselines) & {WHOLE.name}:
            raise BenchmarkError(
                f"settings for '{name}', which is not run", where=f"method.{name}", next=f"add it: methods=[…,{name}]"
            )
    for name in config.protocols:
        protocols.check_name(name)

    plan = Plan()
    for entry in config.datasets:
        outline = _outline(entry, config, plan, progress)
        for architecture in config.architectures:
            Cells(config, plan, outline, entry, architecture, shares or {}).add(rows)
    if config.snapshots is not None:
        analyses.add_curves(plan, config.snapshots, config.protocols)
    return plan


def _outline(entry: str, config: PlanConfig, plan: Plan, progress: Progress | None) -> Outline:
    """The dataset, fetched and decoded if it is not yet; a dry run takes what is there, else the dataset's card."""
    root = Path(config.data_root)
    found = datasets.outline(entry, root, progress) if config.dry_run else datasets.load(entry, root, progress).outline
    if not found.seen:
        plan.note(f"{found.name} is not decoded yet: planned from its card, as if nothing of it were done")
    plan.outlines[found.name] = found
    return found


class Cells:
    """Everything planned for one dataset and one condensing architecture."""

    def __init__(
        self, config: PlanConfig, plan: Plan, dataset: Outline, entry: str, architecture: str, shares: Shares
    ) -> None:
        self.config, self.plan, self.dataset, self.shares = config, plan, dataset, shares
        self.depends_on_batch: dict[str, bool] = {}
        self.architecture = self._architecture(architecture)
        self.evaluated_on = [self._architecture(name) for name in config.eval_architectures] or [self.architecture]
        self.smallest_class = min(kept_counts(dataset.train, config.val_fraction))
        given = config.method.get(WHOLE.name)
        self.whole = registry.resolve(
            WHOLE.name, dataset=dataset.published_as, ipc=None, preset=config.preset, overrides=given
        )
        self.requested = {"dataset": absolute(entry), "data_root": str(Path(config.data_root).absolute())}

    def add(self, rows: Sequence[Row]) -> None:
        if WHOLE.name in self.config.baselines or any(row.method == WHOLE.name for row in rows):
            self._evaluate_whole()  # first: it takes longest and waits for nothing
        for ipc in self.config.ipcs:
            if ipc > self.smallest_class:
                raise BenchmarkError(
                    f"ipc {ipc} is more than the smallest class of {self.dataset.name} holds: {self.smallest_class}",
                    where=f"ipcs={self.config.ipcs}",
                )
            asked = [row for row in rows if row.method != WHOLE.name]
            able = [(row, found) for row in asked if (found := self._resolve_or_leave_out(row, ipc))]
            controls = self._controls(asked, {getattr(found.config, "factor", 1) for _, found in able})
            able += [(row, found) for row in controls if (found := self._resolve_or_leave_out(row, ipc))]
            for row, found in able:
                self._condense_and_evaluate(row, found, ipc)

    # --- rows and seeds -----------------------------------------------------------------------------------------------

    def _controls(self, asked: Sequence[Row], factors: set[int]) -> list[Row]:
        """Plain random subsets, and mosaics for every factor that a row uses, unless they were asked for anyway."""
        if "random" not in self.config.baselines:
            return []
        found = [Row("random", None if factor == 1 else factor, control=True) for factor in sorted({1, *factors})]
        given = () if self.config.method.get("random") else asked
        return [row for row in found if replace(row, control=False) not in given]

    def _resolve_or_leave_out(self, row: Row, ipc: int) -> registry.ResolvedSettings | None:
        """The row's settings; None, with a note, for a row nobody asked for that cannot be had at this ipc."""
        try:
            return self._resolve(row, ipc)
        except BenchmarkError as error:
            if not (row.unasked or row.control):
                raise
            self.plan.note(f"{row.name} is left out: {error.what}")
            return None

    def _seeds(self, row: Row) -> list[int]:
        seeds = list(self.config.seeds)
        if row.method == "random":
            seeds += [s for s in range(RANDOM_SUBSETS + len(seeds)) if s not in seeds][
                : max(0, RANDOM_SUBSETS - len(seeds))
            ]
        return seeds

    def _resolve(self, row: Row, ipc: int) -> registry.ResolvedSettings:
        resolved = registry.resolve(
            row.method,
            dataset=self.dataset.published_as,
            ipc=ipc,
            preset=self.config.preset,
            fraction=self.shares.get(
                (row.name, self.dataset.name, ipc, self.architecture), self.config.iterations_fraction
            ),
            overrides=row.overrides(self.config.method),
        )
        if strategy := getattr(resolved.config, "augment", None):
            strategies.parse_for_condensing(strategy)
        needed = ipc * getattr(resolved.config, "factor", 1) ** 2
        if needed > self.smallest_class and getattr(resolved.config, "init", "random") != "noise":
            raise BenchmarkError(
                f"{row.name} at ipc {ipc} starts from {needed} real images a class (factor² times ipc), "
                f"but the smallest class of {self.dataset.name} holds {self.smallest_class}",
                where=f"ipcs={self.config.ipcs}, methods=[{row.name}]",
                next=f"use a smaller ipc, or {row.method}@f1",
            )
        return resolved

    def add_controls(self, ipc: int, factor: int) -> None:
        """Random subsets and mosaics, and the whole set, to stand beside a set that was made elsewhere."""
        if WHOLE.name in self.config.baselines:
            self._evaluate_whole()
        for row in self._controls((), {factor}):
            if found := self._resolve_or_leave_out(row, ipc):
                self._condense_and_evaluate(row, found, ipc)

    def add_import(
        self, asked: dict[str, Any], slug: str, display: dict[str, Any], source: dict[str, Any], seed: int, native: str
    ) -> str:
        """A set made elsewhere, taken in and evaluated; `native` is the protocol of its own paper."""
        display = self._dataset_label() | display
        asked = asked | {"dataset": {"fingerprint": self.dataset.fingerprint}}
        imported = self.plan.add("import", slug, asked, display, self.requested | {"source": source})
        for architecture in self.evaluated_on:
            for name in self.config.set_protocols:
                self._evaluate(
                    name, architecture, imported, slug, display, seed, self.dataset.constants, native, imported=True
                )
        return imported

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _condense_and_evaluate(self, row: Row, resolved: registry.ResolvedSettings, ipc: int) -> None:
        """One set for each seed. All that seeds share is made once: a plan may have thousands of them."""
        method = registry.get(row.method)
        self.plan.note(*resolved.notes)
        constants = self._constants(method.constants(self.dataset.published_as))
        declined = method.unsupported(resolved.config, depends_on_batch=self.depends_on_batch[self.architecture])
        recipe = None if declined else method.experts(resolved.config)
        shared = {
            "method": row.method,
            "version": method.card.version,
            "settings": Part.of(resolved.config),
            "ipc": ipc,
            "architecture": self.architecture,
            "dataset": self._data(constants),
            **self._common(),
        }
        if method.card.family != "coreset":  # which has no way to its set
            shared["snapshots"] = self.config.snapshots
        display = self._label(row, method.card, resolved, ipc)
        for seed in self._seeds(row):
            experts = [self._prepare(recipe, constants, index) for index in _indices(recipe, seed)] if recipe else []
            slug = f"{row.name}-{self.dataset.name}-ipc{ipc}-{self.architecture}-seed{seed}"
            asked = shared | {"seed": seed, "experts": experts}
            condensed = self.plan.add("condense", slug, asked, display, self.requested)
            for architecture in self.evaluated_on:
                for name in self.config.set_protocols:
                    self._evaluate(name, architecture, condensed, slug, display, seed, constants, method.card.native)

    def _prepare(self, recipe: ExpertRecipe, constants: Constants, index: int) -> str:
        asked = {
            "version": EXPERTS_VERSION,
            "dataset": self._data(constants),
            "architecture": self.architecture,
            "recipe": Part.of(recipe, "count", "per_seed"),
            "index": index,
            "expert_seed": self.config.expert_seed,
            **self._common(),
        }
        slug = f"{self.dataset.name}-{self.architecture}-expert{index}"
        return self.plan.add("prepare", slug, asked, self._dataset_label(), self.requested)

    def _evaluate(
        self,
        name: str,
        architecture: str,
        condensed: str,
        slug: str,
        display: dict[str, Any],
        seed: int,
        constants: Constants,
        native: str,
        imported: bool = False,
    ) -> None:
        protocol = self._protocol(name, native, display["ipc"], display["factor"], architecture)
        # A method's own protocol normalises as its own code does; a shared one as the dataset's constants say.
        shared = not name.startswith("native")
        asked = {
            "set": condensed,
            "seed": seed,
            "architecture": architecture,
            "protocol": Part.of(protocol, "source"),
            "num_eval": self.config.num_eval,
            "dataset": self._data(self.dataset.constants if shared else constants),
            **self._common(),
        }
        if condensed == WHOLE.name:
            asked["whole"] = Part.of(self.whole.config)
        if imported:
            asked["imported"] = True
        # The whole set, and one made with a network nobody named, stand in every table.
        made_with = "" if condensed == WHOLE.name or imported else self.architecture
        # `dc@plain` is `dc` itself where that augments nothing.
        known = display | {"condense_architecture": made_with, "protocol": protocol.name if shared else name}
        self.plan.add("evaluate", f"{slug}-{name}-{architecture}", asked, known, self.requested)

    def _evaluate_whole(self) -> None:
        variant = _variant(self.whole, self.whole.changed)
        display = self._dataset_label() | {
            "display_name": f"{WHOLE.name} ({variant})" if variant else WHOLE.name,
            "card": asdict(WHOLE),
            "ipc": None,
            "role": "baseline",
            "iterations_fraction": 1.0,
            "provenance": self.whole.provenance,
            "factor": 1,
            "overrides": variant,
        }
        for architecture in self.evaluated_on:
            for name in self.config.protocols:
                slug = f"whole-{self.dataset.name}"
                self._evaluate(
                    name, architecture, WHOLE.name, slug, display, self.config.seeds[0], self.dataset.constants, "dsa"
                )

    def _protocol(self, name: str, native: str, ipc: int | None, factor: int, architecture: str) -> protocols.Protocol:
        return protocols.get(
            name,
            native=native,
            published_as=self.dataset.published_as,
            resolution=min(self.dataset.image_shape[1:]),
            num_classes=self.dataset.num_classes,
            ipc=ipc,
            factor=factor,
            architecture=architecture,
        )

    # --- parts of requests --------------------------------------------------------------------------------------------

    def _architecture(self, name: str) -> str:
        shape = self.dataset.image_shape
        found = networks.default_architecture(shape) if name == "auto" else networks.canonical(name)
        built = networks.build(found, shape, self.dataset.num_classes, torch.Generator())  # fails here, not in a task
        self.depends_on_batch[found] = built.depends_on_batch
        return found

    def _constants(self, owner: str) -> Constants:
        return self.dataset.constants if owner == self.dataset.published_as else datasets.constants_of(owner)

    def _data(self, constants: Constants) -> dict[str, Any]:
        return data_asked(self.dataset, constants)

    def _common(self) -> dict[str, Any]:
        return {"val_fraction": self.config.val_fraction, "precision": self.config.precision}

    def _dataset_label(self) -> dict[str, Any]:
        return dataset_label(self.dataset)

    def _label(self, row: Row, card: Card, resolved: registry.ResolvedSettings, ipc: int) -> dict[str, Any]:
        variant = _variant(resolved, [key for key in resolved.changed if not (key == "factor" and row.factor)])
        return self._dataset_label() | {
            "display_name": f"{row.name} ({variant})" if variant else row.name,
            "overrides": variant,
            "card": asdict(card),
            "ipc": ipc,
            "factor": getattr(resolved.config, "factor", 1),
            "role": "baseline" if row.control else "method",
            "iterations_fraction": resolved.fraction,
            "provenance": resolved.provenance,
        }


def _indices(recipe: ExpertRecipe, seed: int) -> range:
    """Which experts of its recipe's pool a set of that seed uses."""
    first = seed * recipe.count if recipe.per_seed else 0
    return range(first, first + recipe.count)


def _variant(resolved: registry.ResolvedSettings, changed: Sequence[str]) -> str:
    """The settings that tell this row from the preset's, as `lr_img=2.0, factor=1`."""
    return ", ".join(f"{key}={getattr(resolved.config, key)}" for key in changed)
