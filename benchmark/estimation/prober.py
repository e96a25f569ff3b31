"""The cost of a task before it runs: seconds per step from a few probed steps, peak memory, disk.

Every kind of task is built from its own parts on blank images, and its steps are timed on the device that will be used.
Evaluation networks are trained in the groups in which the task will train them, and a step is one of a whole group. So
are experts, but a group of those is several tasks, and each is charged its share.
A condensation step is probed with one class first, then with two or as many as should take PATIENCE seconds, or all.
Seconds and memory of all classes are extrapolated from the last two sizes, as a part of a step may not depend on the
number of classes (training a network, say); memory only up to the classes that are forwarded at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmark import analyses, networks
from benchmark.analyses.base import snapshot_steps
from benchmark.compute.allocator import out_of_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory
from benchmark.condensation.problem import DeviceImages
from benchmark.datasets import Outline, Split
from benchmark.datasets.normalization import fit_whitening
from benchmark.datasets.splits import training_counts
from benchmark.estimation.dummy_problem import blank_split, compute_for, dummy_problem, normalizer_of
from benchmark.estimation.step_timing import (
    MOST_STEPS,
    SETTLE_STEPS,
    MemoryGrowth,
    StepSeconds,
    memory_at,
    next_size,
    seconds_at,
    time_steps,
)
from benchmark.execution.runtime import Task
from benchmark.planning.plan import Plan, task_name
from benchmark.training import protocols
from benchmark.training.evaluation import Evaluation
from benchmark.training.experts import expert_recipe
from benchmark.training.trainer import Recipe, Training, accuracy
from benchmark.training.vectorized import choose_num_parallel
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from benchmark.utils.timing import Stopwatch
from methods import registry
from results.store.schema import WHOLE_SET

_COPIES = 4  # of the images of a class without a graph: drawn, normalized, augmented, their gradient
_SAVED = 3  # copies of kept weights while they are saved: the tensors, their bytes, the bytes of the file
_WHITENED = 512  # values of an image for which whitening is probed, and number of such images
_SCORING = Recipe(1, 64, 0.01, 0.9, 0.0, (), 1.0, False, "none", 0.0)  # for tasks that only score
AT_LEAST = "at least: the length of a step depends on the images"
_RECORD_BYTES = 4096  # task.json, record.json and log.txt, roughly


@dataclass(frozen=True)
class TaskCost:
    """The cost of one task.

    step_seconds: nan if there are no steps. fixed_seconds: what is not proportional to steps, as scoring. memory: peak
    bytes. disk: bytes. If memory ran out on the first try, steps is None, and seconds and memory are nan.
    uncertainty: of step_seconds, as a part of it. settled: whether probing more steps would hardly change it.
    """

    steps: int | None
    step_seconds: float
    fixed_seconds: float
    memory: float
    disk: int
    note: str = ""
    uncertainty: float = 0.0
    settled: bool = True

    @property
    def seconds(self) -> float:
        """Seconds of the whole task."""
        return self.fixed_seconds + (self.steps * self.step_seconds if self.steps else 0.0)

    @property
    def fits(self) -> bool:
        """Whether memory sufficed for at least a part of the task."""
        return self.steps is not None


@dataclass(frozen=True)
class TrainingCost:
    """The cost of training `num_parallel` networks together.

    step: of a step of all of them. scoring_seconds: of one image and one network. memory: peak bytes without the
    training images.
    """

    step: StepSeconds
    scoring_seconds: float
    memory: float
    num_parallel: int


@dataclass(frozen=True)
class CondensingProbe:
    """Measurements of a condensation method with some of the classes. fixed_seconds: of building it; memory: bytes."""

    classes: int
    steps: int
    step: StepSeconds
    fixed_seconds: float
    memory: float


class Prober:
    """Measures the cost of tasks. Training steps that several kinds of task share are measured once.

    What the compiler reports meanwhile is noted in the plan. settle: whether steps are probed until their median has
    settled, which takes longer.
    """

    def __init__(self, plan: Plan, compute: Compute, *, settle: bool = False) -> None:
        self.plan, self.compute, self.settle = plan, compute, settle
        self.process_memory = float(PeakMemory(compute.device).bytes() or 0)  # bytes, before anything is probed
        self.training_costs: dict[Any, TrainingCost] = {}

    def task_cost(self, task: Task, experts: int = 1) -> TaskCost:
        """The cost of a task. For one that trains an expert, `experts` like it are to be trained on this device."""
        COMPILER.begin_task(partial(self._note, task))
        outline = self.plan.outlines[task["display"]["dataset"]]
        train_counts = training_counts(outline, task["resolved"].get("val_fraction", 0.0))
        cost_of_kind: dict[str, Callable[[Task, Outline, Sequence[int]], TaskCost]] = {
            "whiten": self._whitening_cost,
            "prepare": partial(self._expert_cost, experts),
            "condense": self._condensation_cost,
            "import": self._import_cost,
            "label": self._labelling_cost,
            "evaluate": self._evaluation_cost,
            "analyze": self._analysis_cost,
        }
        try:
            return cost_of_kind[task["kind"]](task, outline, train_counts)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        return _cost_without_memory("out of memory")

    def is_compiled(self, task: Task) -> bool:
        """Whether a task that trains an expert or condenses will be compiled, by its option or by the rule.

        The rule needs a method's number of steps. Memory may run out as the method is built; torch's errors are not
        caught.
        """
        COMPILER.begin_task(partial(self._note, task))
        outline = self.plan.outlines[task["display"]["dataset"]]
        if task["kind"] == "condense":
            return bool(compute_for(self.compute, task, outline).compile)
        images = sum(training_counts(outline, task["resolved"]["val_fraction"]))
        compute = replace(self.compute)
        samples = expert_recipe(task["resolved"]["recipe"], images).samples_seen(images)
        compute.choose_compile(samples, outline.image_shape)
        return bool(compute.compile)

    def _note(self, task: Task, text: str) -> None:
        """Note a text in the plan, once for all tasks, also when a plan is probed again."""
        if not any(note.endswith(text) for note in self.plan.notes):
            self.plan.note(f"probing {task_name(task)}: {text}")

    # --- kinds of tasks -----------------------------------------------------------------------------------------------
    # train_counts: the training images of each class that are not withheld.

    def _expert_cost(self, experts: int, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        images = sum(train_counts)
        recipe = expert_recipe(task["resolved"]["recipe"], images)
        cost = self._training_cost(task, outline, recipe, images, experts)
        weights, kept = 4 * _parameters(task, outline), len(task["resolved"]["recipe"]["keep"])  # bytes of float32
        in_memory = 0 if self.compute.device.type == "cuda" else _SAVED * weights * kept * cost.num_parallel
        memory = self._peak_memory(outline, cost.memory + in_memory, images * math.prod(outline.image_shape))
        disk = weights * (2 + kept) + _RECORD_BYTES  # the first and the last besides
        share = 1 / cost.num_parallel
        return TaskCost(
            recipe.steps,
            cost.step.median * share,
            cost.scoring_seconds * images,
            memory,
            disk,
            uncertainty=cost.step.uncertainty,
            settled=cost.step.settled,
        )

    def _whitening_cost(self, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        """From a few small images: to decompose the covariance takes the cube of an image's values."""
        values, images = math.prod(outline.image_shape), sum(train_counts)
        probed = min(values, _WHITENED)
        noise = torch.randint(256, (probed, 1, 1, probed), dtype=torch.uint8, generator=seeding.generator(Role.PROBE))
        watch = Stopwatch(self.compute.device)
        with watch.running():
            fit_whitening(Split(noise, torch.zeros(probed, dtype=torch.int64)))
        seconds = watch.seconds * (values / probed) ** 2 * max(values, images) / probed
        memory = self._peak_memory(outline, _SAVED * 8 * values**2, images * values)
        return TaskCost(0, math.nan, seconds, memory, 4 * values * (values + 2) + _RECORD_BYTES)

    def _import_cost(self, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        """The file was read when the plan was made, so the time is negligible."""
        set_bytes = 4 * task["resolved"]["ipc"] * outline.num_classes * math.prod(outline.image_shape)
        memory = self._peak_memory(outline, 0.0, 2 * set_bytes)
        return TaskCost(0, math.nan, 0.0, memory, set_bytes + _RECORD_BYTES)

    def _labelling_cost(self, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        """The teacher sees the test images once, and the set's few images."""
        recipe = expert_recipe(
            self.plan.by_identity[task["resolved"]["experts"][0]]["resolved"]["recipe"], sum(train_counts)
        )
        cost = self._training_cost(task, outline, recipe, sum(train_counts))
        memory = self._peak_memory(outline, cost.memory, 0)
        return TaskCost(0, math.nan, cost.scoring_seconds * sum(outline.test), memory, _RECORD_BYTES)

    def _evaluation_cost(self, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        resolved, whole = task["resolved"], task["resolved"]["set"] == WHOLE_SET
        protocol = protocols.from_resolved(resolved["protocol"])
        if whole:
            images = sum(train_counts)
            recipe = protocol.recipe_for_whole(images, resolved["whole"]["epochs"])
        else:
            stored = task["display"]["ipc"] * outline.num_classes
            images = stored * task["display"]["factor"] ** 2
            recipe = protocol.recipe(stored, images)
        cost = self._training_cost(task, outline, recipe, images, resolved["num_eval"])
        groups = math.ceil(resolved["num_eval"] / cost.num_parallel)
        scored = resolved["num_eval"] * (sum(outline.test) + sum(outline.train) - sum(train_counts))
        pixel_bytes = 1 if whole else 4  # uint8 or float32
        memory = self._peak_memory(outline, cost.memory, images * math.prod(outline.image_shape) * pixel_bytes)
        scoring_seconds = cost.scoring_seconds * scored
        return TaskCost(groups * recipe.steps, cost.step.median, scoring_seconds, memory, _RECORD_BYTES)

    def _analysis_cost(self, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        resolved = task["resolved"]
        sets = [self.plan.by_identity[identity] for identity in resolved["sets"] if identity != WHOLE_SET]
        work = analyses.get(resolved["analysis"]).cost(task, outline, sum(train_counts), sets)
        recipe, images = work.training or (_SCORING, sum(train_counts))
        cost = self._training_cost(task, outline, recipe, images)
        memory = self._peak_memory(outline, cost.memory, images * math.prod(outline.image_shape))
        if work.training is None:
            step_seconds = work.scored * cost.scoring_seconds / work.steps
            return TaskCost(work.steps, step_seconds, 0.0, memory, _RECORD_BYTES, work.note)
        scoring_seconds = cost.scoring_seconds * work.scored
        return TaskCost(work.steps, cost.step.median, scoring_seconds, memory, _RECORD_BYTES, work.note)

    def _condensation_cost(self, task: Task, outline: Outline, train_counts: Sequence[int]) -> TaskCost:
        resolved, num_classes = task["resolved"], outline.num_classes
        method = registry.get(resolved["method"])
        config = method.Config(**resolved["settings"])
        network = networks.build(resolved["architecture"], outline.image_shape, 2, torch.Generator())
        if reason := method.unsupported(config, depends_on_batch=network.depends_on_batch):
            return TaskCost(0, math.nan, 0.0, 0.0, _RECORD_BYTES, f"unsupported: {reason}")
        compute = compute_for(self.compute, task, outline)
        decoded = resolved["ipc"] * task["display"]["factor"] ** 2  # images of a class
        fitting = compute.classes_at_once(decoded, outline.image_shape[1:])
        at_once = num_classes if network.depends_on_batch else fitting
        probes, note = self._probe_condensation(task, outline, train_counts, compute, at_once, network.smallest_batch)
        if not probes:
            return _cost_without_memory(note)
        last = probes[-1]
        note = note or (AT_LEAST if config.short_step()[1] > 1 else "")
        # A class that is not forwarded at once with others adds only copies of its images.
        class_bytes = _COPIES * 4 * math.prod(outline.image_shape) * (decoded + config.batch_real)
        memory = memory_at([(probe.classes, probe.memory) for probe in probes], num_classes, at_once, class_bytes)
        sets = 1 + (len(snapshot_steps(task)) if resolved.get("snapshots") else 0)
        return TaskCost(
            last.steps,
            seconds_at([(probe.classes, probe.step.median) for probe in probes], num_classes),
            last.fixed_seconds * (num_classes / last.classes),
            self._peak_memory(outline, memory, 0),
            sets * _set_bytes(resolved["ipc"] * num_classes, outline) + _RECORD_BYTES,
            note,
            uncertainty=last.step.uncertainty,
            settled=last.step.settled,
        )

    def _peak_memory(self, outline: Outline, added: float, on_device: int) -> float:
        """Peak bytes of a task: what the process has anyway, what a few steps added, and the images."""
        images = (sum(outline.train) + sum(outline.test)) * math.prod(outline.image_shape)
        on_gpu = self.compute.device.type == "cuda"
        return self.process_memory + added + (on_device if on_gpu else max(images, on_device))

    # --- measurements -------------------------------------------------------------------------------------------------

    def _probe_condensation(
        self,
        task: Task,
        outline: Outline,
        train_counts: Sequence[int],
        compute: Compute,
        at_once: int,
        smallest_batch: int,
    ) -> tuple[list[CondensingProbe], str]:
        """Probes with a growing number of classes, and a note where memory ran out."""
        probes: list[CondensingProbe] = []
        # At ipc 1 a class is one image. Compiled steps are probed with whole groups, as each size is compiled anew.
        classes = min(at_once if compute.compiled else smallest_batch, outline.num_classes)
        while classes:
            try:
                probes.append(self._measure_condensation(classes, task, outline, train_counts, compute))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                return probes, f"out of memory with {classes} of {outline.num_classes} classes"
            if not compute.compiled:
                classes = next_size(classes, probes[-1].step.median, outline.num_classes)
            else:
                classes = 2 * classes if len(probes) == 1 and 2 * classes <= outline.num_classes else 0
        return probes, ""

    def _measure_condensation(
        self, classes: int, task: Task, outline: Outline, train_counts: Sequence[int], compute: Compute
    ) -> CondensingProbe:
        resolved = task["resolved"]
        split = blank_split(outline, train_counts[:classes])
        memory = MemoryGrowth(compute)
        problem = dummy_problem(task, outline, _FewClasses(split, classes, compute.device), compute)
        watch = Stopwatch(compute.device)
        with watch.running():
            method = registry.get(resolved["method"])
            short, times = method.Config(**resolved["settings"]).short_step()
            work = method(problem, short)
        step = StepSeconds(0.0, 0.0, 0.0, settled=True)
        if work.total_steps:
            step = time_steps(work, compute, settle=self.settle, period=short.period())
        return CondensingProbe(classes, work.total_steps, step.times(times), watch.seconds, memory.bytes())

    def _training_cost(
        self, task: Task, outline: Outline, recipe: Recipe, images: int, num_networks: int = 1
    ) -> TrainingCost:
        """The cost of training networks on `images` images, as many of them together as the task will train."""
        resolved, shape = task["resolved"], outline.image_shape
        compute = replace(self.compute)
        samples = recipe.samples_seen(images) * (1 if task["kind"] == "prepare" else num_networks)
        compute.choose_compile(samples, shape)
        network = networks.build(resolved["architecture"], shape, outline.num_classes, torch.Generator())
        choose_num_parallel(compute, num_networks, network, min(recipe.batch, images), shape)
        num_parallel = min(compute.num_parallel, num_networks)
        batch = math.ceil(images / math.ceil(images / recipe.batch))  # the last batch of an epoch is smaller
        key = (shape, outline.num_classes, resolved["architecture"], batch, recipe.augment, recipe.cutmix,
               compute.compile, num_parallel, "whitening" in resolved["dataset"])  # fmt: skip
        if key not in self.training_costs:
            # Longer than is timed, so that no network is scored.
            steps = (SETTLE_STEPS if self.settle else MOST_STEPS) + 2
            short = replace(recipe, steps=steps, batch=batch, lr_milestones=())
            self.training_costs[key] = self._measure_training(short, resolved, outline, compute, num_parallel)
        return self.training_costs[key]

    def _measure_training(
        self, recipe: Recipe, resolved: Task, outline: Outline, compute: Compute, num_parallel: int
    ) -> TrainingCost:
        """The cost of one group of networks, or of a smaller one if memory runs out, as in the task itself."""
        memory = MemoryGrowth(compute)
        count = recipe.batch * MOST_STEPS
        images = torch.rand(count, *outline.image_shape, generator=seeding.generator(Role.PROBE)).to(compute.device)
        labels = (torch.arange(count) % outline.num_classes).to(compute.device)
        normalizer = normalizer_of(resolved, outline, compute)

        def new_training(index: int) -> Training:
            network = networks.build(
                resolved["architecture"], outline.image_shape, outline.num_classes, seeding.generator(Role.PROBE, index)
            )
            return Training(
                network.to(compute.device), images, labels, recipe, compute, normalizer,
                lambda draw, at: seeding.generator(Role.PROBE, index, draw, at),
            )  # fmt: skip

        scored = blank_split(outline, (min(compute.images_at_once(outline.image_shape), sum(outline.test)),))
        work = Evaluation(new_training, num_parallel, scored, scored, compute, normalizer)
        step = time_steps(work, compute, settle=self.settle)
        watch, network = Stopwatch(compute.device), work.training.networks[0]
        accuracy(network, scored, compute, normalizer)  # compiles, which is not timed
        with watch.running():
            accuracy(network, scored, compute, normalizer)
        parallel = min(compute.num_parallel, num_parallel)  # fewer now if memory ran out
        return TrainingCost(step, watch.seconds / len(scored), memory.bytes(), parallel)


class _FewClasses(DeviceImages):
    """Some classes of a dataset. A mixed batch has as many images as one of all classes, drawn with repetition."""

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self.labels), (n,), generator=generator)
        return self.take(chosen), self.labels[chosen.to(self.labels.device)]


def _cost_without_memory(note: str) -> TaskCost:
    """The cost of a task that does not fit in memory: it only writes a log."""
    return TaskCost(None, math.nan, math.nan, math.nan, _RECORD_BYTES, note)


def _parameters(task: Task, outline: Outline) -> int:
    network = networks.build(
        task["resolved"]["architecture"], outline.image_shape, outline.num_classes, torch.Generator()
    )
    return sum(parameter.numel() for parameter in network.parameters())


def _set_bytes(images: int, outline: Outline) -> int:
    """Bytes of synthetic.safetensors: float32 pixels and int64 labels."""
    return images * (math.prod(outline.image_shape) * 4 + 8)
