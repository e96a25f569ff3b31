"""Which sets and experts are looked at together: analyse tasks from what a plan condenses and evaluates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmark import networks
from benchmark.analyses import VERSIONS
from benchmark.config.schema import AnalyzeConfig
from benchmark.planning.plan import WHOLE, Part, Plan, Task, data_asked, dataset_label, inputs_of
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import registry

NEED_EXPERTS = ("interpolation", "expert", "embedding")
_Group = tuple[str, str, int, int | None]  # dataset, condensing architecture, seed, ipc (None: of all together)
_LABEL = (
    "dataset",
    "dataset_title",
    "published_as",
    "num_classes",
    "train_images",
    "condense_architecture",
    "ipc",
    "protocol",
)


def add_curves(plan: Plan, points: int, under: Sequence[str]) -> None:
    """A curve for each evaluation under these protocols: of a set's snapshots, or along training on the whole set."""
    for task in plan.of_kind("evaluate"):
        asked, spec = (
            {key: value for key, value in task[part].items() if key not in ("kind", "set")}
            for part in ("resolved", "spec")
        )
        if asked.get("imported") or task["display"]["protocol"] not in under:  # of those that scores add, none
            continue
        wanted = {"analysis": "curve", "version": VERSIONS["curve"], "sets": [task["resolved"]["set"]], "experts": []}
        if task["resolved"]["set"] == WHOLE.name:
            wanted["points"] = points
        display = {key: task["display"][key] for key in _LABEL}
        plan.add_specified(
            "analyze", f"curve-{task['slug']}", spec | wanted, asked | wanted, display, task["requested"]
        )


def only(plan: Plan, config: AnalyzeConfig) -> Plan:
    """A run's plan made into one of analyses: those asked for, and what they need. Nothing is evaluated.

    Raises BenchmarkError when an analysis can be had for none of the sets.
    """
    for name in config.analyses:
        if name != "curve":
            _Planner(plan, config, name).add()
    wanted = {task["identity"] for task in plan.of_kind("analyze") if task["resolved"]["analysis"] in config.analyses}
    for task in reversed(plan.tasks):  # inputs come first
        if task["identity"] in wanted:
            wanted |= inputs_of(task)
    plan.by_identity = {identity: task for identity, task in plan.by_identity.items() if identity in wanted}
    return plan


class _Planner:
    """One analysis of everything that a plan condenses."""

    def __init__(self, plan: Plan, config: AnalyzeConfig, name: str) -> None:
        self.plan, self.config, self.name = plan, config, name

    def add(self) -> None:
        groups: dict[_Group, list[Task]] = {}
        for task in self.plan.of_kind("condense"):
            asked = task["resolved"]
            if asked["seed"] in self.config.seeds:
                ipc = asked["ipc"] if self.name == "embedding" else None  # so that no other ipc moves its points
                group = task["display"]["dataset"], asked["architecture"], asked["seed"], ipc
                groups.setdefault(group, []).append(task)
        for group, sets in groups.items():
            asked = {"discrepancy": self._discrepancy, "interpolation": self._of_experts, "expert": self._of_experts,
                     "embedding": self._embedding}[self.name](group, sets)  # fmt: skip
            if asked is not None:
                self._add(group, sets, asked)
            else:
                some = any(task["resolved"]["experts"] for task in sets)
                lacks = "batch norm has nothing between" if some else "there are no experts"
                self.plan.note(f"{self.name} is left out on {group[0]} with {group[1]}: {lacks}")
        if all(task["resolved"]["analysis"] != self.name for task in self.plan.of_kind("analyze")):
            raise self._nothing()

    def _add(self, group: _Group, sets: Sequence[Task], asked: Mapping[str, Any]) -> None:
        dataset, architecture, seed, ipc = group
        several = self.name != "interpolation"
        everything = {
            "analysis": self.name,
            "version": VERSIONS[self.name],
            "sets": sorted(task["identity"] for task in sets) if several else [],
            "architecture": architecture,
            "val_fraction": self.config.val_fraction,
            "precision": self.config.precision,
            **asked,
        }
        display = dataset_label(self.plan.outlines[dataset]) | {"condense_architecture": architecture, "ipc": ipc}
        slug = f"{self.name}-{dataset}{f'-ipc{ipc}' if ipc else ''}-{architecture}{f'-seed{seed}' if several else ''}"
        self.plan.add("analyze", slug, everything, display, sets[0]["requested"])

    def _discrepancy(self, group: _Group, sets: Sequence[Task]) -> dict[str, Any]:
        """Along the training of the first network that the row of the whole set has under the first protocol."""
        outline, config = self.plan.outlines[group[0]], self.config
        given = config.method.get(WHOLE.name)
        whole = registry.resolve(
            WHOLE.name, dataset=outline.published_as, ipc=None, preset=config.preset, overrides=given
        )
        protocol = protocols.get(
            config.protocols[0],
            native="dsa",
            published_as=outline.published_as,
            resolution=min(outline.image_shape[1:]),
            num_classes=outline.num_classes,
            ipc=None,
            factor=1,
            architecture=group[1],
        )
        return {
            "experts": [],
            "dataset": data_asked(outline, outline.constants),
            "protocol": Part.of(protocol, "source"),
            "whole": Part.of(whole.config),
            "seed": group[2],
        }

    def _of_experts(self, group: _Group, sets: Sequence[Task]) -> dict[str, Any] | None:
        """The experts of the row that has most of them; networks see images as these were trained to."""
        experts = max((task["resolved"]["experts"] for task in sets), key=len)
        if not experts or (self.name == "interpolation" and self._depends_on_batch(group)):
            return None
        return {"experts": experts, "dataset": self.plan.by_identity[experts[0]]["resolved"]["dataset"]}

    def _embedding(self, group: _Group, sets: Sequence[Task]) -> dict[str, Any] | None:
        found = self._of_experts(group, sets)
        if found is None:
            return None
        return found | {"experts": found["experts"][:1], "method": self.config.layout, "seed": group[2]}

    def _depends_on_batch(self, group: _Group) -> bool:
        outline = self.plan.outlines[group[0]]
        return networks.build(group[1], outline.image_shape, outline.num_classes, torch.Generator()).depends_on_batch

    def _nothing(self) -> BenchmarkError:
        config = self.config
        if self.name in NEED_EXPERTS and not self.plan.of_kind("prepare"):
            return BenchmarkError(
                f"{self.name} looks at experts, and none of the methods has any here",
                where=f"analyses=[{self.name}], methods=[{','.join(config.methods)}]",
                next="add one that has: methods=[…,dance]",
            )
        if self.name == "interpolation":
            return BenchmarkError(
                "parameters are interpolated, not running statistics: a network with batch norm has nothing between",
                where=f"analyses=[interpolation], architectures={config.architectures}",
                next="name an architecture with another norm",
            )
        return BenchmarkError(
            f"there is no set for {self.name} to look at",
            where=f"analyses=[{self.name}], methods=[{','.join(config.methods)}]",
            next="name a method that condenses: methods=[dance]",
        )
