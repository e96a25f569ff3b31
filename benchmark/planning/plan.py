"""A plan: tasks as plain values, each identified by the hash of its specification, inputs before what needs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from benchmark.datasets import Constants, Outline
from benchmark.datasets.splits import training_counts
from benchmark.execution.runtime import Task
from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.multi_formation import fitting_factors
from methods.whole import WholeSet
from results.store.choices import Choice
from results.store.identity import canonical, identity

WHOLE_CARD = WholeSet.card
# A specification leaves out what has these values, so that an option which is added later moves no identity.
DEFAULTS: Mapping[str, Any] = {
    "val_fraction": 0.0,
    "precision": "fp32",
    "expert_seed": 0,
    "imported": False,
    "snapshots": None,
}


@dataclass(frozen=True)
class Part:
    """The fields of a dataclass (settings, a recipe, a protocol) as a part of a task, as JSON values.

    values: all fields. specified: those that are not at their default, which the identity hashes. So a field that is
    added later moves no identity, and a change of a default requires a new version.
    """

    values: dict[str, Any]
    specified: dict[str, Any]

    @classmethod
    def of(cls, instance: Any, *excluded: str) -> Part:
        """The part of a dataclass's instance, without the excluded fields."""
        values = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(instance).items()
            if key not in excluded
        }
        defaults = {spec.name: spec.default for spec in fields(instance) if spec.default is not MISSING}
        specified = {
            key: value
            for key, value in values.items()
            if key not in defaults or getattr(instance, key) != defaults[key]
        }
        return cls(values, specified)


@dataclass
class Plan:
    """Tasks by identity, each after its inputs, and notes for the user. outlines: datasets by name."""

    by_identity: dict[str, Task] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outlines: dict[str, Outline] = field(default_factory=dict)

    @property
    def tasks(self) -> list[Task]:
        return list(self.by_identity.values())

    def of_kind(self, kind: str) -> list[Task]:
        return [task for task in self.tasks if task["kind"] == kind]

    def add(
        self, kind: str, slug: str, content: dict[str, Any], display: dict[str, Any], requested: dict[str, Any]
    ) -> str:
        """Add a task unless the plan has it already, and return its identity.

        content: JSON values and `Part`s. `resolved` is all of it; `spec`, which is hashed, leaves out defaults.
        """
        resolved = {key: value.values if isinstance(value, Part) else value for key, value in content.items()}
        spec = {
            key: value.specified if isinstance(value, Part) else value
            for key, value in content.items()
            if key not in DEFAULTS or value != DEFAULTS[key]
        }
        return self.add_specified(kind, slug, spec, resolved, display, requested)

    def add_specified(
        self,
        kind: str,
        slug: str,
        spec: dict[str, Any],
        resolved: dict[str, Any],
        display: dict[str, Any],
        requested: dict[str, Any],
    ) -> str:
        """`add` for a task whose specification is known."""
        spec, resolved = {"kind": kind, **spec}, {"kind": kind, **resolved}
        key = identity(spec)
        task = {"kind": kind, "identity": key, "slug": slug, "spec": spec, "resolved": resolved}
        self.by_identity.setdefault(key, task | {"display": display, "requested": requested})
        return key

    def note(self, *texts: str) -> None:
        """Add notes, each once."""
        self.notes += [text for text in texts if text not in self.notes]


def task_name(task: Mapping[str, Any]) -> str:
    """The name of a task in messages: its kind and its slug."""
    return f"{task['kind']} {task['slug']}"


def inputs_of(task: Mapping[str, Any]) -> set[str]:
    """Identities of the tasks whose results this task reads."""
    resolved = task["resolved"]
    single = {resolved.get("set"), resolved.get("labels"), resolved.get("dataset", {}).get("whitening")} - {None}
    return {*resolved.get("experts", ()), *resolved.get("sets", ()), *single}


def pool_of(task: Mapping[str, Any]) -> str | None:
    """A key that tasks share if they train experts which differ in their index alone; None for other tasks."""
    if task["kind"] != "prepare":
        return None
    return canonical({**task["resolved"], "index": None, "requested": task["requested"]})


# --- parts of tasks ---------------------------------------------------------------------------------------------------


def dataset_content(dataset: Outline, seen: Constants | str) -> dict[str, Any]:
    """The dataset of a task: which images, and how networks see them.

    seen: the constants that normalize them, or the identity of the task which fits their whitening.
    """
    values = {"whitening": seen} if isinstance(seen, str) else {"mean": list(seen.mean), "std": list(seen.std)}
    return {**images_content(dataset), **values, "flip": dataset.flip}


def images_content(dataset: Outline) -> dict[str, Any]:
    """Which images a task reads. Without a long tail nothing says so, as before there were any."""
    return {"fingerprint": dataset.fingerprint} | ({"imbalance": dataset.imbalance} if dataset.imbalance > 1 else {})


def dataset_display(dataset: Outline, folder: Path | None = None) -> dict[str, Any]:
    """What tables show of a dataset. folder: of a dataset that is not built in."""
    return {
        "dataset": dataset.name,
        **({"dataset_parent": folder.parent.name} if folder else {}),
        "dataset_title": dataset.title,
        "published_as": dataset.published_as,
        "num_classes": dataset.num_classes,
        "train_images": sum(training_counts(dataset, 0.0)),
    }


# --- rows of the tables -----------------------------------------------------------------------------------------------


def check_factor(factor: int, dataset: Outline, where: str) -> None:
    """Raise BenchmarkError if images of the dataset cannot hold factor × factor small ones with a pixel each."""
    height, width = dataset.image_shape[1:]
    fitting = fitting_factors(height, width)
    if factor not in fitting:
        raise BenchmarkError(
            f"factor {factor} does not fit {dataset.name}: some small images in one of {height}×{width} would be empty",
            where=where,
            next=f"factors that fit: {', '.join(map(str, fitting[:8]))}{', …' if len(fitting) > 8 else ''}",
        )


@dataclass(frozen=True)
class Row:
    """A method in a request: `NAME`, with `@fN` for factor N, `@soft` for soft labels, `@SETTING:VALUE` for settings.

    factor: None for that of the method's settings. settings: names and values; a text is converted to the setting's
    type. soft: its set with the labels of a teacher (`methods.soft_labels`). baseline: it runs beside the requested
    methods, and options for its method do not change it. variant: a preset adds it beside its method. A baseline or
    variant that is impossible at an ipc is left out. tuned: the name of the tuning that chose its other settings.
    """

    method: str
    factor: int | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    soft: bool = False
    baseline: bool = False
    variant: bool = False
    tuned: str = ""

    @property
    def name(self) -> str:
        """As in a request."""
        factor = "" if self.factor is None else f"@f{self.factor}"
        return row_text(f"{self.method}{factor}{SOFT * self.soft}", self.settings)

    def overrides(self, options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The settings that replace those of the preset. options: those of `method.NAME.SETTING=VALUE`, by method."""
        overrides = {} if self.baseline else dict(options.get(self.method, {}))
        return overrides | dict(self.settings) | ({} if self.factor is None else {"factor": self.factor})


def row_text(name: str, settings: Iterable[tuple[str, Any]]) -> str:
    """ "dance@f1@alignment:random": a row in the grammar of a request, which neither Hydra nor shells change."""
    return "@".join([name, *(f"{setting}:{value}" for setting, value in settings)])


def parse_row(text: str) -> Row:
    """A row from its text in a request, such as `dance@f1@alignment:random@calibration:false`.

    Raises MethodError for an unknown name or setting, BenchmarkError for another suffix or a setting that is given
    twice.
    """
    name, *suffixes = text.split("@")
    where = f"methods=[{text}]"
    if name == WHOLE_CARD.name and not suffixes:
        return Row(name)
    if re.search("[:=]", name):
        raise BenchmarkError(f"'{text}' is no method", where=where, next="NAME@SETTING:VALUE, such as dance@factor:1")
    known = registry.get(name).Config.names()
    settings: dict[str, Any] = {}
    soft = suffixes.count(SOFT[1:])
    if soft > 1:
        raise BenchmarkError(f"'{text}' asks for soft labels twice", where=where)
    for suffix in (suffix for suffix in suffixes if suffix != SOFT[1:]):
        setting, colon, value = ("factor", ":", suffix[1:]) if _FACTOR.fullmatch(suffix) else suffix.partition(":")
        if not (setting and colon and value):
            known_as = f"{name}, {name}@f2 for factor 2, {name}@soft for a teacher's labels, or {name}@SETTING:VALUE"
            raise BenchmarkError(f"'{text}' is no method", where=where, next=known_as)
        if setting == "factor" and setting not in known:
            raise BenchmarkError(f"{name} has no setting 'factor'", where=where, next=f"methods=[{name}]")
        if setting not in known:
            raise registry.unknown("setting", setting, known, where=where)
        if setting in settings:
            raise BenchmarkError(f"'{text}' sets {setting} twice", where=where)
        settings[setting] = None if value == "null" else value
    factor = settings.pop("factor", None)
    if factor is not None and not _FACTOR.fullmatch(f"f{factor}"):
        raise BenchmarkError(f"factor must be a whole number from 1, got {factor}", where=where)
    return Row(name, None if factor is None else int(factor), tuple(settings.items()), soft=bool(soft))


SOFT = "@soft"  # after a row's factor
_FACTOR = re.compile(r"f[1-9]\d*")


@dataclass(frozen=True)
class ResolvedRow:
    """A row with its settings for one dataset and ipc. Rows with equal settings have one name and one task.

    labels: of the teacher, where the row has soft labels. choice: what tuning chose, and untuned: the row without it.
    """

    row: Row
    settings: registry.ResolvedSettings
    labels: registry.ResolvedSettings | None = None
    choice: Choice | None = None
    untuned: ResolvedRow | None = None

    @property
    def of_set(self) -> ResolvedRow:
        """The row of the set alone, whoever chose its settings and whatever its labels are."""
        return ResolvedRow(replace(self.row, soft=False), self.settings)

    @property
    def name(self) -> str:
        """`NAME` if the factor is that of the preset here, else `NAME@fN`, however it was requested; with `@soft`."""
        factor = f"@f{self.settings.config.factor}" if "factor" in self.settings.changed else ""
        return f"{self.row.method}{factor}{SOFT * self.row.soft}"

    @property
    def overrides(self) -> str:
        """The other settings that differ from the preset's, as `lr_img=2.0, init=noise`."""
        return ", ".join(f"{key}={value}" for key, value in self._changed)

    @property
    def _changed(self) -> list[tuple[str, Any]]:
        found = [(key, getattr(self.settings.config, key)) for key in self.settings.changed if key != "factor"]
        if self.labels:
            found += [(key, getattr(self.labels.config, key)) for key in self.labels.changed]
        return found

    @property
    def weakest_provenance(self) -> str:
        """Of the settings, and of those of the teacher."""
        kinds = [resolved.weakest_provenance for resolved in (self.settings, self.labels) if resolved]
        return max(kinds, key=registry.PROVENANCES.index)

    @property
    def display_name(self) -> str:
        if self.choice and self.untuned:  # whatever was chosen, so that all datasets and ipcs are one row
            own = self.untuned.overrides
            return f"{self.untuned.name} ({f'{own}, ' if own else ''}{self.choice.name})"
        return f"{self.name} ({self.overrides})" if self.overrides else self.name

    @property
    def slug(self) -> str:
        """The name with the settings that differ, as in a request: it tells the variants of a method apart."""
        if self.choice and self.untuned:
            return f"{self.untuned.slug}@{self.choice.name}"
        return row_text(self.name, self._changed)
