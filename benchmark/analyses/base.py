"""The interface of an analysis: a class that plans, runs and summarizes a measurement of sets and experts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from benchmark.condensation.synthetic_set import load_set
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline, Split
from benchmark.datasets.splits import subsample
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from benchmark.training.trainer import Recipe
from benchmark.utils import seeding
from benchmark.utils.schedules import evenly_spaced
from benchmark.utils.seeding import Role
from methods.base import SyntheticSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SCORED = 10_000  # real images that experts are scored on: accuracies are then within 0.5 points of those of all


@dataclass(frozen=True)
class SetGroup:
    """Condensed sets that one analysis looks at together: of one dataset, architecture and condensation seed.

    sets: their condense tasks. experts: the prepare tasks of the largest pool of experts that one of them uses. ipc:
    None if the group has sets of all ipcs.
    """

    outline: Outline
    architecture: str
    seed: int
    ipc: int | None
    sets: Sequence[Task]
    experts: Sequence[Task]

    def expert_content(self) -> dict[str, Any]:
        """The content of a task that looks at the experts: these, and the dataset normalized as in their training."""
        experts = [task["identity"] for task in self.experts]
        return {"experts": experts, "dataset": self.experts[0]["resolved"]["dataset"]}


@dataclass(frozen=True)
class AnalysisCost:
    """What an analysis takes. steps: of its task. scored: images forwarded without training, in all.

    training: the recipe of its steps and the number of images they train on, None if they train no network.
    """

    steps: int
    scored: int
    training: tuple[Recipe, int] | None = None
    note: str = ""


@dataclass(frozen=True)
class CondensedSet:
    """A finished set, with the snapshots that its condense task saved."""

    attempt: Attempt
    identity: str
    record: Mapping[str, Any]

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        """step and charged seconds of each snapshot; of the finished set alone if there are none."""
        finished = {"step": self.record["steps"], "seconds": self.record["seconds"]}
        return self.record["result"].get("snapshots") or [finished]

    def load(self, step: int | None = None) -> SyntheticSet:
        """A snapshot, or the finished set, on the device."""
        has_snapshot = step is not None and "snapshots" in self.record["result"]
        name = f"snapshots/{step}.safetensors" if has_snapshot else "synthetic.safetensors"
        return load_set(self.attempt.artifact("condense", self.identity, name), self.attempt.compute.device)

    def decode(self, step: int | None = None) -> tuple[Tensor, Tensor, int]:
        """Decoded images and labels, and the number of stored images: of a snapshot, or of the finished set."""
        synthetic = self.load(step)
        return *synthetic.decode(), len(synthetic.labels)


class Analysis(ABC):
    """One analysis. Only best_on_test uses test images.

    version: part of the identity of its tasks; raise it with a change that alters results. figure: what the report's
    figure of it shows.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    figure: ClassVar[str]

    def check(self, config: AnalyzeConfig) -> None:  # noqa: B027 -- most analyses have no options
        """Raise BenchmarkError for an option of this analysis that is wrong, or missing if it is requested."""

    @abstractmethod
    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        """Make the analysis of these sets, which are ok, and commit the record. Raises what `run_steps` raises."""

    @abstractmethod
    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        """What its task will take, from its condense tasks, on `num_train` images that are not withheld."""

    def figures(self, records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Figure]]:
        """Its figures, each with words that tell its file's name apart, from its finished records.

        A plug-in makes them with `results.figures.style.new_figure`, whose title and facts the index of figures has.
        Those of this project are drawn by `results.figures`, so that a report loads no torch for them.
        """
        yield from ()

    @abstractmethod
    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        """Its results in phrases. record: of its task, which is ok. set_names: names of sets by their identities."""


class GroupAnalysis(Analysis):
    """An analysis with one task for each group of sets.

    needs_experts: whether it looks at experts. uses_sets: whether it looks at sets. by_ipc: whether each ipc has a
    group of its own.

    An analysis of another package is such a class, with the name of its entry point; docs/extend/analysis.md has a
    complete one. Its result is a JSON object of its own.
    """

    needs_experts: ClassVar[bool] = False
    uses_sets: ClassVar[bool] = True
    by_ipc: ClassVar[bool] = False

    def unsupported(self, group: SetGroup) -> str:
        """Why there can be no analysis of this group, "" if there can."""
        return "there are no experts" if self.needs_experts and not group.experts else ""

    @abstractmethod
    def content(self, group: SetGroup, config: AnalyzeConfig) -> dict[str, Any]:
        """The content of a group's task that only this analysis has: JSON values and dataclasses.

        The planner adds what all analyses have: the analysis with its version, `sets`, `architecture`,
        `val_fraction`, `precision`; and unless they are here, no `experts`, and the `dataset` as evaluations see it.
        """


def scored_images(attempt: Attempt, split: Split) -> Split:
    """At most MAX_SCORED images of a split, in its order. The seed of their draw hashes the dataset's fingerprint."""
    fingerprint = attempt.resolved["dataset"]["fingerprint"]
    return subsample(split, MAX_SCORED, seeding.generator(Role.SCORED_IMAGES, fingerprint))


def results_in_order(record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The name of each set of a record and its results, in the order of `set_names`."""
    results = record["result"]["sets"]
    return ((name, results[identity]) for identity, name in set_names.items() if identity in results)


def snapshot_steps(condense: Task) -> list[int]:
    """The steps at which a condense task saves snapshots; its last one if it saves none."""
    resolved = condense["resolved"]
    total = resolved["settings"].get("iterations", 0)
    return evenly_spaced(total, resolved["snapshots"]) if resolved.get("snapshots") else [total]


def decoded_images(condense: Task, num_classes: int) -> int:
    """The number of decoded images of a condense task's set."""
    return int(condense["resolved"]["ipc"] * num_classes * condense["display"]["factor"] ** 2)
