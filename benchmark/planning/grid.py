"""A run's grid as a plan: which experts to train, which sets to condense and which networks to train on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmark import datasets, networks
from benchmark.augmentation import strategies
from benchmark.condensation.synthetic_set import learned_lr
from benchmark.config.shared_options import PlanConfig
from benchmark.datasets import Constants, Outline
from benchmark.datasets.base import Progress
from benchmark.datasets.cache import cache_note
from benchmark.datasets.normalization import EPS, ZCA, check_whitening
from benchmark.datasets.splits import training_counts
from benchmark.planning import analyses, choices
from benchmark.planning.plan import (
    WHOLE_CARD,
    Part,
    ResolvedRow,
    Row,
    check_factor,
    dataset_content,
    dataset_display,
    images_content,
)
from benchmark.planning.plan import Plan as Plan
from benchmark.planning.plan import parse_row as parse_row
from benchmark.planning.plan_datasets import add_datasets
from benchmark.planning.rows import requested_rows, rows_by_architecture
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import registry, search
from methods.base import ExpertRecipe
from methods.soft_labels import SoftLabels, SoftLabelsConfig

# A fraction of the published iterations for each (display name, dataset, ipc, condensing architecture).
Shares = Mapping[tuple[str, str, int, str], float]

SOFT_CARD = SoftLabels.card
RANDOM_SUBSETS = 5  # at least: the accuracy of random subsets varies more than that of networks
WHITENING_VERSION = 1  # must be raised when a change alters how whitening is fitted
EXPERTS_VERSION = 1  # must be raised when a change alters the experts that a recipe gives


def build(config: PlanConfig, progress: Progress | None = None, shares: Shares | None = None) -> Plan:
    """The whole grid as tasks. `shares` replace iterations_fraction where they have an entry.

    Raises BenchmarkError or MethodError for a request that cannot be carried out, before any task runs.
    """
    rows = requested_rows(config)
    for name in config.protocols:
        protocols.check_name(name)
    plan = Plan()
    for entry, outline in add_datasets(plan, config, progress).items():
        for architecture, of_rows in rows_by_architecture(config.architectures, rows, min(outline.image_shape[1:])):
            TaskPlanner(config, plan, outline, entry, architecture, shares or {}).add(of_rows)
    if config.snapshots is not None and config.val_fraction:
        analyses.add_curves(plan, config.snapshots, config.protocols)
    if config.best_on_test:
        analyses.add_best_on_test(plan, config.protocols)
        plan.note("best_on_test: the test split chooses among snapshots, so the best of them is optimistic")
    return plan


@dataclass(frozen=True)
class ScoredSet:
    """A set to evaluate. identity: of the task that makes it, or `whole`; native: the protocol of its own paper.

    seen: its dataset as networks see it under the native protocol. learns_lr: it brings a learning rate for networks
    trained on it. imported: it comes from files of others. labels: identity of the task that makes its soft labels, ""
    without; teacher: the settings of their teacher. tuned: the number of trials and the digest of the choice of its
    settings, which makes its evaluation another one even where the method's own settings were chosen.
    """

    identity: str
    slug: str
    display: Mapping[str, Any]
    seed: int
    seen: Mapping[str, Any]
    native: str
    learns_lr: bool = False
    imported: bool = False
    labels: str = ""
    teacher: Part | None = None
    tuned: Mapping[str, Any] | None = None


class TaskPlanner:
    """Adds the tasks of one dataset and one condensing architecture to a plan."""

    def __init__(
        self, config: PlanConfig, plan: Plan, dataset: Outline, entry: str, architecture: str, shares: Shares
    ) -> None:
        self.config, self.plan, self.dataset, self.shares = config, plan, dataset, shares
        self.depends_on_batch: dict[str, bool] = {}
        self.architecture = self._architecture(architecture)
        self.eval_architectures = [self._architecture(name) for name in config.eval_architectures] or [
            self.architecture
        ]
        self.counts = training_counts(dataset, config.val_fraction)
        label, self.smallest = min(enumerate(self.counts), key=lambda entry: entry[1])
        self.holds = f"class {label} of {dataset.name} has {self.smallest}"
        whole = self._settings(Row(WHOLE_CARD.name), None, config.iterations_fraction)
        self.whole = ResolvedRow(Row(WHOLE_CARD.name, baseline=True), whole)
        # A folder becomes absolute, so that a task finds it from any working directory.
        folder = None if datasets.key_of(entry) else Path(entry).expanduser().absolute()
        self.requested = {"dataset": str(folder or entry), "data_root": str(Path(config.data_root).absolute())}
        if config.cache_path:
            self.requested["cache"] = str(config.cache_path.absolute())
        if note := cache_note(Path(config.data_root), config.cache_path):
            self.plan.note(note)
        self.dataset_display = dataset_display(dataset, folder)
        self.common = {"val_fraction": config.val_fraction, "precision": config.precision}

    def add(self, rows: Sequence[Row]) -> None:
        """Add the rows and baselines at every ipc of the run."""
        if WHOLE_CARD.name in self.config.baselines or any(row.method == WHOLE_CARD.name for row in rows):
            self._evaluate_whole()  # first in a cluster's queue, as it waits for nothing; on one machine it runs last
        for ipc in self.config.ipcs:
            self.check_ipc(ipc)
            resolved = self._resolve_all([row for row in rows if row.method != WHOLE_CARD.name], ipc)
            self._note_aliases(resolved, ipc)
            baselines = self._random_rows({row.settings.config.factor for row in resolved})
            soft = {row.settings.config.factor for row in resolved if row.row.soft}
            baselines += [replace(row, soft=True) for row in self._random_rows(soft)] if soft else []
            for row in _merged([*resolved, *self._resolve_all(baselines, ipc)]):
                self.condense_and_evaluate(row, ipc)

    def check_ipc(self, ipc: int) -> None:
        """Raise BenchmarkError if a class has fewer images."""
        if ipc > self.smallest:
            raise BenchmarkError(
                f"ipc {ipc} takes {ipc} training images of each class, but {self.holds}",
                where=f"ipcs={self.config.ipcs}",
                next=f"use an ipc of at most {self.smallest}",
            )

    def part(self, row: Row, ipc: int) -> Plan:
        """A plan of its own with the tasks of one row at one ipc."""
        plan, self.plan = self.plan, Plan()
        try:
            self.condense_and_evaluate(self.resolve(row, ipc), ipc)
            return self.plan
        finally:
            self.plan = plan

    def add_baselines(self, ipc: int, factor: int) -> None:
        """Add the baselines for an imported set of this factor: random subsets, random mosaics, the whole set."""
        if WHOLE_CARD.name in self.config.baselines:
            self._evaluate_whole()
        for row in self._resolve_all(self._random_rows({factor}), ipc):
            self.condense_and_evaluate(row, ipc)

    def add_import(
        self,
        content: dict[str, Any],
        slug: str,
        display: dict[str, Any],
        source: dict[str, Any],
        seed: int,
        *,
        whitened: bool,
        native: str,
        normalized_as: str,
    ) -> str:
        """Add the import of an external set and its evaluations; returns the identity of the import.

        whitened: its values are of whitened images. The whitening is fitted on all training images, as public codes do.
        native, normalized_as: the protocol of its paper, and the dataset whose constants normalize images there.
        """
        display, training = self.dataset_display | display, content.get("training", {})
        whitening = {"whitening": self._whiten(0.0)} if whitened else {}
        content = content | {"dataset": images_content(self.dataset) | whitening}
        seen = self._seen(self._constants(normalized_as), training.get("space") == ZCA)
        imported = self.plan.add("import", slug, content, display, self.requested | {"source": source})
        learns_lr = learned_lr(training) is not None
        self._evaluate(ScoredSet(imported, slug, display, seed, seen, native, learns_lr, imported=True))
        return imported

    # --- rows and seeds -----------------------------------------------------------------------------------------------

    def _random_rows(self, factors: set[int]) -> list[Row]:
        """The baseline `random`: plain subsets, and mosaics for every factor that a row uses."""
        if "random" not in self.config.baselines:
            return []
        return [Row("random", None if factor == 1 else factor, baseline=True) for factor in sorted({1, *factors})]

    def _resolve_all(self, rows: Sequence[Row], ipc: int) -> list[ResolvedRow]:
        """The rows with their settings at this ipc; an impossible baseline or variant is left out, with a note."""
        resolved = []
        for row in rows:
            try:
                resolved.append(self.resolve(row, ipc))
            except BenchmarkError as error:
                if not (row.variant or row.baseline):
                    raise
                self.plan.note(f"{row.name} is left out: {error.what}")
        return resolved

    def resolve(self, row: Row, ipc: int) -> ResolvedRow:
        """The row's settings at an ipc. Raises BenchmarkError for a row that is impossible there."""
        if row.tuned:
            return self._resolve_tuned(row, ipc)
        # Shares are of names with all iterations. A method without a paper has no budget that is known to be too long.
        full = self.shares or not registry.load(row.method).card.paper
        fraction = 1.0 if full else self.config.iterations_fraction
        labels = self._label_settings(ipc) if row.soft else None
        resolved = ResolvedRow(row, self._settings(row, ipc, fraction), labels)
        share = self.shares.get((resolved.display_name, self.dataset.name, ipc, self.architecture))
        if share is not None:
            resolved = ResolvedRow(row, self._settings(row, ipc, share), labels)
        settings = resolved.settings.config
        if settings.augment:
            strategies.parse_for_condensing(settings.augment)
        check_factor(settings.factor, self.dataset, where=f"methods=[{row.name}]")
        needed = ipc * settings.factor**2
        if needed > self.smallest and settings.init != "noise":
            raise BenchmarkError(
                f"{resolved.name} at ipc {ipc} starts from {needed} real images of each class (factor² times ipc), "
                f"but {self.holds}",
                where=f"ipcs={self.config.ipcs}, methods=[{row.name}]",
                next=f"use a smaller ipc, or {row.method}@f1",
            )
        return resolved

    def _resolve_tuned(self, row: Row, ipc: int) -> ResolvedRow:
        """The row with the settings that tuning chose; as it is if its method has nothing to tune."""
        untuned = self.resolve(replace(row, tuned=""), ipc)
        if not search.space(row.method):
            self.plan.note(f"{row.name} has nothing to tune: its own settings are used")
            return untuned
        where = (ipc, self.architecture, self.dataset)
        choice = choices.find(Path(self.config.store), row.tuned, untuned.of_set, *where)
        settings = {**dict(row.settings), **choice.settings}
        chosen = self.resolve(replace(row, tuned="", settings=tuple(settings.items())), ipc)
        return replace(chosen, row=row, choice=choice, untuned=untuned)

    def _settings(self, row: Row, ipc: int | None, iterations_fraction: float) -> registry.ResolvedSettings:
        return registry.resolve(
            row.method,
            dataset=self.dataset.published_as,
            ipc=ipc,
            preset=self.config.preset,
            iterations_fraction=iterations_fraction,
            overrides=row.overrides(self.config.method),
        )

    def _label_settings(self, ipc: int) -> registry.ResolvedSettings:
        """The settings of the teacher that labels sets of this ipc."""
        return registry.resolve(
            SOFT_CARD.name,
            dataset=self.dataset.published_as,
            ipc=ipc,
            preset=self.config.preset,
            overrides=self.config.method.get(SOFT_CARD.name, {}),
        )

    def _note_aliases(self, rows: Sequence[ResolvedRow], ipc: int) -> None:
        """Note which rows have another name in the tables: `dance@f2` is `dance` where its settings have factor 2."""
        rows = [resolved for resolved in rows if not resolved.row.variant and not resolved.choice]
        first_of: dict[str, str] = {}
        for resolved in rows:
            name = first_of.setdefault(resolved.display_name, resolved.row.name)
            if resolved.row.settings and name != resolved.row.name:
                place = f"on {self.dataset.name} at ipc {ipc}"
                self.plan.note(f"{resolved.row.name} {place} is {name}: its settings are the same")
        rows = [resolved for resolved in rows if not resolved.row.settings]
        requested = [resolved.row.name for resolved in rows]
        for resolved in rows:
            name, factor = resolved.row.name, resolved.settings.config.factor
            renamed = resolved.name != name and (resolved.row.factor is not None or resolved.name in requested)
            if renamed and name in requested:
                origin = "the command line sets" if "factor" in resolved.settings.changed else "its settings have"
                self.plan.note(
                    f"{name} on {self.dataset.name} at ipc {ipc} is {resolved.name}: {origin} factor {factor}"
                )

    def _seeds(self, row: Row) -> list[int]:
        seeds = list(self.config.seeds)
        if row.method == "random":
            more = [seed for seed in range(RANDOM_SUBSETS + len(seeds)) if seed not in seeds]
            seeds += more[: max(0, RANDOM_SUBSETS - len(seeds))]
        return seeds

    # --- tasks --------------------------------------------------------------------------------------------------------

    def condense_and_evaluate(self, resolved: ResolvedRow, ipc: int) -> None:
        """Add a row's tasks, one set for each seed. What seeds share is made once: a plan may have thousands."""
        method, settings = registry.get(resolved.row.method), resolved.settings.config
        self.plan.note(*resolved.settings.notes)
        constants = self._constants(method.constants(self.dataset.published_as))
        seen = self._seen(constants, method.whitens(settings))
        unsupported = method.unsupported(settings, depends_on_batch=self.depends_on_batch[self.architecture])
        recipe = None if unsupported else method.experts(settings)
        if recipe:
            strategies.parse(recipe.augment)
        shared = {
            "method": resolved.row.method,
            "version": method.card.version,
            "settings": Part.of(settings),
            "ipc": ipc,
            "architecture": self.architecture,
            "dataset": seen,
            **self.common,
        }
        if len({min(settings.batch_real, count) for count in self.counts}) > 1:
            shared["unequal_batches"] = True  # sets of earlier versions took as many of each class as the smallest had
        if method.card.family != "coreset":  # a selection has no snapshots
            shared["snapshots"] = self.config.snapshots
        display = self._display(resolved, ipc)
        tuned = {"trials": len(resolved.choice.trials), "digest": resolved.choice.digest} if resolved.choice else None
        plain = resolved.of_set
        of_set = self._display(plain, ipc)
        for seed in self._seeds(resolved.row):
            experts = [self._prepare(recipe, seen, index) for index in _indices(recipe, seed)] if recipe else []
            where = f"{self.dataset.name}-ipc{ipc}-{self.architecture}-seed{seed}"
            content = shared | {"seed": seed, "experts": experts}
            condensed = self.plan.add("condense", f"{plain.slug}-{where}", content, of_set, self.requested)
            card, slug = method.card, f"{resolved.slug}-{where}"
            scored = ScoredSet(condensed, slug, display, seed, seen, card.native, card.learns_lr, tuned=tuned)
            self._evaluate(self._labelled(scored, resolved.labels) if resolved.labels else scored)

    def _labelled(self, scored: ScoredSet, labels: registry.ResolvedSettings) -> ScoredSet:
        """The set with the labels of a teacher, which is the same for all sets with these settings."""
        config = labels.config
        assert isinstance(config, SoftLabelsConfig)
        self.plan.note(*labels.notes)
        strategies.parse(config.teacher_augment)
        seen = self._seen(self.dataset.constants, whitens=False)
        content = {
            "set": scored.identity,
            "experts": [self._prepare(config.teacher, seen, 0)],
            "temperature": config.temperature,
            "architecture": self.architecture,
            "dataset": seen,
            **self.common,
        }
        identity = self.plan.add("label", scored.slug, content, dict(scored.display), self.requested)
        teacher = Part.of(config)
        return replace(scored, labels=identity, teacher=teacher, native=SOFT_CARD.native, seen=seen, learns_lr=False)

    def _seen(self, constants: Constants, whitens: bool) -> dict[str, Any]:
        """The dataset of a task, normalized with these constants or whitened."""
        return dataset_content(self.dataset, self._whiten(self.config.val_fraction) if whitens else constants)

    def _whiten(self, val_fraction: float) -> str:
        content = {
            "version": WHITENING_VERSION,
            "eps": EPS,
            "dataset": images_content(self.dataset),
            "val_fraction": val_fraction,
        }
        check_whitening(self.dataset.image_shape, where=self.dataset.name)
        return self.plan.add("whiten", self.dataset.name, content, self.dataset_display, self.requested)

    def _prepare(self, recipe: ExpertRecipe, seen: Mapping[str, Any], index: int) -> str:
        content = {
            "version": EXPERTS_VERSION,
            "dataset": seen,
            "architecture": self.architecture,
            "recipe": Part.of(recipe, "count", "per_seed"),
            "index": index,
            "expert_seed": self.config.expert_seed,
            **self.common,
        }
        slug = f"{self.dataset.name}-{self.architecture}-expert{index}"
        return self.plan.add("prepare", slug, content, self.dataset_display, self.requested)

    def _evaluate_whole(self) -> None:
        display, seen = self._display(self.whole, None), self._seen(self.dataset.constants, whitens=False)
        slug, seed = f"whole-{self.dataset.name}", self.config.seeds[0]
        self._evaluate(ScoredSet(WHOLE_CARD.name, slug, display, seed, seen, WHOLE_CARD.native))

    def _evaluate(self, scored: ScoredSet) -> None:
        """Evaluate a set with every evaluation architecture under every protocol."""
        names = self.config.protocols if scored.identity == WHOLE_CARD.name else self.config.set_protocols
        for architecture in self.eval_architectures:
            for name in names:
                self._evaluate_under(name, architecture, scored)

    def _evaluate_under(self, name: str, architecture: str, scored: ScoredSet) -> None:
        whole, native = scored.identity == WHOLE_CARD.name, name.startswith("native")
        protocol = protocols.get(
            name,
            native=scored.native,
            published_as=self.dataset.published_as,
            resolution=min(self.dataset.image_shape[1:]),
            num_classes=self.dataset.num_classes,
            ipc=scored.display["ipc"],
            factor=scored.display["factor"],
            architecture=architecture,
            learns_lr=scored.learns_lr,
        )
        if protocol.lr_from_set and not scored.learns_lr:
            self.plan.note(f"protocol {name}: on sets without a learning rate of their own the protocol's is taken")
        note = protocol.source.removeprefix("ours: ") if protocol.source.startswith("ours: ") else ""
        if note:
            self.plan.note(f"protocol {name}: {note}")
        content = {
            "set": scored.identity,
            "seed": scored.seed,
            "architecture": architecture,
            "protocol": Part.of(protocol, "source"),
            "num_eval": self.config.num_eval,
            # Under a method's own protocol networks see what its public code shows them; a shared one treats all alike.
            "dataset": scored.seen if native else self._seen(self.dataset.constants, whitens=False),
            **self.common,
        }
        if whole:
            content["whole"] = Part.of(self.whole.settings.config)
        if scored.imported:
            content["imported"] = True
        if scored.tuned:
            content["tuned"] = dict(scored.tuned)
        if scored.labels and not protocol.hard_labels:
            content |= {"labels": scored.labels, "teacher": scored.teacher}
        display = {
            **scored.display,
            # "" if unknown or none: such a row is shown in the table of every condensing architecture.
            "condense_architecture": "" if whole or scored.imported else self.architecture,
            "protocol": name if native else protocol.name,  # `dc@plain` is named `dc` where that augments nothing
        }
        if protocol.hard_labels:
            display.pop("labels", None)
        if note:
            display["protocol_note"] = note
        self.plan.add("evaluate", f"{scored.slug}-{name}-{architecture}", content, display, self.requested)

    # --- parts of tasks -----------------------------------------------------------------------------------------------

    def _architecture(self, name: str) -> str:
        shape = self.dataset.image_shape
        architecture = networks.default_architecture(shape) if name == "auto" else networks.canonical(name)
        network = networks.build(architecture, shape, self.dataset.num_classes, torch.Generator())  # or fails early
        self.depends_on_batch[architecture] = network.depends_on_batch
        return architecture

    def _constants(self, owner: str) -> Constants:
        return self.dataset.constants if owner == self.dataset.published_as else datasets.constants_of(owner)

    def _display(self, resolved: ResolvedRow, ipc: int | None) -> dict[str, Any]:
        """What tables show of a row."""
        return self.dataset_display | {
            "display_name": resolved.display_name,
            "overrides": resolved.overrides,
            "card": asdict(registry.load(resolved.row.method).card),
            "ipc": ipc,
            "factor": resolved.settings.config.factor,
            "role": "baseline" if resolved.row.baseline else "method",
            "iterations_fraction": resolved.settings.iterations_fraction,
            **({"raised_to_floor": True} if resolved.settings.raised else {}),
            "provenance": resolved.weakest_provenance,
            **({"labels": "soft"} if resolved.labels else {}),
            **({"tuning": resolved.choice.display()} if resolved.choice else {}),
        }


def _merged(rows: Sequence[ResolvedRow]) -> list[ResolvedRow]:
    """Each name once: a requested row comes before a variant or baseline that is the same."""
    by_name: dict[str, ResolvedRow] = {}
    for row in rows:
        by_name.setdefault(row.display_name, row)
    return list(by_name.values())


def _indices(recipe: ExpertRecipe, seed: int) -> range:
    """The indices of the experts in the recipe's pool that a set with this seed uses."""
    first = seed * recipe.count if recipe.per_seed else 0
    return range(first, first + recipe.count)
