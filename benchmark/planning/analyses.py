"""Analyze tasks: which sets and experts of a plan each analysis takes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmark import networks
from benchmark.analyses import VERSIONS
from benchmark.config.schema import AnalyzeConfig
from benchmark.planning.plan import WHOLE, Part, Plan, Task, dataset_content, dataset_display, inputs_of
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import registry

NEED_EXPERTS = ("interpolation", "expert", "embedding")
_SetGroup = tuple[str, str, int, int | None]  # dataset, condensing architecture, seed, ipc (None: all ipcs together)
_DISPLAY = (
    "dataset",
    "dataset_title",
    "published_as",
    "num_classes",
    "train_images",
    "condense_architecture",
    "ipc",
    "protocol",
)


def add_curves(plan: Plan, points: int, protocol_names: Sequence[str]) -> None:
    """Add a curve for each evaluation under these protocols, along a set's snapshots or training on the whole set.

    points: the number of points along training on the whole set, besides the first.
    """
    for task in plan.of_kind("evaluate"):
        if task["resolved"].get("imported") or task["display"]["protocol"] not in protocol_names:
            continue  # an imported set has no snapshots; protocols that robustness_scores adds get no curve
        whole = task["resolved"]["set"] == WHOLE.name
        content = {
            "analysis": "curve",
            "version": VERSIONS["curve"],
            "sets": [task["resolved"]["set"]],
            "experts": [],
            **({"points": points} if whole else {}),
        }
        spec, resolved = (
            {key: value for key, value in task[part].items() if key not in ("kind", "set")} | content
            for part in ("spec", "resolved")
        )
        display = {key: task["display"][key] for key in _DISPLAY}
        plan.add_specified("analyze", f"curve-{task['slug']}", spec, resolved, display, task["requested"])


def only(plan: Plan, config: AnalyzeConfig) -> Plan:
    """Reduce a run's plan to the requested analyses and the tasks that they need. Nothing is evaluated.

    Raises BenchmarkError if the plan has no sets, or no experts, for one of the analyses.
    """
    for name in config.analyses:
        if name != "curve":
            _AnalysisPlanner(plan, config, name).add()
    needed = {task["identity"] for task in plan.of_kind("analyze") if task["resolved"]["analysis"] in config.analyses}
    for task in reversed(plan.tasks):  # each task comes after its inputs
        if task["identity"] in needed:
            needed |= inputs_of(task)
    plan.by_identity = {identity: task for identity, task in plan.by_identity.items() if identity in needed}
    return plan


class _AnalysisPlanner:
    """Adds one analysis of all sets that a plan condenses."""

    def __init__(self, plan: Plan, config: AnalyzeConfig, name: str) -> None:
        self.plan, self.config, self.name = plan, config, name

    def add(self) -> None:
        groups: dict[_SetGroup, list[Task]] = {}
        for task in self.plan.of_kind("condense"):
            resolved = task["resolved"]
            if resolved["seed"] in self.config.seeds:
                ipc = resolved["ipc"] if self.name == "embedding" else None  # its points must not depend on other ipcs
                group = task["display"]["dataset"], resolved["architecture"], resolved["seed"], ipc
                groups.setdefault(group, []).append(task)
        contents = {
            "discrepancy": self._discrepancy,
            "interpolation": self._of_experts,
            "expert": self._of_experts,
            "embedding": self._embedding,
        }
        for group, sets in groups.items():
            content = contents[self.name](group, sets)
            if content is not None:
                self._add(group, sets, content)
            else:
                experts = any(task["resolved"]["experts"] for task in sets)
                reason = "experts with batch norm cannot be interpolated" if experts else "there are no experts"
                self.plan.note(f"{self.name} is left out on {group[0]} with {group[1]}: {reason}")
        if all(task["resolved"]["analysis"] != self.name for task in self.plan.of_kind("analyze")):
            raise self._impossible()

    def _add(self, group: _SetGroup, sets: Sequence[Task], content: Mapping[str, Any]) -> None:
        dataset, architecture, seed, ipc = group
        of_sets = self.name != "interpolation"
        content = {
            "analysis": self.name,
            "version": VERSIONS[self.name],
            "sets": sorted(task["identity"] for task in sets) if of_sets else [],
            "architecture": architecture,
            "val_fraction": self.config.val_fraction,
            "precision": self.config.precision,
            **content,
        }
        display = dataset_display(self.plan.outlines[dataset]) | {"condense_architecture": architecture, "ipc": ipc}
        slug = f"{self.name}-{dataset}{f'-ipc{ipc}' if ipc else ''}-{architecture}{f'-seed{seed}' if of_sets else ''}"
        self.plan.add("analyze", slug, content, display, sets[0]["requested"])

    def _discrepancy(self, group: _SetGroup, sets: Sequence[Task]) -> dict[str, Any]:
        """Along the training of a network: the first that the whole set has under the first protocol."""
        outline, config = self.plan.outlines[group[0]], self.config
        whole = registry.resolve(
            WHOLE.name,
            dataset=outline.published_as,
            ipc=None,
            preset=config.preset,
            overrides=config.method.get(WHOLE.name),
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
            "dataset": dataset_content(outline, outline.constants),
            "protocol": Part.of(protocol, "source"),
            "whole": Part.of(whole.config),
            "seed": group[2],
        }

    def _of_experts(self, group: _SetGroup, sets: Sequence[Task]) -> dict[str, Any] | None:
        """The experts of the row that has most, with the dataset as they were trained on it; None if impossible."""
        experts = max((task["resolved"]["experts"] for task in sets), key=len)
        if not experts or (self.name == "interpolation" and self._depends_on_batch(group)):
            return None
        return {"experts": experts, "dataset": self.plan.by_identity[experts[0]]["resolved"]["dataset"]}

    def _embedding(self, group: _SetGroup, sets: Sequence[Task]) -> dict[str, Any] | None:
        content = self._of_experts(group, sets)
        if content is None:
            return None
        return content | {"experts": content["experts"][:1], "method": self.config.layout, "seed": group[2]}

    def _depends_on_batch(self, group: _SetGroup) -> bool:
        outline = self.plan.outlines[group[0]]
        return networks.build(group[1], outline.image_shape, outline.num_classes, torch.Generator()).depends_on_batch

    def _impossible(self) -> BenchmarkError:
        """Why the plan has nothing to analyze."""
        config = self.config
        if self.name in NEED_EXPERTS and not self.plan.of_kind("prepare"):
            return BenchmarkError(
                f"{self.name} needs experts, and none of the methods trains any here",
                where=f"analyses=[{self.name}], methods=[{','.join(config.methods)}]",
                next="add a method that does: methods=[…,dance]",
            )
        if self.name == "interpolation":
            return BenchmarkError(
                "interpolation is of parameters only, so a network with batch norm has no statistics in between",
                where=f"analyses=[interpolation], architectures={config.architectures}",
                next="name an architecture with another norm",
            )
        return BenchmarkError(
            f"there is no set for {self.name}",
            where=f"analyses=[{self.name}], methods=[{','.join(config.methods)}]",
            next="name a method that condenses: methods=[dance]",
        )
